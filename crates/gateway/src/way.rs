//! Bytes one way, until their end.
//!
//! A way that rests holds no buffer: bytes are read into memory that the whole thread shares, and only what the other side does
//! not take at once is kept.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::frames::Frames;
use crate::scratch;

/// Bytes from a reader to a writer.
#[derive(Default)]
pub(crate) struct Way {
    /// Where the frames of a WebSocket end, so that a last word does not fall into one.
    frames: Option<Frames>,
    unflushed: bool,
    closing: bool,
    closed: bool,
}

impl Way {
    /// A way whose bytes are the frames of a WebSocket.
    pub(crate) fn of_frames() -> Self {
        Self { frames: Some(Frames::default()), ..Self::default() }
    }

    /// Whether the writer was told the end.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether what was written ends where a frame of a WebSocket ends.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.frames.as_ref().is_some_and(Frames::at_boundary)
    }

    /// Moves what can be moved, and tells the writer the end of the reader. `kept` was read and not yet written. Ready when
    /// everything was written, the end too.
    pub(crate) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        kept: &mut BytesMut,
        writer: &mut W,
        count: &AtomicU64,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        while !self.closed {
            let (taken, pushed) = self.push(cx, kept, writer, count);
            kept.advance(taken);
            ready!(pushed)?;
            if self.closing {
                // Who is gone already needs no end.
                let _ = ready!(Pin::new(&mut *writer).poll_shutdown(cx));
                self.closed = true;
                break;
            }
            let push = |cx: &mut Context<'_>, bytes: &[u8]| self.push(cx, bytes, writer, count);
            let (read, pushed) = scratch::gather(kept, reader, cx, push);
            match read {
                Poll::Ready(Ok(0)) => self.closing = true,
                Poll::Ready(Ok(_)) => ready!(pushed)?,
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes as much of these bytes as the other side takes at once; returns how many.
    fn push<W: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        writer: &mut W,
        count: &AtomicU64,
    ) -> (usize, Poll<io::Result<()>>) {
        let mut taken = 0;
        while taken < bytes.len() {
            let n = match Pin::new(&mut *writer).poll_write(cx, &bytes[taken..]) {
                Poll::Ready(Ok(n @ 1..)) => n,
                Poll::Ready(Ok(_)) => return (taken, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Err(broken)) => return (taken, Poll::Ready(Err(broken))),
                Poll::Pending => return (taken, Poll::Pending),
            };
            if let Some(frames) = &mut self.frames {
                frames.follow(&bytes[taken..taken + n]);
            }
            count.fetch_add(n as u64, Ordering::Relaxed);
            taken += n;
            self.unflushed = true;
        }
        (taken, Poll::Ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn everything_arrives_in_order_and_then_the_end_however_little_the_writer_takes() {
        let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        for room in [1, 1_000, 300_000] {
            let (mut sender, mut reader) = tokio::io::duplex(100_000);
            let (mut writer, mut receiver) = tokio::io::duplex(room);
            let (all, count) = (sent.clone(), AtomicU64::new(0));
            let sending = async move {
                sender.write_all(&all[..150_000]).await.unwrap();
                tokio::task::yield_now().await;
                sender.write_all(&all[150_000..]).await.unwrap();
            };
            let mut arrived = Vec::new();
            let (mut way, mut kept) = (Way::default(), BytesMut::from(&b"before"[..]));
            let moving = std::future::poll_fn(|cx| way.poll(cx, &mut reader, &mut kept, &mut writer, &count));
            let (_, moved, read) = tokio::join!(sending, moving, receiver.read_to_end(&mut arrived));
            moved.unwrap();
            assert_eq!(read.unwrap(), 200_006, "{room}");
            assert!(arrived.strip_prefix(b"before") == Some(&sent[..]), "{room}");
            assert_eq!(count.load(Ordering::Relaxed), 200_006);
            assert_eq!(kept.capacity(), 0, "a way that rests holds nothing");
        }
    }
}
