//! Control state: an append-only log of changes with revisions, and the documents that it amounts to.
//!
//! The log is in one SQLite file with `synchronous=FULL`: what was appended is on the disk. A decision never reads it; the
//! server loads what it needs into memory and follows the revisions.

use std::path::Path;
use std::time::Duration as StdDuration;

use safeconduct_model::Timestamp;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, Sqlite, Transaction};
use thiserror::Error;

/// How many changes [`Control::append`] takes at once.
pub const MAX_CHANGES: usize = 10_000;

/// How many changes [`Control::since`] returns at most; ask again from the last one.
pub const MAX_SINCE: u32 = 10_000;

/// How long a writer waits for another process at most.
const BUSY: StdDuration = StdDuration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS revisions (rev INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS changes (
    rev INTEGER NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT,
    PRIMARY KEY (rev, n)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, rev INTEGER NOT NULL,
    PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID;
";

/// A revision of the control state; 0 is the empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rev(pub u64);

/// A document to be written, or removed if it has no body.
#[derive(Clone, Debug, PartialEq)]
pub struct DocChange {
    /// What it is: a word of the caller (`account`, `grant`, …).
    pub kind: String,
    /// Which one.
    pub id: String,
    /// What it says; `None` removes it.
    pub body: Option<Value>,
}

/// A document.
#[derive(Clone, Debug, PartialEq)]
pub struct Doc {
    /// Which one.
    pub id: String,
    /// What it says.
    pub body: Value,
    /// The revision that wrote it.
    pub rev: Rev,
}

/// A change with its revision and time.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// The revision that it belongs to.
    pub rev: Rev,
    /// When it was made.
    pub at: Timestamp,
    /// The change.
    pub change: DocChange,
}

/// Why control state could not be read or written.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Someone else was faster.
    #[error("the state has changed meanwhile: it is at revision {} and not at {}; look again and repeat", found.0, expected.0)]
    Conflict {
        /// The revision that the caller knew.
        expected: Rev,
        /// The one that is there.
        found: Rev,
    },
    /// Too much at once.
    #[error("{count} changes at once are more than {MAX_CHANGES}; divide them")]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// A stored document is not JSON.
    #[error("the {kind} `{id}` in the control state is damaged: {source}; restore control.db from a backup")]
    Damaged {
        /// Its kind.
        kind: String,
        /// Which one.
        id: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The database failed.
    #[error("the control state (control.db) cannot be used: {0}")]
    Database(#[from] sqlx::Error),
}

/// The control state of one installation.
#[derive(Clone, Debug)]
pub struct Control {
    pool: SqlitePool,
}

impl Control {
    /// Opens the state in `file`, or begins it there.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn open(file: &Path) -> Result<Self, ControlError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        // One connection: whoever writes, writes alone, and whoever reads, reads what was written.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(Self { pool })
    }

    /// The last revision.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rev(&self) -> Result<Rev, ControlError> {
        let rev: i64 = sqlx::query_scalar("SELECT coalesce(max(rev), 0) FROM revisions").fetch_one(&self.pool).await?;
        Ok(Rev(rev.unsigned_abs()))
    }

    /// Makes all `changes` or none of them, as one revision. With `expected`, only if that is still the last revision.
    ///
    /// # Errors
    /// If someone else was faster, there are too many changes, or the database fails.
    pub async fn append(
        &self,
        expected: Option<Rev>,
        changes: &[DocChange],
        at: Timestamp,
    ) -> Result<Rev, ControlError> {
        if changes.len() > MAX_CHANGES {
            return Err(ControlError::TooMany { count: changes.len() });
        }
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let found = last_rev(&mut tx).await?;
        if let Some(expected) = expected.filter(|e| *e != found) {
            return Err(ControlError::Conflict { expected, found });
        }
        if changes.is_empty() {
            return Ok(found);
        }
        let rev = write(&mut tx, found, changes, at).await?;
        tx.commit().await?;
        Ok(rev)
    }

    /// All documents of a kind, in the order of their ids.
    ///
    /// # Errors
    /// If the database fails or a document is damaged.
    pub async fn load(&self, kind: &str) -> Result<Vec<Doc>, ControlError> {
        let rows = sqlx::query("SELECT id, body, rev FROM documents WHERE kind = $1 ORDER BY id")
            .bind(kind.to_owned())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| doc(kind, row.try_get(0)?, row.try_get::<&str, _>(1)?, row.try_get(2)?)).collect()
    }

    /// One document; `None` if there is none.
    ///
    /// # Errors
    /// If the database fails or the document is damaged.
    pub async fn get(&self, kind: &str, id: &str) -> Result<Option<Doc>, ControlError> {
        let row: Option<(String, i64)> = sqlx::query_as("SELECT body, rev FROM documents WHERE kind = $1 AND id = $2")
            .bind(kind.to_owned())
            .bind(id.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|(body, rev)| doc(kind, id.to_owned(), &body, rev)).transpose()
    }

    /// Removes a document and returns it. Of any number of callers at the same time exactly one gets it, so this redeems what
    /// may be used once.
    ///
    /// # Errors
    /// If the database fails or the document is damaged; a damaged document is not removed.
    pub async fn take(&self, kind: &str, id: &str, at: Timestamp) -> Result<Option<Doc>, ControlError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let row: Option<(String, i64)> =
            sqlx::query_as("DELETE FROM documents WHERE kind = $1 AND id = $2 RETURNING body, rev")
                .bind(kind.to_owned())
                .bind(id.to_owned())
                .fetch_optional(&mut *tx)
                .await?;
        let Some((body, rev)) = row else { return Ok(None) };
        let taken = doc(kind, id.to_owned(), &body, rev)?;
        let found = last_rev(&mut tx).await?;
        let change = DocChange { kind: kind.to_owned(), id: id.to_owned(), body: None };
        write(&mut tx, found, &[change], at).await?;
        tx.commit().await?;
        Ok(Some(taken))
    }

    /// The changes behind a revision, oldest first, [`MAX_SINCE`] at most; a revision that is not whole is left out.
    ///
    /// # Errors
    /// If the database fails or a change is damaged.
    pub async fn since(&self, rev: Rev) -> Result<Vec<Logged>, ControlError> {
        let rows = sqlx::query(
            "SELECT c.rev, r.at, c.kind, c.id, c.body FROM changes c JOIN revisions r USING (rev)
             WHERE c.rev > $1 ORDER BY c.rev, c.n LIMIT $2",
        )
        .bind(signed(rev.0))
        .bind(i64::from(MAX_SINCE) + 1)
        .fetch_all(&self.pool)
        .await?;
        let mut logged = Vec::with_capacity(rows.len());
        for row in &rows {
            let (kind, id): (String, String) = (row.try_get(2)?, row.try_get(3)?);
            let body: Option<String> = row.try_get(4)?;
            let body = body.map(|b| parse(&kind, &id, &b)).transpose()?;
            let rev = Rev(row.try_get::<i64, _>(0)?.unsigned_abs());
            let at = Timestamp::from_millis(row.try_get(1)?);
            logged.push(Logged { rev, at, change: DocChange { kind, id, body } });
        }
        if logged.len() > MAX_SINCE as usize {
            let last = logged.last().map(|l| l.rev);
            logged.retain(|l| Some(l.rev) != last);
        }
        Ok(logged)
    }

    /// Forgets the changes up to a revision, so that the log does not grow for ever. The documents stay.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget(&self, up_to: Rev) -> Result<(), ControlError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let last = last_rev(&mut tx).await?;
        let up_to = signed(up_to.0);
        sqlx::query("DELETE FROM changes WHERE rev <= $1").bind(up_to).execute(&mut *tx).await?;
        // The last revision stays known.
        sqlx::query("DELETE FROM revisions WHERE rev <= $1 AND rev < $2")
            .bind(up_to)
            .bind(signed(last.0))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn last_rev(tx: &mut Transaction<'static, Sqlite>) -> Result<Rev, sqlx::Error> {
    let rev: i64 = sqlx::query_scalar("SELECT coalesce(max(rev), 0) FROM revisions").fetch_one(&mut **tx).await?;
    Ok(Rev(rev.unsigned_abs()))
}

async fn write(
    tx: &mut Transaction<'static, Sqlite>,
    found: Rev,
    changes: &[DocChange],
    at: Timestamp,
) -> Result<Rev, sqlx::Error> {
    let rev = signed(found.0 + 1);
    sqlx::query("INSERT INTO revisions (rev, at) VALUES ($1, $2)")
        .bind(rev)
        .bind(at.millis())
        .execute(&mut **tx)
        .await?;
    for (n, DocChange { kind, id, body }) in (0_i64..).zip(changes) {
        let body = body.as_ref().map(Value::to_string);
        sqlx::query("INSERT INTO changes (rev, n, kind, id, body) VALUES ($1, $2, $3, $4, $5)")
            .bind(rev)
            .bind(n)
            .bind(kind.clone())
            .bind(id.clone())
            .bind(body.clone())
            .execute(&mut **tx)
            .await?;
        let document = match body {
            Some(body) => sqlx::query(
                "INSERT INTO documents (kind, id, body, rev) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, rev = excluded.rev",
            )
            .bind(kind.clone())
            .bind(id.clone())
            .bind(body)
            .bind(rev),
            None => {
                sqlx::query("DELETE FROM documents WHERE kind = $1 AND id = $2").bind(kind.clone()).bind(id.clone())
            }
        };
        document.execute(&mut **tx).await?;
    }
    Ok(Rev(found.0 + 1))
}

fn doc(kind: &str, id: String, body: &str, rev: i64) -> Result<Doc, ControlError> {
    let body = parse(kind, &id, body)?;
    Ok(Doc { id, body, rev: Rev(rev.unsigned_abs()) })
}

fn parse(kind: &str, id: &str, body: &str) -> Result<Value, ControlError> {
    serde_json::from_str(body).map_err(|source| ControlError::Damaged {
        kind: kind.to_owned(),
        id: id.to_owned(),
        source,
    })
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
