//! Records on their way to the file: their texts side by side, so that a record costs no allocation.

use std::sync::Arc;

use safeconduct_ledger::{Body, Draft, Pattern, Texts, Varying};
use safeconduct_model::{Record, Timestamp};

use super::WriteError;

/// How far back it is looked for a pattern that is there already.
const LOOK_BACK: usize = 4;

/// What of an emptied list is kept for the next use, in bytes or in pieces.
const KEPT_CAPACITY: usize = 1 << 20;

/// Records in the order in which they were handed in.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    slots: Vec<Slot>,
    patterns: Vec<Arc<Pattern>>,
    text: String,
}

/// One record. Its texts are in the list that holds it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) at: Timestamp,
    start: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A whole record and how long its JSON is, if that is kept.
    Whole(Box<Record>, u32),
    Like {
        pattern: u32,
        request: u32,
        method: u32,
        path: u32,
        took_us: u32,
        decided: Timestamp,
    },
}

/// A record in a list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Whole(&'a Record),
    Like(&'a Arc<Pattern>, Texts<'a>),
}

/// A record that fits into a line, before it has a place.
pub(crate) enum Fitting<'a> {
    Whole(Record, String),
    Like(&'a Arc<Pattern>, Varying<'a>),
}

impl<'a> Fitting<'a> {
    pub(crate) fn whole(record: Record) -> Result<Self, WriteError> {
        let mut json = Vec::new();
        Body::write(&record, &mut json).map_err(|e| WriteError::Record(e.to_string().into()))?;
        Ok(Self::Whole(record, String::from_utf8(json).expect("JSON is UTF-8")))
    }

    pub(crate) fn like(pattern: &'a Arc<Pattern>, varying: Varying<'a>) -> Result<Self, WriteError> {
        Body::fits(pattern, &(&varying).into()).map_err(|e| WriteError::Record(e.to_string().into()))?;
        Ok(Self::Like(pattern, varying))
    }

    /// Whether it is a whole record or a like one, it is a record.
    pub(crate) fn of(
        draft: Draft,
        then: impl FnOnce(Fitting<'_>) -> Result<u64, WriteError>,
    ) -> Result<u64, WriteError> {
        match draft {
            Draft::Whole(record) => then(Fitting::whole(record)?),
            Draft::Like { pattern, request, method, path, decided, took_us } => {
                let varying = Varying { request: &request, method: &method, path: &path, decided, took_us };
                then(Fitting::like(&pattern, varying)?)
            }
        }
    }

    /// How many bytes of text it brings.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Whole(_, json) => json.len(),
            Self::Like(_, v) => v.request.as_str().len() + v.method.len() + v.path.len(),
        }
    }
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of text.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.patterns.clear();
        self.text.clear();
        self.slots.shrink_to(KEPT_CAPACITY / size_of::<Slot>());
        self.text.shrink_to(KEPT_CAPACITY);
    }

    /// Takes a record in.
    pub(crate) fn push(&mut self, at: Timestamp, record: Fitting<'_>) {
        let start = index(self.text.len());
        let what = match record {
            Fitting::Whole(record, json) => {
                self.text.push_str(&json);
                What::Whole(Box::new(record), index(json.len()))
            }
            Fitting::Like(pattern, varying) => self.like(pattern, &(&varying).into()),
        };
        self.slots.push(Slot { at, start, what });
    }

    /// Takes a record in that was in another list, with the time that it was given.
    pub(crate) fn take(&mut self, other: &mut Self, slot: Slot, at: Timestamp) {
        let start = index(self.text.len());
        let what = match other.view(&slot) {
            View::Like(pattern, texts) => self.like(pattern, &texts),
            View::Whole(_) => match slot.what {
                What::Whole(record, _) => What::Whole(record, 0),
                like @ What::Like { .. } => like,
            },
        };
        self.slots.push(Slot { at, start, what });
    }

    /// The slots, to take them elsewhere; the texts stay.
    pub(crate) fn take_slots(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.slots)
    }

    /// Gives the emptied list of slots back.
    pub(crate) fn put_back(&mut self, slots: Vec<Slot>) {
        self.slots = slots;
        self.clear();
    }

    fn like(&mut self, pattern: &Arc<Pattern>, texts: &Texts<'_>) -> What {
        let Texts { request, method, path, decided, took_us } = *texts;
        for text in [request, method, path] {
            self.text.push_str(text);
        }
        let from = self.patterns.len().saturating_sub(LOOK_BACK);
        let known = self.patterns[from..].iter().rposition(|p| Arc::ptr_eq(p, pattern));
        let pattern = known.map_or_else(
            || {
                self.patterns.push(Arc::clone(pattern));
                self.patterns.len() - 1
            },
            |i| from + i,
        );
        let (request, method, path) = (index(request.len()), index(method.len()), index(path.len()));
        What::Like { pattern: index(pattern), request, method, path, took_us, decided }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The record in a slot of this list.
    pub(crate) fn view<'a>(&'a self, slot: &'a Slot) -> View<'a> {
        match &slot.what {
            What::Whole(record, _) => View::Whole(record),
            What::Like { pattern, request, method, path, took_us, decided } => {
                let rest = &self.text[slot.start as usize..];
                let (request, rest) = rest.split_at(*request as usize);
                let (method, rest) = rest.split_at(*method as usize);
                let path = &rest[..*path as usize];
                let texts = Texts { request, method, path, decided: *decided, took_us: *took_us };
                View::Like(&self.patterns[*pattern as usize], texts)
            }
        }
    }

    /// What is to be written of a slot of this list.
    pub(crate) fn body<'a>(&'a self, slot: &'a Slot) -> Body<'a> {
        match (self.view(slot), &slot.what) {
            (View::Like(pattern, texts), _) => Body::Like(pattern, texts),
            (View::Whole(_), What::Whole(_, len)) => {
                let start = slot.start as usize;
                Body::Json(&self.text.as_bytes()[start..start + *len as usize])
            }
            (View::Whole(_), What::Like { .. }) => unreachable!("a view is of the kind of its slot"),
        }
    }
}

/// A length in a list, which is bounded far below what this type holds.
fn index(n: usize) -> u32 {
    u32::try_from(n).expect("the queue is bounded in bytes")
}
