//! Bytes both ways, until a side closes or the lease is lost: WebSockets and tunnels.
//!
//! A stream that rests holds no buffer: bytes are read into memory that the whole thread shares, and only what the other side
//! does not take at once is kept.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::frames::{CLOSE, Frames};
use crate::lease::Lease;
use crate::patience::Patience;
use crate::scratch;

/// How long a cut waits for the close frame to be taken.
const FAREWELL: Duration = Duration::from_millis(100);
/// How long one side may stay open after the other closed.
const HALF_OPEN: Duration = Duration::from_secs(10);

/// One way.
#[derive(Default)]
struct Way {
    /// Where the frames of a WebSocket end, so that a last word does not fall into one.
    frames: Option<Frames>,
    unflushed: bool,
    closing: bool,
    closed: bool,
}

/// Relays between a client and an application, frames of a WebSocket or anything else; beside each side is what was read of it
/// before. The end of the lease records how it ended.
pub(crate) async fn relay<C, U>((mut client, mut from_client): (C, BytesMut), upstream: (U, BytesMut), lease: Lease)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    U: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut upstream, mut from_upstream) = upstream;
    let entry = lease.entry();
    let mut up = Way::default();
    let mut down = Way { frames: Some(Frames::default()), ..Way::default() };
    let mut half_open = Patience::default();
    let lost = std::future::poll_fn(|cx| {
        if entry.poll_lost(cx).is_ready() {
            return Poll::Ready(true);
        }
        let failed =
            matches!(up.poll(cx, &mut client, &mut from_client, &mut upstream, &entry.up), Poll::Ready(Err(())))
                || matches!(
                    down.poll(cx, &mut upstream, &mut from_upstream, &mut client, &entry.down),
                    Poll::Ready(Err(()))
                );
        match (failed, up.closed, down.closed) {
            (true, _, _) | (_, true, true) => return Poll::Ready(false),
            (false, false, false) => return Poll::Pending,
            _ => {}
        }
        if !half_open.is_set() {
            half_open.set(HALF_OPEN);
        }
        if half_open.poll(cx) { Poll::Ready(false) } else { Poll::Pending }
    })
    .await;
    if !lost {
        return;
    }
    if down.frames.as_ref().is_some_and(Frames::at_boundary) && from_upstream.is_empty() {
        let farewell = async {
            client.write_all(CLOSE).await?;
            client.flush().await
        };
        let _ = timeout(FAREWELL, farewell).await;
    }
    lease.leave(async move {
        let _ = timeout(FAREWELL, client.shutdown()).await;
        drop(upstream);
    });
}

impl Way {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        buffer: &mut BytesMut,
        writer: &mut W,
        count: &AtomicU64,
    ) -> Poll<Result<(), ()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        while !self.closed {
            while !buffer.is_empty() {
                let n = ready!(Pin::new(&mut *writer).poll_write(cx, buffer)).map_err(|_| ())?;
                if n == 0 {
                    return Poll::Ready(Err(()));
                }
                if let Some(frames) = &mut self.frames {
                    frames.follow(&buffer[..n]);
                }
                count.fetch_add(n as u64, Ordering::Relaxed);
                buffer.advance(n);
                self.unflushed = true;
            }
            if self.closing {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(|_| ())?;
                self.closed = true;
                break;
            }
            match scratch::poll_read(reader, buffer, cx) {
                Poll::Ready(Ok(0) | Err(_)) => self.closing = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(|_| ())?;
                        self.unflushed = false;
                    }
                    *buffer = BytesMut::new();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
