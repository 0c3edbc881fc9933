//! What the database does not have yet: the newest entries, in memory.
//!
//! Entries are kept in parts. A part that is full goes to the database in one transaction, with its roll-ups and the mark that
//! says up to where the ledger is there. Until then, and a little longer for the sake of questions that looked at the database
//! before, it answers from here. After a restart the parts are read from the ledger again.

use std::collections::VecDeque;
use std::sync::Arc;

use safeconduct_model::{Record, Timestamp};

use super::block::{Block, Growing};
use super::rolls::Rolls;
use super::{ChangeRow, CutRow, Mark, SessionRow, SystemRow};
use crate::reader::{Located, Position};
use crate::writer::{Batch, Happened};

/// A part with this many entries is full (few in tests, so that they see many parts),
const PART_ENTRIES: usize = if cfg!(test) { 37 } else { 4_096 };

/// or with this many bytes of text.
const PART_BYTES: usize = 4 << 20;

/// How many full parts may wait for the database.
const MAX_WAITING: usize = 16;

/// How many parts stay in memory after they are in the database.
const STAY: usize = 2;

/// Entries that go to the database together.
#[derive(Debug, Default)]
pub(super) struct Part {
    growing: Growing,
    pub(super) rare: Rare,
    /// Up to where the ledger is indexed with this part.
    pub(super) mark: Mark,
}

/// The kinds of which there are few, as rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare {
    pub(super) sessions: Vec<SessionRow>,
    pub(super) changes: Vec<ChangeRow>,
    pub(super) cuts: Vec<CutRow>,
    pub(super) systems: Vec<SystemRow>,
}

/// The newest entries.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Full parts, oldest first.
    full: VecDeque<Arc<Part>>,
    open: Part,
    /// How many entries are in the database.
    kept: u64,
}

impl Part {
    fn after(mark: Mark) -> Self {
        Self { growing: Growing::at(mark.next_seq), rare: Rare::default(), mark }
    }

    pub(super) fn block(&self) -> &Block {
        &self.growing.block
    }

    pub(super) fn rolls(&self) -> Rolls {
        let mut rolls = Rolls::default();
        rolls.add(self.block());
        rolls
    }

    fn is_full(&self) -> bool {
        self.block().rows.len() >= PART_ENTRIES || self.block().text.len() >= PART_BYTES
    }

    fn push(&mut self, seq: u64, at: Timestamp, what: Happened<'_>, place: Position) {
        self.growing.push(at, what, place);
        if let Happened::Whole(record) = what {
            self.rare.push(seq, at, record);
        }
    }
}

impl Rare {
    fn push(&mut self, seq: u64, at: Timestamp, record: &Record) {
        match record.clone() {
            Record::Session(s) => self.sessions.push(SessionRow {
                seq,
                at,
                session: s.session,
                person: s.person,
                event: s.event,
                methods: s.methods,
                device: s.device,
                ip: s.ip,
            }),
            Record::Change(c) => self.changes.push(ChangeRow {
                seq,
                at,
                by: c.by,
                verb: c.verb,
                object: c.object,
                detail: c.detail,
                app: c.app,
                action: c.action,
            }),
            Record::Cut(c) => self.cuts.push(CutRow {
                seq,
                at,
                request: c.request,
                principal: c.principal,
                app: c.app,
                cause: c.cause,
                lasted: c.lasted,
                delay: c.delay,
            }),
            Record::System(s) => self.systems.push(SystemRow { seq, at, event: s.event, detail: s.detail }),
            Record::Access(_) | Record::Refusal(_) | Record::Question(_) => {}
        }
    }
}

impl Recent {
    /// Nothing yet behind what the database has.
    pub(super) fn behind(mark: Mark) -> Self {
        Self { full: VecDeque::new(), kept: mark.next_seq, open: Part::after(mark) }
    }

    /// Up to where the ledger is indexed, here or in the database.
    pub(super) fn mark(&self) -> &Mark {
        &self.open.mark
    }

    /// Whether the database is so far behind that no more entries are taken.
    pub(super) fn is_stuck(&self) -> bool {
        self.full.iter().filter(|part| part.mark.next_seq > self.kept).count() >= MAX_WAITING
    }

    /// Takes entries that were read from the ledger.
    pub(super) fn read(&mut self, entries: &[Located]) {
        for Located { entry, position, len, hash } in entries {
            self.open.push(entry.seq, entry.at, Happened::Whole(&entry.record), *position);
            let next = Position { offset: position.offset + len, ..*position };
            self.open.mark = Mark { next_seq: entry.seq + 1, last: *position, next, hash: hash.clone() };
            self.turn();
        }
    }

    /// Takes what was just written; `false` if it does not follow on what is here.
    pub(super) fn take(&mut self, batch: &Batch) -> bool {
        let next = self.mark().next_seq;
        if batch.first_seq() > next {
            return false;
        }
        let mut place = batch.place();
        let mut last = place;
        for written in batch.iter() {
            if written.seq >= next {
                self.open.push(written.seq, written.at, written.what, place);
            }
            last = place;
            place.offset += written.len;
        }
        if batch.next_seq() > next {
            // Only the end of a batch has a hash, so a part may be a little more than full.
            self.open.mark = Mark { next_seq: batch.next_seq(), last, next: place, hash: batch.hash().to_string() };
            self.turn();
        }
        true
    }

    fn turn(&mut self) {
        if self.open.is_full() {
            let next = Part::after(self.open.mark.clone());
            self.full.push_back(Arc::new(std::mem::replace(&mut self.open, next)));
        }
    }

    /// The oldest full part that is not in the database.
    pub(super) fn to_keep(&self) -> Option<Arc<Part>> {
        self.full.iter().find(|part| part.mark.next_seq > self.kept).cloned()
    }

    /// The database has everything up to here.
    pub(super) fn kept(&mut self, next_seq: u64) {
        self.kept = next_seq;
        let there = self.full.iter().filter(|part| part.mark.next_seq <= next_seq).count();
        self.full.drain(..there.saturating_sub(STAY));
    }

    /// The parts behind the first `mark` entries, oldest first; `None` if some of them are no longer here.
    pub(super) fn parts(&self, mark: u64) -> Option<Vec<&Part>> {
        let all = self.full.iter().map(Arc::as_ref).chain([&self.open]);
        let parts: Vec<_> = all.filter(|part| part.block().first_seq >= mark).collect();
        (parts.first()?.block().first_seq == mark).then_some(parts)
    }
}
