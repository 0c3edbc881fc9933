//! The TLS of a client's connection. A connection that rests holds no buffer: records are opened and sealed in memory that the
//! thread shares, and only what is left over is kept.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, Error, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::kept::Kept;
use super::turn::{RECORD_BYTES, SEALED_BYTES, Turn, seal, turn};
use crate::hang_up::HangUp;
use crate::scratch;

/// The header of a record.
const HEADER_BYTES: usize = 5;
/// The most bytes of a record behind its header (RFC 5246, 6.2.3).
const PAYLOAD_BYTES: usize = RECORD_BYTES + 2048;
/// The most bytes of a record. So much is kept of what came in after the handshake.
const WIRE_BYTES: usize = HEADER_BYTES + PAYLOAD_BYTES;
/// The most that is kept of what came in during the handshake.
const HANDSHAKE_BYTES: usize = 0xffff;
/// What TLS 1.3 puts around the data of a record: header, kind and tag.
const AROUND_BYTES: usize = HEADER_BYTES + 1 + 16;
/// The memory that is read into: more than what is kept at most.
const READ_BYTES: usize = HANDSHAKE_BYTES + 2 * 1024;
/// The kind of a record of data.
const APPLICATION_DATA: u8 = 23;
/// Room for a sealed alert, and for messages that wait in front of it.
const FAREWELL_BYTES: usize = 512;

/// A connection with TLS, as a server.
pub(crate) struct Stream<S> {
    io: S,
    session: UnbufferedServerConnection,
    /// Came in, and is no whole record yet or no whole message of a handshake.
    wire: Vec<u8>,
    /// Opened, and not yet read.
    opened: Kept,
    /// Sealed, and not yet taken by the other side.
    sealed: Kept,
    /// Whether a reader has to see that `sealed` goes out, because no writer knows of it.
    replying: bool,
    /// Whether nothing more may be written.
    mute: bool,
    end: End,
}

/// How far reading went.
enum End {
    /// There may be more.
    Open,
    /// The other side said that this was all.
    Closed,
    /// The connection ended and the other side did not say that this was all.
    Torn,
    /// What came cannot be read.
    Failed(Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// The handshake. `first` was read from the connection before.
    pub(crate) async fn accept(io: S, config: Arc<ServerConfig>, mut first: Vec<u8>) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(config).map_err(invalid)?;
        let (opened, sealed) = (Kept::default(), Kept::default());
        let (replying, mute, end) = (false, false, End::Open);
        let mut stream = Self { io, session, wire: Vec::new(), opened, sealed, replying, mute, end };
        if !first.is_empty() {
            stream.open(&mut first, &mut ReadBuf::new(&mut []));
        }
        drop(first);
        std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// What was agreed upon.
    pub(crate) fn session(&self) -> &CommonState {
        &self.session
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let drained = ready!(self.poll_drain(cx));
            match &self.end {
                End::Failed(error) => return Poll::Ready(Err(invalid(error.clone()))),
                _ if !self.session.is_handshaking() => {
                    drained?;
                    return Pin::new(&mut self.io).poll_flush(cx);
                }
                End::Closed | End::Torn => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof")));
                }
                End::Open => drained?,
            }
            ready!(self.poll_hear(cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Reads what is there and opens it, into `into` as far as there is room.
    fn poll_hear(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        scratch::with_wire(READ_BYTES, |space| {
            let kept = self.wire.len();
            let most = self.most(kept, into.remaining()).min(space.len());
            let mut read = ReadBuf::new(&mut space[kept..most]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            let n = read.filled().len();
            if n == 0 {
                self.ends(End::Torn);
            } else if let Some(lacking) = self.lacking().filter(|lacking| n < *lacking) {
                self.wire.reserve_exact(lacking);
                self.wire.extend_from_slice(&space[kept..kept + n]);
            } else {
                space[..kept].copy_from_slice(&self.wire);
                self.open(&mut space[..kept + n], into);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// How many bytes of the wire are looked at in one go: at least a whole record, and no more than what has room when it is opened.
    fn most(&self, kept: usize, room: usize) -> usize {
        if self.session.is_handshaking() {
            return kept + WIRE_BYTES;
        }
        let records = room.min(READ_BYTES) / RECORD_BYTES;
        (room.min(READ_BYTES) + records * AROUND_BYTES).max(WIRE_BYTES).max(kept + 1)
    }

    /// How many bytes the record of data lacks that was kept, if that is known.
    fn lacking(&self) -> Option<usize> {
        let &[APPLICATION_DATA, _, _, high, low, ..] = self.wire.as_slice() else { return None };
        let payload = usize::from(u16::from_be_bytes([high, low]));
        let whole = HEADER_BYTES + payload;
        (payload <= PAYLOAD_BYTES && !self.session.is_handshaking()).then(|| whole.checked_sub(self.wire.len()))?
    }

    /// Opens the whole records of `wire` and keeps the rest of it.
    fn open(&mut self, wire: &mut [u8], into: &mut ReadBuf<'_>) {
        let silent = self.sealed.is_empty();
        let opened = &mut self.opened;
        let hear = |data: &[u8]| {
            let n = data.len().min(into.remaining());
            into.put_slice(&data[..n]);
            opened.keep(&data[n..]);
        };
        let Turn { taken, closed, end } = turn(&mut self.session, wire, self.sealed.behind(), hear, |_| ());
        self.replying |= silent && !self.sealed.is_empty();
        let rest = &wire[taken..];
        let most = if self.session.is_handshaking() { HANDSHAKE_BYTES } else { WIRE_BYTES };
        match end {
            Err(error) => self.ends(End::Failed(error)),
            Ok(_) if closed => self.ends(End::Closed),
            Ok(_) if rest.len() > most => self.ends(End::Failed(Error::General("a message is too long".into()))),
            Ok(_) if rest.is_empty() => self.wire = Vec::new(),
            Ok(_) => {
                self.wire.clear();
                self.wire.extend_from_slice(rest);
            }
        }
    }

    fn ends(&mut self, end: End) {
        self.end = end;
        self.wire = Vec::new();
    }

    /// Writes what is sealed.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, self.sealed.bytes()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sealed.take(n);
        }
        self.replying = false;
        Poll::Ready(Ok(()))
    }

    /// Says that this was all, behind what waits.
    fn say_farewell(&mut self) {
        self.mute = true;
        if matches!(self.end, End::Failed(_)) {
            return;
        }
        let mut farewell = [0; FAREWELL_BYTES];
        let opened = &mut self.opened;
        let Turn { taken, end, .. } = turn(
            &mut self.session,
            &mut self.wire,
            self.sealed.behind(),
            |data| opened.keep(data),
            |mut traffic| traffic.queue_close_notify(&mut farewell).unwrap_or(0),
        );
        self.wire.drain(..taken);
        if let Ok(Some(n)) = end {
            self.sealed.keep(&farewell[..n]);
        }
    }

    /// Seals data and writes them, with one call to the other side; what that does not take is kept.
    fn poll_seal(&mut self, cx: &mut Context<'_>, data: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        scratch::with_sealed(RECORD_BYTES + SEALED_BYTES, |space| {
            let (joined, out) = space.split_at_mut(RECORD_BYTES);
            let opened = &mut self.opened;
            let Turn { taken, closed, end } = turn(
                &mut self.session,
                &mut self.wire,
                self.sealed.behind(),
                |data| opened.keep(data),
                |traffic| seal(traffic, data, joined, out),
            );
            self.wire.drain(..taken);
            if closed {
                self.ends(End::Closed);
            }
            let sealed = match end {
                Ok(Some(sealed)) => sealed,
                Ok(None) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Err(error) => {
                    self.ends(End::Failed(error.clone()));
                    return Poll::Ready(Err(invalid(error)));
                }
            };
            if let (0, Some(short)) = (sealed.taken, sealed.short) {
                self.mute = true;
                return Poll::Ready(Err(io::Error::other(short)));
            }
            let mut out = &out[..sealed.bytes];
            if self.sealed.is_empty() {
                match Pin::new(&mut self.io).poll_write(cx, out) {
                    Poll::Ready(Ok(n)) => out = &out[n..],
                    Poll::Ready(Err(broken)) => {
                        self.mute = true;
                        return Poll::Ready(Err(broken));
                    }
                    Poll::Pending => {}
                }
            }
            self.sealed.keep(out);
            Poll::Ready(Ok(sealed.taken))
        })
    }
}

impl<S: HangUp> HangUp for Stream<S> {
    fn hang_up(&mut self) {
        self.io.hang_up();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        loop {
            if this.replying {
                // An answer that does not go out is no reason not to read.
                let _ = this.poll_drain(cx);
            }
            if into.filled().len() > before || into.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if !this.opened.is_empty() {
                let n = this.opened.bytes().len().min(into.remaining());
                into.put_slice(&this.opened.bytes()[..n]);
                this.opened.take(n);
                return Poll::Ready(Ok(()));
            }
            match &this.end {
                End::Open => ready!(this.poll_hear(cx, into))?,
                End::Closed => return Poll::Ready(Ok(())),
                End::Torn => return Poll::Ready(Err(torn())),
                End::Failed(error) => return Poll::Ready(Err(invalid(error.clone()))),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if data.iter().all(|s| s.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        if this.mute || matches!(this.end, End::Failed(_)) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_drain(cx))?;
        this.poll_seal(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.mute {
            this.say_farewell();
        }
        ready!(this.poll_drain(cx))?;
        match ready!(Pin::new(&mut this.io).poll_shutdown(cx)) {
            // Who is gone already needs no end.
            Err(gone) if gone.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn torn() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the connection ended and the other side did not close TLS (close_notify)",
    )
}

#[cfg(test)]
mod tests;
