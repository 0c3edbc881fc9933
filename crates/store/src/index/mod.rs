//! The index: the ledger in tables, for questions.
//!
//! Verdicts and refusals are many, and rows of a database are dear: they are kept in blocks of some thousand entries, each with
//! a summary by which a question knows whether to look into it. What is seldom (sessions, changes, ends of connections, events of
//! the system) is kept in rows, and counts are rolled up. The newest entries are in memory until they make a block.
//!
//! It is built from the segment files alone and can be thrown away at any time. The place up to which the ledger is in the
//! database moves in the same transaction as the block, so no entry is lost or counted twice, whenever the process dies; what was
//! in memory then is read from the ledger again.

mod block;
mod cache;
mod code;
mod counts;
mod filter;
mod follow;
mod lists;
mod load;
#[cfg(test)]
mod model_tests;
mod questions;
mod recent;
mod rolls;
mod rows;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration as StdDuration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, Transaction};
use thiserror::Error;
use tokio::sync::{Mutex, watch};

use self::cache::Cache;
use self::recent::{Part, Recent};
pub use follow::Follower;
pub use questions::{AccessFilter, EdgeFilter, Page, Per};
pub use rows::{
    AccessRow, AppCount, Bucket, ChangeRow, CutRow, DenialCount, Edge, RefusalRow, SessionRow, SystemRow, Totals,
    Verdict,
};

use crate::Batch;
use crate::reader::{Entries, Position, ReadError};

/// How many rows a question returns at most.
pub const MAX_PAGE: u32 = 1_000;

/// How many entries are read from the ledger at once.
const BATCH_ENTRIES: usize = 1_000;

/// How often a question looks again when the database moved on while it looked.
const LOOKS: usize = 16;

/// How many questions are answered at the same time.
const READERS: u32 = 4;

/// How long a connection waits for the writer at most.
const BUSY: StdDuration = StdDuration::from_secs(5);

/// The version of the tables. An index of another version is built anew.
const SCHEMA_VERSION: i64 = 2;

const SCHEMA: &str = include_str!("schema.sql");

/// The index of one ledger.
#[derive(Clone)]
pub struct Index {
    ledger: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    /// Held while the index catches up, so that it happens once.
    catching_up: Arc<Mutex<()>>,
    /// What the database does not have yet. It is held for as long as it takes to look through some thousand rows.
    recent: Arc<StdMutex<Recent>>,
    blocks: Arc<Cache>,
    /// How many entries are indexed.
    indexed: Arc<watch::Sender<u64>>,
}

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The database failed.
    #[error(
        "the index (index.db) cannot be used: {0}; it can be deleted, it is built anew from the ledger at the next start"
    )]
    Database(#[from] sqlx::Error),
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] ReadError),
    /// The old index could not be removed.
    #[error("cannot remove the old index {path}: {source}", path = path.display())]
    Remove {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A row holds something that no entry can hold.
    #[error("the index holds `{value}` as {what}; delete index.db, it is built anew from the ledger at the next start")]
    Damaged {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// The database moved on faster than a question could be answered.
    #[error("the index is too busy to answer; ask again")]
    Busy,
    /// A task ended early.
    #[error("the index was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Up to where the ledger is indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mark {
    /// How many entries are indexed.
    next_seq: u64,
    /// Where the line of the last one begins,
    last: Position,
    /// where it ends,
    next: Position,
    /// and its hash.
    hash: String,
}

impl Index {
    /// Opens the index in `file` of the ledger in the directory `ledger`. One that is missing, damaged, of another version or of
    /// another ledger is built anew; [`Self::catch_up`] fills it.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn open(ledger: &Path, file: &Path) -> Result<Self, IndexError> {
        if fs::exists(file).unwrap_or(true) {
            match Self::open_checked(ledger, file).await {
                Ok(Ok(index)) => return Ok(index),
                Ok(Err(why)) => tracing::info!("the index is built anew from the ledger: {why}"),
                Err(e) => tracing::info!("the index is built anew from the ledger: {e}"),
            }
            remove(file)?;
        } else {
            tracing::info!("the index is built from the ledger: there is none yet");
        }
        let index = Self::connect(ledger, file).await?;
        sqlx::raw_sql(SCHEMA).execute(&index.writer).await?;
        Ok(index)
    }

    /// How many entries are indexed.
    #[must_use]
    pub fn indexed(&self) -> u64 {
        *self.indexed.borrow()
    }

    /// Resolves when the entry `seq` is indexed.
    pub async fn reached(&self, seq: u64) {
        // The sender lives as long as `self`.
        let _ = self.indexed.subscribe().wait_for(|n| *n > seq).await;
    }

    /// Indexes everything that the ledger holds now; returns how many entries are indexed.
    ///
    /// # Errors
    /// If the ledger cannot be read or the database fails. Nothing is lost: the next call goes on.
    pub async fn catch_up(&self) -> Result<u64, IndexError> {
        let _alone = self.catching_up.lock().await;
        self.keep().await?;
        let from = self.recent().mark().next;
        let mut entries = Entries::from_position(&self.ledger, from);
        loop {
            let (read, batch) = tokio::task::spawn_blocking(move || {
                let batch: Result<Vec<_>, _> = entries.by_ref().take(BATCH_ENTRIES).collect();
                (entries, batch)
            })
            .await?;
            entries = read;
            let batch = batch?;
            if batch.is_empty() {
                return Ok(self.indexed());
            }
            self.recent().read(&batch);
            self.told();
            self.keep().await?;
        }
    }

    /// Indexes what was just written; `false` if something between is missing.
    async fn take(&self, batches: &[Arc<Batch>]) -> Result<bool, IndexError> {
        let _alone = self.catching_up.lock().await;
        self.keep().await?;
        for batch in batches {
            if !self.recent().take(batch) {
                return Ok(false);
            }
            self.keep().await?;
        }
        self.told();
        Ok(true)
    }

    /// Brings full parts into the database. As long as that fails, some more may wait in memory.
    async fn keep(&self) -> Result<(), IndexError> {
        loop {
            let part = self.recent().to_keep();
            let Some(part) = part else { return Ok(()) };
            match load::keep(&self.writer, &part).await {
                Ok(()) => self.recent().kept(part.mark.next_seq),
                Err(e) if self.recent().is_stuck() => return Err(e),
                Err(e) => {
                    tracing::warn!("a part of the index waits in memory, since the database did not take it: {e}");
                    return Ok(());
                }
            }
        }
    }

    fn told(&self) {
        let next_seq = self.recent().mark().next_seq;
        self.indexed.send_if_modified(|told| std::mem::replace(told, next_seq) != next_seq);
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database at one instant, and what `read` says of the entries that are behind it: together they are everything, and
    /// nothing is in both.
    async fn view<T>(&self, read: impl Fn(&[&Part]) -> T) -> Result<(Transaction<'static, Sqlite>, T), IndexError> {
        for _ in 0..LOOKS {
            let mut tx = self.readers.begin().await?;
            let mark = load::mark(&mut tx).await?.next_seq;
            let found = self.recent().parts(mark).map(|parts| read(&parts));
            if let Some(found) = found {
                return Ok((tx, found));
            }
            // Several parts were kept since: the next look sees them in the database.
        }
        Err(IndexError::Busy)
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Opens an index that is there; the inner error says why it does not fit.
    async fn open_checked(ledger: &Path, file: &Path) -> Result<Result<Self, String>, IndexError> {
        let index = Self::connect(ledger, file).await?;
        let why = index.misfit().await;
        match why {
            Ok(None) => Ok(Ok(index)),
            Ok(Some(why)) => {
                index.close().await;
                Ok(Err(why))
            }
            Err(e) => {
                index.close().await;
                Err(e)
            }
        }
    }

    /// Why the tables are not those of this ledger.
    async fn misfit(&self) -> Result<Option<String>, IndexError> {
        let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&self.writer).await?;
        if version != SCHEMA_VERSION {
            return Ok(Some(format!("it has version {version} and not {SCHEMA_VERSION}")));
        }
        let mark = load::mark(&mut *self.writer.acquire().await?).await?;
        *self.recent() = Recent::behind(mark.clone());
        self.told();
        if mark.next_seq == 0 {
            return Ok(None);
        }
        let same = match Entries::from_position(&self.ledger, mark.last).next() {
            Some(Ok(located)) => located.hash == mark.hash && located.entry.seq + 1 == mark.next_seq,
            Some(Err(_)) | None => false,
        };
        Ok((!same).then(|| "it belongs to another ledger".to_owned()))
    }

    async fn connect(ledger: &Path, file: &Path) -> Result<Self, IndexError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.pragma("query_only", "on"));
        let indexed = Arc::new(watch::Sender::new(0));
        let (catching_up, recent, blocks) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { ledger: ledger.to_owned(), writer, readers, catching_up, recent, blocks, indexed })
    }
}

/// Removes an index with the files that SQLite keeps beside it.
fn remove(file: &Path) -> Result<(), IndexError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(IndexError::Remove { path, source }),
            _ => {}
        }
    }
    Ok(())
}
