//! Counting things that strangers name, in bounded memory and independent of order.

use std::collections::BTreeMap;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Counts of distinct keys, at most `N` of them: the `N` smallest in their order. What lies beyond is still counted, as one
/// figure.
///
/// Keeping the smallest makes the result independent of the order of arrival: a key that was pushed out has `N` smaller
/// ones in front of it for ever, so a key that is kept was kept since it first came and its count is exact. Therefore two
/// tallies merge to the tally of both inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<K: Ord, const N: usize> {
    kept: BTreeMap<K, u64>,
    beyond: u64,
}

/// Keys need not be texts, so the counts are a list: `{"counts": [{"key": …, "count": 3}], "beyond": 0}`.
impl<K: Ord + Serialize, const N: usize> Serialize for Tally<K, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'k, K> {
            key: &'k K,
            count: u64,
        }
        let counts: Vec<Line<'_, K>> = self.kept.iter().map(|(key, count)| Line { key, count: *count }).collect();
        let mut tally = serializer.serialize_struct("Tally", 2)?;
        tally.serialize_field("counts", &counts)?;
        tally.serialize_field("beyond", &self.beyond)?;
        tally.end()
    }
}

impl<K: Ord, const N: usize> Default for Tally<K, N> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), beyond: 0 }
    }
}

impl<K: Ord + Clone, const N: usize> Tally<K, N> {
    /// Counts `key` once.
    pub fn add(&mut self, key: &K) {
        self.add_many(key, 1);
    }

    /// Counts `key` as often as `times` says.
    pub fn add_many(&mut self, key: &K, times: u64) {
        if let Some(count) = self.kept.get_mut(key) {
            *count = count.saturating_add(times);
            return;
        }
        self.kept.insert(key.clone(), times);
        if self.kept.len() > N {
            let pushed_out = self.kept.pop_last().map_or(0, |(_, count)| count);
            self.beyond = self.beyond.saturating_add(pushed_out);
        }
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (key, count) in &other.kept {
            self.add_many(key, *count);
        }
        self.beyond = self.beyond.saturating_add(other.beyond);
    }

    /// The kept keys with their counts, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.kept.iter().map(|(key, count)| (key, *count))
    }

    /// The kept keys with their counts, the most frequent first.
    #[must_use]
    pub fn most_frequent(&self) -> Vec<(&K, u64)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
        all
    }

    /// How many distinct keys were kept; a lower bound of how many there were if [`Tally::is_full`].
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.kept.len()
    }

    /// Everything that was counted, kept or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kept.values().fold(self.beyond, |sum, count| sum.saturating_add(*count))
    }

    /// How much was counted under keys that are not kept.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Whether the bound was hit, so that keys are missing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.beyond > 0
    }

    /// The count of one key, if it is kept.
    #[must_use]
    pub fn get(&self, key: &K) -> u64 {
        self.kept.get(key).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(keys: &[u8]) -> Tally<u8, 4> {
        let mut tally = Tally::default();
        keys.iter().for_each(|k| tally.add(k));
        tally
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_nothing_is_lost(keys in prop::collection::vec(0u8..12, 0..60), cut in 0usize..60) {
            let mut turned = keys.clone();
            turned.reverse();
            prop_assert_eq!(of(&keys), of(&turned));
            let cut = cut.min(keys.len());
            let mut merged = of(&keys[..cut]);
            merged.merge(&of(&keys[cut..]));
            prop_assert_eq!(&merged, &of(&keys));
            prop_assert_eq!(merged.total(), keys.len() as u64);
            for (key, count) in merged.iter() {
                prop_assert_eq!(count as usize, keys.iter().filter(|k| *k == key).count());
            }
        }
    }
}
