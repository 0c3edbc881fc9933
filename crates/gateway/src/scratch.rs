//! Where bytes are read first: one place per thread, so that a resting connection holds no buffer.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// The bytes of one read.
pub(crate) const READ_BYTES: usize = 64 * 1024;
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
    let mut space = SCRATCH.with(RefCell::take);
    if space.is_empty() {
        space = vec![0; READ_BYTES];
    }
    let mut read = ReadBuf::new(&mut space);
    let polled = Pin::new(reader).poll_read(cx, &mut read);
    let n = read.filled().len();
    into.extend_from_slice(read.filled());
    if n > LARGE {
        into.reserve(READ_BYTES);
    }
    SCRATCH.with(|scratch| scratch.replace(space));
    ready!(polled)?;
    Poll::Ready(Ok(n))
}

/// Gives a large buffer back that is not in use.
pub(crate) fn shrink(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEPT {
        *buffer = BytesMut::new();
    }
}
