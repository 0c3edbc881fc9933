//! The gateway itself: what all connections share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use safeconduct_access::{LeaseId, Signal};
use safeconduct_model::{CutCause, Record, SystemEvent, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::aftermath::Aftermath;
use crate::assertion::Signer;
use crate::hops::Hops;
use crate::limits::{AnswerBounds, Limits, Now, RequestBounds, TooManyChanges};
use crate::live::{LiveTable, LiveView};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::ports::Control;
use crate::routes::Routes;
use crate::sites::Sites;
use crate::trace::Spans;
use crate::upstream::UpstreamTls;

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
    /// How applications are reached over TLS; `None` reaches none of them so.
    pub upstream_tls: Option<Arc<rustls::ClientConfig>>,
    /// Dials applications behind connectors; `None` dials none of them.
    pub sites: Option<Arc<dyn Sites>>,
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
            upstream_tls: None,
            sites: None,
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
    pub(crate) limits: Now,
    /// The bounds of a request, and those of an answer.
    pub(crate) bounds: RequestBounds,
    pub(crate) answer_bounds: AnswerBounds,
    pub(crate) hops: Hops,
    pub(crate) spans: Option<Spans>,
    pub(crate) signer: Option<Signer>,
    pub(crate) cookies: Vec<String>,
    pub(crate) live: Arc<LiveTable>,
    pub(crate) routes: Routes,
    /// Connections and streams.
    pub(crate) tasks: TaskTracker,
    /// Whether somebody looks after the leases whose time is up.
    pub(crate) ticking: AtomicBool,
    pub(crate) counts: Arc<Places>,
    pub(crate) handshakes: Arc<Places>,
    /// The clients that hops named, each by its own address.
    pub(crate) behind: Arc<Places>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) upstream_tls: Option<UpstreamTls>,
    pub(crate) sites: Option<Arc<dyn Sites>>,
    /// A place for each tunnel.
    pub(crate) tunnels: Arc<tokio::sync::Semaphore>,
    /// How many places there are for tunnels.
    tunnel_places: AtomicUsize,
    /// Cancelled when patience ends.
    pub(crate) aftermath: Aftermath,
    pub(crate) stop_now: CancellationToken,
}

impl Gateway {
    /// A gateway that asks `control`.
    #[must_use]
    pub fn new(config: GatewayConfig, control: Arc<dyn Control>) -> Self {
        let limits = Now::new(config.limits);
        Self {
            core: Arc::new(Core {
                control,
                hops: config.hops,
                spans: config.spans,
                signer: config.signer,
                cookies: config.cookies,
                upstream_tls: config.upstream_tls.as_deref().map(UpstreamTls::new),
                sites: config.sites,
                tunnels: Arc::new(tokio::sync::Semaphore::new(limits.tunnels)),
                live: Arc::default(),
                routes: Routes::default(),
                tasks: TaskTracker::new(),
                ticking: AtomicBool::new(false),
                tunnel_places: AtomicUsize::new(limits.tunnels),
                bounds: limits.requests(),
                answer_bounds: limits.answers(),
                counts: Arc::default(),
                handshakes: Arc::default(),
                behind: Arc::default(),
                metrics: Arc::new(Metrics::new(config.threads)),
                aftermath: Aftermath::default(),
                stop_now: CancellationToken::new(),
                limits,
            }),
        }
    }

    /// Lets other limits hold from now on; what is open already keeps what it got. Says whether they are others. The backlog
    /// of listeners stays as it was.
    pub fn set_limits(&self, limits: Limits) -> Result<bool, TooManyChanges> {
        self.core.limits.change(limits)
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
        self.core.decide_again(&self.core.live.affected(signal), cause, since);
    }

    /// Decides again every lease whose time is up. The listener does it on its own; a test may do it by hand.
    pub fn expire(&self) {
        let (since, now) = (Instant::now(), self.core.control.now());
        self.core.decide_again(&self.core.live.due(now), CutCause::TimePassed, since);
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
        for standing in self.core.live.affected(&Signal::Everything) {
            for entry in standing.attached() {
                self.core.live.kill(&entry, CutCause::Shutdown, Instant::now());
            }
        }
    }
}

impl Core {
    /// How long until the time of the next lease is up.
    pub(crate) fn next_due(&self) -> std::time::Duration {
        let left = self.live.next_due().map(|due| due.millis().saturating_sub(self.control.now().millis()).max(0));
        left.and_then(|ms| u64::try_from(ms).ok()).map_or(std::time::Duration::MAX, std::time::Duration::from_millis)
    }

    /// Makes as many places for tunnels as the limit says. Only who looks after leases calls it. Those of tunnels that are open go when they end.
    pub(crate) fn settle_tunnels(&self) {
        let (wanted, places) = (self.limits.tunnels, self.tunnel_places.load(Ordering::Acquire));
        if wanted > places {
            self.tunnels.add_permits(wanted - places);
            self.tunnel_places.store(wanted, Ordering::Release);
        } else if wanted < places {
            let gone = self.tunnels.forget_permits(places - wanted);
            self.tunnel_places.store(places - gone, Ordering::Release);
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
        Signal::Locked(_) => CutCause::Locked,
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
