//! What a snapshot answers to a recorded ask, remembered where two asks cannot differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use safeconduct_flows::Facts;
use safeconduct_model::{AppId, Ask, Check, Reason, RuleId, Timestamp};
use safeconduct_policy::{Expr, OTHER_NETWORK, Snapshot};
use serde::Serialize;

/// How many answers are remembered. Beyond it every further ask is simply decided.
pub const MAX_REMEMBERED: usize = 200_000;

/// What policy says, without the end of the lease and without remedies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether policy itself says yes; an application that is only observed changes nothing here.
    pub permitted: bool,
    /// The reason of a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The rules that spoke.
    pub rules: Vec<RuleId>,
}

impl Answer {
    /// What `snapshot` says.
    #[must_use]
    pub fn of(snapshot: &Snapshot, ask: &Ask, at: Timestamp) -> Self {
        match snapshot.opinion(ask, at) {
            Ok(grounds) => Self { permitted: true, reason: None, rules: grounds.rules },
            Err(denial) => Self { permitted: false, reason: Some(denial.reason), rules: denial.grounds.rules },
        }
    }

    /// In words: `permitted`, or `denied (no_rule)`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.reason {
            None => "permitted".to_owned(),
            Some(reason) => format!("denied ({reason})"),
        }
    }
}

/// Answers asks from one snapshot. Two asks of one application that agree in asker, groups, action, and in every fact
/// that some rule about the application reads, have the same answer, so it is decided once. Clock readings are compared by
/// where they lie between the constants that rules name, wherever rules only compare them with constants.
pub(crate) struct Decider<'s> {
    snapshot: &'s Snapshot,
    apps: HashMap<AppId, Option<Reads>>,
    answers: HashMap<String, Answer>,
    max_remembered: usize,
}

impl<'s> Decider<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot) -> Self {
        Self::remembering(snapshot, MAX_REMEMBERED)
    }

    pub(crate) fn remembering(snapshot: &'s Snapshot, max_remembered: usize) -> Self {
        Self { snapshot, apps: HashMap::new(), answers: HashMap::new(), max_remembered }
    }

    pub(crate) fn answer(&mut self, ask: &Ask, at: Timestamp) -> Answer {
        let Some(key) = self.key(ask, at) else { return Answer::of(self.snapshot, ask, at) };
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone();
        }
        let answer = Answer::of(self.snapshot, ask, at);
        if self.answers.len() < self.max_remembered {
            self.answers.insert(key, answer.clone());
        }
        answer
    }

    fn key(&mut self, ask: &Ask, at: Timestamp) -> Option<String> {
        let snapshot = self.snapshot;
        let app = &ask.what.app;
        if !self.apps.contains_key(app) {
            // Names of applications that do not exist come from strangers; they are not remembered.
            snapshot.application(app)?;
            self.apps.insert(app.clone(), Reads::of(snapshot, app));
        }
        let reads = self.apps.get(app)?.as_ref()?;
        let mut key = format!("{app} {:?} {} {:?}", ask.who.principal, ask.what.action, ask.who.groups);
        reads.project(ask, at, snapshot, &mut key);
        Some(key)
    }
}

/// What the rules about one application read.
struct Reads {
    paths: BTreeSet<String>,
    /// Paths that rules only compare with constants, and the values at which an answer may change.
    steps: BTreeMap<String, BTreeSet<i64>>,
}

impl Reads {
    /// `None` if some rule reads the context in a way that is not understood here.
    fn of(snapshot: &Snapshot, app: &AppId) -> Option<Self> {
        let application = snapshot.application(app)?;
        // A denial is explained by the device even where no rule names `known`.
        let mut paths: BTreeSet<String> = ["device.known".to_owned()].into();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut compared: BTreeMap<String, usize> = BTreeMap::new();
        let mut steps: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        let mut whole = false;
        for rule in snapshot.rules().iter().filter(|r| r.covers_application(application)) {
            for condition in rule.when.iter().chain(&rule.unless) {
                condition.walk(&mut |e| {
                    let numbers = e.as_number_bound().map(|(p, _, n)| (p, vec![n])).or_else(|| e.as_number_choice());
                    if let Some((path, numbers)) = numbers {
                        *compared.entry(path.clone()).or_default() += 1;
                        steps.entry(path).or_default().extend(numbers.iter().flat_map(|n| [*n, n.saturating_add(1)]));
                    }
                    let read: Vec<&Vec<String>> = match e {
                        Expr::Path(p) | Expr::Has(p) => vec![p],
                        Expr::Other { reads, .. } => reads.iter().collect(),
                        _ => vec![],
                    };
                    for path in read.into_iter().filter(|p| p.first().is_some_and(|v| v == "context")) {
                        whole |= path.len() == 1;
                        *seen.entry(path[1..].join(".")).or_default() += 1;
                    }
                });
            }
        }
        if whole {
            return None;
        }
        steps.retain(|path, _| seen.get(path) == compared.get(path));
        for path in seen.into_keys() {
            let inside = |head: &str, names: &[&str]| names.iter().map(|n| format!("{head}.{n}")).collect::<Vec<_>>();
            match path.as_str() {
                "auth" => paths.extend(inside("auth", &["mfa", "phishing_resistant", "age"])),
                "net" => paths.extend(inside("net", &["ip", "zone", "country"])),
                "device" => {
                    paths.extend(inside("device", &["known", "managed", "compliant"]));
                    paths.extend(Check::ALL.map(|c| format!("device.{c}")));
                }
                _ => {
                    paths.insert(path);
                }
            }
        }
        paths.iter().all(|p| is_known(p)).then_some(Self { paths, steps })
    }

    fn project(&self, ask: &Ask, at: Timestamp, snapshot: &Snapshot, key: &mut String) {
        let facts = Facts::at(ask, at, snapshot.zone());
        let _ = write!(key, " {}", facts.proven);
        for path in &self.paths {
            let number = |n: i64| match self.steps.get(path) {
                Some(steps) => format!("#{}", steps.range(..=n).count()),
                None => n.to_string(),
            };
            let _ = match path.as_str() {
                "auth.mfa" => write!(key, " {}", facts.mfa),
                "auth.phishing_resistant" => write!(key, " {}", facts.phishing_resistant),
                "auth.age" => write!(key, " {}", number(facts.auth_age)),
                "method" => write!(key, " {:?}", ask.what.method),
                "path" => write!(key, " {:?}", ask.what.path),
                "time" => write!(key, " {}", number(at.millis())),
                "weekday" => write!(key, " {}", number(facts.weekday.into())),
                "minute" => write!(key, " {}", number(facts.minute.into())),
                "net.ip" => write!(key, " {}", ask.place.ip),
                "net.zone" => write!(key, " {:?}", ask.place.network.as_deref().unwrap_or(OTHER_NETWORK)),
                "net.country" => write!(key, " {:?}", ask.place.country),
                "granted" => write!(key, " {}", facts.granted),
                "purpose" => write!(key, " {:?}", facts.purpose),
                "ticket" => write!(key, " {:?}", ask.why.ticket(at)),
                "device.known" => write!(key, " {}", facts.known),
                "device.managed" => write!(key, " {}", facts.managed),
                "device.compliant" => write!(key, " {}", facts.compliant),
                other => {
                    let check = other.strip_prefix("device.").and_then(Check::from_name);
                    write!(key, " {}", check.is_some_and(|c| facts.passed.contains(&c)))
                }
            };
        }
    }
}

fn is_known(path: &str) -> bool {
    const NAMES: [&str; 17] = [
        "auth.mfa",
        "auth.phishing_resistant",
        "auth.age",
        "method",
        "path",
        "time",
        "weekday",
        "minute",
        "net.ip",
        "net.zone",
        "net.country",
        "granted",
        "purpose",
        "ticket",
        "device.known",
        "device.managed",
        "device.compliant",
    ];
    NAMES.contains(&path) || path.strip_prefix("device.").is_some_and(|c| Check::from_name(c).is_some())
}
