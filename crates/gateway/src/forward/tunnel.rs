//! A WebSocket: bytes both ways, until a peer closes it or its lease is lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::frames::{CLOSE, Frames};
use super::streams::Lease;
use crate::live::Entry;

/// The bytes of one read.
const BUFFER_BYTES: usize = 16 * 1024;
/// How long a cut waits for the close frame to be taken.
const FAREWELL: Duration = Duration::from_millis(100);
/// How long both sides may take to change the protocol.
const UPGRADE: Duration = Duration::from_secs(10);
/// How long one side may stay open after the other closed.
const HALF_OPEN: Duration = Duration::from_secs(10);

/// Relays between the two sides once both have changed the protocol. Dropping the lease at the end records how it ended.
pub(crate) async fn tunnel(client: OnUpgrade, upstream: OnUpgrade, lease: Lease) {
    let both = async { tokio::try_join!(client, upstream) };
    let (client, upstream) = tokio::select! {
        biased;
        () = lease.entry().lost.cancelled() => return,
        both = timeout(UPGRADE, both) => match both {
            Ok(Ok(both)) => both,
            Ok(Err(_)) | Err(_) => return,
        },
    };
    let (client_read, client_write) = tokio::io::split(TokioIo::new(client));
    let (upstream_read, upstream_write) = tokio::io::split(TokioIo::new(upstream));
    let entry = lease.entry();
    let up = relay(client_read, upstream_write, entry, Way::Up);
    let down = relay(upstream_read, client_write, entry, Way::Down(Frames::default()));
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        () = &mut up => { let _ = timeout(HALF_OPEN, down).await; }
        () = &mut down => { let _ = timeout(HALF_OPEN, up).await; }
    }
}

enum Way {
    Up,
    Down(Frames),
}

/// Copies one way until the end, an error, or the loss of the lease.
async fn relay<R, W>(mut from: R, mut to: W, entry: &Entry, mut way: Way)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = tokio::select! {
            biased;
            () = entry.lost.cancelled() => return farewell(&mut to, &way).await,
            read = from.read(&mut buffer) => read,
        };
        let Ok(n @ 1..) = read else { break };
        let count = match &mut way {
            Way::Up => &entry.up,
            Way::Down(frames) => {
                frames.follow(&buffer[..n]);
                &entry.down
            }
        };
        count.fetch_add(n as u64, Ordering::Relaxed);
        let written = tokio::select! {
            biased;
            () = entry.lost.cancelled() => return,
            written = async { to.write_all(&buffer[..n]).await?; to.flush().await } => written,
        };
        if written.is_err() {
            return;
        }
    }
    let _ = timeout(FAREWELL, to.shutdown()).await;
}

/// Tells the client why, if the stream stands between two frames, and closes.
async fn farewell<W: AsyncWrite + Unpin>(to: &mut W, way: &Way) {
    let last_words = async {
        if let Way::Down(frames) = way
            && frames.at_boundary()
        {
            to.write_all(CLOSE).await?;
            to.flush().await?;
        }
        to.shutdown().await
    };
    let _ = timeout(FAREWELL, last_words).await;
}
