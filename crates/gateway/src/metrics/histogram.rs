//! Durations in buckets. Recording is two relaxed additions; no lock, no allocation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper ends of the buckets in microseconds: from what a decision takes to what a slow application takes.
pub(super) const ENDS_US: [u64; 22] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 10_000_000, 60_000_000,
];
/// The buckets, with the one that has no end.
const BUCKETS: usize = ENDS_US.len() + 1;

/// A histogram of one shard.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// What several shards of one histogram add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// How many fell into each bucket.
    pub(super) buckets: [u64; BUCKETS],
    /// All durations together.
    pub(super) nanos: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), nanos: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Takes one duration.
    pub(super) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = ENDS_US.partition_point(|end| end * 1_000 < nanos);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Adds this shard to a sum.
    pub(super) fn add_to(&self, sum: &mut Sum) {
        for (all, here) in sum.buckets.iter_mut().zip(&self.buckets) {
            *all += here.load(Ordering::Relaxed);
        }
        sum.nanos = sum.nanos.wrapping_add(self.nanos.load(Ordering::Relaxed));
    }
}

impl Sum {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_that_it_does_not_exceed() {
        let histogram = Histogram::default();
        let micros = Duration::from_micros;
        for took in [Duration::ZERO, micros(1), Duration::from_nanos(1_001), micros(60_000_000), micros(60_000_001)] {
            histogram.record(took);
        }
        let mut sum = Sum::default();
        histogram.add_to(&mut sum);
        histogram.add_to(&mut sum);
        let filled: Vec<_> = sum.buckets.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (i, *n)).collect();
        assert_eq!(filled, [(0, 4), (1, 2), (21, 2), (22, 2)], "an end belongs to its bucket");
        assert_eq!((sum.count(), sum.nanos), (10, 2 * 120_000_003_001));
    }

    #[test]
    fn ends_rise() {
        assert!(ENDS_US.windows(2).all(|w| w[0] < w[1]));
    }
}
