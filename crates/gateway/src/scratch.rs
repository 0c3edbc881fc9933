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
const HEAD_BYTES: usize = 16 * 1024;
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
    poll_some(reader, cx, HEAD_BYTES, |_, bytes| {
        into.extend_from_slice(bytes);
        if bytes.len() > LARGE {
            into.reserve(READ_BYTES);
        }
        bytes.len()
    })
}

/// Reads what is there and hands it on, from the memory that it was read into.
pub(crate) fn poll_pass<R: AsyncRead + Unpin + ?Sized, T>(
    reader: &mut R,
    cx: &mut Context<'_>,
    take: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
) -> Poll<io::Result<T>> {
    poll_some(reader, cx, READ_BYTES, take)
}

fn poll_some<R: AsyncRead + Unpin + ?Sized, T>(
    reader: &mut R,
    cx: &mut Context<'_>,
    most: usize,
    take: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
) -> Poll<io::Result<T>> {
    let mut space = SCRATCH.with(RefCell::take);
    if space.is_empty() {
        space = vec![0; READ_BYTES];
    }
    let mut read = ReadBuf::new(&mut space[..most]);
    let polled = Pin::new(reader).poll_read(cx, &mut read);
    let taken = polled.map_ok(|()| take(cx, read.filled()));
    SCRATCH.with(|scratch| scratch.replace(space));
    taken
}

/// Gives a large buffer back that is not in use.
pub(crate) fn shrink(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEPT {
        *buffer = BytesMut::new();
    }
}
