//! The one writer of a ledger.

mod batch;
mod keeper;
mod open;
mod pending;
mod progress;
mod queue;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration as StdDuration;

use safeconduct_ledger::{Draft, Pattern, Varying};
use safeconduct_model::{Duration, Timestamp};
use thiserror::Error;
use tokio::sync::broadcast;

pub use self::batch::{Batch, Happened, Written};
pub use self::open::{OpenError, Repair};
use self::pending::Fitting;
pub use self::progress::Receipt;
use self::progress::{Goal, Progress};
use self::queue::Queue;
use self::worker::Worker;
use crate::files::{Files, OsFiles};
use crate::key::LedgerKey;

/// How many records may wait to be written.
pub const QUEUE_RECORDS: usize = 8_192;

/// How many batches a subscriber may lag behind before it loses some.
pub const SUBSCRIBER_BATCHES: usize = 512;

/// How long the thread of the writer lets records gather after it has written some, so that they share a wake-up and a system
/// call. What comes after a rest is written at once, and so is what somebody waits for ([`Options::help`]).
pub const GATHER: StdDuration = StdDuration::from_millis(8);

/// How the writer works. The default is right for a server.
#[derive(Clone)]
pub struct Options {
    /// A segment that has this many bytes is closed and the next one begun.
    pub segment_bytes: u64,
    /// How long records gather ([`GATHER`]).
    pub gather: StdDuration,
    /// Whoever waits until a record is written writes what is there, if nobody does so at this moment: it waits for the kernel in
    /// any case, and a change to the thread of the writer and back costs more than the writing.
    pub help: bool,
    /// What was written is brought to the disk at least this often.
    pub sync_interval: StdDuration,
    /// A checkpoint is signed after this many records,
    pub checkpoint_records: u64,
    /// and at least this often while records come.
    pub checkpoint_interval: StdDuration,
    /// How many records may wait ([`QUEUE_RECORDS`]).
    pub queue_records: usize,
    /// How far the last record may lie in the future when the ledger is opened.
    pub clock_tolerance: Duration,
    /// After a failure, writing is tried again this often.
    pub retry_interval: StdDuration,
    /// Where the files come from.
    pub files: Arc<dyn Files>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            gather: GATHER,
            help: true,
            sync_interval: StdDuration::from_millis(200),
            checkpoint_records: 4_096,
            checkpoint_interval: StdDuration::from_secs(10),
            queue_records: QUEUE_RECORDS,
            clock_tolerance: Duration::from_secs(5),
            retry_interval: StdDuration::from_millis(500),
            files: Arc::new(OsFiles),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("segment_bytes", &self.segment_bytes).finish_non_exhaustive()
    }
}

/// Why a record is not known to be written. The caller turns it into a denial.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WriteError {
    /// Too many records wait.
    #[error("the ledger is overloaded: {waiting} records wait to be written")]
    QueueFull {
        /// How many wait at most.
        waiting: usize,
    },
    /// The disk fails.
    #[error("the ledger cannot be written: {why}; free space or repair the disk, writing goes on by itself")]
    Failing {
        /// What the system said.
        why: Arc<str>,
    },
    /// The clock went back.
    #[error(
        "the clock went back: the record is of {at}, but the ledger already holds one of {last}; set the clock right (check NTP)"
    )]
    ClockWentBack {
        /// The time of the record.
        at: Timestamp,
        /// The last time in the ledger.
        last: Timestamp,
    },
    /// The record is none that the ledger takes.
    #[error("{0}")]
    Record(Arc<str>),
    /// The writer was closed.
    #[error("the ledger is closed")]
    Closed,
}

/// How the writer fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why writing fails now; `None` if it works.
    pub failure: Option<Arc<str>>,
    /// How many records are in the files.
    pub written: u64,
    /// How many of them are on the disk.
    pub durable: u64,
    /// How many of them a checkpoint covers.
    pub signed: u64,
    /// How many records were refused because the queue was full or writing failed.
    pub refused: u64,
}

/// The writer of a ledger: one thread, one queue, one lock on the directory. Dropping it closes it.
pub struct LedgerWriter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    repairs: Vec<Repair>,
}

/// What callers and the thread share.
struct Shared {
    queue: Queue,
    progress: Progress,
    refused: AtomicU64,
    batches: broadcast::Sender<Arc<Batch>>,
    /// Who writes, as long as the ledger is open. One who panics while writing leaves the lock poisoned, and nobody writes
    /// after that.
    worker: Mutex<Option<Worker>>,
    /// Whether those who wait may write.
    help: bool,
}

impl Shared {
    /// Writes what waits, if nobody does so now, for as long as somebody waits for it.
    fn help(&self) {
        /// How often at most.
        const ROUNDS: usize = 4;
        if !self.help || self.progress.is_failing() {
            return;
        }
        for _ in 0..ROUNDS {
            let Ok(mut worker) = self.worker.try_lock() else { return };
            let wrote = worker.as_mut().is_some_and(Worker::help);
            drop(worker);
            if wrote {
                self.progress.wake();
            }
            // Someone who came meanwhile found the lock taken and relies on this look.
            if !self.progress.is_awaited() || self.queue.is_empty() {
                return;
            }
        }
    }
}

impl LedgerWriter {
    /// Opens the ledger in `dir`, or begins one there.
    ///
    /// An incomplete last write, as a crash leaves it, is removed ([`Self::repairs`]).
    ///
    /// # Errors
    /// If another process has the directory, the ledger was tampered with, its last record lies in the future of `now`, or the
    /// disk fails.
    pub fn open(dir: &Path, key: &LedgerKey, now: Timestamp, options: Options) -> Result<Self, OpenError> {
        open::open(dir, key, now, options)
    }

    /// Hands in a record that happened at `at`. Never blocks.
    ///
    /// # Errors
    /// If the queue is full, writing fails, the record is too long, or the clock went back by more than
    /// [`safeconduct_ledger::BACKSTEP_TOLERANCE`].
    pub fn append(&self, at: Timestamp, draft: impl Into<Draft>) -> Result<Receipt, WriteError> {
        self.receipt(self.ready().and_then(|()| Fitting::of(draft.into(), |record| self.shared.queue.put(at, record))))
    }

    /// Hands in a verdict like others, without a copy of its texts on the heap. Never blocks.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_like(
        &self,
        at: Timestamp,
        pattern: &Arc<Pattern>,
        varying: Varying<'_>,
    ) -> Result<Receipt, WriteError> {
        let fitting = self.ready().and_then(|()| Fitting::like(pattern, varying));
        self.receipt(fitting.and_then(|record| self.shared.queue.put(at, record)))
    }

    fn ready(&self) -> Result<(), WriteError> {
        let progress = &self.shared.progress;
        if progress.has_ended() {
            return Err(WriteError::Closed);
        }
        match progress.is_failing().then(|| progress.failure()).flatten() {
            Some(why) => Err(WriteError::Failing { why }),
            None => Ok(()),
        }
    }

    fn receipt(&self, put: Result<u64, WriteError>) -> Result<Receipt, WriteError> {
        match put {
            Ok(seq) => Ok(Receipt::new(seq, Arc::clone(&self.shared))),
            Err(error) => {
                if error != WriteError::Closed {
                    self.shared.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }

    /// Every entry from now on, after it was written, in batches. Whoever reads too slowly loses batches and is told how many;
    /// the writer never waits.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Batch>> {
        self.shared.batches.subscribe()
    }

    /// The latest time that was handed in, or that the ledger held when it was opened.
    #[must_use]
    pub fn last_at(&self) -> Timestamp {
        self.shared.queue.last_at()
    }

    /// How the writer fares.
    #[must_use]
    pub fn health(&self) -> Health {
        let progress = &self.shared.progress;
        let ended = || progress.has_ended().then(|| "the writer has ended".into());
        Health {
            failure: progress.failure().or_else(ended),
            written: progress.mark(Goal::Written),
            durable: progress.mark(Goal::Durable),
            signed: progress.signed(),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }

    /// What was repaired when the ledger was opened.
    #[must_use]
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// Writes what waits, brings it to the disk, signs a checkpoint and gives the directory free. Blocks for as long as that
    /// takes; further records are refused.
    pub fn close(&self) {
        self.shared.queue.close();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the ledger writer panicked; the ledger is whole up to its last checkpoint or torn write");
        }
    }
}

impl Drop for LedgerWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// Nobody panics while holding one of these locks; if it happened, the data would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
