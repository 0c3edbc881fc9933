//! What the rooms count in the ledger beyond the map of use: by day, by kind of device, by rule.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as StdDuration;

use safeconduct_assess::{Alike, Metrics};
use safeconduct_console::view::{Share, Via};
use safeconduct_ledger::Pattern;
use safeconduct_model::{
    Access, Action, AppId, CutCause, DeviceFacts, DeviceId, Entry, PersonId, Principal, Record, RuleId, SessionId,
    Timestamp,
};
use safeconduct_store::{Batch, Entries, Happened, LedgerWriter, Located, Position, ReadError};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use tokio_util::sync::CancellationToken;

use crate::house::House;

/// The milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// How many different uses are told apart, each once for every day on which it occurred.
const MAX_CELLS: usize = 400_000;
/// How many sessions are told apart on one day.
const MAX_SESSIONS_PER_DAY: usize = 50_000;
/// How many delays of cuts are kept for one day.
const MAX_DELAYS_PER_DAY: usize = 10_000;
/// Days before the newest one for which figures by day are kept.
const KEPT_DAYS: i64 = 400;

/// The number of the day (UTC) in which an instant lies.
pub(crate) fn day_of(at: Timestamp) -> i64 {
    at.millis().div_euclid(DAY_MS)
}

/// Who uses what, how, from which kind of device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) app: AppId,
    pub(crate) action: Action,
    pub(crate) who: Principal,
    pub(crate) via: Via,
}

/// How often, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) allowed: u64,
    pub(crate) would_deny: u64,
    pub(crate) denied: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Default for Counts {
    fn default() -> Self {
        Self { allowed: 0, would_deny: 0, denied: 0, first: Timestamp::MAX, last: Timestamp::default() }
    }
}

impl Counts {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.allowed += other.allowed;
        self.would_deny += other.would_deny;
        self.denied += other.denied;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.allowed + self.would_deny + self.denied
    }

    /// Those that got through.
    pub(crate) fn passed(&self) -> u64 {
        self.allowed + self.would_deny
    }
}

/// How often a rule spoke.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleUse {
    by_day: BTreeMap<i64, u64>,
    pub(crate) last: Timestamp,
}

impl RuleUse {
    /// How often since the day `since`.
    pub(crate) fn since(&self, since: i64) -> u64 {
        self.by_day.range(since..).map(|(_, n)| n).sum()
    }
}

/// The figures of one day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Day {
    /// Requests of proven askers that policy allowed, of all of them.
    pub(crate) covered: Share,
    /// Sessions in use, and whether two factors and a phishing-resistant one held throughout.
    pub(crate) sessions: BTreeMap<SessionId, (bool, bool)>,
    /// From a change to the end of a connection, in milliseconds.
    pub(crate) delays: Vec<u64>,
}

/// Everything that was counted.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    cells: BTreeMap<(Use, i64), Counts>,
    beyond: u64,
    pub(crate) rules: BTreeMap<RuleId, RuleUse>,
    pub(crate) devices: BTreeMap<DeviceId, Timestamp>,
    pub(crate) people: BTreeMap<PersonId, Timestamp>,
    pub(crate) days: BTreeMap<i64, Day>,
    /// The first verdict.
    pub(crate) first: Option<Timestamp>,
    /// What the gateway can prove.
    pub(crate) metrics: Metrics,
}

/// From which kind of device an ask came.
pub(crate) fn via(device: Option<&DeviceFacts>, at: Timestamp) -> Via {
    match device {
        None => Via::Unknown,
        Some(d) if !d.managed => Via::Unmanaged,
        Some(d) if d.is_compliant(at) => Via::Compliant,
        Some(_) => Via::Failing,
    }
}

/// Whether one more verdict of a pattern counts like those before: on the same day, from the same kind of device.
fn is_alike(access: &Access, alike: &Alike, at: Timestamp) -> bool {
    let device = access.ask.place.device.as_ref();
    let first = alike.decided.0;
    day_of(first) == day_of(at) && alike.decided.1 <= at && via(device, first) == via(device, at)
}

impl Digest {
    /// Counts one entry.
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.metrics.add(entry);
        match &entry.record {
            // A live connection that is decided again is no new use.
            Record::Access(access) if !access.again => self.access(access, &Alike::one(entry.at, access.decided)),
            Record::Cut(cut) => match (cut.cause, cut.delay) {
                (CutCause::Closed | CutCause::UpstreamFailed | CutCause::Shutdown, _) | (_, None) => {}
                (_, Some(delay)) => {
                    let delays = &mut self.day(entry.at).delays;
                    if delays.len() < MAX_DELAYS_PER_DAY {
                        delays.push(delay.millis());
                    }
                }
            },
            _ => {}
        }
    }

    /// Counts what was just written from the entry `next` on. Verdicts like each other are counted together: under load nearly
    /// all are.
    fn take(&mut self, batch: &Batch, next: u64) {
        let mut run: Option<(&Arc<Pattern>, Alike)> = None;
        for written in batch.iter().filter(|w| w.seq >= next) {
            match (written.what, &mut run) {
                (Happened::Like(pattern, texts), Some((of, alike)))
                    if Arc::ptr_eq(pattern, of) && is_alike(pattern.access(), alike, texts.decided) =>
                {
                    alike.more(written.at, texts.decided);
                }
                (Happened::Like(pattern, texts), run) => {
                    let before = run.replace((pattern, Alike::one(written.at, texts.decided)));
                    self.add_run(before);
                }
                (Happened::Whole(_), run) => {
                    let before = run.take();
                    self.add_run(before);
                    self.add(&written.entry());
                }
            }
        }
        self.add_run(run);
    }

    fn add_run(&mut self, run: Option<(&Arc<Pattern>, Alike)>) {
        let Some((pattern, alike)) = run else { return };
        self.metrics.add_like(pattern.access(), &alike);
        if !pattern.access().again {
            self.access(pattern.access(), &alike);
        }
    }

    fn day(&mut self, at: Timestamp) -> &mut Day {
        let day = day_of(at);
        if !self.days.contains_key(&day) {
            self.days = self.days.split_off(&(day - KEPT_DAYS));
        }
        self.days.entry(day).or_default()
    }

    fn access(&mut self, access: &Access, alike: &Alike) {
        let (ask, times, (at, last)) = (&access.ask, alike.times, alike.decided);
        self.first = Some(self.first.map_or(at, |f| f.min(at)));
        let mut counts = Counts { first: at, last, ..Counts::default() };
        *match (access.permitted(), access.passed()) {
            (true, _) => &mut counts.allowed,
            (false, true) => &mut counts.would_deny,
            (false, false) => &mut counts.denied,
        } = times;
        let key = Use {
            app: ask.what.app.clone(),
            action: ask.what.action,
            who: ask.who.principal.clone(),
            via: via(ask.place.device.as_ref(), at),
        };
        let key = (key, day_of(at));
        let room = self.cells.len() < MAX_CELLS;
        match self.cells.get_mut(&key) {
            Some(cell) => cell.merge(&counts),
            None if room => {
                self.cells.insert(key, counts);
            }
            None => self.beyond += times,
        }
        for rule in &access.rules {
            let used = self.rules.entry(rule.clone()).or_default();
            *used.by_day.entry(day_of(at)).or_default() += times;
            used.last = used.last.max(last);
        }
        if let Some(device) = &ask.place.device {
            let seen = self.devices.entry(device.id.clone()).or_default();
            *seen = (*seen).max(last);
        }
        if let Some(person) = ask.who.principal.person() {
            let seen = self.people.entry(person.clone()).or_default();
            *seen = (*seen).max(last);
        }
        if ask.who.principal != Principal::Nobody {
            let passed = access.passed();
            let day = self.day(at);
            day.covered.all += times;
            day.covered.of += times * u64::from(access.permitted());
            if let Some(auth) = ask.who.auth.as_ref().filter(|_| passed) {
                let room = day.sessions.len() < MAX_SESSIONS_PER_DAY || day.sessions.contains_key(&auth.session);
                if room {
                    let proof = day.sessions.entry(auth.session.clone()).or_insert((true, true));
                    proof.0 &= auth.is_mfa();
                    proof.1 &= auth.is_phishing_resistant();
                }
            }
        }
    }

    /// Uses since the day `since`, each with its counts over these days.
    pub(crate) fn uses(&self, since: i64) -> BTreeMap<&Use, Counts> {
        let mut found: BTreeMap<&Use, Counts> = BTreeMap::new();
        for ((key, _), counts) in self.cells.iter().filter(|((_, day), _)| *day >= since) {
            found.entry(key).or_default().merge(counts);
        }
        found
    }

    /// When a use was first seen at all.
    pub(crate) fn first_of(&self, key: &Use) -> Timestamp {
        let from = (key.clone(), i64::MIN);
        self.cells.range(from..).next().filter(|((k, _), _)| k == key).map_or(Timestamp::MAX, |(_, c)| c.first)
    }

    /// How many verdicts found no room.
    pub(crate) fn beyond(&self) -> u64 {
        self.beyond
    }
}

/// The digest, and how far the ledger was read for it.
pub(crate) struct Reading(Mutex<Inner>);

struct Inner {
    digest: Digest,
    /// The entry that comes next, and where it stands, if that is known.
    next: u64,
    place: Option<Position>,
    /// What is written meanwhile. Most of it is counted from here, without reading it again.
    batches: broadcast::Receiver<Arc<Batch>>,
}

impl Reading {
    /// Nothing is read yet; `batches` tells what is written from now on.
    pub(crate) fn new(batches: broadcast::Receiver<Arc<Batch>>) -> Self {
        Self(Mutex::new(Inner { digest: Digest::default(), next: 0, place: None, batches }))
    }

    /// Takes in what is new in the ledger, then looks at all of it. It blocks: not for tasks that others wait for.
    pub(crate) fn look<T>(
        &self,
        ledger: &LedgerWriter,
        dir: &Path,
        at: impl FnOnce(&Digest) -> T,
    ) -> Result<T, ReadError> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.hear();
        if inner.next < ledger.health().written {
            inner.read(dir)?;
        }
        Ok(at(&inner.digest))
    }

    /// Takes in what was announced; `false` if something between is missing, which a look reads.
    fn keep_up(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hear()
    }
}

impl Inner {
    fn hear(&mut self) -> bool {
        let mut whole = true;
        loop {
            match self.batches.try_recv() {
                Ok(batch) if batch.first_seq() <= self.next => {
                    if self.next < batch.next_seq() {
                        self.digest.take(&batch, self.next);
                        (self.next, self.place) = (batch.next_seq(), Some(batch.end()));
                    }
                }
                Ok(_) | Err(TryRecvError::Lagged(_)) => whole = false,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return whole,
            }
        }
    }

    /// Reads what was written and not heard of.
    fn read(&mut self, dir: &Path) -> Result<(), ReadError> {
        let entries = match self.place {
            Some(place) => Entries::from_position(dir, place),
            None => Entries::from_seq(dir, self.next)?,
        };
        for located in entries {
            let Located { entry, position, len, .. } = located?;
            if entry.seq >= self.next {
                self.digest.add(&entry);
                self.next = entry.seq + 1;
                self.place = Some(Position { offset: position.offset + len, ..position });
            }
        }
        Ok(())
    }
}

/// How often what was written is taken in.
const STEP: StdDuration = StdDuration::from_millis(250);

/// Keeps the digest up to date until the server stops, so that a page finds it read.
pub(crate) async fn follow(house: Arc<House>, stop: CancellationToken) {
    let mut whole = false;
    loop {
        if !whole {
            let reader = Arc::clone(&house);
            let look = move || reader.reading.look(&reader.ledger, &reader.ledger_dir(), |_| ());
            if let Ok(Err(error)) = tokio::task::spawn_blocking(look).await {
                tracing::warn!(%error, "the ledger could not be read for the figures of use");
            }
        }
        if tokio::time::timeout(STEP, stop.cancelled()).await.is_ok() {
            return;
        }
        whole = house.reading.keep_up();
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A verdict on `app` at `at`, as the ledger would hold it.
    pub(crate) fn entry(seq: u64, at: i64, who: &str, app: &str, permit: bool, mode: &str) -> Entry {
        let verdict = if permit {
            format!(r#""verdict":"permit","until":{},"rules":["r-{app}"]"#, at + 60_000)
        } else {
            r#""verdict":"deny","reason":"no_rule""#.to_owned()
        };
        let line = format!(
            r#"{{"seq":{seq},"at":{at},"kind":"access","decided":{at},{verdict},"mode":"{mode}","revision":1,
            "ask":{{"request":"q{seq}","who":{{"principal":{{"person":"{who}"}},
              "auth":{{"session":"s-{who}","methods":["passkey"],"at":{at},"until":{}}}}},
             "what":{{"app":"{app}","action":"read","method":"GET","path":"/"}},"place":{{"ip":"10.0.0.7"}}}}}}"#,
            at + 60_000
        );
        serde_json::from_str(&line).expect("a record")
    }
}

#[cfg(test)]
mod tests {
    use super::testing::entry;
    use super::*;

    #[test]
    fn uses_are_counted_by_day_and_summed_over_a_window() {
        let mut digest = Digest::default();
        for (seq, day, permit) in [(0, 10, true), (1, 11, false), (2, 12, true)] {
            digest.add(&entry(seq, day * DAY_MS + 5, "ada", "wiki", permit, "observe"));
        }
        let all = digest.uses(0);
        let (key, counts) = all.iter().next().expect("one use");
        assert_eq!((all.len(), counts.allowed, counts.would_deny, counts.denied), (1, 2, 1, 0));
        assert_eq!(digest.first_of(key).millis(), 10 * DAY_MS + 5);
        let late: Vec<u64> = digest.uses(11).values().map(Counts::total).collect();
        assert_eq!(late, [2]);
        assert_eq!(digest.rules[&"r-wiki".parse().expect("id")].since(11), 1);
        assert_eq!(digest.days[&11].covered, Share::new(0, 1));
    }
}
