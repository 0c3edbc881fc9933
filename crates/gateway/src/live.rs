//! The live table: every exchange and stream that rests on a lease, with the switch that ends it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use safeconduct_access::{Interests, LeaseId, Leases, Signal};
use safeconduct_model::{AppId, DeviceId};
use safeconduct_model::{Application, Ask, CutCause, Principal, RequestId, SessionId, Timestamp};
use std::net::IpAddr;
use tokio_util::sync::CancellationToken;

use crate::ports::Credentials;

/// What kind of connection rests on a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveKind {
    /// One request and its answer, however long it streams.
    Exchange,
    /// A WebSocket.
    WebSocket,
    /// A tunnel.
    Tunnel,
}

/// A live connection, as the console shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveView {
    /// Its lease.
    pub lease: LeaseId,
    /// The request that opened it.
    pub request: RequestId,
    /// Who uses it.
    pub principal: Principal,
    /// The session that it rests on.
    pub session: Option<SessionId>,
    /// The device.
    pub device: Option<DeviceId>,
    /// The application.
    pub app: AppId,
    /// What it is.
    pub kind: LiveKind,
    /// The method.
    pub method: String,
    /// The canonical path.
    pub path: String,
    /// The address of the client.
    pub ip: IpAddr,
    /// Since when.
    pub since: Timestamp,
    /// When its lease ends at the latest.
    pub until: Timestamp,
    /// Bytes from the client.
    pub up: u64,
    /// Bytes to the client.
    pub down: u64,
}

/// The table. One mutex: it is held for map operations only, never while policy decides or a socket is touched.
#[derive(Default)]
pub(crate) struct LiveTable {
    inner: Mutex<Inner>,
    /// Counts the signals, so that a decision that was overtaken by one is noticed.
    epoch: AtomicU64,
    /// Those that were cut and may not have ended yet.
    cutting: Mutex<Vec<Arc<Entry>>>,
}

#[derive(Default)]
struct Inner {
    leases: Leases,
    entries: HashMap<LeaseId, Arc<Entry>>,
}

/// One live connection.
pub(crate) struct Entry {
    pub(crate) ask: Ask,
    pub(crate) credentials: Credentials,
    pub(crate) target: Arc<Application>,
    pub(crate) kind: LiveKind,
    pub(crate) since: Timestamp,
    pub(crate) up: AtomicU64,
    pub(crate) down: AtomicU64,
    /// Cancelled when the lease is lost.
    pub(crate) lost: CancellationToken,
    switch: Mutex<Switch>,
}

#[derive(Default)]
struct Switch {
    ended: bool,
    opened: bool,
    cut: Option<(CutCause, Instant)>,
    /// Whole connections that end with the lease.
    connections: Vec<CancellationToken>,
    /// A shared connection that ends if the exchange outlives its lease.
    late: Option<CancellationToken>,
}

impl Entry {
    pub(crate) fn new(
        ask: Ask,
        credentials: Credentials,
        target: Arc<Application>,
        kind: LiveKind,
        since: Timestamp,
    ) -> Self {
        Self {
            ask,
            credentials,
            target,
            kind,
            since,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            lost: CancellationToken::new(),
            switch: Mutex::default(),
        }
    }

    /// Ends everything that rests on the lease. The first cause stays. Says whether it was still held.
    fn kill(&self, cause: CutCause, since: Instant) -> bool {
        let mut switch = lock(&self.switch);
        if switch.ended || switch.cut.is_some() {
            return false;
        }
        switch.cut = Some((cause, since));
        self.lost.cancel();
        switch.connections.iter().for_each(CancellationToken::cancel);
        true
    }

    /// The lease was never used: nothing is told of its end.
    pub(crate) fn discard(&self) {
        let mut switch = lock(&self.switch);
        *switch = Switch { ended: true, ..Switch::default() };
    }

    /// The stream runs: its end is worth a record of its own.
    pub(crate) fn open(&self) {
        lock(&self.switch).opened = true;
    }

    pub(crate) fn opened(&self) -> bool {
        lock(&self.switch).opened
    }

    /// Lets a connection end with the lease, at once if it is lost already.
    pub(crate) fn end_with(&self, connection: CancellationToken) {
        let mut switch = lock(&self.switch);
        if switch.cut.is_some() {
            connection.cancel();
        }
        switch.connections.push(connection);
    }

    /// Lets a connection end if the exchange goes on without its lease, because its client does not read for example.
    pub(crate) fn end_late_with(&self, connection: CancellationToken) {
        lock(&self.switch).late = Some(connection);
    }

    /// Ends the shared connection of an exchange that was cut longer than `grace` ago. Says whether the exchange is over.
    fn press(&self, grace: std::time::Duration) -> bool {
        let switch = lock(&self.switch);
        if let (Some((_, since)), Some(late)) = (switch.cut, &switch.late)
            && !switch.ended
            && since.elapsed() >= grace
        {
            late.cancel();
            return true;
        }
        switch.ended
    }

    /// The exchange is over: nothing can be cut any more, and its connections may serve another. Says what cut it, if anything.
    pub(crate) fn end(&self) -> Option<(CutCause, Instant)> {
        let mut switch = lock(&self.switch);
        switch.connections.clear();
        switch.ended = true;
        switch.cut
    }
}

impl LiveTable {
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn register(&self, interests: Interests, entry: Arc<Entry>) -> LeaseId {
        let mut inner = lock(&self.inner);
        let id = inner.leases.register(interests);
        inner.entries.insert(id, entry);
        id
    }

    pub(crate) fn remove(&self, id: LeaseId) {
        let mut inner = lock(&self.inner);
        inner.leases.remove(id);
        inner.entries.remove(&id);
    }

    /// Ends a lease: everything that rests on it is cut. Says whether it was still held.
    pub(crate) fn kill(&self, entry: &Arc<Entry>, cause: CutCause, since: Instant) -> bool {
        let killed = entry.kill(cause, since);
        if killed {
            lock(&self.cutting).push(Arc::clone(entry));
        }
        killed
    }

    /// Presses those that were cut and have not ended.
    pub(crate) fn press(&self, grace: std::time::Duration) {
        lock(&self.cutting).retain(|entry| !entry.press(grace));
    }

    pub(crate) fn extend(&self, id: LeaseId, interests: Interests) {
        lock(&self.inner).leases.extend(id, interests);
    }

    pub(crate) fn affected(&self, signal: &Signal) -> Vec<(LeaseId, Arc<Entry>)> {
        let inner = lock(&self.inner);
        inner.pick(inner.leases.affected(signal))
    }

    pub(crate) fn due(&self, now: Timestamp) -> Vec<(LeaseId, Arc<Entry>)> {
        let inner = lock(&self.inner);
        inner.pick(inner.leases.due(now))
    }

    pub(crate) fn get(&self, id: LeaseId) -> Option<Arc<Entry>> {
        lock(&self.inner).entries.get(&id).cloned()
    }

    pub(crate) fn views(&self) -> Vec<LiveView> {
        let inner = lock(&self.inner);
        let mut views: Vec<_> =
            inner.entries.iter().filter_map(|(id, e)| Some(e.view(*id, inner.leases.get(*id)?.until))).collect();
        views.sort_by_key(|v| v.lease);
        views
    }
}

impl Inner {
    fn pick(&self, ids: Vec<LeaseId>) -> Vec<(LeaseId, Arc<Entry>)> {
        ids.into_iter().filter_map(|id| Some((id, Arc::clone(self.entries.get(&id)?)))).collect()
    }
}

impl Entry {
    fn view(&self, lease: LeaseId, until: Timestamp) -> LiveView {
        LiveView {
            lease,
            request: self.ask.request.clone(),
            principal: self.ask.who.principal.clone(),
            session: self.ask.who.auth.as_ref().map(|a| a.session.clone()),
            device: self.ask.place.device.as_ref().map(|d| d.id.clone()),
            app: self.target.id.clone(),
            kind: self.kind,
            method: self.ask.what.method.clone(),
            path: self.ask.what.path.clone(),
            ip: self.ask.place.ip,
            since: self.since,
            until,
            up: self.up.load(Ordering::Relaxed),
            down: self.down.load(Ordering::Relaxed),
        }
    }
}

/// What a lease rests on.
pub(crate) fn interests(ask: &Ask, now: Timestamp, until: Timestamp) -> Interests {
    Interests {
        session: ask.who.auth.as_ref().map(|a| a.session.clone()),
        person: ask.who.principal.person().cloned(),
        device: ask.place.device.as_ref().map(|d| d.id.clone()),
        groups: ask.who.groups.clone(),
        app: ask.what.app.clone(),
        grant: ask.why.live_grant(now).map(|g| g.id.clone()),
        until,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
