//! The part of an open loop that the machine did not disturb.
//!
//! Whether a request counts is decided by two things only: the instant in the schedule at which it was due, and when the machine
//! took a core away. How long its answer took has no say, so that an answer that is slow by the proxy's own making is never left
//! out for it.

use super::histogram::Histogram;
use super::stalls::Stall;

/// Left out before a stall: what was under way when it began, which may be one step of the watch before it was seen.
const BEFORE: u64 = 2_000_000;
/// Left out behind a stall, in lengths of it: at half of saturation what it held up is worked off after one; two leave room.
const LENGTHS_BEHIND: u64 = 2;
/// Left out behind a stall in any case.
const BEHIND: u64 = 1_000_000;

/// A request of the open loop: when it was due, in nanoseconds of the monotonic clock, and how long its answer took from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub due: u64,
    pub latency: u64,
}

/// What is left without the disturbed time.
pub(crate) struct Calm {
    pub latencies: Histogram,
    /// The part of the window that is left out.
    pub disturbed_share: f64,
    /// The stalls that reach into the window, on all cores.
    pub stalls: usize,
    pub longest_stall: u64,
}

impl Calm {
    /// The latency that this part of all stays within, of a thousand; none where everything was disturbed.
    pub(crate) fn at(&self, per_mille: u64) -> Option<u64> {
        (self.latencies.total() > 0).then(|| self.latencies.at(per_mille))
    }
}

/// Leaves out what was due in disturbed time. `window` is where the share is counted; both ends of a span belong to it.
pub(crate) fn calm(stalls: &[Stall], samples: &[Sample], window: (u64, u64)) -> Calm {
    let spans = spans(stalls);
    let mut latencies = Histogram::new();
    samples.iter().filter(|s| !within(&spans, s.due)).for_each(|s| latencies.add(s.latency));
    let (begin, end) = window;
    let covered: u64 = spans.iter().map(|(from, to)| to.min(&end).saturating_sub(*from.max(&begin))).sum();
    let disturbed_share = covered as f64 / end.saturating_sub(begin).max(1) as f64;
    let reaching = || stalls.iter().filter(|s| span(s).0 <= end && span(s).1 >= begin);
    let longest_stall = reaching().map(|s| s.length()).max().unwrap_or(0);
    Calm { latencies, disturbed_share, stalls: reaching().count(), longest_stall }
}

/// What a stall disturbs, from an instant to another.
fn span(stall: &Stall) -> (u64, u64) {
    (stall.due.saturating_sub(BEFORE), stall.awake + LENGTHS_BEHIND * stall.length() + BEHIND)
}

/// What all of them disturb, in order and without overlap.
fn spans(stalls: &[Stall]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = stalls.iter().map(span).collect();
    all.sort_unstable();
    all.dedup_by(|next, before| {
        let joined = next.0 <= before.1;
        if joined {
            before.1 = before.1.max(next.1);
        }
        joined
    });
    all
}

fn within(spans: &[(u64, u64)], instant: u64) -> bool {
    let begun = spans.partition_point(|(from, _)| *from <= instant);
    begun > 0 && spans[begun - 1].1 >= instant
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const WINDOW: (u64, u64) = (1_000 * MS, 2_000 * MS);

    fn stall(due_ms: u64, awake_ms: u64) -> Stall {
        Stall { due: due_ms * MS, awake: awake_ms * MS }
    }

    /// A request each millisecond of the window, answered in 1 ms.
    fn steady() -> Vec<Sample> {
        (1_000..2_000).map(|ms| Sample { due: ms * MS, latency: MS }).collect()
    }

    fn kept(stalls: &[Stall], due: u64) -> bool {
        calm(stalls, &[Sample { due, latency: MS }], WINDOW).latencies.total() == 1
    }

    #[test]
    fn without_stalls_everything_stays() {
        let seen = calm(&[], &steady(), WINDOW);
        assert_eq!((seen.latencies.total(), seen.at(990)), (1_000, Some(MS)));
        assert_eq!((seen.disturbed_share, seen.stalls, seen.longest_stall), (0.0, 0, 0));
    }

    #[test]
    fn what_was_due_around_a_stall_is_left_out_and_nothing_else() {
        // 10 ms without the core: 2 ms before, 20 ms and one more behind.
        let stalls = [stall(1_500, 1_510)];
        let (from, to) = (1_498 * MS, 1_531 * MS);
        assert!(kept(&stalls, from - 1) && !kept(&stalls, from));
        assert!(!kept(&stalls, to) && kept(&stalls, to + 1));
        let seen = calm(&stalls, &steady(), WINDOW);
        assert_eq!(seen.latencies.total(), 1_000 - 34);
        assert!((seen.disturbed_share - 0.033).abs() < 1e-9, "{}", seen.disturbed_share);
        assert_eq!((seen.stalls, seen.longest_stall), (1, 10 * MS));
    }

    #[test]
    fn a_slow_answer_outside_of_stalls_stays() {
        let stalls = [stall(1_500, 1_510)];
        let mut samples = steady();
        // One that was due in good time and was under way all through the stall, and one long behind it.
        samples.extend([1_490, 1_700].map(|ms| Sample { due: ms * MS, latency: 300 * MS }));
        let seen = calm(&stalls, &samples, WINDOW);
        assert_eq!(seen.latencies.max(), 300 * MS);
        assert_eq!(seen.latencies.total(), 1_002 - 34);
    }

    #[test]
    fn the_latency_has_no_say() {
        let stalls = [stall(1_100, 1_101), stall(1_500, 1_512)];
        let totals = [0, MS, 5_000 * MS].map(|latency| {
            let samples: Vec<Sample> = steady().into_iter().map(|s| Sample { latency, ..s }).collect();
            calm(&stalls, &samples, WINDOW).latencies.total()
        });
        assert_eq!(totals, [totals[0]; 3]);
    }

    #[test]
    fn stalls_that_overlap_are_counted_once() {
        // On two cores, in no order; the short one lies within what the long one disturbs.
        let (long, short) = (stall(1_500, 1_510), stall(1_505, 1_506));
        let alone = calm(&[long], &steady(), WINDOW);
        let both = calm(&[short, long], &steady(), WINDOW);
        assert_eq!(both.disturbed_share, alone.disturbed_share);
        assert_eq!(both.latencies.total(), alone.latencies.total());
        assert_eq!((both.stalls, both.longest_stall), (2, 10 * MS));
        // One that goes on where the other ends.
        let longer = calm(&[long, stall(1_525, 1_535)], &steady(), WINDOW);
        assert!((longer.disturbed_share - 0.058).abs() < 1e-9, "{}", longer.disturbed_share);
    }

    #[test]
    fn only_what_reaches_into_the_window_counts() {
        let seen = calm(&[stall(500, 510), stall(995, 1_000), stall(2_001, 2_011), stall(2_100, 2_110)], &[], WINDOW);
        // 11 ms at the begin, 1 ms at the end.
        assert!((seen.disturbed_share - 0.012).abs() < 1e-9, "{}", seen.disturbed_share);
        assert_eq!((seen.stalls, seen.longest_stall), (2, 10 * MS));
    }

    #[test]
    fn where_everything_is_disturbed_there_is_no_figure() {
        let seen = calm(&[stall(900, 2_100)], &steady(), WINDOW);
        assert_eq!((seen.at(500), seen.at(990), seen.latencies.total()), (None, None, 0));
        assert_eq!(seen.disturbed_share, 1.0);
    }

    #[test]
    fn it_is_what_a_look_at_every_stall_for_every_request_says() {
        let mut dice = 7u64;
        let mut below = |most: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % most
        };
        for _ in 0..200 {
            let stalls: Vec<Stall> =
                (0..below(12)).map(|_| below(1_000)).map(|ms| stall(1_000 + ms, 1_001 + ms + ms % 7)).collect();
            let left = |due: u64| {
                let reaches = |s: &Stall| due + BEFORE >= s.due && due <= s.awake + 2 * (s.awake - s.due) + BEHIND;
                !stalls.iter().any(reaches)
            };
            let naive = steady().into_iter().filter(|s| left(s.due)).count() as u64;
            assert_eq!(calm(&stalls, &steady(), WINDOW).latencies.total(), naive, "{stalls:?}");
        }
    }
}
