//! One connection to an application, through a connector.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::link::Load;
use crate::bounds::BUFFER;

/// One connection to an application. Dropping it closes the socket to the application at once, whatever waits to be sent;
/// shutting it down says that nothing more comes, as with TCP.
pub struct Stream {
    up: SendStream<Bytes>,
    down: RecvStream,
    /// What was received and not yet read.
    rest: Bytes,
    /// Whether our direction was shut down.
    said_all: bool,
    /// Whether the other direction has ended.
    heard_all: bool,
    load: Load,
}

impl Stream {
    pub(super) fn new(up: SendStream<Bytes>, down: RecvStream, load: Load) -> Self {
        Self { up, down, rest: Bytes::new(), said_all: false, heard_all: false, load }
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
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.down.poll_data(cx)) {
                Some(Ok(piece)) => this.rest = piece,
                None => {
                    this.heard_all = true;
                    return Poll::Ready(Ok(()));
                }
                // The connector resets a stream whose end was said already; the reset may overtake the reading of the end.
                Some(Err(e)) if matches!(e.reason(), Some(Reason::NO_ERROR | Reason::CANCEL)) => {
                    this.heard_all = true;
                    return Poll::Ready(Ok(()));
                }
                Some(Err(e)) => return Poll::Ready(Err(broken(e))),
            }
        }
        let n = this.rest.len().min(buf.remaining());
        buf.put_slice(this.rest.get(..n).unwrap_or_default());
        this.rest.advance(n);
        // Room for the connector only once somebody took the bytes: this is the back-pressure.
        this.down.flow_control().release_capacity(n).map_err(broken)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.said_all {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        this.up.reserve_capacity(buf.len().min(BUFFER));
        while this.up.capacity() == 0 {
            match ready!(this.up.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(e)) => return Poll::Ready(Err(broken(e))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let n = this.up.capacity().min(buf.len()).min(BUFFER);
        let piece = Bytes::copy_from_slice(buf.get(..n).unwrap_or_default());
        this.up.send_data(piece, false).map_err(broken)?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The link writes by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said_all {
            this.said_all = true;
            this.up.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // What ended both ways has ended. Anything else is given up, with all that waits to be sent.
        if !(self.said_all && self.heard_all) {
            self.up.send_reset(Reason::CANCEL);
        }
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("connector", self.connector()).finish_non_exhaustive()
    }
}

/// A stream moves between threads.
const _: fn(Stream) -> Box<dyn Send + Unpin> = |stream| Box::new(stream);
