//! One connection to an application, through a connector.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::link::Load;

/// One connection to an application. Dropping it closes the socket to the application at once; shutting it down says that
/// nothing more comes, as with TCP.
pub struct Stream {
    io: TokioIo<Upgraded>,
    load: Load,
}

impl Stream {
    pub(super) fn new(io: Upgraded, load: Load) -> Self {
        Self { io: TokioIo::new(io), load }
    }

    /// Cancelled once the connector leaves or is lost: what runs may go on as long as it does, nothing new should begin.
    #[must_use]
    pub fn leaving(&self) -> CancellationToken {
        self.load.link().leaving()
    }

    /// Which connector carries it.
    #[must_use]
    pub fn connector(&self) -> &safeconduct_model::ConnectorName {
        &self.load.link().name
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("connector", self.connector()).finish_non_exhaustive()
    }
}

/// Keeps the compiler honest: a stream moves between threads.
const _: fn(Stream) -> Arc<dyn Send> = |stream| Arc::new(std::sync::Mutex::new(stream));
