//! How often something may be tried: a sliding window per key, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use safeconduct_model::{Duration, Timestamp};

/// How many keys are tracked.
const MAX_TRACKED: usize = 20_000;

/// Counts tries by key.
#[derive(Debug)]
pub struct Rate<K> {
    most: usize,
    window: Duration,
    tries: HashMap<K, VecDeque<Timestamp>>,
}

impl<K: Eq + Hash> Rate<K> {
    /// At most `most` tries of one key in any `window`.
    #[must_use]
    pub fn new(most: usize, window: Duration) -> Self {
        Self { most, window, tries: HashMap::new() }
    }

    /// Counts a try. Says `false` if there were too many; a refused try does not count.
    #[must_use]
    pub fn admit(&mut self, key: K, now: Timestamp) -> bool {
        let (window, most) = (self.window, self.most);
        let old = |at: &Timestamp| *at + window <= now;
        if self.tries.len() >= MAX_TRACKED && !self.tries.contains_key(&key) {
            self.tries.retain(|_, tries| tries.back().is_some_and(|at| !old(at)));
            if self.tries.len() >= MAX_TRACKED {
                return false;
            }
        }
        let tries = self.tries.entry(key).or_default();
        while tries.front().is_some_and(old) {
            tries.pop_front();
        }
        if tries.len() >= most {
            return false;
        }
        tries.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_each_key_has_its_own() {
        let mut rate = Rate::new(2, Duration::from_secs(10));
        let at = |s: u64| Timestamp::from_millis(1_000) + Duration::from_secs(s);
        assert!(rate.admit("a", at(0)) && rate.admit("a", at(5)) && !rate.admit("a", at(9)));
        assert!(rate.admit("b", at(9)));
        assert!(rate.admit("a", at(10)) && !rate.admit("a", at(14)) && rate.admit("a", at(15)));
    }

    #[test]
    fn keys_are_bounded_and_old_ones_make_room() {
        let mut rate = Rate::new(1, Duration::from_secs(10));
        let now = Timestamp::from_millis(1_000);
        assert_eq!((0..MAX_TRACKED + 5).filter(|n| rate.admit(*n, now)).count(), MAX_TRACKED);
        assert!(rate.admit(MAX_TRACKED + 9, now + Duration::from_secs(10)));
    }
}
