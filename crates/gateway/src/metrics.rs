//! Metrics: what the gateway counts, in one block per thread, and the page that sums the blocks up.
//!
//! Recording is a relaxed addition into the block of the thread. Only what ends a connection anyway (a refusal by its code) takes
//! a lock, and that lock belongs to the thread. No label names a person or a path: applications come from the configuration, all
//! other labels from fixed lists.

mod histogram;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use safeconduct_model::{AppId, CutCause, Reason};

use self::histogram::{Histogram, Sum};
pub use self::text::{Kind, MEDIA_TYPE, Text};

/// The most applications with series of their own; further ones share one series.
const MOST_APPS: usize = 1_000;
/// The name of that series. No application has it: ids begin with a letter or a digit.
const OTHER_APPS: &str = "(other)";
/// The most blocks; further threads share them.
const MOST_SHARDS: usize = 256;

macro_rules! labels {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $text),)*];
        }
    };
}

labels! {
    /// How a TLS handshake ended.
    Handshake {
        /// Well.
        Done = "done",
        /// The client or its certificate was not right.
        Failed = "failed",
        /// It took too long.
        Slow = "slow",
    }
}

labels! {
    /// A bound that was met before a request was read.
    Met {
        /// Connections in all.
        Connections = "connections",
        /// Connections of one address.
        ConnectionsPerAddress = "connections_per_address",
        /// Handshakes, in all or of one address.
        Handshakes = "handshakes",
        /// A handshake that took too long.
        Handshake = "handshake",
        /// A head that took too long.
        HeadRead = "head_read",
        /// A body that paused too long.
        BodyIdle = "body_idle",
        /// A connection that rested too long.
        Idle = "idle",
        /// Streams or resets of HTTP/2.
        Streams = "h2_streams",
    }
}

labels! {
    /// What lives on a permit, or carries what does.
    Living {
        /// A connection of a client.
        Connection = "connection",
        /// A request and its answer.
        Exchange = "exchange",
        /// A WebSocket.
        WebSocket = "websocket",
        /// A tunnel of any TCP protocol.
        Tunnel = "tunnel",
    }
}

const CAUSES: [(CutCause, &str); 9] = [
    (CutCause::Closed, "closed"),
    (CutCause::SessionEnded, "session_ended"),
    (CutCause::PersonChanged, "person_changed"),
    (CutCause::DeviceChanged, "device_changed"),
    (CutCause::Locked, "locked"),
    (CutCause::PolicyPublished, "policy_published"),
    (CutCause::TimePassed, "time_passed"),
    (CutCause::UpstreamFailed, "upstream_failed"),
    (CutCause::Shutdown, "shutdown"),
];
const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of a gateway.
#[derive(Debug)]
pub struct Metrics {
    shards: Box<[Shard]>,
    apps: ArcSwap<HashMap<AppId, Arc<AppMetrics>>>,
    /// Held while an application gets its series.
    adding: Mutex<()>,
    other: Arc<AppMetrics>,
}

/// The block of one thread. Aligned, so that no two threads write to one line of the cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    accepted: AtomicU64,
    handshakes: [AtomicU64; Handshake::ALL.len()],
    met: [AtomicU64; Met::ALL.len()],
    opened: [AtomicU64; Living::ALL.len()],
    closed: [AtomicU64; Living::ALL.len()],
    cuts: [AtomicU64; CAUSES.len()],
    cut_delay: Histogram,
    decision: Histogram,
    decided_again: AtomicU64,
    standings_found: AtomicU64,
    standings_made: AtomicU64,
    spans: AtomicU64,
    spans_dropped: AtomicU64,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

/// The counters of one application. Look it up once and keep it with what is decided for the application.
#[derive(Debug)]
pub struct AppMetrics(Box<[AppShard]>);

#[derive(Debug)]
#[repr(align(128))]
struct AppShard {
    permitted: [AtomicU64; STATUS_CLASSES.len()],
    denied: [AtomicU64; Reason::ALL.len()],
    upstream: Histogram,
    whole: Histogram,
    up: AtomicU64,
    down: AtomicU64,
    /// Connections to the application: how many were opened and closed, how often one was laid to rest and taken up.
    connected: AtomicU64,
    disconnected: AtomicU64,
    rested: AtomicU64,
    resumed: AtomicU64,
}

impl Default for AppShard {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self {
            permitted: std::array::from_fn(zero),
            denied: std::array::from_fn(zero),
            upstream: Histogram::default(),
            whole: Histogram::default(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            connected: AtomicU64::new(0),
            disconnected: AtomicU64::new(0),
            rested: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
        }
    }
}

/// Which histogram of an application.
type OfApp = fn(&AppShard) -> &Histogram;

/// The number of this thread, among those that ever recorded something.
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    MINE.with(|mine| *mine)
}

/// The block of this thread. There is always at least one.
fn here<T>(shards: &[T]) -> &T {
    &shards[thread() % shards.len()]
}

fn add(counter: Option<&AtomicU64>, n: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counters for a gateway of this many data-plane threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        // The threads of the main runtime record too; one block more than needed costs nothing.
        let shards = (threads + 1).clamp(1, MOST_SHARDS);
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            apps: ArcSwap::default(),
            adding: Mutex::default(),
            other: Arc::new(AppMetrics::new(shards)),
        }
    }

    /// The counters of an application, made at the first call. Takes a lock then, and only then.
    #[must_use]
    pub fn app(&self, app: &AppId) -> Arc<AppMetrics> {
        if let Some(known) = self.apps.load().get(app) {
            return Arc::clone(known);
        }
        let _alone = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.apps.load_full();
        if let Some(known) = known.get(app) {
            return Arc::clone(known);
        }
        if known.len() >= MOST_APPS {
            return Arc::clone(&self.other);
        }
        let new = Arc::new(AppMetrics::new(self.shards.len()));
        let mut apps = HashMap::clone(&known);
        apps.insert(app.clone(), Arc::clone(&new));
        self.apps.store(Arc::new(apps));
        new
    }

    /// A connection was accepted.
    pub fn accepted(&self) {
        add(Some(&here(&self.shards).accepted), 1);
    }

    /// A TLS handshake ended.
    pub fn handshake(&self, how: Handshake) {
        add(here(&self.shards).handshakes.get(how as usize), 1);
    }

    /// A bound was met.
    pub fn met(&self, bound: Met) {
        add(here(&self.shards).met.get(bound as usize), 1);
    }

    /// A request was refused before policy was asked. `code` is the stable code of the record.
    pub fn refused(&self, code: &'static str) {
        let mut refusals = here(&self.shards).refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(code).or_default() += 1;
    }

    /// Something began to live.
    pub fn opened(&self, what: Living) {
        add(here(&self.shards).opened.get(what as usize), 1);
    }

    /// Something ended that [`opened`](Self::opened) told of, on whatever thread.
    pub fn closed(&self, what: Living) {
        add(here(&self.shards).closed.get(what as usize), 1);
    }

    /// Policy was asked.
    pub fn decided(&self, took: Duration) {
        here(&self.shards).decision.record(took);
    }

    /// A live connection was decided again.
    pub fn decided_again(&self) {
        add(Some(&here(&self.shards).decided_again), 1);
    }

    /// A request found its standing, or one was made for it.
    pub fn standing(&self, found: bool) {
        let shard = here(&self.shards);
        add(Some(if found { &shard.standings_found } else { &shard.standings_made }), 1);
    }

    /// A span went to the collector of traces, or was dropped for want of room.
    pub fn span(&self, taken: bool) {
        let shard = here(&self.shards);
        add(Some(if taken { &shard.spans } else { &shard.spans_dropped }), 1);
    }

    /// A live connection ended; `delay` is the time from what caused it to its last byte.
    pub fn cut(&self, cause: CutCause, delay: Option<Duration>) {
        let shard = here(&self.shards);
        add(CAUSES.iter().position(|(c, _)| *c == cause).and_then(|at| shard.cuts.get(at)), 1);
        if let Some(delay) = delay {
            shard.cut_delay.record(delay);
        }
    }

    /// How many of something live now.
    #[must_use]
    pub fn living(&self, what: Living) -> u64 {
        let sum = |of: fn(&Shard) -> &[AtomicU64]| self.sum(|s| of(s).get(what as usize));
        sum(|s| &s.opened).saturating_sub(sum(|s| &s.closed))
    }

    fn sum(&self, of: impl Fn(&Shard) -> Option<&AtomicU64>) -> u64 {
        self.shards.iter().filter_map(of).map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// Writes all of it. Reads every block, and stops nobody.
    pub fn write(&self, text: &mut Text) {
        self.write_requests(text);
        self.write_connections(text);
        self.write_decisions(text);
    }

    fn write_requests(&self, text: &mut Text) {
        let apps = self.apps.load();
        let mut apps: Vec<(&str, &AppMetrics)> = apps.iter().map(|(id, m)| (id.as_str(), &**m)).collect();
        apps.sort_unstable_by_key(|(id, _)| *id);
        apps.push((OTHER_APPS, &self.other));
        let requests = "safeconduct_requests_total";
        let help =
            "Requests by application, verdict, reason of a denial, and class of the status of what was permitted.";
        text.family(requests, Kind::Counter, help);
        for (app, metrics) in &apps {
            for (at, class) in STATUS_CLASSES.iter().enumerate() {
                let count = metrics.sum(|s| s.permitted.get(at));
                if count > 0 {
                    let labels = [("app", *app), ("verdict", "permit"), ("reason", ""), ("status", class)];
                    text.sample(requests, &labels, count);
                }
            }
            for (at, reason) in Reason::ALL.iter().enumerate() {
                let count = metrics.sum(|s| s.denied.get(at));
                if count > 0 {
                    let labels = [("app", *app), ("verdict", "deny"), ("reason", reason.code()), ("status", "")];
                    text.sample(requests, &labels, count);
                }
            }
        }
        let times: [(&str, &str, OfApp); 2] = [
            ("safeconduct_upstream_seconds", "From a request that is sent to the head of its answer.", |s| &s.upstream),
            ("safeconduct_request_seconds", "From the head of a request to the last byte of its answer.", |s| &s.whole),
        ];
        for (name, help, of) in times {
            text.family(name, Kind::Histogram, help);
            for (app, metrics) in &apps {
                let mut sum = Sum::default();
                metrics.0.iter().for_each(|s| of(s).add_to(&mut sum));
                if sum.count() > 0 {
                    text.histogram(name, &[("app", app)], &sum);
                }
            }
        }
        let bytes = "safeconduct_body_bytes_total";
        text.family(bytes, Kind::Counter, "Bytes of bodies, WebSockets and tunnels.");
        for (app, metrics) in &apps {
            for (direction, count) in [("up", metrics.sum(|s| Some(&s.up))), ("down", metrics.sum(|s| Some(&s.down)))] {
                if count > 0 {
                    text.sample(bytes, &[("app", app), ("direction", direction)], count);
                }
            }
        }
        self.write_upstreams(text, &apps);
    }

    fn write_upstreams(&self, text: &mut Text, apps: &[(&str, &AppMetrics)]) {
        let opened = |metrics: &AppMetrics| metrics.sum(|s| Some(&s.connected));
        let apps = apps.iter().filter(|(_, metrics)| opened(metrics) > 0);
        let name = "safeconduct_upstream_connections";
        text.family(
            name,
            Kind::Gauge,
            "Connections to applications that are open, and those of them that rest in a pool.",
        );
        for (app, metrics) in apps.clone() {
            let (open, idle) = metrics.connections();
            text.sample(name, &[("app", app), ("state", "open")], open);
            text.sample(name, &[("app", app), ("state", "idle")], idle);
        }
        let name = "safeconduct_upstream_connections_opened_total";
        text.family(name, Kind::Counter, "Connections to applications that were opened.");
        for (app, metrics) in apps {
            text.sample(name, &[("app", app)], opened(metrics));
        }
    }

    fn write_connections(&self, text: &mut Text) {
        let accepted = self.sum(|s| Some(&s.accepted));
        text.one("safeconduct_accepted_total", Kind::Counter, "Connections that were accepted.", accepted);
        let name = "safeconduct_handshakes_total";
        text.family(name, Kind::Counter, "TLS handshakes by how they ended.");
        for (how, label) in Handshake::ALL {
            text.sample(name, &[("outcome", label)], self.sum(|s| s.handshakes.get(*how as usize)));
        }
        let name = "safeconduct_limit_met_total";
        text.family(name, Kind::Counter, "Limits of connections that were met, by the name of the limit.");
        for (bound, label) in Met::ALL {
            text.sample(name, &[("limit", label)], self.sum(|s| s.met.get(*bound as usize)));
        }
        let name = "safeconduct_refusals_total";
        text.family(
            name,
            Kind::Counter,
            "Requests and connections that were refused before policy was asked, by code.",
        );
        let mut codes = BTreeMap::<&str, u64>::new();
        for shard in &self.shards {
            for (code, count) in &*shard.refusals.lock().unwrap_or_else(PoisonError::into_inner) {
                *codes.entry(code).or_default() += count;
            }
        }
        for (code, count) in codes {
            text.sample(name, &[("code", code)], count);
        }
        let name = "safeconduct_live";
        text.family(name, Kind::Gauge, "What lives now: connections of clients, exchanges, WebSockets, tunnels.");
        for (what, label) in Living::ALL {
            text.sample(name, &[("kind", label)], self.living(*what));
        }
    }

    fn write_decisions(&self, text: &mut Text) {
        let mut sums = [Sum::default(), Sum::default()];
        for shard in &self.shards {
            shard.decision.add_to(&mut sums[0]);
            shard.cut_delay.add_to(&mut sums[1]);
        }
        let [decision, delay] = &sums;
        let name = "safeconduct_decision_seconds";
        text.family(name, Kind::Histogram, "How long policy took to answer, where it was asked.");
        text.histogram(name, &[], decision);
        let again = self.sum(|s| Some(&s.decided_again));
        text.one("safeconduct_decided_again_total", Kind::Counter, "Live connections that were decided again.", again);
        let name = "safeconduct_standings_total";
        text.family(
            name,
            Kind::Counter,
            "Requests whose answer of policy was at hand, and those for which policy was asked.",
        );
        text.sample(name, &[("at_hand", "yes")], self.sum(|s| Some(&s.standings_found)));
        text.sample(name, &[("at_hand", "no")], self.sum(|s| Some(&s.standings_made)));
        let name = "safeconduct_spans_total";
        text.family(
            name,
            Kind::Counter,
            "Spans for the collector of traces, and those that were dropped for want of room.",
        );
        text.sample(name, &[("outcome", "taken")], self.sum(|s| Some(&s.spans)));
        text.sample(name, &[("outcome", "dropped")], self.sum(|s| Some(&s.spans_dropped)));
        let name = "safeconduct_cuts_total";
        text.family(name, Kind::Counter, "Live connections that ended, by cause.");
        for (at, (_, label)) in CAUSES.iter().enumerate() {
            text.sample(name, &[("cause", label)], self.sum(|s| s.cuts.get(at)));
        }
        let name = "safeconduct_cut_delay_seconds";
        text.family(name, Kind::Histogram, "From the change that took a permit to the end of the connection.");
        text.histogram(name, &[], delay);
    }
}

impl AppMetrics {
    fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| AppShard::default()).collect())
    }

    /// A request was permitted and answered with this status; 0 where there was no answer.
    pub fn permitted(&self, status: u16) {
        let class = usize::from(status / 100);
        add(here(&self.0).permitted.get(if class < STATUS_CLASSES.len() { class } else { 0 }), 1);
    }

    /// A request was denied.
    pub fn denied(&self, reason: Reason) {
        add(Reason::ALL.iter().position(|r| *r == reason).and_then(|at| here(&self.0).denied.get(at)), 1);
    }

    /// The head of an answer came this long after its request was sent.
    pub fn answered(&self, took: Duration) {
        here(&self.0).upstream.record(took);
    }

    /// An exchange ended: how long it took from its first byte to its last, and how many bytes of bodies it carried.
    pub fn ended(&self, took: Duration, up: u64, down: u64) {
        let shard = here(&self.0);
        shard.whole.record(took);
        add(Some(&shard.up), up);
        add(Some(&shard.down), down);
    }

    /// A connection to the application was opened.
    pub fn connected(&self) {
        add(Some(&here(&self.0).connected), 1);
    }

    /// One was closed, on whatever thread.
    pub fn disconnected(&self) {
        add(Some(&here(&self.0).disconnected), 1);
    }

    /// One was laid to rest in a pool.
    pub fn rested(&self) {
        add(Some(&here(&self.0).rested), 1);
    }

    /// One that rested was taken up, or closed.
    pub fn resumed(&self) {
        add(Some(&here(&self.0).resumed), 1);
    }

    /// How many connections to the application are open, and how many of them rest.
    #[must_use]
    pub fn connections(&self) -> (u64, u64) {
        let left = |began: u64, ended: u64| began.saturating_sub(ended);
        (
            left(self.sum(|s| Some(&s.connected)), self.sum(|s| Some(&s.disconnected))),
            left(self.sum(|s| Some(&s.rested)), self.sum(|s| Some(&s.resumed))),
        )
    }

    /// Bytes of something that lives long, told while it lives.
    pub fn carried(&self, up: u64, down: u64) {
        let shard = here(&self.0);
        add(Some(&shard.up), up);
        add(Some(&shard.down), down);
    }

    fn sum(&self, of: impl Fn(&AppShard) -> Option<&AtomicU64>) -> u64 {
        self.0.iter().filter_map(of).map(|c| c.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests;
