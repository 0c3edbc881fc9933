//! Bytes both ways between a stream of the gateway and a socket to an application.
//!
//! The end of one direction is passed on as the end of that direction, as TCP does. A stream that the gateway gave up (its
//! lease was lost, its client is gone) ends both, at once: it shows as an error of the next write, so a stream on which
//! nothing is written is looked after as soon as its other direction has ended or hangs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::bounds::{BUFFER, FIRST_BUFFER, HALF_OPEN, LOOK, STUCK};

/// What the two directions tell each other.
#[derive(Default)]
struct Both {
    /// Whether the way to the application has ended or hangs.
    doubtful: AtomicBool,
    changed: Notify,
}

impl Both {
    fn doubt(&self, doubtful: bool) {
        self.doubtful.store(doubtful, Ordering::Release);
        self.changed.notify_one();
    }
}

/// Relays until both directions have ended, or one breaks. The socket is closed when it returns.
pub(super) async fn relay<S, A>(gateway: S, application: A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_gateway, mut to_gateway) = tokio::io::split(gateway);
    let (mut from_application, mut to_application) = tokio::io::split(application);
    let both = Both::default();
    let up = upwards(&mut from_gateway, &mut to_application, &both);
    let down = downwards(&mut from_application, &mut to_gateway, &both);
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        ended = up.as_mut() => if ended.is_ok() { let _ = down.await; },
        ended = down.as_mut() => if ended.is_ok() { let _ = timeout(HALF_OPEN, up).await; },
    }
}

/// From the gateway to the application.
async fn upwards<R, W>(from: &mut R, to: &mut W, both: &Both) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; FIRST_BUFFER];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            to.shutdown().await?;
            both.doubt(true);
            return Ok(());
        }
        let rest = buffer.get(..n).expect("a read stays within its buffer");
        let mut writing = std::pin::pin!(to.write_all(rest));
        match timeout(STUCK, writing.as_mut()).await {
            Ok(written) => written?,
            Err(_) => {
                both.doubt(true);
                writing.await?;
                both.doubt(false);
            }
        }
        grow(&mut buffer, n);
    }
}

/// A buffer that was filled was too small. One that rests costs little.
fn grow(buffer: &mut Vec<u8>, read: usize) {
    if read == buffer.len() && read < BUFFER {
        buffer.resize(BUFFER, 0);
    }
}

/// From the application to the gateway.
async fn downwards<R, W>(from: &mut R, to: &mut W, both: &Both) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; FIRST_BUFFER];
    let mut rested = Duration::ZERO;
    loop {
        let read = {
            let doubtful = both.doubtful.load(Ordering::Acquire);
            tokio::select! {
                read = from.read(&mut buffer) => Some(read?),
                () = both.changed.notified() => None,
                () = sleep(LOOK), if doubtful => {
                    rested += LOOK;
                    None
                }
            }
        };
        match read {
            Some(0) => return to.shutdown().await,
            Some(n) => {
                rested = Duration::ZERO;
                to.write_all(buffer.get(..n).expect("a read stays within its buffer")).await?;
                to.flush().await?;
                grow(&mut buffer, n);
            }
            // An error tells that the gateway gave the stream up.
            None => to.flush().await?,
        }
        if rested >= HALF_OPEN {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
    }
}
