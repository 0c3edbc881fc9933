//! How long to wait before a gateway is tried again: twice as long each time, and never when all others do.

use std::time::Duration;

use crate::bounds::PAUSE;

/// The pauses of one link.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure; `chance` is any number. Between half of the full pause and all of it.
    pub(super) fn next(&mut self, chance: u64) -> Duration {
        let (shortest, longest) = PAUSE;
        let full = shortest.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        let half = u64::try_from(full.as_millis() / 2).unwrap_or(u64::MAX);
        Duration::from_millis(half + chance % (half + 1))
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_not_all_the_same() {
        let mut backoff = Backoff::default();
        let mut full = PAUSE.0;
        for n in 0..40_u64 {
            let pause = backoff.next(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert!(pause >= full / 2 && pause <= full, "{n}: {pause:?} of {full:?}");
            full = (full * 2).min(PAUSE.1);
        }
        backoff.reset();
        assert!(backoff.next(u64::MAX) <= PAUSE.0);
        let (mut one, mut other) = (Backoff { failures: 9 }, Backoff { failures: 9 });
        assert_ne!(one.next(1), other.next(2_000));
    }
}
