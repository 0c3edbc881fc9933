//! The first message of a client, looked at before it is known who answers it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The most bytes of a first message.
const HELLO_BYTES: usize = 0xffff;
/// The bytes of one read of it.
const STEP_BYTES: usize = 4 * 1024;

/// What was read, and the message if it is a proper one; what is none is for the handshake to refuse.
pub(crate) async fn hello<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<(Vec<u8>, Option<Box<Accepted>>)> {
    let (mut acceptor, mut first) = (Box::new(Acceptor::default()), Vec::new());
    while first.len() < HELLO_BYTES {
        let from = first.len();
        first.reserve(STEP_BYTES);
        if io.read_buf(&mut (&mut first).limit(STEP_BYTES.min(HELLO_BYTES - from))).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"));
        }
        let mut new = &first[from..];
        while !new.is_empty() {
            let heard = acceptor.read_tls(&mut new);
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok((first, Some(Box::new(accepted)))),
                Ok(None) if matches!(heard, Ok(1..)) => {}
                Ok(None) | Err(_) => return Ok((first, None)),
            }
        }
    }
    Ok((first, None))
}

/// A connection of which something was read before; it is read once more.
#[derive(Debug)]
pub struct Replayed<S> {
    first: Vec<u8>,
    at: usize,
    io: S,
}

impl<S> Replayed<S> {
    /// A connection that begins with `first`.
    pub(crate) fn new(first: Vec<u8>, io: S) -> Self {
        Self { first, at: 0, io }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replayed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.at == this.first.len() {
            return Pin::new(&mut this.io).poll_read(cx, into);
        }
        let n = into.remaining().min(this.first.len() - this.at);
        into.put_slice(&this.first[this.at..this.at + n]);
        this.at += n;
        if this.at == this.first.len() {
            (this.first, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replayed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
