//! What recording costs while a server runs: offers permitted verdicts from one thread at a steady rate to the writer, with the
//! index following, and tells the CPU time of every thread per record and how long it took until each was written.
//!
//! `cargo run --release -p safeconduct-store --example pace -- DIR RATE SECONDS [like|whole] [GATHER_US] [help|thread]` prints one line of JSON.
//!
//! Whether a record is written is asked when an upstream would have answered, and the latency is what is left to wait then.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration as StdDuration, Instant};

use safeconduct_ledger::Pattern;
use safeconduct_ledger::Varying;
use safeconduct_model::{
    Access, Action, Ask, Auth, Check, DeviceFacts, Duration, Method, Mode, Outcome, Place, Principal, Record,
    RequestId, Timestamp, What, Who, Why,
};
use safeconduct_store::{Index, LedgerKey, LedgerWriter, Options, Receipt};

/// The first record is of this instant, 2026-09-01.
const START: i64 = 1_788_220_800_000;

/// How many standings there are: people with their sessions, and applications.
const STANDINGS: u64 = 200;

fn standing(i: u64) -> Result<Access, Box<dyn Error>> {
    let (person, at) = (format!("person-{i}"), Timestamp::from_millis(START));
    let device = DeviceFacts {
        id: format!("lt-{i}").parse()?,
        managed: true,
        reported: Some(at),
        max_age: Duration::from_hours(1),
        passed: Check::ALL.into(),
        required: [Check::DiskEncrypted, Check::EndpointProtection].into(),
    };
    let auth =
        Auth { session: format!("s-{person}").parse()?, methods: [Method::Passkey].into(), at, until: Timestamp::MAX };
    let groups = ["staff".parse()?, "finance".parse()?].into();
    let what = What {
        app: format!("app-{}", i % 8).parse()?,
        action: Action::Read,
        method: "GET".into(),
        path: "/reports/2026/q3/".into(),
    };
    let place =
        Place { ip: "10.20.30.40".parse()?, network: Some("office".into()), country: None, device: Some(device) };
    Ok(Access {
        ask: Ask {
            request: "0".parse()?,
            who: Who { principal: Principal::Person(person.parse()?), groups, auth: Some(auth) },
            what,
            place,
            why: Why::default(),
            lock: None,
        },
        decided: at,
        outcome: Outcome::Permit { until: at + Duration::from_mins(5) },
        mode: Mode::Enforce,
        revision: 7,
        rules: vec!["finance-read-q3".parse()?],
        facts: vec!["principal.groups".into(), "context.device.compliant".into(), "context.minute".into()],
        took_us: 12,
        again: false,
        would: None,
    })
}

/// How long an upstream takes that answers at once.
const UPSTREAM: StdDuration = StdDuration::from_micros(100);

/// Wakes the thread that offers.
struct Bell(Thread);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// CPU time of every thread of this process, in nanoseconds, summed by the name of the thread.
fn threads() -> Result<BTreeMap<String, u64>, Box<dyn Error>> {
    let mut sums = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        let name = fs::read_to_string(task.join("comm"))?.trim().to_owned();
        let stat = fs::read_to_string(task.join("schedstat"))?;
        let spent: u64 = stat.split_whitespace().next().ok_or("the system tells no times")?.parse()?;
        *sums.entry(name).or_default() += spent;
    }
    Ok(sums)
}

/// How the records are handed in.
#[derive(Clone, Copy, PartialEq)]
enum Offer {
    Nothing,
    Like,
    Whole,
}

/// What an offering took.
struct Took {
    records: u64,
    by_thread: BTreeMap<String, u64>,
    latencies: Vec<u64>,
}

struct Pace {
    rate: u64,
    seconds: u64,
    begun: i64,
}

/// Offers for some seconds.
fn offer(writer: &LedgerWriter, patterns: &[Arc<Pattern>], kind: Offer, pace: &Pace) -> Result<Took, Box<dyn Error>> {
    let waker = Waker::from(Arc::new(Bell(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let total = pace.rate * pace.seconds;
    let gap = StdDuration::from_nanos(1_000_000_000 / pace.rate);
    let ids: Vec<RequestId> =
        (0..total).map(|i| format!("{:032x}", i * 0x9e37_79b9).parse()).collect::<Result<_, _>>()?;
    let paths: Vec<String> = (0..1_000).map(|i| format!("/reports/2026/q3/{i}")).collect();
    let mut waiting: VecDeque<(Instant, Receipt)> = VecDeque::new();
    let mut latencies = Vec::with_capacity(usize::try_from(total)?);
    let before = threads()?;
    let started = Instant::now();
    let mut next = 0;
    while next < total || !waiting.is_empty() {
        let now = Instant::now();
        while next < total && started + gap * u32::try_from(next)? <= now {
            let i = usize::try_from(next)?;
            let at = Timestamp::from_millis(pace.begun + i64::try_from((now - started).as_millis())?);
            let (pattern, path) = (&patterns[i % patterns.len()], &paths[i % paths.len()]);
            let varying = Varying { request: &ids[i], method: "GET", path, decided: at, took_us: 12 };
            let receipt = match kind {
                Offer::Nothing => None,
                Offer::Like => Some(writer.append_like(at, pattern, varying)?),
                Offer::Whole => Some(writer.append(at, Record::Access(Box::new(pattern.with(&varying))))?),
            };
            waiting.extend(receipt.map(|receipt| (Instant::now(), receipt)));
            next += 1;
        }
        while let Some((since, receipt)) = waiting.front_mut() {
            if since.elapsed() < UPSTREAM {
                break;
            }
            match receipt.poll_written(&mut cx) {
                Poll::Ready(seq) => {
                    seq?;
                    latencies.push(u64::try_from((since.elapsed() - UPSTREAM).as_nanos())?);
                    waiting.pop_front();
                }
                Poll::Pending => break,
            }
        }
        let mut due = started + gap * u32::try_from(next.min(total))?;
        if let Some((since, _)) = waiting.front().filter(|(since, _)| since.elapsed() < UPSTREAM) {
            due = due.min(*since + UPSTREAM);
        }
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()).min(StdDuration::from_millis(1)));
    }
    // What is owed is paid before it is counted.
    std::thread::sleep(StdDuration::from_millis(300));
    let mut by_thread = threads()?;
    for (name, spent) in &mut by_thread {
        *spent -= before.get(name).copied().unwrap_or(0);
    }
    latencies.sort_unstable();
    Ok(Took { records: total, by_thread, latencies })
}

fn told(took: &Took, baseline: &Took, mine: &str) -> serde_json::Value {
    let per = |ns: u64| (ns as f64 / took.records as f64).round() / 1_000.0;
    let of = |took: &Took, fits: &dyn Fn(&str) -> bool| {
        took.by_thread.iter().filter(|(n, _)| fits(n)).map(|(_, ns)| ns).sum()
    };
    let writer = |name: &str| name.starts_with("ledger");
    let appends: u64 = of(took, &|n| n == mine);
    let (append, idle) = (appends.saturating_sub(of(baseline, &|n| n == mine)), of(baseline, &|n| n == mine));
    let index = of(took, &|n| n != mine && !writer(n));
    let written = of(took, &writer);
    let at = |q: f64| took.latencies.get((took.latencies.len() as f64 * q) as usize).map_or(0, |ns| ns / 1_000);
    serde_json::json!({
        "records": took.records, "append_us": per(append), "writer_us": per(written), "index_us": per(index),
        "whole_us": per(append + written + index), "offering_us": per(idle),
        "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999),
    })
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn run(dir: &Path, kind: Offer, options: Options, rate: u64, seconds: u64) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(dir)?;
    let (ledger, key) = (dir.join("ledger"), LedgerKey::load_or_create(&dir.join("ledger.key"))?);
    let writer = LedgerWriter::open(&ledger, &key, Timestamp::MAX, options)?;
    let begun = writer.last_at().millis().max(START);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let index = runtime.block_on(Index::open(&ledger, &dir.join("index.db")))?;
    runtime.block_on(index.catch_up())?;
    let follower = {
        let _in = runtime.enter();
        index.follow(writer.subscribe())
    };
    let patterns: Vec<_> =
        (0..STANDINGS).map(|i| standing(i).map(Pattern::of).map(Arc::new)).collect::<Result<_, _>>()?;
    let pace = Pace { rate, seconds, begun };
    let baseline = offer(&writer, &patterns, Offer::Nothing, &pace)?;
    let took = offer(&writer, &patterns, kind, &pace)?;
    let mine = fs::read_to_string("/proc/thread-self/comm")?;
    println!("{}", told(&took, &baseline, mine.trim()));
    runtime.block_on(async {
        follower.stop().await;
        index.close().await;
    });
    writer.close();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [dir, rate, seconds, rest @ ..] = args.as_slice() else {
        return Err("name a directory, a rate and seconds".into());
    };
    let kind = if rest.first().is_some_and(|kind| kind == "whole") { Offer::Whole } else { Offer::Like };
    let gather = rest.get(1).map_or(Ok(safeconduct_store::GATHER), |us| us.parse().map(StdDuration::from_micros))?;
    let help = rest.get(2).is_none_or(|word| word == "help");
    let options = Options { gather, help, ..Options::default() };
    let (dir, rate, seconds) = (PathBuf::from(dir), rate.parse()?, seconds.parse()?);
    // A thread of its own, with a name that no other has.
    let offering = std::thread::Builder::new().name("offer".into());
    let done = offering.spawn(move || run(&dir, kind, options, rate, seconds).map_err(|e| e.to_string()))?;
    done.join().map_err(|_| "the offering panicked")??;
    Ok(())
}
