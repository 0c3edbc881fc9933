//! Single decisions timed, and the memory of the process.

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// An engine is measured for so long at most, and at least on so many requests.
const PATIENCE: Duration = Duration::from_secs(20);
const AT_LEAST: usize = 20;

/// What one engine came to.
pub(crate) struct Figures {
    times: Vec<Duration>,
    answers: Vec<bool>,
    cpu_ms: f64,
}

/// Decides each item once to warm up, once to measure.
pub(crate) fn each<T>(items: &[T], mut decide: impl FnMut(&T) -> bool) -> Figures {
    pass(items, PATIENCE / 4, &mut decide);
    pass(items, PATIENCE, &mut decide)
}

fn pass<T>(items: &[T], patience: Duration, decide: &mut impl FnMut(&T) -> bool) -> Figures {
    let mut figures =
        Figures { times: Vec::with_capacity(items.len()), answers: Vec::with_capacity(items.len()), cpu_ms: 0.0 };
    let (begin, cpu) = (Instant::now(), cpu_ms());
    for item in items {
        let start = Instant::now();
        let allows = black_box(decide(black_box(item)));
        figures.times.push(start.elapsed());
        figures.answers.push(allows);
        if begin.elapsed() > patience && figures.times.len() >= AT_LEAST {
            break;
        }
    }
    figures.cpu_ms = cpu_ms() - cpu;
    figures
}

impl Figures {
    /// Puts the decisions of another run behind these.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.times.append(&mut other.times);
        self.answers.append(&mut other.answers);
        self.cpu_ms += other.cpu_ms;
    }

    pub(crate) fn none() -> Self {
        Self { times: Vec::new(), answers: Vec::new(), cpu_ms: 0.0 }
    }

    /// One row of the table. The answers are hexadecimal, four requests a digit, so that engines can be compared request by
    /// request.
    pub(crate) fn row(mut self, engine: &str, cost: &Cost) -> Value {
        self.times.sort_unstable();
        let count = self.times.len();
        let at = |percent: usize| self.times.get(count * percent / 100).map_or(0.0, |d| d.as_secs_f64() * 1e6);
        let mut answers = String::new();
        for four in self.answers.chunks(4) {
            let digit = four.iter().enumerate().map(|(bit, allows)| u8::from(*allows) << bit).sum::<u8>();
            let _ = write!(answers, "{digit:x}");
        }
        json!({
            "engine": engine, "load_ms": cost.load_ms, "load_cpu_ms": cost.load_cpu_ms, "resident_mb": cost.resident_mb,
            "left_over_mb": cost.left_over_mb, "peak_mb": cost.peak_mb, "median_us": at(50), "p99_us": at(99),
            "mean_cpu_us": self.cpu_ms * 1e3 / count.max(1) as f64,
            "decided": count, "allowed": self.answers.iter().filter(|a| **a).count(), "answers": answers,
        })
    }
}

/// What it costs to be ready.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub load_ms: f64,
    /// The same in CPU time: other work of the machine does not lengthen it.
    pub load_cpu_ms: f64,
    /// What the process keeps after loading, entities included, beyond what it had when it began.
    pub resident_mb: f64,
    /// The part of it that is free again: only loading needed it, and the allocator keeps it for the next need.
    pub left_over_mb: f64,
    /// The most that it ever had while loading.
    pub peak_mb: f64,
}

impl Cost {
    /// Adds one more loading, in ms of wall clock and CPU.
    pub(crate) fn add(&mut self, (load_ms, load_cpu_ms): (f64, f64)) {
        self.load_ms += load_ms;
        self.load_cpu_ms += load_cpu_ms;
    }
}

/// A loading that is watched.
pub(crate) struct Loading {
    before_mb: f64,
    start: Instant,
    cpu_ms: f64,
}

impl Loading {
    /// Begins; `before_mb` is what the process had when it had nothing.
    pub(crate) fn begin(before_mb: f64) -> Self {
        Self { before_mb, start: Instant::now(), cpu_ms: cpu_ms() }
    }

    /// Everything is loaded, and what was only needed for loading is gone.
    pub(crate) fn end(self) -> Cost {
        let (load_ms, load_cpu_ms) = self.took();
        self.end_having_taken(load_ms, load_cpu_ms)
    }

    /// Wall clock and CPU, in ms.
    pub(crate) fn took(&self) -> (f64, f64) {
        (ms(self.start), cpu_ms() - self.cpu_ms)
    }

    /// As [`Loading::end`], with something after the loading that does not count as loading.
    pub(crate) fn end_having_taken(self, load_ms: f64, load_cpu_ms: f64) -> Cost {
        let (resident_mb, peak_mb) = (resident_mb() - self.before_mb, memory_mb("VmHWM:") - self.before_mb);
        Cost { load_ms, load_cpu_ms, resident_mb, peak_mb, left_over_mb: left_over_mb().min(resident_mb) }
    }
}

/// How much can be put into the memory that the process has before it needs more.
fn left_over_mb() -> f64 {
    /// Small enough to fit into what an entity or a policy leaves behind.
    const BLOCK: usize = 112;
    const BLOCKS_PER_MB: usize = (1 << 20) / (BLOCK + 16);
    const MOST_MB: usize = 8_192;
    /// So much growth is the end, and not only the list of the blocks.
    const GROWN_MB: f64 = 4.0;
    let (before, mut blocks) = (resident_mb(), Vec::<Box<[u8]>>::new());
    let list = |blocks: &Vec<Box<[u8]>>| (blocks.len() * size_of::<Box<[u8]>>()) as f64 / f64::from(1 << 20);
    for put_mb in 1..=MOST_MB {
        blocks.extend((0..BLOCKS_PER_MB).map(|n| vec![u8::try_from(n & 0xff).unwrap_or(1); BLOCK].into_boxed_slice()));
        let grown = resident_mb() - before - list(&blocks);
        if grown > GROWN_MB {
            return (put_mb as f64 - grown).max(0.0);
        }
    }
    0.0
}

/// Resident memory in MB, where the system tells it.
pub(crate) fn resident_mb() -> f64 {
    memory_mb("VmRSS:")
}

fn memory_mb(which: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(which)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

pub(crate) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// CPU time of the main thread, which does everything here.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

/// What two readings of the clock take, in microseconds: it is in every figure.
pub(crate) fn clock_us() -> f64 {
    let figures = each(&[(); 10_000], |()| true);
    figures.row("", &Cost::default())["median_us"].as_f64().unwrap_or(0.0)
}
