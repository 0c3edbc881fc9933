//! Where bytes are read first: one place per thread, so that a resting connection holds no buffer, and what is read is still in
//! the processor's cache when it is written.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::LocalKey;

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// The bytes of one read of a body.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// The bytes that a head takes mostly.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;
/// What reads this much at once gets the buffer that it was read into.
pub(crate) const LARGE: usize = 8 * 1024;
/// So many buffers for large reads are kept by a thread.
const SPARES: usize = 4;
/// A buffer that is larger than this is given back when it is empty.
const KEPT: usize = 16 * 1024;

type Place = RefCell<Vec<u8>>;

thread_local! {
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
    let mut spare = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    spare.reserve(HEAD_BYTES + READ_BYTES);
    let polled = tokio_util::io::poll_read_buf(Pin::new(reader), cx, &mut spare);
    // Little is copied, so that it holds little memory; much changes hands.
    if into.is_empty() && spare.len() > LARGE {
        std::mem::swap(into, &mut spare);
    } else {
        into.extend_from_slice(&spare);
    }
    put_by(spare);
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

/// Keeps a buffer for a later large read, if it is one and nobody has a part of it.
fn put_by(mut buffer: BytesMut) {
    buffer.clear();
    if buffer.try_reclaim(HEAD_BYTES + READ_BYTES) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARES {
                spare.push(buffer);
            }
        });
    }
}
