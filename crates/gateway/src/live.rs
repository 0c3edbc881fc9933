//! What is live: the standings that policy gave, and the exchanges and streams that rest on each, with the switch that ends it.
//!
//! A standing is registered in the interest index once; whatever is served on it attaches to it. So a signal finds the
//! standings that rest on what changed, and through them every connection, without a look at any other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use safeconduct_access::{Interests, LeaseId, Leases, Signal};
use safeconduct_model::{AppId, Ask, CutCause, DeviceId, Principal, RequestId, SessionId, Timestamp};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::standing::Standing;
use crate::telling::Telling;

/// So many tasks have their turn one after the other before the end of a tunnel is written: its own, that of its stream, that of
/// its connection.
const STEPS: usize = 3;

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

impl LiveKind {
    /// Where it stands when many are cut: a tunnel carries anything, and its user sits one program further away.
    fn rank(self) -> u8 {
        match self {
            Self::Tunnel => 0,
            Self::WebSocket => 1,
            Self::Exchange => 2,
        }
    }
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

/// The table of standings. Its mutex is held for map operations only, never while policy decides or a socket is touched; and
/// a request that finds its standing does not touch it at all.
#[derive(Default)]
pub(crate) struct LiveTable {
    inner: Mutex<Inner>,
    /// Counts the signals, so that a decision that was overtaken by one is noticed.
    epoch: AtomicU64,
    next_entry: AtomicU64,
    /// Those that were cut and may not have ended yet.
    cutting: Mutex<Vec<Arc<Entry>>>,
    /// How many of them are not told yet.
    pub(crate) telling: Telling,
}

/// Exchanges that have something in common.
pub(crate) type Entries = Arc<Vec<Arc<Entry>>>;

#[derive(Default)]
struct Inner {
    leases: Leases,
    standings: HashMap<LeaseId, Weak<Standing>>,
}

/// What an exchange is about, beside its standing.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) request: RequestId,
    pub(crate) method: Arc<str>,
    pub(crate) path: Arc<str>,
    pub(crate) kind: LiveKind,
    pub(crate) since: Timestamp,
}

/// One live exchange or stream.
pub(crate) struct Entry {
    pub(crate) lease: LeaseId,
    pub(crate) about: About,
    /// Where it stands among those on its standing; under their lock.
    pub(crate) place: AtomicUsize,
    pub(crate) up: AtomicU64,
    pub(crate) down: AtomicU64,
    lost: AtomicBool,
    opened: AtomicBool,
    /// The task that waits for the loss.
    waker: AtomicWaker,
    switch: Mutex<Switch>,
}

#[derive(Default)]
struct Switch {
    ended: bool,
    cut: Option<(CutCause, Instant)>,
    /// When the client was told.
    gone: Option<Instant>,
    /// A shared connection that ends if the exchange outlives its lease.
    late: Option<CancellationToken>,
}

impl Entry {
    pub(crate) fn new(lease: LeaseId, about: About) -> Self {
        Self {
            lease,
            about,
            place: AtomicUsize::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            opened: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            switch: Mutex::default(),
        }
    }

    /// The bytes that were carried, both ways.
    pub(crate) fn moved(&self) -> u64 {
        self.up.load(Ordering::Relaxed) + self.down.load(Ordering::Relaxed)
    }

    /// Whether the lease is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Ready when the lease is lost. One task waits at a time.
    pub(crate) fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_lost() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.is_lost() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Until the lease is lost.
    pub(crate) async fn lost(&self) {
        std::future::poll_fn(|cx| self.poll_lost(cx)).await;
    }

    /// Ends everything that rests on the lease. The first cause stays. Says whether it was still held. Its task must be woken.
    fn kill(&self, cause: CutCause, since: Instant) -> bool {
        {
            let mut switch = lock(&self.switch);
            if switch.ended || switch.cut.is_some() {
                return false;
            }
            switch.cut = Some((cause, since));
        }
        self.lost.store(true, Ordering::Release);
        true
    }

    /// The client was told that it is over; what remains is for us alone. Says whether it was cut and is told just now.
    pub(crate) fn gone(&self) -> bool {
        let mut switch = lock(&self.switch);
        let first = switch.cut.is_some() && switch.gone.is_none();
        if first {
            switch.gone = Some(Instant::now());
        }
        first
    }

    /// The lease was never used: nothing is told of its end. Says whether it was cut and nobody is told any more.
    pub(crate) fn discard(&self) -> bool {
        let switch = std::mem::replace(&mut *lock(&self.switch), Switch { ended: true, ..Switch::default() });
        !switch.ended && switch.cut.is_some() && switch.gone.is_none()
    }

    /// The stream runs: its end is worth a record of its own.
    pub(crate) fn open(&self) {
        self.opened.store(true, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
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
            && switch.gone.is_none()
            && since.elapsed() >= grace
        {
            late.cancel();
            return true;
        }
        switch.ended || switch.gone.is_some()
    }

    /// The exchange is over: nothing can be cut any more. Says what cut it, if anything. A second end tells nothing.
    pub(crate) fn end(&self) -> Ended {
        let mut switch = lock(&self.switch);
        if std::mem::replace(&mut switch.ended, true) {
            return Ended::Before;
        }
        let Some((cause, since)) = switch.cut else { return Ended::ByItself };
        let told_now = switch.gone.is_none();
        let delay = switch.gone.get_or_insert_with(Instant::now).saturating_duration_since(since);
        Ended::Cut { cause, delay, told_now }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    /// It was over already.
    Before,
    /// Nobody cut it.
    ByItself,
    /// It was cut, and its client was told so long after the signal: just now, or before.
    Cut { cause: CutCause, delay: std::time::Duration, told_now: bool },
}

impl LiveTable {
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// A new number for an exchange.
    pub(crate) fn number(&self) -> LeaseId {
        LeaseId::from_number(self.next_entry.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a standing in; `make` gets its place in the index.
    pub(crate) fn register(&self, interests: Interests, make: impl FnOnce(LeaseId) -> Standing) -> Arc<Standing> {
        let mut inner = lock(&self.inner);
        let id = inner.leases.register(interests);
        let standing = Arc::new(make(id));
        inner.standings.insert(id, Arc::downgrade(&standing));
        standing
    }

    pub(crate) fn remove(&self, id: LeaseId) {
        let mut inner = lock(&self.inner);
        inner.leases.remove(id);
        inner.standings.remove(&id);
    }

    pub(crate) fn extend(&self, id: LeaseId, interests: Interests) {
        lock(&self.inner).leases.extend(id, interests);
    }

    /// Ends a lease: everything that rests on it is cut. Says whether it was still held.
    pub(crate) fn kill(&self, entry: &Arc<Entry>, cause: CutCause, since: Instant) -> bool {
        // Counted first: whoever looks meanwhile knows that it was cut, and may be told before it is woken.
        self.telling.begin(1);
        let killed = entry.kill(cause, since);
        if killed {
            lock(&self.cutting).push(Arc::clone(entry));
            entry.waker.wake();
        } else {
            self.telling.told(1);
        }
        killed
    }

    /// Ends leases, those first that can do most. The tasks of each thread are woken by one of its own, all at once: that is
    /// cheaper than to wake each of them from here, and all of them are told before the first one clears up.
    pub(crate) fn kill_all(&self, lost: &[(&Arc<Standing>, Entries)], cause: CutCause, since: Instant) {
        // There are as many as there are threads.
        let mut homes: Vec<(Option<&Handle>, Vec<Arc<Entry>>)> = Vec::new();
        let all = lost.iter().map(|(_, entries)| entries.len()).sum::<usize>();
        self.telling.begin(all);
        for (standing, entries) in lost {
            let home = standing.home.as_ref();
            let at = homes.iter().position(|(of, _)| of.map(Handle::id) == home.map(Handle::id)).unwrap_or(homes.len());
            if at == homes.len() {
                homes.push((home, Vec::new()));
            }
            homes[at].1.extend(entries.iter().filter(|entry| entry.kill(cause, since)).cloned());
        }
        self.telling.told(all - homes.iter().map(|(_, entries)| entries.len()).sum::<usize>());
        for (home, mut entries) in homes {
            entries.sort_by_key(|entry| entry.about.kind.rank());
            lock(&self.cutting).extend(entries.iter().cloned());
            match home {
                Some(home) => drop(home.spawn(wake(entries))),
                None => entries.iter().for_each(|entry| entry.waker.wake()),
            }
        }
    }

    /// Presses those that were cut and have not ended.
    pub(crate) fn press(&self, grace: std::time::Duration) {
        lock(&self.cutting).retain(|entry| !entry.press(grace));
    }

    /// The standings that a change touches.
    pub(crate) fn affected(&self, signal: &Signal) -> Vec<Arc<Standing>> {
        let inner = lock(&self.inner);
        inner.pick(inner.leases.affected(signal))
    }

    /// The standings whose time is up.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<Arc<Standing>> {
        let inner = lock(&self.inner);
        inner.pick(inner.leases.due(now))
    }

    /// When the next time is up.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        lock(&self.inner).leases.next_due()
    }

    fn all(&self) -> Vec<Arc<Standing>> {
        lock(&self.inner).standings.values().filter_map(Weak::upgrade).collect()
    }

    /// The exchange with this lease.
    pub(crate) fn get(&self, lease: LeaseId) -> Option<Arc<Entry>> {
        self.all().iter().flat_map(|s| s.attached()).find(|e| e.lease == lease)
    }

    pub(crate) fn views(&self) -> Vec<LiveView> {
        let mut views: Vec<_> = self.all().iter().flat_map(|s| s.views()).collect();
        views.sort_by_key(|v| v.lease);
        views
    }
}

impl Inner {
    /// The standings that still exist. The caller drops them without the lock: the last one takes itself out of the table.
    fn pick(&self, ids: Vec<LeaseId>) -> Vec<Arc<Standing>> {
        ids.into_iter().filter_map(|id| self.standings.get(&id)?.upgrade()).collect()
    }
}

impl Entry {
    pub(crate) fn view(&self, ask: &Ask, until: Timestamp) -> LiveView {
        LiveView {
            lease: self.lease,
            request: self.about.request.clone(),
            principal: ask.who.principal.clone(),
            session: ask.who.auth.as_ref().map(|a| a.session.clone()),
            device: ask.place.device.as_ref().map(|d| d.id.clone()),
            app: ask.what.app.clone(),
            kind: self.about.kind,
            method: self.about.method.to_string(),
            path: self.about.path.to_string(),
            ip: ask.place.ip,
            since: self.about.since,
            until,
            up: self.up.load(Ordering::Relaxed),
            down: self.down.load(Ordering::Relaxed),
        }
    }
}

/// Wakes the tasks of those who were cut, kind by kind: what the end of one sets off goes before the next.
async fn wake(entries: Vec<Arc<Entry>>) {
    for kind in entries.chunk_by(|one, next| one.about.kind == next.about.kind) {
        kind.iter().for_each(|entry| entry.waker.wake());
        for _ in 0..STEPS {
            tokio::task::yield_now().await;
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

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_cut_is_told_once_however_it_ends() {
        let table = LiveTable::default();
        let about = About {
            request: "r1".parse().unwrap(),
            method: "GET".into(),
            path: "/".into(),
            kind: LiveKind::Exchange,
            since: Timestamp::from_millis(0),
        };
        let cut = || {
            let entry = Arc::new(Entry::new(table.number(), about.clone()));
            assert!(table.kill(&entry, CutCause::SessionEnded, Instant::now()));
            assert_eq!(table.telling.untold(), 1);
            assert!(!table.kill(&entry, CutCause::SessionEnded, Instant::now()), "the first cause stays");
            entry
        };
        let told = |now: bool| table.telling.told(usize::from(now));
        let first = cut();
        told(first.gone());
        told(first.gone());
        assert!(matches!(first.end(), Ended::Cut { told_now: false, .. }));
        assert_eq!(table.telling.untold(), 0);
        assert!(matches!(cut().end(), Ended::Cut { told_now: true, .. }), "nobody else told it");
        told(true);
        told(cut().discard());
        assert_eq!(table.telling.untold(), 0);
        let whole = Arc::new(Entry::new(table.number(), about.clone()));
        assert!(!whole.gone() && matches!(whole.end(), Ended::ByItself));
        assert!(!table.kill(&whole, CutCause::SessionEnded, Instant::now()), "it is over");
        assert_eq!(table.telling.untold(), 0);
    }
}
