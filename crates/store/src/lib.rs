//! What is kept on the disk: the ledger's segment files, their index, and the control state.
//!
//! - [`LedgerWriter`] appends records to the hash-chained segments, one thread for one directory. It is the only way in.
//! - [`Entries`] reads them again, from any record on, with little memory.
//! - [`Index`] is the ledger in SQLite tables for questions. It can be thrown away: it is built from the segments alone.
//! - [`Control`] is the append-only log of changes to accounts, devices, grants and the like, in SQLite.
//!
//! The format of the segments and their verifier are in `safeconduct_ledger`. Nothing here decides, and a verdict never waits for
//! anything here but a [`Receipt`], where the asset is critical.
//!
//! ```
//! use safeconduct_model::{Record, SystemEvent, Timestamp};
//! use safeconduct_store::{Index, LedgerKey, LedgerWriter, Options};
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let dir = tempfile::tempdir()?;
//! let (ledger, now) = (dir.path().join("ledger"), Timestamp::from_millis(1_000));
//! let key = LedgerKey::load_or_create(&dir.path().join("ledger.key"))?;
//! let writer = LedgerWriter::open(&ledger, &key, now, Options::default())?;
//!
//! let record = Record::System(SystemEvent { event: "start".into(), detail: "first start".into() });
//! let seq = writer.append(now, record)?.durable().await?;
//!
//! let index = Index::open(&ledger, &dir.path().join("index.db")).await?;
//! index.catch_up().await?;
//! assert!(index.entry(seq).await?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod control;
mod files;
mod index;
mod key;
mod reader;
mod segments;
#[cfg(test)]
mod testing;
mod verify;
mod writer;

pub use control::{Control, ControlError, Doc, DocChange, Logged, MAX_CHANGES, MAX_SINCE, Rev};
pub use files::{Files, OsFiles, Sink};
pub use index::{
    AccessFilter, AccessRow, AppCount, Bucket, ChangeRow, CutRow, DenialCount, Edge, EdgeFilter, Follower, Index,
    IndexError, MAX_PAGE, Page, Per, RefusalRow, SessionRow, SystemRow, Totals, Verdict,
};
pub use key::{KeyError, LedgerKey};
pub use reader::{Entries, Located, Position, ReadError};
pub use verify::verify_ledger;
pub use writer::{
    Batch, GATHER, Happened, Health, LedgerWriter, OpenError, Options, QUEUE_RECORDS, Receipt, Repair,
    SUBSCRIBER_BATCHES, WriteError, Written,
};
