//! How many of those who were cut are told of it: what else is to be done waits for that.

use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::live::lock;

/// How long clearing up waits for those who were cut and are not told yet: some do not read.
const TELLING: Duration = Duration::from_millis(250);

/// Those who were cut and are not told yet.
pub(crate) struct Telling {
    longest: Duration,
    untold: AtomicUsize,
    /// When nobody waits for them any longer.
    until: Mutex<Option<Instant>>,
    bell: Notify,
}

impl Default for Telling {
    fn default() -> Self {
        Self { longest: TELLING, untold: AtomicUsize::new(0), until: Mutex::default(), bell: Notify::new() }
    }
}

impl Telling {
    /// Those who wait wait no longer than this.
    #[cfg(test)]
    pub(crate) fn with(longest: Duration) -> Self {
        Self { longest, ..Self::default() }
    }

    /// So many more were cut.
    pub(crate) fn begin(&self, cut: usize) {
        if cut > 0 && self.untold.fetch_add(cut, Ordering::SeqCst) == 0 {
            *lock(&self.until) = Some(Instant::now() + self.longest);
        }
    }

    /// So many of them were told, or need not be.
    pub(crate) fn told(&self, told: usize) {
        if told > 0 && self.untold.fetch_sub(told, Ordering::SeqCst) == told {
            self.bell.notify_waiters();
        }
    }

    /// How many are not told.
    #[cfg(test)]
    pub(crate) fn untold(&self) -> usize {
        self.untold.load(Ordering::SeqCst)
    }

    /// Until all of them are told, or have had their time.
    pub(crate) async fn over(&self) {
        while self.untold.load(Ordering::SeqCst) > 0 {
            let Some(until) = lock(&self.until).filter(|until| Instant::now() < *until) else { return };
            let mut told = pin!(self.bell.notified());
            told.as_mut().enable();
            if self.untold.load(Ordering::SeqCst) > 0 {
                let _ = timeout_at(until, told).await;
            }
        }
    }
}
