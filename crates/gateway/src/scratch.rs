//! Where bytes are read first: one place per thread, so that a resting connection holds no buffer, and what is read is still in
//! the processor's cache when it is written.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// The bytes of one read of a body.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// The bytes of one read of what may be a head: what is read of the body behind it is copied once more.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;
/// A connection that reads this much at once gets a buffer of its own.
const LARGE: usize = 8 * 1024;
/// A buffer that is larger than this is given back when it is empty.
const KEPT: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
    with_space(|space| {
        let mut read = ReadBuf::new(&mut space[..HEAD_BYTES]);
        let polled = Pin::new(reader).poll_read(cx, &mut read);
        into.extend_from_slice(read.filled());
        if read.filled().len() > LARGE {
            into.reserve(READ_BYTES);
        }
        polled.map_ok(|()| read.filled().len())
    })
}

/// Reads what is there behind what was kept and hands both on, in one piece, from the memory that it was read into. `take` says
/// how many of the bytes it is done with; the rest is kept.
pub(crate) fn gather<R: AsyncRead + Unpin + ?Sized, T>(
    kept: &mut BytesMut,
    reader: &mut R,
    cx: &mut Context<'_>,
    take: impl FnOnce(&mut Context<'_>, &[u8]) -> (usize, T),
) -> (Poll<io::Result<usize>>, T) {
    with_space(|space| {
        let from = kept.len().min(HEAD_BYTES);
        space[..from].copy_from_slice(&kept[..from]);
        let mut read = ReadBuf::new(&mut space[from..from + READ_BYTES]);
        let polled = Pin::new(reader).poll_read(cx, &mut read).map_ok(|()| read.filled().len());
        let to = from + read.filled().len();
        let (taken, told) = take(cx, &space[..to]);
        *kept = BytesMut::from(&space[taken..to]);
        (polled, told)
    })
}

fn with_space<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut space = SCRATCH.with(RefCell::take);
    if space.is_empty() {
        space = vec![0; HEAD_BYTES + READ_BYTES];
    }
    let done = f(&mut space);
    SCRATCH.with(|scratch| scratch.replace(space));
    done
}

/// Gives a large buffer back that is not in use.
pub(crate) fn shrink(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEPT {
        *buffer = BytesMut::new();
    }
}
