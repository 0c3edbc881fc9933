//! A WebSocket as a stream of bytes with two ends, over the frames of this carrier.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::frames::{self, Frames, Piece};
use super::relay::{Carrier, Ended};

/// The bytes of one read.
const READ_BYTES: usize = 16 * 1024;
/// The bytes of one message.
const MESSAGE_BYTES: usize = 16 * 1024;
/// How many bytes of pongs may wait: who asks faster than it reads gets fewer.
const PONG_BYTES: usize = 1_024;

/// The stream of a client.
pub(crate) struct Socket<S> {
    io: S,
    frames: Frames,
    /// What was read and not yet looked at.
    inbox: Vec<u8>,
    looked: usize,
    /// Bytes of the tunnel that found no room in the last read.
    rest: Vec<u8>,
    given: usize,
    outbox: Vec<u8>,
    sent: usize,
    ended: bool,
    end_sent: bool,
}

impl<S> Socket<S> {
    pub(crate) fn new(io: S) -> Self {
        Self {
            io,
            frames: Frames::default(),
            inbox: Vec::new(),
            looked: 0,
            rest: Vec::new(),
            given: 0,
            outbox: Vec::new(),
            sent: 0,
            ended: false,
            end_sent: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Sends what waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outbox.len() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.outbox[self.sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n;
        }
        self.outbox.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Looks at what was read. Says whether the reader got something, or the end.
    fn look(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
        while self.looked < self.inbox.len() {
            let from = self.looked;
            let (used, piece) =
                self.frames.step(&mut self.inbox[from..]).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            self.looked += used;
            match piece {
                Piece::More | Piece::Pong => {}
                Piece::Data(range) => {
                    let data = &self.inbox[from + range.start..from + range.end];
                    let n = data.len().min(buf.remaining());
                    buf.put_slice(&data[..n]);
                    self.rest.extend_from_slice(&data[n..]);
                    return Ok(true);
                }
                Piece::End | Piece::Close(Some(1000) | None) => {
                    self.ended = true;
                    return Ok(true);
                }
                Piece::Close(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Piece::Ping(payload) => {
                    if self.outbox.len() - self.sent < PONG_BYTES {
                        frames::pong(&payload, &mut self.outbox);
                    }
                    if let Poll::Ready(sent) = self.poll_drain(cx) {
                        sent?;
                    }
                    let _ = Pin::new(&mut self.io).poll_flush(cx)?;
                }
            }
        }
        Ok(false)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.given < this.rest.len() {
            let n = (this.rest.len() - this.given).min(buf.remaining());
            buf.put_slice(&this.rest[this.given..this.given + n]);
            this.given += n;
            if this.given == this.rest.len() {
                this.rest.clear();
                this.given = 0;
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.ended || this.look(cx, buf)? {
                return Poll::Ready(Ok(()));
            }
            this.inbox.resize(READ_BYTES, 0);
            this.looked = READ_BYTES;
            let mut fresh = ReadBuf::new(&mut this.inbox);
            let read = Pin::new(&mut this.io).poll_read(cx, &mut fresh);
            let n = fresh.filled().len();
            this.inbox.truncate(n);
            this.looked = 0;
            ready!(read)?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // One message at a time waits: who does not read makes the upstream wait.
        ready!(this.poll_drain(cx))?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let n = buf.len().min(MESSAGE_BYTES);
        frames::message(n, &mut this.outbox);
        this.outbox.extend_from_slice(&buf[..n]);
        if let Poll::Ready(Err(error)) = this.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    /// Ends our direction; the other one stays open.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.end_sent {
            this.end_sent = true;
            frames::message(0, &mut this.outbox);
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Carrier for Socket<S> {
    async fn part(&mut self, ended: Ended) {
        let (code, words) = match ended {
            Ended::Closed => (1000, ""),
            Ended::Cut => (1008, "access ended"),
            Ended::Rested => (1001, "nothing happened for too long"),
            Ended::Broken => (1011, "the application broke the connection"),
        };
        // A frame that was begun is finished first, so that the close is not taken for payload.
        frames::close(code, words, &mut self.outbox);
        let _ = std::future::poll_fn(|cx| self.poll_drain(cx)).await;
        let _ = self.io.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::AsyncReadExt;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// Another implementation of the frames on the other side.
    #[tokio::test]
    async fn another_websocket_understands_every_frame() {
        let (ours, theirs) = tokio::io::duplex(1_000);
        let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        let mut socket = Socket::new(ours);
        let far = tokio::spawn(async move {
            client.send(Message::binary(vec![1; 30_000])).await.expect("sent");
            client.send(Message::Ping(vec![9].into())).await.expect("sent");
            client.send(Message::binary(vec![])).await.expect("sent");
            let (mut got, mut pongs) = (Vec::new(), 0);
            loop {
                match client.next().await.expect("a message").expect("whole") {
                    Message::Binary(b) if b.is_empty() => break,
                    Message::Binary(b) => got.extend_from_slice(&b),
                    Message::Pong(p) => pongs += usize::from(p == vec![9]),
                    other => panic!("{other:?}"),
                }
            }
            let close = client.next().await.expect("a close").expect("whole");
            (got.len(), pongs, close)
        });
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.expect("to the end");
        assert_eq!(all, vec![1; 30_000]);
        socket.write_all(&vec![2; 50_000]).await.expect("written");
        socket.shutdown().await.expect("ended");
        socket.part(Ended::Cut).await;
        let (got, pongs, close) = far.await.expect("it ends");
        assert_eq!((got, pongs), (50_000, 1));
        assert!(matches!(close, Message::Close(Some(f)) if u16::from(f.code) == 1008 && f.reason == "access ended"));
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_not_an_end() {
        let (ours, mut theirs) = tokio::io::duplex(1_000);
        let mut socket = Socket::new(ours);
        theirs.write_all(&[0x82, 0x85, 0, 0, 0, 0, b'a', b'b']).await.expect("written");
        drop(theirs);
        let mut all = Vec::new();
        let error = socket.read_to_end(&mut all).await.expect_err("half a message");
        assert_eq!((error.kind(), all.as_slice()), (io::ErrorKind::UnexpectedEof, &b"ab"[..]));
    }
}
