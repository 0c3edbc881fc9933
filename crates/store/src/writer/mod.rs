//! The one writer of a ledger.

mod open;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration as StdDuration;

use safeconduct_ledger::BACKSTEP_TOLERANCE;
use safeconduct_model::{Duration, Entry, Record, Timestamp};
use thiserror::Error;
use tokio::sync::{broadcast, oneshot};

pub use self::open::{OpenError, Repair};
use crate::files::{Files, OsFiles};
use crate::key::LedgerKey;

/// How many records may wait to be written.
pub const QUEUE_RECORDS: usize = 8_192;

/// How many entries a subscriber may lag behind before it loses some.
pub const SUBSCRIBER_ENTRIES: usize = 1_024;

/// How the writer works. The default is right for a server.
#[derive(Clone)]
pub struct Options {
    /// A segment that has this many bytes is closed and the next one begun.
    pub segment_bytes: u64,
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
    queue_records: usize,
}

/// What stands for a record that was handed in.
#[must_use = "a record is known to be written only when its receipt says so"]
pub struct Receipt {
    ticket: u64,
    reply: oneshot::Receiver<Result<u64, WriteError>>,
    shared: Arc<Shared>,
}

/// What callers and the thread share.
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Who waits for the disk, by ticket.
    durable: Mutex<Vec<Waiting>>,
    health: Mutex<Health>,
    refused: AtomicU64,
    last_at: AtomicI64,
    entries: broadcast::Sender<Arc<Entry>>,
}

/// Who waits for the disk: a ticket and where the answer goes.
type Waiting = (u64, oneshot::Sender<Result<(), WriteError>>);

struct Queue {
    /// `None` when closed.
    sender: Option<SyncSender<Message>>,
    next_ticket: u64,
}

/// What the thread is told.
enum Message {
    /// Write this.
    Append { ticket: u64, at: Timestamp, record: Record, reply: oneshot::Sender<Result<u64, WriteError>> },
    /// Look who waits.
    Wake,
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
    /// If the queue is full, writing fails, or the clock went back by more than [`BACKSTEP_TOLERANCE`].
    pub fn append(&self, at: Timestamp, record: Record) -> Result<Receipt, WriteError> {
        let (tx, reply) = oneshot::channel();
        let refuse = |error| {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            Err(error)
        };
        if let Some(why) = lock(&self.shared.health).failure.clone() {
            return refuse(WriteError::Failing { why });
        }
        let last = self.last_at();
        if last.since(at) > BACKSTEP_TOLERANCE {
            return refuse(WriteError::ClockWentBack { at, last });
        }
        let mut queue = lock(&self.shared.queue);
        let ticket = queue.next_ticket;
        let Some(sender) = &queue.sender else { return Err(WriteError::Closed) };
        match sender.try_send(Message::Append { ticket, at, record, reply: tx }) {
            Ok(()) => {
                queue.next_ticket += 1;
                self.shared.last_at.fetch_max(at.millis(), Ordering::Relaxed);
                Ok(Receipt { ticket, reply, shared: Arc::clone(&self.shared) })
            }
            Err(TrySendError::Full(_)) => refuse(WriteError::QueueFull { waiting: self.queue_records }),
            Err(TrySendError::Disconnected(_)) => refuse(WriteError::Closed),
        }
    }

    /// Every entry from now on, after it was written. Whoever reads too slowly loses entries and is told how many; the writer
    /// never waits.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.shared.entries.subscribe()
    }

    /// The latest time that was handed in, or that the ledger held when it was opened.
    #[must_use]
    pub fn last_at(&self) -> Timestamp {
        Timestamp::from_millis(self.shared.last_at.load(Ordering::Relaxed))
    }

    /// How the writer fares.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut health = lock(&self.shared.health).clone();
        health.refused = self.shared.refused.load(Ordering::Relaxed);
        if health.failure.is_none() && lock(&self.thread).as_ref().is_none_or(JoinHandle::is_finished) {
            health.failure = Some("the writer has ended".into());
        }
        health
    }

    /// What was repaired when the ledger was opened.
    #[must_use]
    pub fn repairs(&self) -> &[Repair] {
        &self.repairs
    }

    /// Writes what waits, brings it to the disk, signs a checkpoint and gives the directory free. Blocks for as long as that
    /// takes; further records are refused.
    pub fn close(&self) {
        lock(&self.shared.queue).sender = None;
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

impl Receipt {
    /// Resolves when the record was handed to the kernel: it survives the death of the process, not of the machine.
    ///
    /// # Errors
    /// If the record is not known to be written.
    pub async fn written(self) -> Result<u64, WriteError> {
        self.reply.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Resolves when the record is on the disk.
    ///
    /// # Errors
    /// If the record is not known to be on the disk.
    pub async fn durable(self) -> Result<u64, WriteError> {
        let (tx, rx) = oneshot::channel();
        lock(&self.shared.durable).push((self.ticket, tx));
        if let Some(sender) = &lock(&self.shared.queue).sender {
            // A full queue means that the thread is awake.
            let _ = sender.try_send(Message::Wake);
        }
        let seq = self.reply.await.unwrap_or(Err(WriteError::Closed))?;
        rx.await.unwrap_or(Err(WriteError::Closed))?;
        Ok(seq)
    }
}

/// Nobody panics while holding one of these locks; if it happened, the data would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
