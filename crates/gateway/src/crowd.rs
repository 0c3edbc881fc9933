//! Many records at once: where there is no room for more, whoever hands them in helps to write them and waits a moment. A queue
//! that is shorter than the crowd, or a disk that pauses, ends nobody who still holds a permit.

use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::ports::{Receipt, RecordRefused};

/// How long a crowd waits while there is no room at all: no longer than a cut may take.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often it asks.
const STEP: Duration = Duration::from_millis(1);

/// Records that are handed in one behind the other.
pub(crate) struct Crowd {
    patience: Duration,
    last: Option<Box<dyn Receipt>>,
    /// When it waits no longer, if there is no room.
    until: Option<Instant>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { patience: PATIENCE, last: None, until: None }
    }
}

impl Crowd {
    /// Hands a record in, again while there is no room.
    pub(crate) fn take(
        &mut self,
        record: impl Fn() -> Result<Box<dyn Receipt>, RecordRefused>,
    ) -> Result<(), RecordRefused> {
        loop {
            let refused = match record() {
                Ok(receipt) => {
                    (self.last, self.until) = (Some(receipt), None);
                    return Ok(());
                }
                Err(refused) => refused,
            };
            if Instant::now() >= *self.until.get_or_insert_with(|| Instant::now() + self.patience) {
                return Err(refused);
            }
            self.write();
            thread::sleep(STEP);
        }
    }

    /// Whoever asks whether a record is written writes what waits, if nobody else does.
    fn write(&mut self) {
        if let Some(last) = &mut self.last {
            let _ = last.poll_written(&mut Context::from_waker(Waker::noop()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;

    /// A ledger with room for so many; to ask for a receipt empties it, if it is not stuck.
    struct Ledger {
        room: usize,
        waiting: Arc<AtomicUsize>,
        stuck: bool,
    }

    struct Slip {
        waiting: Arc<AtomicUsize>,
        stuck: bool,
    }

    impl Receipt for Slip {
        fn poll_written(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RecordRefused>> {
            if self.stuck {
                return Poll::Pending;
            }
            self.waiting.store(0, Ordering::SeqCst);
            Poll::Ready(Ok(()))
        }

        fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecordRefused>> {
            self.poll_written(cx)
        }
    }

    impl Ledger {
        fn new(room: usize, stuck: bool) -> Self {
            Self { room, waiting: Arc::default(), stuck }
        }

        fn record(&self) -> Result<Box<dyn Receipt>, RecordRefused> {
            if self.waiting.load(Ordering::SeqCst) >= self.room {
                return Err(RecordRefused("full".into()));
            }
            self.waiting.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Slip { waiting: Arc::clone(&self.waiting), stuck: self.stuck }))
        }
    }

    #[test]
    fn a_crowd_larger_than_the_room_is_taken_in() {
        let (ledger, mut crowd) = (Ledger::new(60, false), Crowd::default());
        assert!((0..100).all(|_| crowd.take(|| ledger.record()).is_ok()));
    }

    #[test]
    fn as_long_as_some_are_taken_in_the_others_wait() {
        let (ledger, began) = (Ledger::new(1, false), Instant::now());
        let mut crowd = Crowd { patience: Duration::from_millis(100), ..Crowd::default() };
        assert!((0..150).all(|_| crowd.take(|| ledger.record()).is_ok()));
        assert!(began.elapsed() > crowd.patience, "all together waited longer than one may");
    }

    #[test]
    fn it_waits_for_a_moment_and_not_for_each() {
        let (ledger, mut crowd) = (Ledger::new(1, true), Crowd::default());
        assert!(crowd.take(|| ledger.record()).is_ok());
        let began = Instant::now();
        assert!(crowd.take(|| ledger.record()).is_err());
        assert!(began.elapsed() >= PATIENCE);
        let tries = Cell::new(0);
        let counted = || {
            tries.set(tries.get() + 1);
            ledger.record()
        };
        assert!(crowd.take(counted).is_err());
        assert_eq!(tries.get(), 1, "its time is up");
    }
}
