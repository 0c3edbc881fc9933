//! The writer on a real directory, and on disks that fail when told to.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use safeconduct_model::{Entry, Record};

use super::*;
use crate::reader::Entries;
use crate::testing::{access, at, event, key, verified, writer};
use crate::{Files, Sink};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn details(ledger: &Path) -> Vec<String> {
    let detail = |e: Entry| match e.record {
        Record::System(s) => s.detail,
        other => format!("{other:?}"),
    };
    Entries::from_seq(ledger, 0).expect("readable").map(|l| detail(l.expect("an entry").entry)).collect()
}

#[tokio::test]
async fn a_receipt_tells_the_place_and_the_ledger_verifies_after_reopening() {
    let dir = dir();
    for round in 0..3_u64 {
        let w = writer(dir.path(), Options::default());
        assert_eq!(w.repairs(), []);
        let first = w.append(at(10), event("a")).expect("queued");
        let second = w.append(at(11), event("b")).expect("queued");
        assert_eq!(first.written().await, Ok(round * 2));
        assert_eq!(second.durable().await, Ok(round * 2 + 1));
        assert!(w.health().durable >= round * 2 + 2);
    }
    let report = verified(&dir.path().join("ledger"), &key(dir.path()));
    assert_eq!((report.finding, report.records, report.signed_to), (None, 6, Some(5)));
}

#[tokio::test]
async fn segments_rotate_and_each_is_signed() {
    let dir = dir();
    let w = writer(dir.path(), Options { segment_bytes: 2_000, ..Options::default() });
    for i in 0..60 {
        let receipt = w.append(at(i), event(&format!("{i}"))).expect("queued");
        receipt.written().await.expect("written");
    }
    drop(w);
    let ledger = dir.path().join("ledger");
    let report = verified(&ledger, &key(dir.path()));
    assert_eq!((report.finding.clone(), report.records), (None, 60));
    assert!(report.segments > 4 && report.checkpoints >= u64::from(report.segments) - 1, "{report:?}");
    assert_eq!(details(&ledger), (0..60).map(|i| i.to_string()).collect::<Vec<_>>());
    for from in [0, 1, 17, 59, 60] {
        let seqs: Vec<_> =
            Entries::from_seq(&ledger, from).expect("readable").map(|l| l.expect("entry").entry.seq).collect();
        assert_eq!(seqs, (from..60).collect::<Vec<_>>());
    }
}

#[test]
fn two_writers_on_one_directory_are_refused_and_the_first_is_named() {
    let dir = dir();
    let w = writer(dir.path(), Options::default());
    let ledger = dir.path().join("ledger");
    let open = || LedgerWriter::open(&ledger, &key(dir.path()), at(1_000_000), Options::default());
    let error = open().err().expect("refused").to_string();
    assert!(error.contains(&format!("(number {})", std::process::id())) && error.contains("stop it first"), "{error}");
    drop(w);
    assert!(open().is_ok());
}

#[tokio::test]
async fn every_crash_leaves_a_ledger_that_opens_without_losing_a_confirmed_record() {
    let dir = dir();
    let w = writer(dir.path(), Options::default());
    for i in 0..5 {
        w.append(at(i), event(&format!("{i}"))).expect("queued").durable().await.expect("durable");
    }
    // The machine as it stood at this moment: nothing was closed.
    let (ledger, copy) = (dir.path().join("ledger"), dir.path().join("copy"));
    let segment = fs::read(ledger.join("00000000.seg")).expect("read");
    let marks = fs::read(ledger.join("checkpoints")).expect("read");
    // Every place near a line end, and some between.
    let near = |len: usize| segment[len.saturating_sub(2)..(len + 2).min(segment.len())].contains(&b'\n');
    for len in (0..=segment.len()).filter(|len| near(*len) || len % 29 == 0) {
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir_all(&copy).expect("made");
        fs::write(copy.join("00000000.seg"), &segment[..len]).expect("written");
        fs::write(copy.join("checkpoints"), &marks).expect("written");
        let whole = segment[..len].iter().filter(|b| **b == b'\n').count().saturating_sub(1);
        let w = LedgerWriter::open(&copy, &key(dir.path()), at(100), Options::default()).expect("opens");
        let torn = len > 0 && segment[len - 1] != b'\n';
        assert_eq!(w.repairs().len(), usize::from(torn || len == 0), "{len}");
        let seq = w.append(at(50), event("after")).expect("queued").written().await;
        assert_eq!(seq, Ok(whole as u64));
        drop(w);
        assert_eq!(verified(&copy, &key(dir.path())).finding, None, "{len}");
    }
}

#[tokio::test]
async fn a_torn_header_of_a_new_segment_and_a_torn_checkpoint_are_repaired_together() {
    let dir = dir();
    let w = writer(dir.path(), Options { segment_bytes: 1_000, ..Options::default() });
    for i in 0..20 {
        w.append(at(i), event("x")).expect("queued").written().await.expect("written");
    }
    drop(w);
    let ledger = dir.path().join("ledger");
    let last = *segments(&ledger).last().expect("segments");
    fs::write(ledger.join(safeconduct_ledger::segment_name(last + 1)), b"0123").expect("written");
    OpenOptions::new()
        .append(true)
        .open(ledger.join("checkpoints"))
        .expect("opened")
        .write_all(b"{\"se")
        .expect("written");
    let w = writer(dir.path(), Options::default());
    assert_eq!(w.repairs().len(), 2);
    assert_eq!(w.append(at(30), event("y")).expect("queued").written().await, Ok(20));
    drop(w);
    assert_eq!(verified(&ledger, &key(dir.path())).finding, None);
}

fn segments(ledger: &Path) -> Vec<u32> {
    crate::segments::list(ledger).expect("listed")
}

#[tokio::test]
async fn a_ledger_that_was_tampered_with_or_cut_is_not_opened() {
    let dir = dir();
    let w = writer(dir.path(), Options::default());
    for i in 0..5 {
        w.append(at(i), event("x")).expect("queued").written().await.expect("written");
    }
    drop(w);
    let path = dir.path().join("ledger/00000000.seg");
    let right = fs::read(&path).expect("read");
    let open = || LedgerWriter::open(&dir.path().join("ledger"), &key(dir.path()), at(100), Options::default());
    let mut changed = right.clone();
    changed[600] ^= 4;
    for (spoilt, word) in
        [(changed, "was changed"), (right[..right.len() - 3].to_vec(), "was cut off"), (vec![], "was cut off")]
    {
        fs::write(&path, spoilt).expect("written");
        let error = open().err().expect("refused").to_string();
        assert!(error.contains(word), "{error}");
    }
    fs::remove_file(&path).expect("removed");
    assert!(open().err().expect("refused").to_string().contains("was cut off"));
    fs::write(&path, right).expect("written");
    assert!(open().is_ok());
}

#[tokio::test]
async fn a_clock_that_goes_back_is_refused_at_opening_and_while_writing() {
    let dir = dir();
    let w = writer(dir.path(), Options::default());
    w.append(at(900_000), event("x")).expect("queued").written().await.expect("written");
    let error = w.append(at(800_000), event("y")).err().expect("refused");
    assert_eq!(error, WriteError::ClockWentBack { at: at(800_000), last: at(900_000) });
    assert_eq!(w.append(at(899_000), event("z")).expect("a small step").written().await, Ok(1));
    assert_eq!(w.last_at(), at(900_000));
    drop(w);
    let open = |now| LedgerWriter::open(&dir.path().join("ledger"), &key(dir.path()), at(now), Options::default());
    let error = open(800_000).err().expect("refused").to_string();
    assert!(error.contains("the clock is behind the ledger") && error.contains("1970-01-01T00:15:00.000Z"), "{error}");
    assert!(open(899_000).is_ok());
}

#[tokio::test]
async fn the_wrong_key_does_not_go_on_with_a_ledger() {
    let dir = dir();
    writer(dir.path(), Options::default());
    fs::remove_file(dir.path().join("ledger.key")).expect("removed");
    let error = LedgerWriter::open(&dir.path().join("ledger"), &key(dir.path()), at(1), Options::default());
    let error = error.err().expect("refused").to_string();
    assert!(error.contains("written under another key"), "{error}");
}

#[tokio::test]
async fn a_subscriber_sees_every_entry_in_order_and_a_slow_one_does_not_hold_up_the_writer() {
    let dir = dir();
    let w = writer(dir.path(), Options { segment_bytes: 20_000, ..Options::default() });
    let (mut live, mut slow) = (w.subscribe(), w.subscribe());
    let Record::Access(first) = access("r", "ada", "q3", 5, None) else { panic!("an access") };
    let pattern = Arc::new(Pattern::of(*first));
    let reader = tokio::spawn(async move {
        let (mut seen, mut last) = (Vec::new(), None::<(crate::Position, u64)>);
        loop {
            match live.recv().await {
                Ok(batch) => {
                    assert_eq!(batch.first_seq(), seen.len() as u64);
                    assert_eq!(batch.next_seq() - batch.first_seq(), batch.len() as u64);
                    if let Some((end, _)) = last.filter(|(end, _)| end.segment == batch.place().segment) {
                        assert_eq!(batch.place(), end);
                    }
                    let bytes: u64 = batch.iter().map(|w| w.len).sum();
                    let end = crate::Position { offset: batch.place().offset + bytes, ..batch.place() };
                    last = Some((end, bytes));
                    seen.extend(batch.iter().map(|w| (w.entry(), batch.hash().to_string())));
                }
                Err(broadcast::error::RecvError::Closed) => return seen,
                Err(e) => panic!("the fast one loses nothing: {e}"),
            }
        }
    });
    for i in 0..SUBSCRIBER_BATCHES as i64 + 20 {
        let at = at(5 + i);
        let request = format!("r-{i}").parse().expect("id");
        let varying = Varying { request: &request, method: "PUT", path: "/a\"b", decided: at, took_us: 7 };
        for _ in 0..3 {
            drop(w.append(at, event("x")).expect("queued"));
            drop(w.append_like(at, &pattern, varying).expect("queued"));
        }
        w.append_like(at, &pattern, varying).expect("queued").written().await.expect("written");
        // A batch for each round: the writer rests between them.
        tokio::time::sleep(GATHER * 4).await;
    }
    drop(w);
    assert!(matches!(slow.recv().await, Err(broadcast::error::RecvError::Lagged(_))));
    let seen = reader.await.expect("ran");
    let written: Vec<_> =
        Entries::from_seq(&dir.path().join("ledger"), 0).expect("readable").map(|l| l.expect("an entry")).collect();
    assert_eq!(seen.len(), written.len());
    for (i, ((entry, hash), there)) in seen.iter().zip(&written).enumerate() {
        assert_eq!(*entry, there.entry);
        // The hash of a batch is that of its last line.
        if seen.get(i + 1).is_none_or(|(_, next)| next != hash) {
            assert_eq!(*hash, there.hash);
        }
    }
    assert_eq!(verified(&dir.path().join("ledger"), &key(dir.path())).finding, None);
}

/// A disk whose writes or syncs fail when told to; a failing write leaves a part behind.
#[derive(Default)]
struct Switches {
    full: AtomicBool,
    /// Writing checkpoints fails.
    no_marks: AtomicBool,
    /// Syncing fails, and what was not synced is lost.
    no_sync: AtomicBool,
    slow: AtomicBool,
}

struct Faulty(Arc<Switches>);

struct FaultySink {
    file: Box<dyn Sink>,
    switches: Arc<Switches>,
    is_marks: bool,
    /// How long the file is, and how much of it is on the disk.
    lens: Arc<Mutex<(u64, u64)>>,
}

impl Files for Faulty {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        let file = OsFiles.open(path)?;
        let len = fs::metadata(path)?.len();
        let is_marks = path.ends_with("checkpoints");
        let lens = Arc::new(Mutex::new((len, len)));
        Ok(Box::new(FaultySink { file, switches: Arc::clone(&self.0), is_marks, lens }))
    }
}

impl Write for FaultySink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.switches.slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let switch = if self.is_marks { &self.switches.no_marks } else { &self.switches.full };
        let full = switch.load(Ordering::SeqCst);
        let part = if full { bytes.len() / 2 } else { bytes.len() };
        self.file.write_all(&bytes[..part])?;
        lock(&self.lens).0 += part as u64;
        if full { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(part) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for FaultySink {
    fn sync(&mut self) -> io::Result<()> {
        // What comes while the disk works is not part of it.
        let len = lock(&self.lens).0;
        if self.switches.no_sync.load(Ordering::SeqCst) {
            let mut lens = lock(&self.lens);
            self.file.cut(lens.1)?;
            lens.0 = lens.1;
            return Err(io::Error::other("the disk is gone"));
        }
        self.file.sync()?;
        let mut lens = lock(&self.lens);
        lens.1 = lens.1.max(len);
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.cut(len)?;
        let mut lens = lock(&self.lens);
        *lens = (len, lens.1.min(len));
        Ok(())
    }

    fn twin(&self) -> io::Result<Box<dyn Sink>> {
        let (switches, lens) = (Arc::clone(&self.switches), Arc::clone(&self.lens));
        Ok(Box::new(Self { file: self.file.twin()?, switches, is_marks: self.is_marks, lens }))
    }
}

fn faulty() -> (Arc<Switches>, Options) {
    let switches = Arc::new(Switches::default());
    let retry_interval = Duration::from_millis(20);
    let files = Arc::new(Faulty(Arc::clone(&switches)));
    (switches, Options { files, retry_interval, segment_bytes: 3_000, ..Options::default() })
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited five seconds in vain");
}

#[tokio::test]
async fn a_full_disk_refuses_says_so_and_heals() {
    let dir = dir();
    let (switches, options) = faulty();
    let w = writer(dir.path(), options);
    w.append(at(1), event("before")).expect("queued").durable().await.expect("durable");
    switches.full.store(true, Ordering::SeqCst);
    let error = w.append(at(2), event("during")).expect("queued").written().await.expect_err("full");
    assert!(error.to_string().contains("free space"), "{error}");
    assert!(matches!(w.append(at(3), event("refused")), Err(WriteError::Failing { .. })));
    let health = w.health();
    assert!(health.failure.is_some() && health.refused == 1, "{health:?}");
    switches.full.store(false, Ordering::SeqCst);
    until(|| w.health().failure.is_none()).await;
    // The record whose writing failed was kept: a denial that stands in the ledger as a permit does no harm, a gap would.
    assert_eq!(w.append(at(4), event("after")).expect("queued").durable().await, Ok(2));
    drop(w);
    assert_eq!(details(&dir.path().join("ledger")), ["before", "during", "after"]);
    assert_eq!(verified(&dir.path().join("ledger"), &key(dir.path())).finding, None);
}

#[tokio::test]
async fn a_disk_that_does_not_sync_confirms_nothing_as_durable_and_writes_it_again() {
    let dir = dir();
    let (switches, options) = faulty();
    let w = writer(dir.path(), options);
    w.append(at(1), event("before")).expect("queued").durable().await.expect("durable");
    switches.no_sync.store(true, Ordering::SeqCst);
    let error = w.append(at(2), event("during")).expect("queued").durable().await.expect_err("no sync");
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    switches.no_sync.store(false, Ordering::SeqCst);
    until(|| w.health().failure.is_none()).await;
    assert_eq!(w.health().durable, 2);
    drop(w);
    assert_eq!(verified(&dir.path().join("ledger"), &key(dir.path())).finding, None);
}

#[tokio::test]
async fn a_checkpoint_that_was_written_in_part_is_written_again_whole() {
    let dir = dir();
    let (switches, options) = faulty();
    let w = writer(dir.path(), Options { checkpoint_records: 1, ..options });
    w.append(at(1), event("a")).expect("queued").durable().await.expect("durable");
    until(|| w.health().signed == 1).await;
    switches.no_marks.store(true, Ordering::SeqCst);
    w.append(at(2), event("b")).expect("queued").durable().await.expect("the record itself is durable");
    until(|| w.health().failure.is_some()).await;
    switches.no_marks.store(false, Ordering::SeqCst);
    until(|| w.health().failure.is_none()).await;
    assert_eq!(w.health().signed, 2);
    drop(w);
    let report = verified(&dir.path().join("ledger"), &key(dir.path()));
    assert_eq!((report.finding, report.signed_to), (None, Some(1)));
}

#[tokio::test]
async fn failures_at_any_moment_leave_a_ledger_that_verifies() {
    let dir = dir();
    let (switches, options) = faulty();
    let w = writer(dir.path(), Options { checkpoint_records: 3, ..options });
    let mut confirmed = Vec::new();
    for i in 0..200 {
        let all = [&switches.full, &switches.no_sync, &switches.no_marks];
        all[usize::try_from(i).expect("small") % 3].store(i % 7 == 0, Ordering::SeqCst);
        if let Ok(receipt) = w.append(at(i), event(&i.to_string()))
            && let Ok(seq) = receipt.durable().await
        {
            confirmed.push((seq, i.to_string()));
        }
        all.iter().for_each(|s| s.store(false, Ordering::SeqCst));
        if i % 7 == 0 {
            until(|| w.health().failure.is_none()).await;
        }
    }
    drop(w);
    let ledger = dir.path().join("ledger");
    let report = verified(&ledger, &key(dir.path()));
    assert_eq!(report.finding, None);
    assert!(confirmed.len() > 100 && report.segments > 3, "{} {report:?}", confirmed.len());
    let there = details(&ledger);
    for (seq, detail) in confirmed {
        assert_eq!(there[usize::try_from(seq).expect("small")], detail);
    }
}

#[tokio::test]
async fn a_full_queue_is_an_error_and_never_a_wait() {
    let dir = dir();
    let (switches, options) = faulty();
    let w = writer(dir.path(), Options { queue_records: 8, ..options });
    switches.slow.store(true, Ordering::SeqCst);
    let mut refused = None;
    for i in 0..2_000 {
        match w.append(at(i), event("x")) {
            Ok(receipt) => drop(receipt),
            Err(e) => {
                refused = Some(e);
                break;
            }
        }
    }
    assert_eq!(refused, Some(WriteError::QueueFull { waiting: 8 }));
    switches.slow.store(false, Ordering::SeqCst);
    until(|| w.append(at(5_000), event("y")).is_ok()).await;
}

#[tokio::test]
async fn a_closed_writer_refuses() {
    let dir = dir();
    let w = writer(dir.path(), Options::default());
    let receipt = w.append(at(1), event("x")).expect("queued");
    w.close();
    assert_eq!(receipt.written().await, Ok(0));
    assert!(matches!(w.append(at(2), event("y")), Err(WriteError::Closed)));
    assert!(w.health().failure.is_some());
}

#[test]
fn those_who_wait_on_one_thread_are_all_told_though_one_of_them_does_not_look() {
    let dir = dir();
    let w = writer(dir.path(), Options { help: false, ..Options::default() });
    // Wakers that count, and receipts that nobody polls again: each must be woken by the writer or by another.
    struct Count(std::sync::atomic::AtomicU64);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let counts: Vec<_> = (0..20).map(|_| Arc::new(Count(0.into()))).collect();
    let mut receipts: Vec<_> = (0..20).map(|i| w.append(at(i), event("x")).expect("queued")).collect();
    let mut waited = 0;
    for (receipt, count) in receipts.iter_mut().zip(&counts) {
        let waker = Arc::clone(count).into();
        let poll = receipt.poll_written(&mut std::task::Context::from_waker(&waker));
        if poll.is_ready() {
            count.0.store(1, Ordering::SeqCst);
        } else {
            waited += 1;
        }
    }
    let told = || counts.iter().all(|c| c.0.load(Ordering::SeqCst) > 0);
    for _ in 0..500 {
        if told() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(told(), "{waited} waited");
    for (i, receipt) in (0..).zip(receipts) {
        let mut receipt = receipt;
        let poll = receipt.poll_written(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert_eq!(poll, std::task::Poll::Ready(Ok(i)));
    }
}

#[test]
fn whoever_waits_writes_what_is_there_and_who_does_not_is_served_by_the_thread() {
    let dir = dir();
    // The thread rests for so long that nothing is from it but the first record and the end.
    let w = writer(dir.path(), Options { gather: Duration::from_secs(3_600), ..Options::default() });
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut wait = |mut receipt: Receipt| {
        for _ in 0..5_000 {
            if let std::task::Poll::Ready(seq) = receipt.poll_written(&mut cx) {
                return seq;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("waited five seconds in vain");
    };
    assert_eq!(wait(w.append(at(1), event("first")).expect("queued")), Ok(0));
    drop(w.append(at(2), event("nobody waits for this one")).expect("queued"));
    assert_eq!(wait(w.append(at(3), event("third")).expect("queued")), Ok(2));
    drop(w.append(at(4), event("nor for this one")).expect("queued"));
    w.close();
    assert_eq!(details(&dir.path().join("ledger")).len(), 4);
    assert_eq!(verified(&dir.path().join("ledger"), &key(dir.path())).finding, None);
}

#[tokio::test]
async fn a_record_that_fits_into_no_line_is_refused_alone() {
    let dir = dir();
    let w = writer(dir.path(), Options::default());
    let before = w.append(at(1), event("before")).expect("queued");
    let error = w.append(at(2), event(&"x".repeat(safeconduct_ledger::MAX_LINE))).err().expect("refused");
    assert!(matches!(&error, WriteError::Record(why) if why.contains("shorten")), "{error}");
    let Record::Access(first) = access("r", "ada", "q3", 5, None) else { panic!("an access") };
    let (pattern, request) = (Arc::new(Pattern::of(*first)), "r".parse().expect("id"));
    let path = "/x".repeat(safeconduct_ledger::MAX_LINE);
    let varying = Varying { request: &request, method: "GET", path: &path, decided: at(2), took_us: 7 };
    assert!(matches!(w.append_like(at(2), &pattern, varying).err(), Some(WriteError::Record(_))));
    let after = w.append(at(3), event("after")).expect("queued");
    assert_eq!((before.written().await, after.written().await), (Ok(0), Ok(1)));
    assert_eq!(w.health().refused, 2);
    drop(w);
    assert_eq!(details(&dir.path().join("ledger")), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_get_places_without_gaps() {
    let dir = dir();
    let w = Arc::new(writer(dir.path(), Options::default()));
    let started = std::time::Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|t| {
            let w = Arc::clone(&w);
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for i in 0..500 {
                    let record = access(&format!("r-{t}-{i}"), "ada", "q3", 100, None);
                    let receipt = w.append(at(100 + i), record).expect("queued");
                    seqs.push(if i % 50 == 0 { receipt.durable().await } else { receipt.written().await });
                }
                seqs
            })
        })
        .collect();
    let mut seqs = Vec::new();
    for task in tasks {
        seqs.extend(task.await.expect("ran").into_iter().map(|s| s.expect("written")));
    }
    let took = started.elapsed();
    println!(
        "{} records by 8 tasks, each awaited: {:.0} per second",
        seqs.len(),
        seqs.len() as f64 / took.as_secs_f64()
    );
    seqs.sort_unstable();
    assert_eq!(seqs, (0..4_000).collect::<Vec<_>>());
    w.close();
    assert_eq!(verified(&dir.path().join("ledger"), &key(dir.path())).finding, None);
}
