//! A standing: the answer of policy to one client for one use of one application, and everything that is served on it.
//!
//! It is what a permit leaves behind. While no signal came and its time is not up, the next request with the same facts has the
//! same answer, and need not ask again: the answer is proven to hold until [`Permit::until`], and a fact that changes before
//! that sends a signal. For the session's sake it is asked anew once a [`FRESH`].

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use safeconduct_access::LeaseId;
use safeconduct_ledger::{Pattern, Varying};
use safeconduct_model::{Access, Action, Application, Ask, Duration, Timestamp};
use safeconduct_policy::Permit;
use tokio::runtime::Handle;

use crate::live::{About, Entry, LiveTable, LiveView, lock};
use crate::metrics::AppMetrics;
use crate::ports::{ClientCertificate, Control, Credentials, Receipt, RecordRefused};

/// How long a standing answers for new requests. A session that is used is seen as used this often.
const FRESH: Duration = Duration::from_secs(1);

/// The answer of policy to one client for one use of one application.
pub(crate) struct Standing {
    /// Its place in the interest index.
    index: LeaseId,
    table: Arc<LiveTable>,
    pub(crate) credentials: Credentials,
    /// The application that the permit opened, and no other.
    pub(crate) target: Arc<Application>,
    pub(crate) action: Action,
    /// The request line that it holds for, where a rule reads it.
    only: Option<Line>,
    /// The count of signals at which it was decided.
    epoch: u64,
    decided: Timestamp,
    until: AtomicI64,
    /// The ask, as it was decided last.
    ask: Mutex<Arc<Ask>>,
    /// The record of the verdict, for what is the same in all of them.
    pattern: Arc<Pattern>,
    /// The counters of the application.
    pub(crate) metrics: Arc<AppMetrics>,
    /// Lines for the application, whole.
    pub(crate) lines: Vec<u8>,
    attached: Mutex<Vec<Arc<Entry>>>,
    /// Where everything runs that rests on it.
    pub(crate) home: Option<Handle>,
}

struct Line {
    method: String,
    path: String,
}

/// What a standing is made of.
pub(crate) struct Given<'a> {
    pub(crate) metrics: Arc<AppMetrics>,
    pub(crate) permit: &'a Permit,
    pub(crate) ask: Ask,
    pub(crate) credentials: Credentials,
    pub(crate) access: Access,
    pub(crate) assertion: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) now: Timestamp,
}

/// What a request must have in common with a standing.
#[derive(Clone, Copy)]
pub(crate) struct Fits<'a> {
    pub(crate) epoch: u64,
    pub(crate) now: Timestamp,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) certificate: Option<&'a ClientCertificate>,
    pub(crate) peer: IpAddr,
    pub(crate) host: &'a safeconduct_model::Host,
    pub(crate) app: &'a Arc<Application>,
    pub(crate) action: Action,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
}

impl Standing {
    /// Takes a permit into the table.
    pub(crate) fn register(table: &Arc<LiveTable>, given: Given<'_>) -> Arc<Self> {
        let Given { metrics, permit, ask, credentials, access, assertion, epoch, now } = given;
        let reads = &permit.grounds().facts;
        let (what, action) = (&ask.what, ask.what.action);
        let only = ["method", "path"]
            .iter()
            .any(|fact| reads.contains(*fact))
            .then(|| Line { method: what.method.clone(), path: what.path.clone() });
        let mut lines = Vec::new();
        if let Some(token) = &assertion {
            lines.extend_from_slice(b"x-safeconduct-assertion: ");
            lines.extend_from_slice(token.as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        let interests = crate::live::interests(&ask, now, permit.until());
        table.register(interests, |index| Self {
            index,
            table: Arc::clone(table),
            credentials,
            target: Arc::clone(permit.target()),
            action,
            only,
            epoch,
            decided: now,
            until: AtomicI64::new(permit.until().millis()),
            ask: Mutex::new(Arc::new(ask)),
            pattern: Arc::new(Pattern::of(access)),
            metrics,
            lines,
            attached: Mutex::default(),
            home: Handle::try_current().ok(),
        })
    }

    /// Whether a new request is answered by it, exactly.
    pub(crate) fn fits(&self, asked: &Fits<'_>) -> bool {
        self.epoch == asked.epoch
            && self.decided <= asked.now
            && asked.now < self.decided + FRESH
            && asked.now.millis() < self.until.load(Ordering::Relaxed)
            && Arc::ptr_eq(&self.target, asked.app)
            && self.action == asked.action
            && self.credentials.cookie.as_ref().map(crate::CookieToken::expose) == asked.cookie
            && self.credentials.peer == asked.peer
            && self.credentials.host == *asked.host
            && self.credentials.certificate.as_ref().map(|c| c.sha256) == asked.certificate.map(|c| c.sha256)
            && self.only.as_ref().is_none_or(|only| only.method == asked.method && only.path == asked.path)
    }

    /// Whether it may still answer for new requests.
    pub(crate) fn is_fresh(&self, epoch: u64, now: Timestamp) -> bool {
        self.epoch == epoch && self.decided <= now && now < self.decided + FRESH
    }

    /// Takes the verdict about one more request into the ledger.
    pub(crate) fn record(
        &self,
        control: &dyn Control,
        about: &About,
        took_us: u32,
    ) -> Result<Box<dyn Receipt>, RecordRefused> {
        let varying = Varying {
            request: &about.request,
            method: &about.method,
            path: &about.path,
            decided: about.since,
            took_us,
        };
        control.record_like(&self.pattern, &varying)
    }

    /// Lets an exchange rest on it.
    pub(crate) fn attach(self: &Arc<Self>, about: About) -> Arc<Entry> {
        let entry = Arc::new(Entry::new(self.table.number(), about));
        let mut attached = lock(&self.attached);
        entry.place.store(attached.len(), Ordering::Relaxed);
        attached.push(Arc::clone(&entry));
        drop(attached);
        entry
    }

    /// Takes an exchange off it.
    pub(crate) fn detach(&self, entry: &Arc<Entry>) {
        let mut attached = lock(&self.attached);
        let place = entry.place.load(Ordering::Relaxed);
        if attached.get(place).is_some_and(|e| Arc::ptr_eq(e, entry)) {
            attached.swap_remove(place);
            if let Some(moved) = attached.get(place) {
                moved.place.store(place, Ordering::Relaxed);
            }
        }
    }

    /// Everything that rests on it now.
    pub(crate) fn attached(&self) -> Vec<Arc<Entry>> {
        lock(&self.attached).clone()
    }

    /// The ask, as it was decided last.
    pub(crate) fn ask(&self) -> Arc<Ask> {
        Arc::clone(&lock(&self.ask))
    }

    /// Policy said yes again, with these facts.
    pub(crate) fn extend(&self, ask: Ask, now: Timestamp, until: Timestamp) {
        self.table.extend(self.index, crate::live::interests(&ask, now, until));
        self.until.store(until.millis(), Ordering::Relaxed);
        *lock(&self.ask) = Arc::new(ask);
    }

    /// Nothing rests on it and nothing will: its time is up.
    pub(crate) fn retire(&self) {
        self.table.remove(self.index);
    }

    pub(crate) fn views(&self) -> Vec<LiveView> {
        let (ask, until) = (self.ask(), Timestamp::from_millis(self.until.load(Ordering::Relaxed)));
        lock(&self.attached).iter().map(|e| e.view(&ask, until)).collect()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.table.remove(self.index);
    }
}
