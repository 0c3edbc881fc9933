//! Single decisions timed, and the memory of the process.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// An engine is measured for so long at most, and at least on so many requests.
const PATIENCE: Duration = Duration::from_secs(20);
const AT_LEAST: usize = 20;

/// What one engine came to.
pub(crate) struct Figures {
    pub median_us: f64,
    pub p99_us: f64,
    pub decided: usize,
    pub allowed: usize,
}

/// Decides each item once to warm up, once to measure.
pub(crate) fn each<T>(items: &[T], mut decide: impl FnMut(&T) -> bool) -> Figures {
    pass(items, PATIENCE / 4, &mut decide);
    pass(items, PATIENCE, &mut decide)
}

fn pass<T>(items: &[T], patience: Duration, decide: &mut impl FnMut(&T) -> bool) -> Figures {
    let (begin, mut times, mut allowed) = (Instant::now(), Vec::with_capacity(items.len()), 0);
    for item in items {
        let start = Instant::now();
        let allows = black_box(decide(black_box(item)));
        times.push(start.elapsed());
        allowed += usize::from(allows);
        if begin.elapsed() > patience && times.len() >= AT_LEAST {
            break;
        }
    }
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, |d| d.as_secs_f64() * 1e6);
    Figures { median_us: at(50), p99_us: at(99), decided: times.len(), allowed }
}

/// Resident memory in MB, where the system tells it.
pub(crate) fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

pub(crate) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
