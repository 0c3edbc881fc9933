//! The gateway itself: what all connections share.

use std::sync::Arc;
use std::time::Instant;

use safeconduct_access::{LeaseId, Signal};
use safeconduct_model::{Access, CutCause, Mode, Record, SystemEvent, Timestamp};
use safeconduct_policy::Verdict;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::assertion::Signer;
use crate::forward::Upstreams;
use crate::hops::Hops;
use crate::limits::Limits;
use crate::live::{Entry, LiveTable, LiveView, interests};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::ports::Control;
use crate::routes::Routes;
use crate::trace::Spans;

/// What the gateway is told at its start.
pub struct GatewayConfig {
    /// The bounds.
    pub limits: Limits,
    /// How many threads serve connections.
    pub threads: usize,
    /// Whose word about the address of a client counts.
    pub hops: Hops,
    /// Where spans go; nowhere if nobody collects traces.
    pub spans: Option<Spans>,
    /// Signs what applications are told about the asker; `None` tells them nothing.
    pub signer: Option<Signer>,
    /// The cookies that belong to the gateway: first the one that carries the session secret, then any others. None of them
    /// is forwarded to an application, and no application may set them.
    pub cookies: Vec<String>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            threads: 1,
            hops: Hops::default(),
            spans: None,
            signer: None,
            cookies: vec!["__Host-safeconduct".into()],
        }
    }
}

/// The reverse proxy. Cheap to clone; all clones are one gateway.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) core: Arc<Core>,
}

/// What every connection shares.
pub(crate) struct Core {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) hops: Hops,
    pub(crate) spans: Option<Spans>,
    pub(crate) signer: Option<Signer>,
    pub(crate) cookies: Vec<String>,
    pub(crate) live: Arc<LiveTable>,
    pub(crate) routes: Routes,
    pub(crate) upstreams: Arc<Upstreams>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Connections, tunnels, upstream drivers.
    pub(crate) tasks: TaskTracker,
    pub(crate) counts: Arc<Places>,
    pub(crate) handshakes: Arc<Places>,
    /// The clients that hops named, each by its own address.
    pub(crate) behind: Arc<Places>,
    /// Cancelled when patience ends.
    pub(crate) stop_now: CancellationToken,
}

impl Gateway {
    /// A gateway that asks `control`.
    #[must_use]
    pub fn new(config: GatewayConfig, control: Arc<dyn Control>) -> Self {
        let limits = Arc::new(config.limits);
        let drivers = TaskTracker::new();
        Self {
            core: Arc::new(Core {
                control,
                hops: config.hops,
                spans: config.spans,
                signer: config.signer,
                cookies: config.cookies,
                live: Arc::default(),
                routes: Routes::default(),
                metrics: Arc::new(Metrics::new(config.threads)),
                upstreams: Arc::new(Upstreams::new(Arc::clone(&limits), drivers)),
                tasks: TaskTracker::new(),
                counts: Arc::default(),
                handshakes: Arc::default(),
                behind: Arc::default(),
                stop_now: CancellationToken::new(),
                limits,
            }),
        }
    }

    /// What the gateway counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.core.metrics
    }

    /// The public keys of the assertions, as a JSON Web Key Set; an empty set if there are none.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.core.signer.as_ref().map_or_else(|| r#"{"keys":[]}"#.to_owned(), |s| s.jwks().to_owned())
    }

    /// Tells that something changed. The change must already be visible through [`Control`]. Every live connection that rests
    /// on it is identified and decided again, before this returns: the permitted go on, the others are cut.
    pub fn signal(&self, signal: &Signal) {
        let since = Instant::now();
        self.core.live.advance();
        let cause = cause(signal);
        for (id, entry) in self.core.live.affected(signal) {
            self.core.decide_again(id, &entry, cause, since);
        }
    }

    /// Decides again every lease whose time is up. The listener does it on its own; a test may do it by hand.
    pub fn expire(&self) {
        let (since, now) = (Instant::now(), self.core.control.now());
        for (id, entry) in self.core.live.due(now) {
            self.core.decide_again(id, &entry, CutCause::TimePassed, since);
        }
    }

    /// Every live connection.
    #[must_use]
    pub fn live(&self) -> Vec<LiveView> {
        self.core.live.views()
    }

    /// Cuts one connection, whatever policy says. Says whether it was there.
    pub fn cut(&self, lease: LeaseId) -> bool {
        self.core
            .live
            .get(lease)
            .is_some_and(|entry| self.core.live.kill(&entry, CutCause::SessionEnded, Instant::now()))
    }

    /// Cuts everything that is left, because this process goes.
    pub fn cut_all(&self) {
        for (_, entry) in self.core.live.affected(&Signal::Everything) {
            self.core.live.kill(&entry, CutCause::Shutdown, Instant::now());
        }
    }
}

impl Core {
    /// Asks policy once more about a live connection; anything but a recorded yes cuts it.
    fn decide_again(&self, id: LeaseId, entry: &Arc<Entry>, cause: CutCause, since: Instant) {
        if entry.lost.is_cancelled() {
            return;
        }
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.still_permitted(id, entry)));
        if !matches!(again, Ok(true)) {
            self.live.kill(entry, cause, since);
        }
        if again.is_err() {
            self.alarm("a panic while a live connection was decided again; it was cut");
        }
    }

    fn still_permitted(&self, id: LeaseId, entry: &Entry) -> bool {
        let control = &*self.control;
        if !control.clock_ok() {
            return false;
        }
        let (now, snapshot) = (control.now(), control.snapshot());
        let identity = control.identify(&entry.credentials, &entry.target.id, now);
        let mut ask = entry.ask.clone();
        let same_asker = identity.who.principal == ask.who.principal;
        ask.place = identity.place(entry.credentials.peer);
        ask.who = identity.who;
        ask.why = identity.why;
        let started = Instant::now();
        let verdict = snapshot.decide(&ask, now);
        let took = micros(started);
        let mode = snapshot.application(&entry.target.id).map_or(Mode::Enforce, |a| a.mode);
        let recorded =
            control.record(Record::Access(Box::new(Access { again: true, ..verdict.record(&ask, now, mode, took) })));
        match verdict {
            Verdict::Permit(permit)
                if same_asker
                    && recorded.is_ok()
                    && now < permit.until()
                    && permit.target().upstream == entry.target.upstream
                    && permit.target().hosts.contains(&entry.credentials.host) =>
            {
                self.live.extend(id, interests(&ask, now, permit.until()));
                true
            }
            Verdict::Permit(_) | Verdict::Denial(_) => false,
        }
    }

    /// Records that something is wrong with us.
    pub(crate) fn alarm(&self, detail: &str) {
        tracing::warn!(detail, "alarm");
        let event = SystemEvent { event: "alarm".into(), detail: detail.into() };
        let record = || self.control.record(Record::System(event)).is_ok();
        if !std::panic::catch_unwind(std::panic::AssertUnwindSafe(record)).unwrap_or(false) {
            tracing::warn!("the alarm could not be recorded");
        }
    }

    /// Takes a record for which nothing waits.
    pub(crate) fn note(&self, record: Record) {
        if let Err(refused) = self.control.record(record) {
            tracing::warn!(error = %refused, "a record was lost");
        }
    }
}

/// Why a connection that rests on the changed fact ends.
fn cause(signal: &Signal) -> CutCause {
    match signal {
        Signal::SessionEnded(_) => CutCause::SessionEnded,
        Signal::PersonChanged(_) | Signal::GroupChanged(_) | Signal::GrantChanged(_) => CutCause::PersonChanged,
        Signal::DeviceChanged(_) => CutCause::DeviceChanged,
        Signal::PolicyPublished | Signal::AppChanged(_) | Signal::Everything => CutCause::PolicyPublished,
    }
}

pub(crate) fn micros(started: Instant) -> u32 {
    u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// From an instant of the clock of the house to now.
pub(crate) fn lasted(control: &dyn Control, since: Timestamp) -> safeconduct_model::Duration {
    control.now().since(since)
}
