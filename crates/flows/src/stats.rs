//! What is known about one edge.

use std::collections::BTreeMap;

use safeconduct_model::{Access, Check, Method, Reason, SessionId, Timestamp};
use serde::Serialize;

use crate::facts::Facts;
use crate::paths;
use crate::tally::Tally;
use crate::week::Week;

/// How many networks one edge names.
pub const MAX_NETWORKS: usize = 16;
/// How many purposes one edge names.
pub const MAX_PURPOSES: usize = 16;
/// How many sessions one edge tells apart.
pub const MAX_SESSIONS: usize = 32;
/// How many paths one edge tells apart.
pub const MAX_PATHS: usize = 32;

/// The name under which uses from outside every named network are counted, as policies spell it.
pub const OTHER_NETWORK: &str = "other";

/// Everything that is counted about one edge. Facts are counted over the uses that got through; reasons over the others
/// and over those that policy would have denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Asks that got through, whatever policy said.
    pub passed: u64,
    /// Asks that were denied.
    pub denied: u64,
    /// Asks that got through only because the application is observed: policy said no.
    pub would_be_denied: u64,
    /// Live connections that were decided again. They are no new use and count nowhere else.
    pub again: u64,
    /// The first ask.
    pub first: Timestamp,
    /// The last ask.
    pub last: Timestamp,
    /// When it is used.
    pub week: Week,
    /// From what devices.
    pub devices: Devices,
    /// How people had proven who they are.
    pub proofs: Proofs,
    /// From which networks.
    pub networks: Tally<String, MAX_NETWORKS>,
    /// For which purposes, where one was stated or granted.
    pub purposes: Tally<String, MAX_PURPOSES>,
    /// Which paths.
    pub paths: Tally<String, MAX_PATHS>,
    /// In which sessions.
    pub sessions: Tally<SessionId, MAX_SESSIONS>,
    /// Why policy said no.
    pub reasons: BTreeMap<Reason, u64>,
}

/// How many uses came from which kind of device.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Devices {
    /// From one that proved itself.
    pub known: u64,
    /// From one that the organisation manages.
    pub managed: u64,
    /// From one that met every requirement.
    pub compliant: u64,
    /// From one that passed this check.
    pub checks: BTreeMap<Check, u64>,
}

/// How many uses rested on which proof.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Proofs {
    /// Two factors.
    pub mfa: u64,
    /// A phishing-resistant sign-in.
    pub phishing_resistant: u64,
    /// This method.
    pub methods: BTreeMap<Method, u64>,
}

/// What an edge comes to, for drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Policy permits all of it.
    Allowed,
    /// Some of it gets through although policy says no.
    WouldBeDenied,
    /// Some gets through and some is denied.
    Mixed,
    /// None of it gets through.
    Denied,
}

impl Standing {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::WouldBeDenied => "would be denied",
            Self::Mixed => "partly denied",
            Self::Denied => "denied",
        }
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            passed: 0,
            denied: 0,
            would_be_denied: 0,
            again: 0,
            first: Timestamp::MAX,
            last: Timestamp::default(),
            week: Week::default(),
            devices: Devices::default(),
            proofs: Proofs::default(),
            networks: Tally::default(),
            purposes: Tally::default(),
            paths: Tally::default(),
            sessions: Tally::default(),
            reasons: BTreeMap::new(),
        }
    }
}

impl Stats {
    pub(crate) fn add(&mut self, access: &Access, facts: &Facts) {
        if access.again {
            self.again += 1;
            return;
        }
        self.first = self.first.min(access.decided);
        self.last = self.last.max(access.decided);
        if let Some(reason) = access.reason() {
            *self.reasons.entry(reason).or_default() += 1;
        }
        if !access.passed() {
            self.denied += 1;
            return;
        }
        self.passed += 1;
        self.would_be_denied += u64::from(!access.permitted());
        self.week.add(facts.weekday, facts.minute);
        self.devices.add(facts);
        self.proofs.mfa += u64::from(facts.mfa);
        self.proofs.phishing_resistant += u64::from(facts.phishing_resistant);
        if let Some(auth) = &access.ask.who.auth {
            for method in &auth.methods {
                *self.proofs.methods.entry(*method).or_default() += 1;
            }
            self.sessions.add(&auth.session);
        }
        self.networks.add(&facts.network.clone().unwrap_or_else(|| OTHER_NETWORK.to_owned()));
        if let Some(purpose) = &facts.purpose {
            self.purposes.add(&paths::clipped(purpose));
        }
        self.paths.add(&paths::clipped(&access.ask.what.path));
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.passed += other.passed;
        self.denied += other.denied;
        self.would_be_denied += other.would_be_denied;
        self.again += other.again;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.week.merge(&other.week);
        self.devices.merge(&other.devices);
        self.proofs.mfa += other.proofs.mfa;
        self.proofs.phishing_resistant += other.proofs.phishing_resistant;
        add_counts(&mut self.proofs.methods, &other.proofs.methods);
        self.networks.merge(&other.networks);
        self.purposes.merge(&other.purposes);
        self.paths.merge(&other.paths);
        self.sessions.merge(&other.sessions);
        add_counts(&mut self.reasons, &other.reasons);
    }

    /// What the edge comes to.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.passed, self.denied, self.would_be_denied) {
            (0, _, _) => Standing::Denied,
            (_, _, 1..) => Standing::WouldBeDenied,
            (_, 1.., _) => Standing::Mixed,
            _ => Standing::Allowed,
        }
    }

    /// Which bounds were hit, by the name of what is missing.
    #[must_use]
    pub fn bounds_hit(&self) -> Vec<&'static str> {
        let bounds = [
            ("networks", self.networks.is_full()),
            ("purposes", self.purposes.is_full()),
            ("paths", self.paths.is_full()),
            ("sessions", self.sessions.is_full()),
        ];
        bounds.into_iter().filter(|(_, hit)| *hit).map(|(name, _)| name).collect()
    }
}

impl Devices {
    fn add(&mut self, facts: &Facts) {
        self.known += u64::from(facts.known);
        self.managed += u64::from(facts.managed);
        self.compliant += u64::from(facts.compliant);
        for check in &facts.passed {
            *self.checks.entry(*check).or_default() += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.known += other.known;
        self.managed += other.managed;
        self.compliant += other.compliant;
        add_counts(&mut self.checks, &other.checks);
    }
}

fn add_counts<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(key.clone()).or_default() += count;
    }
}
