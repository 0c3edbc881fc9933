//! Bytes both ways between a client and an application, until both directions have ended, something breaks, nothing happens
//! for too long, or the lease is lost.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::lease::Lease;
use crate::live::Entry;
use crate::way::Way;

/// How long the last words to a client may take.
const FAREWELL: Duration = Duration::from_millis(100);

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both directions came to their end.
    Closed,
    /// The lease was lost.
    Cut,
    /// Nothing happened for too long.
    Rested,
    /// One of the two broke the connection.
    Broken,
}

/// The side of the client.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {
    /// Tells the client how it ended: what was cut must not look like what came to its end.
    fn part(&mut self, ended: Ended) -> impl Future<Output = ()> + Send;
}

/// Relays to the end, and parts from both sides. What was cut is closed behind all others that were cut with it.
pub(crate) async fn relay<C: Carrier + 'static>(
    mut client: C,
    mut upstream: TcpStream,
    lease: Lease,
    idle: Duration,
) -> Ended {
    let ended = both_ways(&mut client, &mut upstream, lease.entry(), idle).await;
    match ended {
        Ended::Cut => {
            let _ = timeout(FAREWELL, client.part(ended)).await;
            // A stream is reset when nobody holds a part of it any more.
            drop(client);
            lease.leave(async move { reset(&upstream) });
        }
        Ended::Closed => {
            drop(upstream);
            let _ = timeout(FAREWELL, client.part(ended)).await;
        }
        Ended::Rested | Ended::Broken => {
            reset(&upstream);
            drop(upstream);
            let _ = timeout(FAREWELL, client.part(ended)).await;
        }
    }
    ended
}

/// Lets a connection end with a reset: half of a message must not pass for a whole one.
fn reset(upstream: &TcpStream) {
    if let Err(error) = upstream.set_zero_linger() {
        tracing::debug!(%error, "a cut connection ends like any other");
    }
}

async fn both_ways<C: Carrier>(client: &mut C, upstream: &mut TcpStream, entry: &Entry, idle: Duration) -> Ended {
    let (mut up, mut down) = (Way::default(), Way::default());
    let (mut kept_up, mut kept_down) = (BytesMut::new(), BytesMut::new());
    let moved = Moved::new();
    let both = std::future::poll_fn(|cx| {
        let before = entry.moved();
        let up = up.poll(cx, client, &mut kept_up, upstream, &entry.up)?;
        let down = down.poll(cx, upstream, &mut kept_down, client, &entry.down)?;
        if entry.moved() != before {
            moved.now();
        }
        if up.is_ready() && down.is_ready() { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
    });
    tokio::select! {
        biased;
        () = entry.lost() => Ended::Cut,
        () = moved.rested(idle) => Ended::Rested,
        both = both => match both {
            Ok(()) => Ended::Closed,
            // What was cut elsewhere while this broke is still a cut.
            Err(_) if entry.is_lost() => Ended::Cut,
            Err(error) => {
                tracing::debug!(%error, "a tunnel broke");
                Ended::Broken
            }
        },
    }
}

/// When something last moved.
struct Moved {
    since: Instant,
    millis: AtomicU64,
}

impl Moved {
    fn new() -> Self {
        Self { since: Instant::now(), millis: AtomicU64::new(0) }
    }

    fn now(&self) {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// Until nothing has moved for `idle`.
    async fn rested(&self, idle: Duration) {
        loop {
            let moved = Duration::from_millis(self.millis.load(Ordering::Relaxed));
            let rests = self.since.elapsed().saturating_sub(moved);
            match idle.checked_sub(rests).filter(|left| !left.is_zero()) {
                Some(left) => sleep(left).await,
                None => return,
            }
        }
    }
}
