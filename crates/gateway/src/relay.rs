//! Bytes both ways between a client and an application over HTTP, until a side closes or the lease is lost: WebSockets.

use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::frames::CLOSE;
use crate::lease::Lease;
use crate::patience::Patience;
use crate::way::Way;

/// How long a cut waits for the close frame to be taken.
const FAREWELL: Duration = Duration::from_millis(100);
/// How long one side may stay open after the other closed.
const HALF_OPEN: Duration = Duration::from_secs(10);

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
    let mut down = Way::of_frames();
    let mut half_open = Patience::default();
    let lost = std::future::poll_fn(|cx| {
        if entry.poll_lost(cx).is_ready() {
            return Poll::Ready(true);
        }
        let failed =
            matches!(up.poll(cx, &mut client, &mut from_client, &mut upstream, &entry.up), Poll::Ready(Err(_)))
                || matches!(
                    down.poll(cx, &mut upstream, &mut from_upstream, &mut client, &entry.down),
                    Poll::Ready(Err(_))
                );
        match (failed, up.is_closed(), down.is_closed()) {
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
    if down.is_between_frames() && from_upstream.is_empty() {
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
