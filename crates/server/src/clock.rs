//! The one place where the clock is read.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use safeconduct_model::{Duration, Timestamp};

/// How far the system's clock may step back before it counts as unreliable. Time servers slew smaller errors.
const TOLERANCE: Duration = Duration::from_secs(2);

/// A clock that never runs backwards, and says when the system's clock did.
///
/// A shifted clock runs at the normal rate with a constant distance to the system's; the demo uses it to have business hours
/// whenever it is started.
#[derive(Debug)]
pub struct Clock {
    shift: AtomicI64,
    last: AtomicI64,
    started: Instant,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { shift: AtomicI64::new(0), last: AtomicI64::new(0), started: Instant::now() }
    }

    /// A clock that shows `start` now.
    #[must_use]
    pub fn shifted(start: Timestamp) -> Self {
        let clock = Self::system();
        clock.shift.store(start.millis() - system_millis(), Ordering::Relaxed);
        clock
    }

    /// The present instant. Never before an instant that was given out.
    pub fn now(&self) -> Timestamp {
        self.reading().0
    }

    /// The present instant, and whether the clock [is reliable](Self::is_reliable).
    pub fn reading(&self) -> (Timestamp, bool) {
        let shown = system_millis().saturating_add(self.shift.load(Ordering::Relaxed));
        let mut last = self.last.load(Ordering::Relaxed);
        // Several threads ask within a millisecond: most find it written.
        if shown > last {
            last = self.last.fetch_max(shown, Ordering::Relaxed);
        }
        (Timestamp::from_millis(last.max(shown)), is_near(shown, last))
    }

    /// Whether the system's clock did not step back beyond tolerance. While it is behind, nothing can be dated.
    #[must_use]
    pub fn is_reliable(&self) -> bool {
        let shown = system_millis().saturating_add(self.shift.load(Ordering::Relaxed));
        is_near(shown, self.last.load(Ordering::Relaxed))
    }

    /// Moves a shifted clock forward to `to`. It cannot be moved back.
    pub fn advance(&self, to: Timestamp) {
        let ahead = to.millis() - self.now().millis();
        if ahead > 0 {
            self.shift.fetch_add(ahead, Ordering::Relaxed);
        }
    }

    /// How long the process has run, whatever the clock did.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// Whether a clock that shows one instant is not far behind one that was given out.
fn is_near(shown: i64, last: i64) -> bool {
    last.saturating_sub(shown) <= i64::try_from(TOLERANCE.millis()).unwrap_or(i64::MAX)
}

/// The system's clock as it is: for certificates, which others check by their own clocks.
#[must_use]
pub fn system() -> Timestamp {
    Timestamp::from_millis(system_millis())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place where the clock is read")]
fn system_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_runs_backwards_and_says_when_the_system_does() {
        let clock = Clock::shifted(Timestamp::from_millis(1_790_000_000_000));
        let first = clock.now();
        assert!(first.millis() >= 1_790_000_000_000 && clock.is_reliable());
        clock.shift.fetch_sub(60_000, Ordering::Relaxed);
        assert!(!clock.is_reliable() && !clock.reading().1);
        assert_eq!(clock.now(), first);
        clock.shift.fetch_add(60_000, Ordering::Relaxed);
        assert!(clock.is_reliable());
    }

    #[test]
    fn it_moves_forward_only() {
        let clock = Clock::shifted(Timestamp::from_millis(1_000_000));
        clock.advance(Timestamp::from_millis(2_000_000));
        let now = clock.now();
        assert!(now.millis() >= 2_000_000);
        clock.advance(Timestamp::from_millis(1));
        assert!(clock.now() >= now);
    }
}
