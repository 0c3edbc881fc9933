//! The index: the ledger in tables, for questions.
//!
//! It is built from the segment files alone and can be thrown away at any time. The place up to which the ledger is indexed
//! moves in the same transaction as the rows, so no entry is lost or counted twice, whenever the process dies.

mod follow;
mod load;
mod questions;
mod rows;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use thiserror::Error;
use tokio::sync::{Mutex, watch};

pub use follow::Follower;
pub use questions::{AccessFilter, EdgeFilter, Page, Per};
pub use rows::{
    AccessRow, AppCount, Bucket, ChangeRow, CutRow, DenialCount, Edge, RefusalRow, SessionRow, SystemRow, Totals,
    Verdict,
};

use crate::reader::{Entries, Position, ReadError};

/// How many rows a question returns at most.
pub const MAX_PAGE: u32 = 1_000;

/// How many entries are indexed in one transaction.
const BATCH_ENTRIES: usize = 1_000;

/// How many questions are answered at the same time.
const READERS: u32 = 4;

/// How long a connection waits for the writer at most.
const BUSY: StdDuration = StdDuration::from_secs(5);

/// The version of the tables. An index of another version is built anew.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = include_str!("schema.sql");

/// The index of one ledger.
#[derive(Clone)]
pub struct Index {
    ledger: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    /// Held while the index catches up, so that it happens once.
    catching_up: Arc<Mutex<()>>,
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
        let mark = load::mark(&self.writer).await?;
        self.indexed.send_replace(mark.next_seq);
        let mut entries = Entries::from_position(&self.ledger, mark.next);
        loop {
            let (read, batch) = tokio::task::spawn_blocking(move || {
                let batch: Result<Vec<_>, _> = entries.by_ref().take(BATCH_ENTRIES).collect();
                (entries, batch)
            })
            .await?;
            entries = read;
            let batch = batch?;
            let Some(last) = batch.last() else { return Ok(self.indexed()) };
            let hash = last.hash.clone();
            let mark = Mark { next_seq: last.entry.seq + 1, last: last.position, next: entries.position(), hash };
            load::batch(&self.writer, &batch, &mark).await?;
            self.indexed.send_replace(mark.next_seq);
        }
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
        let mark = load::mark(&self.writer).await?;
        self.indexed.send_replace(mark.next_seq);
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
        Ok(Self { ledger: ledger.to_owned(), writer, readers, catching_up: Arc::default(), indexed })
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
