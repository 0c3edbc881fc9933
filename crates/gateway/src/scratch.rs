//! Where bytes are read first: one place per thread, so that a resting connection holds no buffer, and what is read is still in
//! the processor's cache when it is written.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::LocalKey;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

/// The bytes of one read of a body.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// The bytes that a head takes mostly.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;
/// What reads this much at once gets the buffer that it was read into.
pub(crate) const LARGE: usize = 8 * 1024;
/// So many buffers for large reads are kept by a thread.
const SPARES: usize = 16;
/// A buffer that is as large as this is given back when it is empty.
const KEPT: usize = 16 * 1024;

type Place = RefCell<Vec<u8>>;

thread_local! {
    /// What the next read goes into; nobody else has a part of it.
    static AT_HAND: Cell<Option<BytesMut>> = const { Cell::new(None) };
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: Place = const { RefCell::new(Vec::new()) };
    static WIRE: Place = const { RefCell::new(Vec::new()) };
    static SEALED: Place = const { RefCell::new(Vec::new()) };
    static LENT: Place = const { RefCell::new(Vec::new()) };
}

/// Reads what is there to the end of `into`; returns how many bytes came, 0 at the end of the stream.
pub(crate) fn poll_read<R: AsyncRead + Unpin + ?Sized>(
    reader: &mut R,
    into: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if into.capacity() > LARGE {
        if into.is_empty() {
            into.reserve(READ_BYTES);
        }
        if into.capacity() - into.len() >= LARGE {
            return tokio_util::io::poll_read_buf(Pin::new(reader), cx, into);
        }
    }
    let mut at_hand = AT_HAND.take().or_else(|| SPARE.with_borrow_mut(Vec::pop)).unwrap_or_default();
    at_hand.reserve(HEAD_BYTES + READ_BYTES);
    let polled = tokio_util::io::poll_read_buf(Pin::new(reader), cx, &mut at_hand);
    // Little is copied, so that it holds little memory; much changes hands.
    if at_hand.len() > LARGE && into.is_empty() {
        *into = at_hand;
        return polled;
    }
    if !at_hand.is_empty() {
        into.extend_from_slice(&at_hand);
        at_hand.clear();
    }
    AT_HAND.set(Some(at_hand));
    polled
}

/// Reads what is there behind what was kept and hands both on, in one piece, from the memory that it was read into. `take` says
/// how many of the bytes it is done with; the rest is kept.
pub(crate) fn gather<R: AsyncRead + Unpin + ?Sized, T>(
    kept: &mut BytesMut,
    reader: &mut R,
    cx: &mut Context<'_>,
    take: impl FnOnce(&mut Context<'_>, &[u8]) -> (usize, T),
) -> (Poll<io::Result<usize>>, T) {
    shrink(kept);
    let from = kept.len();
    with(&SCRATCH, from.max(HEAD_BYTES) + READ_BYTES, |space| {
        space[..from].copy_from_slice(kept);
        let mut read = ReadBuf::new(&mut space[from..from + READ_BYTES]);
        let polled = Pin::new(reader).poll_read(cx, &mut read).map_ok(|()| read.filled().len());
        let to = from + read.filled().len();
        let (taken, told) = take(cx, &space[..to]);
        *kept = BytesMut::from(&space[taken..to]);
        (polled, told)
    })
}

/// Where TLS opens what came in. Whoever reads may hold the first place meanwhile, so it is another one.
pub(crate) fn with_wire<T>(bytes: usize, f: impl FnOnce(&mut [u8]) -> T) -> T {
    with(&WIRE, bytes, f)
}

/// Where TLS seals what goes out.
pub(crate) fn with_sealed<T>(bytes: usize, f: impl FnOnce(&mut [u8]) -> T) -> T {
    with(&SEALED, bytes, f)
}

/// Empty memory for as long as one poll lasts.
pub(crate) fn lend() -> Vec<u8> {
    LENT.take()
}

/// Gives it back.
pub(crate) fn give_back(mut memory: Vec<u8>) {
    memory.clear();
    LENT.set(memory);
}

fn with<T>(place: &'static LocalKey<Place>, bytes: usize, f: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut space = place.take();
    if space.len() < bytes {
        space = vec![0; bytes];
    }
    let done = f(&mut space);
    place.set(space);
    done
}

/// Gives a large buffer back that is not in use.
pub(crate) fn shrink(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.try_reclaim(KEPT) {
        put_by(std::mem::take(buffer));
    }
}

/// A buffer as data that somebody else writes. When all of it is written, it is there for a later large read of that thread.
pub(crate) fn passed_on(buffer: BytesMut) -> Bytes {
    Bytes::from_owner(PassedOn(buffer))
}

struct PassedOn(BytesMut);

impl AsRef<[u8]> for PassedOn {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for PassedOn {
    fn drop(&mut self) {
        put_by(std::mem::take(&mut self.0));
    }
}

/// Keeps a buffer for a later large read, if it is one and nobody has a part of it.
fn put_by(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.try_reclaim(HEAD_BYTES + READ_BYTES) {
        // A thread that ends keeps nothing.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARES {
                spare.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    fn read(mut bytes: &[u8], into: &mut BytesMut) -> usize {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match poll_read(&mut bytes, into, &mut cx) {
            Poll::Ready(Ok(n)) => n,
            other => panic!("{other:?}"),
        }
    }

    fn spares() -> usize {
        let at_hand = AT_HAND.take();
        let kept = usize::from(at_hand.is_some());
        AT_HAND.set(at_hand);
        kept + SPARE.with_borrow(Vec::len)
    }

    #[test]
    fn little_is_copied_and_much_changes_hands_and_comes_back() {
        let mut small = BytesMut::new();
        assert_eq!((read(&[1; 900], &mut small), small.len(), spares()), (900, 900, 1));
        assert!(small.capacity() < LARGE);
        let mut large = BytesMut::new();
        assert_eq!((read(&[2; 70_000], &mut large), large.len(), spares()), (70_000, 70_000, 0));
        // What is used up looks small from its front.
        large.advance(70_000);
        shrink(&mut large);
        assert_eq!((large.capacity(), spares()), (0, 1));
        read(&[3; 70_000], &mut large);
        let data = passed_on(std::mem::take(&mut large));
        assert!(spares() == 0 && data.iter().all(|b| *b == 3));
        let part = data.slice(10..20);
        drop(data);
        assert_eq!(spares(), 0, "a part of it is still to be written");
        drop(part);
        assert_eq!(spares(), 1);
    }

    #[test]
    fn a_thread_keeps_few_and_only_whole_ones() {
        put_by(BytesMut::with_capacity(LARGE));
        assert_eq!(spares(), 0);
        (0..2 * SPARES).for_each(|_| put_by(BytesMut::with_capacity(HEAD_BYTES + READ_BYTES)));
        assert_eq!(spares(), SPARES);
    }

    #[test]
    fn what_is_read_behind_much_stays_in_order() {
        let mut into = BytesMut::new();
        read(&[1; 40_000], &mut into);
        assert_eq!(read(&[2; 50_000], &mut into), 40 * 1024 + 960);
        assert!(into[..40_000].iter().all(|b| *b == 1) && into[40_000..].iter().all(|b| *b == 2));
    }
}
