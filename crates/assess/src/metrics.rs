//! The figures that the gateway itself can prove, from its ledger and its policies.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{
    Access, Action, AppId, Auth, CutCause, DeviceId, Duration, Entry, Method, Mode, PersonId, Principal, Record,
    RuleId, SessionEventKind, SessionId, Timestamp,
};

use crate::evidence::Measurement;
use crate::framework::Statistic;

/// How many sessions are told apart; verdicts of further ones count as unknown.
pub const MAX_SESSIONS: usize = 200_000;
/// How many devices are told apart.
pub const MAX_DEVICES: usize = 100_000;
/// How many sets of rules are told apart.
pub const MAX_RULE_SETS: usize = 20_000;
/// How many delays of revocation are kept.
pub const MAX_DELAYS: usize = 200_000;
/// How many days of people are told apart.
pub const MAX_USER_DAYS: usize = 500_000;

/// What a rule constrains, as far as figures care. Taken from the snapshot by whoever knows policies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent property with a name of its own")]
pub struct RuleShape {
    /// It opens (and does not close).
    pub permits: bool,
    /// It names who.
    pub principal: bool,
    /// It names some, but not all, kinds of use.
    pub action: bool,
    /// It names what.
    pub resource: bool,
    /// It says why (`@why`, or it asks for a purpose, ticket or grant).
    pub why: bool,
    /// The context paths that its conditions read, as policies spell them.
    pub reads: BTreeSet<String>,
}

/// A grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantSpan {
    /// From when it holds.
    pub from: Timestamp,
    /// Until when it holds.
    pub until: Timestamp,
}

/// What the verification of the ledger found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integrity {
    /// How many segments there are.
    pub segments: u64,
    /// How many of them were verified and hold.
    pub verified: u64,
    /// When.
    pub at: Timestamp,
}

/// What stands now, beside the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estate {
    /// The applications in scope, and whether verdicts bind there.
    pub applications: BTreeMap<AppId, Mode>,
    /// The rules.
    pub rules: BTreeMap<RuleId, RuleShape>,
    /// The grants that are live or still to come.
    pub grants: Vec<GrantSpan>,
    /// The longest grant that policy allows.
    pub max_grant: Duration,
    /// The last verification of the ledger, if there was one.
    pub integrity: Option<Integrity>,
}

/// Verdicts that differ in their request, method and path alone, one after the other on one day (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alike {
    /// How many there are.
    pub times: u64,
    /// When the first and the last of them were written,
    pub at: (Timestamp, Timestamp),
    /// and when they were decided.
    pub decided: (Timestamp, Timestamp),
}

impl Alike {
    /// A single one.
    #[must_use]
    pub fn one(at: Timestamp, decided: Timestamp) -> Self {
        Self { times: 1, at: (at, at), decided: (decided, decided) }
    }

    /// One more, later than those before.
    pub fn more(&mut self, at: Timestamp, decided: Timestamp) {
        self.times += 1;
        (self.at.1, self.decided.1) = (at, decided);
    }
}

/// Reads the ledger, entry by entry, in bounded memory.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    window: Option<(Timestamp, Timestamp)>,
    decisions: u64,
    explained: u64,
    permits: u64,
    /// Permits by the number of kinds of context that the rules read.
    depth: BTreeMap<u64, u64>,
    device_considered: u64,
    rule_sets: Counted<Vec<RuleId>, u64>,
    sessions: Counted<SessionId, Session>,
    devices: Counted<DeviceId, bool>,
    delays: Vec<u64>,
    delays_beyond: u64,
    prompts: u64,
    user_days: Counted<(PersonId, i64), ()>,
}

/// A map with a bound, and how often something found no room.
#[derive(Clone, Debug)]
struct Counted<K: Ord, V> {
    kept: BTreeMap<K, V>,
    beyond: u64,
}

impl<K: Ord, V> Default for Counted<K, V> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), beyond: 0 }
    }
}

impl<K: Ord, V: Default> Counted<K, V> {
    fn at(&mut self, key: K, bound: usize, times: u64) -> Option<&mut V> {
        if self.kept.len() >= bound && !self.kept.contains_key(&key) {
            self.beyond += times;
            return None;
        }
        Some(self.kept.entry(key).or_default())
    }
}

/// What is known about an interactive session.
#[derive(Clone, Debug, Default)]
struct Session {
    /// The methods when it began or was stepped up.
    declared: BTreeSet<Method>,
    /// What held for its accesses so far; `None` before the first.
    used: Option<Used>,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact with a name of its own")]
struct Used {
    always_mfa: bool,
    always_phishing_resistant: bool,
    password: bool,
    privileged: bool,
    began_on_known_device: bool,
    began_with_fresh_report: bool,
}

impl Session {
    fn proof(&self) -> (bool, bool, bool) {
        match self.used {
            Some(used) => (used.always_mfa, used.always_phishing_resistant, !used.password),
            None => {
                let auth = methods_only(&self.declared);
                (auth.is_mfa(), auth.is_phishing_resistant(), is_passwordless(&self.declared))
            }
        }
    }

    fn privileged(&self) -> bool {
        self.used.is_some_and(|u| u.privileged)
    }
}

fn methods_only(methods: &BTreeSet<Method>) -> Auth {
    Auth {
        session: "none".parse().expect("a fixed id is valid"),
        methods: methods.clone(),
        at: Timestamp::default(),
        until: Timestamp::MAX,
    }
}

/// Whether a session used no password, as far as is known: a provider that only vouches for the person may have asked for one.
fn is_passwordless(methods: &BTreeSet<Method>) -> bool {
    use Method::{Certificate, OidcPhishingResistant, Passkey};
    !methods.contains(&Method::Password)
        && [Passkey, OidcPhishingResistant, Certificate].iter().any(|m| methods.contains(m))
}

impl Metrics {
    /// Adds one entry of the ledger, in order.
    pub fn add(&mut self, entry: &Entry) {
        self.look((entry.at, entry.at));
        match &entry.record {
            Record::Access(access) => self.access(access, &Alike::one(entry.at, access.decided)),
            Record::Session(event) => {
                use SessionEventKind::{Began, Failed, SteppedUp};
                if matches!(event.event, Began | SteppedUp)
                    && let Some(session) = self.sessions.at(event.session.clone(), MAX_SESSIONS, 1)
                {
                    session.declared = event.methods.iter().copied().collect();
                }
                if matches!(event.event, Began | SteppedUp | Failed) {
                    self.prompts += 1;
                    self.user_day(&event.person, entry.at, 1);
                }
            }
            Record::Cut(cut) => match (cut.cause, cut.delay) {
                (CutCause::Closed | CutCause::UpstreamFailed | CutCause::Shutdown, _) | (_, None) => {}
                (_, Some(_)) if self.delays.len() >= MAX_DELAYS => self.delays_beyond += 1,
                (_, Some(delay)) => self.delays.push(delay.millis()),
            },
            Record::Refusal(_) | Record::Change(_) | Record::System(_) | Record::Question(_) => {}
        }
    }

    /// Adds verdicts like this one, as [`Self::add`] does one by one.
    pub fn add_like(&mut self, access: &Access, alike: &Alike) {
        self.look(alike.at);
        self.access(access, alike);
    }

    fn look(&mut self, (from, to): (Timestamp, Timestamp)) {
        let (first, last) = self.window.unwrap_or((from, to));
        self.window = Some((first.min(from), last.max(to)));
    }

    fn user_day(&mut self, person: &PersonId, at: Timestamp, times: u64) {
        let day = at.millis() / 86_400_000;
        let _ = self.user_days.at((person.clone(), day), MAX_USER_DAYS, times);
    }

    fn access(&mut self, access: &Access, alike: &Alike) {
        let times = alike.times;
        self.decisions += times;
        let explained = access.revision > 0 && (!access.permitted() || !access.rules.is_empty());
        self.explained += times * u64::from(explained);
        if access.permitted() {
            self.permits += times;
            let kinds = kinds_of_context(access.facts.iter().map(String::as_str));
            *self.depth.entry(kinds.len() as u64).or_default() += times;
            self.device_considered += times * u64::from(kinds.contains("device"));
            let mut rules = access.rules.clone();
            rules.sort();
            if let Some(count) = self.rule_sets.at(rules, MAX_RULE_SETS, times) {
                *count += times;
            }
        }
        if let Some(device) = &access.ask.place.device
            && let Some(compliant) = self.devices.at(device.id.clone(), MAX_DEVICES, times)
        {
            *compliant = device.is_compliant(alike.decided.1);
        }
        let Principal::Person(person) = &access.ask.who.principal else { return };
        if access.passed() && !access.again {
            self.user_day(person, alike.decided.0, times);
            self.session(access, alike);
        }
    }

    fn session(&mut self, access: &Access, alike: &Alike) {
        let Some(auth) = &access.ask.who.auth else { return };
        let Some(session) = self.sessions.at(auth.session.clone(), MAX_SESSIONS, alike.times) else { return };
        let device = access.ask.place.device.as_ref();
        let used = session.used.get_or_insert_with(|| Used {
            always_mfa: true,
            always_phishing_resistant: true,
            password: false,
            privileged: false,
            began_on_known_device: device.is_some(),
            began_with_fresh_report: device.is_some_and(|d| d.is_fresh(alike.decided.0)),
        });
        used.always_mfa &= auth.is_mfa();
        used.always_phishing_resistant &= auth.is_phishing_resistant();
        used.password |= !is_passwordless(&auth.methods);
        used.privileged |= access.ask.what.action == Action::Admin;
    }

    /// The figures, by metric. What cannot be measured is absent, and what had nothing to measure has an empty population.
    #[must_use]
    pub fn finish(&self, estate: &Estate, as_of: Timestamp) -> BTreeMap<String, Measurement> {
        let window = (self.window.map_or(as_of, |(first, _)| first.min(as_of)), as_of);
        let share = |num: usize, den: usize| Measurement::share(num as u64, den as u64, window);
        let mut found: BTreeMap<String, Measurement> = BTreeMap::new();
        let mut put = |id: &str, m: Measurement| found.insert(id.to_owned(), m);

        let enforced = estate.applications.values().filter(|m| **m == Mode::Enforce).count();
        put("K01", share(enforced, estate.applications.len()));
        put("K06", self.five_ws(estate, window));
        put("K07", self.context_depth(window));
        let deep = self.depth.range(3..).map(|(_, n)| n).sum();
        put("K07s", Measurement::share(deep, self.permits, window));
        put("K07d", Measurement::share(self.device_considered, self.permits, window));

        let sessions = |of: &dyn Fn(&Session) -> bool, meets: &dyn Fn(&Session) -> bool| {
            let population: Vec<&Session> = self.sessions.kept.values().filter(|s| of(s)).collect();
            let num = population.iter().filter(|s| meets(s)).count();
            let mut m = share(num, population.len());
            m.den += self.sessions.beyond;
            m.unknown = self.sessions.beyond;
            m
        };
        let all = |_: &Session| true;
        let used = |s: &Session| s.used.is_some();
        put("K10", sessions(&all, &|s| s.proof().0));
        put("K10(privileged)", sessions(&Session::privileged, &|s| s.proof().0));
        put("K11", sessions(&all, &|s| s.proof().1));
        put("K11(privileged)", sessions(&Session::privileged, &|s| s.proof().1));
        put("K12", sessions(&all, &|s| s.proof().2));
        put("K30", sessions(&used, &|s| s.used.is_some_and(|u| u.began_on_known_device)));
        put("K31", sessions(&used, &|s| s.used.is_some_and(|u| u.began_with_fresh_report)));

        let mut devices = share(self.devices.kept.values().filter(|c| **c).count(), self.devices.kept.len());
        devices.den += self.devices.beyond;
        devices.unknown = self.devices.beyond;
        put("K32", devices);
        put("K26", self.time_to_revoke(window));
        let ends = |g: &&GrantSpan| g.until < Timestamp::MAX && g.until.since(g.from) <= estate.max_grant;
        put("K27", share(estate.grants.iter().filter(ends).count(), estate.grants.len()));
        put("K72", Measurement::share(self.explained, self.decisions, window));
        if let Some(i) = estate.integrity {
            let mut m = Measurement::share(i.verified, i.segments, window);
            m.computed_at = i.at;
            put("K73", m);
        }
        put("K91", Measurement::share(self.prompts, self.user_days.kept.len() as u64 + self.user_days.beyond, window));

        let permits: Vec<&RuleShape> = estate.rules.values().filter(|r| r.permits).collect();
        let rules =
            |fits: &dyn Fn(&RuleShape) -> bool| share(permits.iter().filter(|r| fits(r)).count(), permits.len());
        let kinds = |r: &RuleShape| kinds_of_context(r.reads.iter().map(String::as_str));
        put("ID-1.context-rules", rules(&|r| kinds(r).len() >= 3));
        put("DV-1.posture-rules", rules(&|r| kinds(r).contains("device")));
        found
    }

    /// Permits of which every deciding rule answers all five Ws.
    fn five_ws(&self, estate: &Estate, window: (Timestamp, Timestamp)) -> Measurement {
        let complete = |shape: &RuleShape| {
            let kinds = kinds_of_context(shape.reads.iter().map(String::as_str));
            let (when, place) = (kinds.contains("time"), kinds.contains("device") || kinds.contains("place"));
            let why = shape.why || kinds.contains("purpose");
            shape.principal && shape.action && shape.resource && when && place && why
        };
        let mut m = Measurement::share(0, self.permits, window);
        m.unknown = self.rule_sets.beyond;
        for (rules, count) in &self.rule_sets.kept {
            let shapes: Option<Vec<&RuleShape>> = rules.iter().map(|id| estate.rules.get(id)).collect();
            match shapes {
                // The rule is gone: what it constrained is not known any more.
                None => m.unknown += count,
                Some(shapes) if !shapes.is_empty() && shapes.iter().all(|s| complete(s)) => m.num += count,
                Some(_) => {}
            }
        }
        m
    }

    fn context_depth(&self, window: (Timestamp, Timestamp)) -> Measurement {
        let mut m = Measurement::share(self.permits, self.permits, window);
        let depth = |share: (u64, u64)| {
            let mut seen = 0;
            let rank = (self.permits * share.0).div_ceil(share.1).max(1);
            self.depth.iter().find(|(_, n)| {
                seen += **n;
                seen >= rank
            })
        };
        m.statistics.extend(depth((1, 2)).map(|(kinds, _)| (Statistic::P50, *kinds)));
        m
    }

    fn time_to_revoke(&self, window: (Timestamp, Timestamp)) -> Measurement {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        let total = delays.len() as u64 + self.delays_beyond;
        let mut m = Measurement::share(delays.len() as u64, total, window);
        m.unknown = self.delays_beyond;
        let at = |num: usize, den: usize| delays.get((delays.len() * num).div_ceil(den).saturating_sub(1)).copied();
        m.statistics.extend(at(1, 2).map(|d| (Statistic::P50, d)));
        m.statistics.extend(at(95, 100).map(|d| (Statistic::P95, d)));
        m.statistics.extend(delays.last().map(|d| (Statistic::Max, *d)));
        m
    }
}

/// Which kinds of context these paths belong to; identity is always one.
fn kinds_of_context<'p>(paths: impl Iterator<Item = &'p str>) -> BTreeSet<&'static str> {
    let mut kinds: BTreeSet<&'static str> = ["identity"].into();
    kinds.extend(paths.filter_map(|path| match path.split('.').next()? {
        "auth" => Some("strength"),
        "device" => Some("device"),
        "net" => Some("place"),
        "time" | "weekday" | "minute" => Some("time"),
        "purpose" | "ticket" | "granted" => Some("purpose"),
        _ => None,
    }));
    kinds
}
