//! Where records wait for the thread, and where the thread waits for records.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use safeconduct_ledger::BACKSTEP_TOLERANCE;
use safeconduct_model::Timestamp;

use super::pending::{Fitting, Pending};
use super::{WriteError, lock};

/// How many bytes of text may wait to be written.
const QUEUE_BYTES: usize = 64 << 20;

/// When this many records wait, gathering ends early.
const HURRY_RECORDS: usize = 512;

/// The queue. A record has its number when it is in: the thread refuses none.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    bell: Condvar,
    /// The time of the last record, to be read without the lock.
    last_at: AtomicI64,
    /// How many records may wait.
    records: usize,
}

struct Inner {
    waiting: Pending,
    next_seq: u64,
    last_at: Timestamp,
    rest: Rest,
    /// Somebody waits for the disk, or much waits.
    hurry: bool,
    closed: bool,
    /// Others wrote something that the thread has not seen.
    helped: bool,
}

/// What the thread does while it takes nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It works and will look again.
    Awake,
    /// It lets records gather and will look again soon.
    Gathering,
    /// It sleeps until it is woken.
    Asleep,
}

/// How long the thread may rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// This long, whatever comes, unless there is a hurry.
    Gather(Duration),
    /// Until something comes, but at most this long.
    Until(Duration),
    /// Until something comes.
    ForEver,
}

impl Queue {
    pub(super) fn new(next_seq: u64, last_at: Timestamp, records: usize) -> Self {
        let waiting = Pending::default();
        let inner = Inner { waiting, next_seq, last_at, rest: Rest::Awake, hurry: false, closed: false, helped: false };
        Self { inner: Mutex::new(inner), bell: Condvar::new(), last_at: last_at.millis().into(), records }
    }

    /// Takes a record in and gives it its number.
    pub(super) fn put(&self, at: Timestamp, record: Fitting<'_>) -> Result<u64, WriteError> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(WriteError::Closed);
        }
        let last = inner.last_at;
        if last.since(at) > BACKSTEP_TOLERANCE {
            return Err(WriteError::ClockWentBack { at, last });
        }
        let waiting = inner.waiting.len();
        if waiting >= self.records || inner.waiting.bytes() + record.bytes() > QUEUE_BYTES {
            return Err(WriteError::QueueFull { waiting });
        }
        inner.waiting.push(at, record);
        let seq = inner.next_seq;
        inner.next_seq += 1;
        if at > last {
            inner.last_at = at;
            self.last_at.store(at.millis(), Ordering::Relaxed);
        }
        let wake = match inner.rest {
            Rest::Awake => false,
            Rest::Asleep => true,
            Rest::Gathering => waiting + 1 >= HURRY_RECORDS,
        };
        if wake {
            self.ring(inner);
        }
        Ok(seq)
    }

    /// The time of the last record.
    pub(super) fn last_at(&self) -> Timestamp {
        Timestamp::from_millis(self.last_at.load(Ordering::Relaxed))
    }

    /// Lets the thread look at once.
    pub(super) fn hurry(&self) {
        self.ring(lock(&self.inner));
    }

    /// Takes no more records in.
    pub(super) fn close(&self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        self.ring(inner);
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.inner).waiting.is_empty()
    }

    /// Exchanges the empty `taken` for what waits, for someone who writes in the place of the thread; `false` if nothing waits.
    pub(super) fn take_to_help(&self, taken: &mut Pending) -> bool {
        let mut inner = lock(&self.inner);
        let some = !inner.waiting.is_empty();
        if some {
            std::mem::swap(&mut inner.waiting, taken);
            inner.helped = true;
        }
        some
    }

    /// Exchanges the empty `taken` for what waits; `false` if nothing came since the last time, for others either.
    pub(super) fn take(&self, taken: &mut Pending) -> bool {
        let mut inner = lock(&self.inner);
        std::mem::swap(&mut inner.waiting, taken);
        !taken.is_empty() | std::mem::take(&mut inner.helped)
    }

    fn ring(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.hurry = true;
        if inner.rest != Rest::Awake {
            // It is woken once.
            inner.rest = Rest::Awake;
            drop(inner);
            self.bell.notify_one();
        }
    }

    /// Rests for as long as there is patience; `false` if nothing can come any more.
    pub(super) fn rest(&self, patience: Patience) -> bool {
        let mut inner = lock(&self.inner);
        let calm = |i: &mut Inner| !i.hurry && !i.closed;
        let idle = |i: &mut Inner| calm(i) && i.waiting.is_empty() && !i.helped;
        inner.rest = if matches!(patience, Patience::Gather(_)) { Rest::Gathering } else { Rest::Asleep };
        // A poisoned lock is as good as another: `lock` says why.
        let mut inner = match patience {
            Patience::Gather(span) => match self.bell.wait_timeout_while(inner, span, calm) {
                Ok((inner, _)) => inner,
                Err(poisoned) => poisoned.into_inner().0,
            },
            Patience::Until(span) => match self.bell.wait_timeout_while(inner, span, idle) {
                Ok((inner, _)) => inner,
                Err(poisoned) => poisoned.into_inner().0,
            },
            Patience::ForEver => match self.bell.wait_while(inner, idle) {
                Ok(inner) => inner,
                Err(poisoned) => poisoned.into_inner(),
            },
        };
        inner.rest = Rest::Awake;
        inner.hurry = false;
        !inner.closed
    }
}
