//! A lease: one exchange or stream that rests on a standing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use safeconduct_model::{Carried, Cut, CutCause, Duration, Record};

use crate::gateway::{Core, lasted};
use crate::live::{Ended, Entry, LiveKind};
use crate::metrics::Living;
use crate::standing::Standing;

/// Holds a lease for as long as its connection lives. Dropping it gives the lease back and records a cut.
pub(crate) struct Lease {
    core: Arc<Core>,
    pub(crate) standing: Arc<Standing>,
    entry: Arc<Entry>,
    began: Instant,
    /// When it ended, if that is known before it is dropped.
    ended: Option<Instant>,
}

impl Lease {
    pub(crate) fn new(core: Arc<Core>, standing: Arc<Standing>, entry: Arc<Entry>) -> Self {
        core.metrics.opened(living(entry.about.kind));
        Self { core, standing, entry, began: Instant::now(), ended: None }
    }

    /// When it was taken.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The head of the answer is there: now.
    pub(crate) fn answered(&self, status: u16) -> Instant {
        let now = Instant::now();
        self.standing.metrics.permitted(status);
        self.standing.metrics.answered(now.saturating_duration_since(self.began));
        now
    }

    /// Gives it back.
    pub(crate) fn end_at(mut self, now: Instant) {
        self.ended = Some(now);
    }

    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// It was cut and the client was told: what is left of it goes behind all others that were cut with it.
    pub(crate) fn leave(self, rest: impl Future<Output = ()> + Send + 'static) {
        self.core.live.telling.told(usize::from(self.entry.gone()));
        let core = Arc::clone(&self.core);
        core.aftermath.leave(&core.tasks, async move {
            rest.await;
            drop(self);
        });
    }

    /// Takes it back before it was used: a signal overtook the decision.
    pub(crate) fn discard(self) {
        self.core.live.telling.told(usize::from(self.entry.discard()));
    }

    /// The record of an end.
    pub(crate) fn end_record(&self, cause: CutCause, delay: Option<Duration>) -> Record {
        let ask = self.standing.ask();
        Record::Cut(Cut {
            request: self.entry.about.request.clone(),
            principal: ask.who.principal.clone(),
            app: self.standing.target.id.clone(),
            cause,
            lasted: lasted(&*self.core.control, self.entry.about.since),
            delay,
            bytes: Some(Carried {
                up: self.entry.up.load(Ordering::Relaxed),
                down: self.entry.down.load(Ordering::Relaxed),
            }),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.standing.detach(&self.entry);
        self.core.metrics.closed(living(self.entry.about.kind));
        let carried = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let took = self.ended.unwrap_or_else(Instant::now).saturating_duration_since(self.began);
        self.standing.metrics.ended(took, carried(&self.entry.up), carried(&self.entry.down));
        // An exchange that ended by itself is told by its verdict; a stream tells its end in any case.
        let streamed = self.entry.about.kind != LiveKind::Exchange && self.entry.opened();
        let (cause, delay) = match self.entry.end() {
            Ended::Cut { cause, delay, told_now } => {
                self.core.live.telling.told(usize::from(told_now));
                (cause, Some(millis(delay)))
            }
            Ended::ByItself if streamed => (CutCause::Closed, None),
            Ended::ByItself | Ended::Before => return,
        };
        self.core.metrics.cut(cause, delay.map(|d| std::time::Duration::from_millis(d.millis())));
        self.core.note(self.end_record(cause, delay));
    }
}

fn living(kind: LiveKind) -> Living {
    match kind {
        LiveKind::Exchange => Living::Exchange,
        LiveKind::WebSocket => Living::WebSocket,
        LiveKind::Tunnel => Living::Tunnel,
    }
}

fn millis(span: std::time::Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
