//! Locks: who and what is shut out now.

use safeconduct_model::{LockId, Timestamp};

use super::{Done, Link};

/// A lock.
#[derive(Clone, Debug)]
pub struct LockRow {
    /// Its id.
    pub id: LockId,
    /// What kind of thing it is on.
    pub kind: &'static str,
    /// What it is on, by name.
    pub on: Link,
    /// What whoever is refused is told.
    pub message: String,
    /// Who placed it.
    pub by: Link,
    /// When.
    pub placed: Timestamp,
    /// When it ends, if it ends on its own.
    pub until: Option<Timestamp>,
    /// Whether it holds now.
    pub in_force: bool,
}

/// What is typed to place a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockForm {
    /// What kind of thing.
    pub kind: String,
    /// Its id.
    pub name: String,
    /// What whoever is refused is told.
    pub message: String,
    /// How long, such as `8h`; empty until it is lifted.
    pub lasts: String,
}

/// What became of a lock that was to be placed.
#[derive(Clone, Debug)]
pub enum LockPlaced {
    /// It is in force.
    Done(Done),
    /// It is not, because of this.
    Again {
        /// What is wrong, and what to do.
        error: String,
    },
}
