//! Latencies in buckets whose width grows with the value: every figure is right to within one part in 128.

use serde::{Deserialize, Serialize};

/// Sub-buckets of each power of two, as a power of two.
const BITS: u32 = 7;
const SUB: u64 = 1 << BITS;
const BUCKETS: usize = (64 - BITS as usize + 1) << BITS;

/// Counts of durations in nanoseconds.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

/// The buckets that are not empty, as they are printed and merged again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sparse(pub(crate) Vec<(u32, u64)>);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }

    pub(crate) fn add(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.max = self.max.max(ns);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The longest, exactly.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The smallest duration that this part of all stays within, of a thousand.
    pub(crate) fn at(&self, per_mille: u64) -> u64 {
        let wanted = (self.total * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(at).min(self.max);
            }
        }
        self.max
    }

    pub(crate) fn sparse(&self) -> Sparse {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        Sparse(filled.map(|(at, count)| (u32::try_from(at).unwrap_or(u32::MAX), *count)).collect())
    }
}

fn bucket(ns: u64) -> usize {
    let exponent = 63 - (ns | 1).leading_zeros();
    let index = if exponent < BITS {
        ns
    } else {
        let shift = exponent - BITS;
        (u64::from(shift + 1) << BITS) + ((ns >> shift) & (SUB - 1))
    };
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(at: usize) -> u64 {
    let at = at as u64;
    if at < SUB {
        return at;
    }
    let (shift, low) = ((at >> BITS) - 1, at & (SUB - 1));
    ((SUB + low) << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_buckets_stay_narrow() {
        for exponent in 0..56 {
            for offset in [0, 1, 5, 77] {
                let value: u64 = (1 << exponent) + offset * ((1 << exponent) / 100);
                let top = upper(bucket(value));
                assert!(top >= value && (top - value) * SUB <= value.max(SUB), "{value} {top}");
                assert!(bucket(value) == 0 || upper(bucket(value) - 1) < value, "{value}");
            }
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn shares_are_those_of_the_sorted_values() {
        let mut all = Histogram::new();
        (1..=1_000u64).for_each(|n| all.add(n * 1_000));
        for (per_mille, exact) in [(500, 500_000u64), (990, 990_000), (999, 999_000), (1_000, 1_000_000)] {
            let told = all.at(per_mille);
            assert!(told >= exact && told <= exact + exact / 100, "{per_mille}: {told}");
        }
        assert_eq!((all.max(), all.total()), (1_000_000, 1_000));
        assert_eq!(Histogram::new().at(990), 0);
        assert_eq!(all.sparse().0.iter().map(|(_, count)| count).sum::<u64>(), 1_000);
    }
}
