//! Proposals judged by what comes after them.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use safeconduct_model::{Action, Application, Duration, Principal, Record, Timestamp};
use safeconduct_policy::{PolicyText, Snapshot, Sources};
use safeconduct_rehearse::{Observed, Proposal, ProposeError, Settings, Today, propose_within};

use super::Enterprise;

/// What the proposals for every application did in the time after the one they were written from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    /// What the truth asked for in the first week after, and what of it was denied.
    pub(crate) needed: u64,
    pub(crate) denied: u64,
    /// Granted combinations, and those that nobody used in the first week, and in the four weeks after; weighted by class.
    pub(crate) granted: u64,
    pub(crate) idle_week: u64,
    pub(crate) idle_month: u64,
    /// The same without weights.
    pub(crate) pairs: u64,
    pub(crate) pairs_idle_month: u64,
    /// Accesses that nobody needed, and those of them that got through.
    pub(crate) noise: u64,
    pub(crate) noise_permitted: u64,
    pub(crate) rules: u64,
    pub(crate) complexity: u64,
    pub(crate) least_reliability: f64,
    pub(crate) texts: Vec<String>,
}

impl Judged {
    pub(crate) fn under(&self) -> f64 {
        self.denied as f64 / self.needed as f64
    }
    pub(crate) fn over(&self) -> f64 {
        self.idle_month as f64 / self.granted as f64
    }
    pub(crate) fn over_in_a_week(&self) -> f64 {
        self.idle_week as f64 / self.granted as f64
    }
}

pub(crate) fn mine(
    e: &Enterprise,
    app: &Application,
    from: Timestamp,
    until: Timestamp,
    settings: &Settings,
) -> Result<Proposal, ProposeError> {
    let mut today = Today::of(&e.current, &e.directory);
    let mut seen = Observed::new(app.id.clone(), TimeZone::UTC);
    for entry in e.entries.iter().filter(|x| from <= x.at && x.at < until) {
        seen.add_under(entry, &mut today);
    }
    propose_within(&seen, app, &e.directory, settings, Some(&e.current))
}

/// Proposed rules as an engine decides them.
pub(crate) fn built(app: &Application, proposal: &Proposal) -> Snapshot {
    let sources = Sources {
        policies: vec![PolicyText { file: "p.cedar".into(), text: proposal.cedar.clone() }],
        applications: vec![app.clone()],
        assets: vec![],
        zone: TimeZone::UTC,
    };
    Snapshot::build(2, sources).unwrap_or_else(|f| panic!("{}\n{}", f[0], proposal.cedar))
}

/// Writes a proposal for every application from what lies before `cut`, and lets a policy engine, not the miner, decide what
/// comes after it.
pub(crate) fn judge(e: &Enterprise, settings: &Settings, cut: Timestamp) -> Judged {
    let (week, month) = (cut + Duration::from_days(7), cut + Duration::from_days(28));
    let mut found = Judged { least_reliability: 1.0, ..Judged::default() };
    for app in &e.apps {
        let proposal = mine(e, app, Timestamp::default(), cut, settings).unwrap_or_else(|error| panic!("{error}"));
        let built = built(app, &proposal);
        let (mut in_week, mut in_month) = (BTreeSet::new(), BTreeSet::new());
        for entry in e.entries.iter().filter(|x| cut <= x.at && x.at < month) {
            let Record::Access(a) = &entry.record else { continue };
            if a.ask.what.app != app.id {
                continue;
            }
            let right = (a.ask.who.principal.clone(), a.ask.what.action);
            let needed = e.needed.contains(&entry.seq);
            if needed {
                in_month.insert(right.clone());
            }
            if entry.at >= week {
                continue;
            }
            let permitted = built.opinion(&a.ask, a.decided).is_ok();
            if needed {
                in_week.insert(right);
                found.needed += 1;
                found.denied += u64::from(!permitted);
            } else {
                found.noise += 1;
                found.noise_permitted += u64::from(permitted);
            }
        }
        let granted = granted(e, &proposal);
        let idle = |used: &BTreeSet<(Principal, Action)>| granted.difference(used).count() as u64;
        let weight = safeconduct_rehearse::weight(app.class);
        found.pairs += granted.len() as u64;
        found.pairs_idle_month += idle(&in_month);
        found.granted += weight * granted.len() as u64;
        found.idle_week += weight * idle(&in_week);
        found.idle_month += weight * idle(&in_month);
        found.rules += proposal.rules.len() as u64;
        found.complexity += proposal.measured.complexity;
        found.least_reliability = found.least_reliability.min(proposal.measured.least_reliability.unwrap_or(1.0));
        found.texts.push(proposal.report());
    }
    found
}

/// Every combination of person and kind of use that the rules let in, by the directory.
fn granted(e: &Enterprise, proposal: &Proposal) -> BTreeSet<(Principal, Action)> {
    let mut found = BTreeSet::new();
    for rule in &proposal.rules {
        let people: BTreeSet<Principal> = match &rule.draft.target {
            safeconduct_rehearse::Target::One(p) => [p.clone()].into(),
            safeconduct_rehearse::Target::Group(g) => {
                let gone = |p: &safeconduct_model::PersonId| {
                    rule.draft.without.iter().any(|w| e.directory.members[w].contains(p))
                };
                e.directory.members[g].iter().filter(|p| !gone(p)).cloned().map(Principal::Person).collect()
            }
        };
        found.extend(people.into_iter().flat_map(|p| rule.draft.actions.iter().map(move |a| (p.clone(), *a))));
    }
    found
}
