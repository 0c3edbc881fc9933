//! What was written, for those who follow.

use std::sync::Arc;

use safeconduct_ledger::{Hash, Pattern, Texts, Varying};
use safeconduct_model::{Access, Entry, Record, Timestamp};

use super::pending::{Pending, Slot, View};
use crate::reader::Position;

/// Entries that were written, one behind the other in one segment. Whoever wants whole entries makes them; whoever does not
/// pays nothing for them.
#[derive(Debug, Default)]
pub struct Batch {
    first_seq: u64,
    place: Position,
    records: Pending,
    /// How long each line is.
    lens: Vec<u32>,
    hash: Hash,
}

/// One entry of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// Its number.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// How many bytes its line has.
    pub len: u64,
    /// What happened.
    pub what: Happened<'a>,
}

/// What happened, without a copy.
#[derive(Clone, Copy, Debug)]
pub enum Happened<'a> {
    /// A record that was handed in whole.
    Whole(&'a Record),
    /// A verdict like others, with what is its own.
    Like(&'a Arc<Pattern>, Texts<'a>),
}

impl Batch {
    pub(super) fn push(
        &mut self,
        from: &mut Pending,
        slot: Slot,
        placed: (u64, Timestamp),
        place: Position,
        len: usize,
    ) {
        if self.lens.is_empty() {
            (self.first_seq, self.place) = (placed.0, place);
        }
        self.records.take(from, slot, placed.1);
        self.lens.push(u32::try_from(len).expect("a line is bounded"));
    }

    pub(super) fn seal(&mut self, hash: Hash) {
        self.hash = hash;
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lens.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lens.is_empty()
    }

    /// The number of the first entry.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The number of the entry behind the last one.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.lens.len() as u64
    }

    /// Where the first line begins.
    #[must_use]
    pub fn place(&self) -> Position {
        self.place
    }

    /// Where the line behind the last one begins.
    #[must_use]
    pub fn end(&self) -> Position {
        let bytes: u64 = self.lens.iter().map(|len| u64::from(*len)).sum();
        Position { offset: self.place.offset + bytes, ..self.place }
    }

    /// The hash of the last line.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Written<'_>> + DoubleEndedIterator {
        self.records.slots().iter().zip(&self.lens).enumerate().map(|(i, (slot, len))| {
            let what = match self.records.view(slot) {
                View::Whole(record) => Happened::Whole(record),
                View::Like(pattern, texts) => Happened::Like(pattern, texts),
            };
            Written { seq: self.first_seq + i as u64, at: slot.at, len: u64::from(*len), what }
        })
    }
}

impl<'a> Written<'a> {
    /// The verdict that this is, or one that it is like: right in all but request, method, path, instant and microseconds.
    #[must_use]
    pub fn verdict(&self) -> Option<&'a Access> {
        match self.what {
            Happened::Whole(Record::Access(access)) => Some(access),
            Happened::Whole(_) => None,
            Happened::Like(pattern, _) => Some(pattern.access()),
        }
    }

    /// The whole entry.
    #[must_use]
    pub fn entry(&self) -> Entry {
        let record = match self.what {
            Happened::Whole(record) => record.clone(),
            Happened::Like(pattern, Texts { request, method, path, decided, took_us }) => {
                let request = &request.parse().expect("it was taken from an id");
                Record::Access(Box::new(pattern.with(&Varying { request, method, path, decided, took_us })))
            }
        };
        Entry { seq: self.seq, at: self.at, record }
    }
}
