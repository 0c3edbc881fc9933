//! Opening a ledger: the lock, the repair of a torn end, the place to go on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use safeconduct_ledger::{CHECKPOINTS_FILE, Chain, Fault, Finding, Report, segment_name, verify_from_header};
use safeconduct_model::Timestamp;
use thiserror::Error;
use tokio::sync::broadcast;

use super::keeper::Marks;
use super::progress::Progress;
use super::queue::Queue;
use super::worker::{self, Start, Worker};
use super::{LedgerWriter, Options, SUBSCRIBER_BATCHES, Shared};
use crate::key::LedgerKey;
use crate::segments;

/// The name of the lock file.
const LOCK_FILE: &str = "lock";

/// How many bytes of a lock file are read for the process number.
const PID_BYTES: u64 = 16;

/// A segment and a checkpoint may both be torn, and a segment twice: its header and the line before it.
const MAX_REPAIRS: usize = 4;

/// Why a ledger was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process writes there.
    #[error(
        "another process{} has the ledger in {dir}: stop it first, or use another data directory",
        pid.map(|p| format!(" (number {p})")).unwrap_or_default(), dir = dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The number of the process, if the lock file names it.
        pid: Option<u32>,
    },
    /// A file could not be used.
    #[error("cannot open the ledger: {path}: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The ledger is not as it was written.
    #[error("the ledger in {dir} is not as it was written: {finding}", dir = dir.display())]
    Faulty {
        /// The directory.
        dir: PathBuf,
        /// The first bad place at its end.
        finding: Finding,
    },
    /// The clock is behind the ledger.
    #[error("the clock is behind the ledger: it is {now}, but the last record in {dir} is of {last}; set the clock right (check NTP)", dir = dir.display())]
    ClockBehind {
        /// The directory.
        dir: PathBuf,
        /// What the clock says.
        now: Timestamp,
        /// The time of the last record.
        last: Timestamp,
    },
}

/// Something that a crash left behind and that was repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What was found.
    pub finding: Finding,
    /// How many bytes were removed.
    pub removed: u64,
}

/// Opens the ledger and starts its thread.
pub(super) fn open(dir: &Path, key: &LedgerKey, now: Timestamp, options: Options) -> Result<LedgerWriter, OpenError> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    let guard = take_lock(dir)?;
    let (report, repairs) = end_of(dir, key)?;
    for Repair { finding, removed } in &repairs {
        tracing::warn!(removed, "repaired the ledger: {finding}");
    }
    let last = report.head.last_at;
    if last > now + options.clock_tolerance {
        return Err(OpenError::ClockBehind { dir: dir.to_owned(), now, last });
    }
    let fresh = report.segments == 0;
    let chain = match fresh {
        true => Chain::begin(key.public()),
        false => Chain::resume(key.public(), report.head, report.last_record),
    };
    let segment = dir.join(segment_name(report.head.segment));
    let checkpoints = dir.join(CHECKPOINTS_FILE);
    let file = options.files.open(&segment).map_err(at(&segment))?;
    let marks = options.files.open(&checkpoints).map_err(at(&checkpoints))?;
    let marks_len = fs::metadata(&checkpoints).map_err(at(&checkpoints))?.len();

    let written = report.head.next_seq;
    let signed = report.signed_to.map_or(0, |s| s + 1);
    let shared = Arc::new(Shared {
        queue: Queue::new(written, last, options.queue_records.max(1)),
        progress: Progress::new(written, signed),
        refused: AtomicU64::new(0),
        batches: broadcast::channel(SUBSCRIBER_BATCHES).0,
        worker: Mutex::new(None),
        help: options.help,
    });
    let start = Start {
        dir: dir.to_owned(),
        chain,
        file,
        file_len: report.tail,
        marks: Marks { file: marks, len: marks_len, signer: key.signer(), torn: false },
        fresh,
        signed,
    };
    let mut worker = Worker::new(start, Arc::clone(&shared), options).map_err(at(dir))?;
    worker.begin().map_err(at(&segment))?;
    *super::lock(&shared.worker) = Some(worker);
    let writing = Arc::clone(&shared);
    let thread = std::thread::Builder::new()
        .name("ledger".into())
        .spawn(move || {
            // The lock is held for as long as the thread may write.
            let _guard = guard;
            worker::run(&writing);
        })
        .map_err(at(dir))?;
    Ok(LedgerWriter { shared, thread: Mutex::new(Some(thread)), repairs })
}

/// Names the file in an input or output error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

/// Takes the exclusive lock of the directory; it is free again when the file is dropped, however the process ends.
fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = (&file).take(PID_BYTES).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(OpenError::Locked { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(e)) => return Err(at(&path)(e)),
    }
    file.set_len(0).map_err(at(&path))?;
    writeln!(file, "{}", std::process::id()).map_err(at(&path))?;
    Ok(file)
}

/// Where the ledger ends, after what a crash left there was removed.
fn end_of(dir: &Path, key: &LedgerKey) -> Result<(Report, Vec<Repair>), OpenError> {
    let mut repairs = Vec::new();
    loop {
        let report = read_end(dir, key)?;
        let Some(finding) = report.finding.clone() else { return Ok((report, repairs)) };
        if !finding.fault.is_recoverable() || repairs.len() == MAX_REPAIRS {
            return Err(OpenError::Faulty { dir: dir.to_owned(), finding });
        }
        let path = dir.join(&finding.file);
        let removed = match finding.fault {
            // A segment without its header is not begun yet.
            Fault::IncompleteLastWrite { bytes } if finding.offset == 0 => {
                fs::remove_file(&path).map_err(at(&path))?;
                bytes
            }
            Fault::IncompleteLastWrite { bytes } | Fault::IncompleteLastCheckpoint { bytes } => {
                let file = OpenOptions::new().write(true).open(&path).map_err(at(&path))?;
                file.set_len(finding.offset).map_err(at(&path))?;
                file.sync_all().map_err(at(&path))?;
                bytes
            }
            _ => return Err(OpenError::Faulty { dir: dir.to_owned(), finding }),
        };
        repairs.push(Repair { finding, removed });
    }
}

/// Verifies the last two segments: the last one may have no whole header yet.
fn read_end(dir: &Path, key: &LedgerKey) -> Result<Report, OpenError> {
    let numbers = segments::list(dir).map_err(at(dir))?;
    if let Some((number, found)) = (0..).zip(&numbers).find(|(i, n)| i != *n) {
        let fault = Fault::SegmentMissing { found: Some(*found) };
        let finding = Finding { file: segment_name(number), line: 1, offset: 0, seq: 0, fault };
        return Err(OpenError::Faulty { dir: dir.to_owned(), finding });
    }
    let last_two = &numbers[numbers.len().saturating_sub(2)..];
    let files = last_two.iter().map(|n| Ok((*n, BufReader::new(File::open(dir.join(segment_name(*n)))?))));
    let checkpoints = dir.join(CHECKPOINTS_FILE);
    let report = match File::open(&checkpoints) {
        Ok(marks) => verify_from_header(&key.public(), BufReader::new(marks), files),
        Err(e) if e.kind() == io::ErrorKind::NotFound => verify_from_header(&key.public(), io::empty(), files),
        Err(e) => return Err(at(&checkpoints)(e)),
    };
    report.map_err(at(dir))
}
