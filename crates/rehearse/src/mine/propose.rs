//! From observed use to a proposal.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{
    Action, AppId, Application, Fault, Group, GroupId, Person, PersonId, Principal, RuleId, Timestamp,
};
use safeconduct_policy::{PolicyText, Snapshot, Sources};
use serde::Serialize;
use thiserror::Error;

use super::conditions::{Conditions, Miss};
use super::cover::{Weights, cover};
use super::observe::{Observed, Use};
use super::{fixtures, report, write};
use crate::words;

/// How many examples are kept of everything that is left out.
const LEFT_OUT_EXAMPLES: usize = 5;
/// How many people are named of everything that is left out.
const LEFT_OUT_PEOPLE: usize = 50;

/// Who belongs to which group now, transitively.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// Everybody who may act.
    pub people: BTreeSet<PersonId>,
    /// The members of each group, directly or through another group.
    pub members: BTreeMap<GroupId, BTreeSet<PersonId>>,
}

impl Directory {
    /// The active people and their groups, followed to the top.
    #[must_use]
    pub fn of(people: &[Person], groups: &[Group]) -> Self {
        let parents: BTreeMap<&GroupId, &BTreeSet<GroupId>> = groups.iter().map(|g| (&g.id, &g.parents)).collect();
        let mut found = Self::default();
        for person in people.iter().filter(|p| p.active) {
            found.people.insert(person.id.clone());
            let mut open: Vec<&GroupId> = person.groups.iter().collect();
            let mut seen: BTreeSet<&GroupId> = BTreeSet::new();
            while let Some(group) = open.pop() {
                if seen.insert(group) {
                    open.extend(parents.get(group).into_iter().flat_map(|p| p.iter()));
                    found.members.entry(group.clone()).or_default().insert(person.id.clone());
                }
            }
        }
        found
    }

    pub(crate) fn groups_of(&self, person: &PersonId) -> BTreeSet<GroupId> {
        self.members.iter().filter(|(_, m)| m.contains(person)).map(|(g, _)| g.clone()).collect()
    }
}

/// How to mine.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The cost of each person who would be let in without ever having used the application.
    pub over_grant: f64,
    /// The cost of each user who would be missed.
    pub missed: f64,
    /// The cost of each rule.
    pub size: f64,
    /// The least share of a group's members that must be users.
    pub min_group_share: f64,
    /// The least number of users that make a group stand for them.
    pub min_group_users: usize,
    /// The least number of uses that count as support, for a kind of use by one person.
    pub min_uses: usize,
    /// The least number of uses from which hours are derived.
    pub min_uses_for_hours: usize,
    /// The least number of days from which hours are derived.
    pub min_days_for_hours: usize,
    /// The longest window that is worth a condition, in minutes.
    pub longest_window: u16,
    /// A gap of more minutes than this separates the working day from far-off uses.
    pub gap_minutes: u16,
    /// The share of a rule's uses that may stand out and be left out.
    pub outlier_share: f64,
    /// The share of a rule's uses by one single person that may stand out and be left out.
    pub one_person_share: f64,
    /// From how many people on one of them may stand out.
    pub people_for_outlier: usize,
    /// The most purposes that are worth a condition.
    pub max_purposes: usize,
    /// Principals whose use is no evidence: no rule rests on it, and no rule lets them in.
    pub flagged: BTreeSet<Principal>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            over_grant: 1.0,
            missed: 2.0,
            size: 1.0,
            min_group_share: 0.5,
            min_group_users: 2,
            min_uses: 3,
            min_uses_for_hours: 20,
            min_days_for_hours: 5,
            longest_window: 14 * 60,
            gap_minutes: 90,
            outlier_share: 0.02,
            one_person_share: 0.05,
            people_for_outlier: 3,
            max_purposes: 3,
            flagged: BTreeSet::new(),
        }
    }
}

/// Whom a proposed rule lets in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A group.
    Group(GroupId),
    /// One principal.
    One(Principal),
}

/// A rule before it is text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Draft {
    /// Its id.
    pub id: RuleId,
    /// Whom it lets in.
    pub target: Target,
    /// Whom it does not let in although they belong to the target.
    pub except: BTreeSet<Principal>,
    /// For which kinds of use.
    pub actions: BTreeSet<Action>,
    /// Under which conditions.
    pub conditions: Conditions,
}

/// A rule of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedRule {
    /// What it was written from.
    #[serde(flatten)]
    pub draft: Draft,
    /// In words.
    pub words: String,
    /// In Cedar.
    pub cedar: String,
    /// How many observed uses it permits.
    pub uses: u64,
    /// How many people used it.
    pub people: u64,
    /// How many people it lets in.
    pub granted: u64,
}

/// How good a proposal is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Observed uses: everything that got through and that no rule forbade.
    pub uses: u64,
    /// Those that the proposal permits.
    pub covered: u64,
    /// `covered / uses`.
    pub coverage: f64,
    /// Pairs of person and kind of use that the proposal grants.
    pub granted_pairs: u64,
    /// Those of them that were never used.
    pub unused_pairs: u64,
    /// `unused / granted`.
    pub over_grant: Option<f64>,
    /// Uses in the last quarter of the window.
    pub test_uses: u64,
    /// Those of them that a proposal from the first three quarters would have denied.
    pub test_denied: u64,
    /// `denied / uses` of the last quarter: what people would have missed.
    pub under_privilege: Option<f64>,
    /// The first use.
    pub from: Timestamp,
    /// The last use.
    pub to: Timestamp,
    /// The local dates of both.
    pub dates: (String, String),
    /// The length of the window in days, begun ones counted.
    pub days: u64,
    /// Who was seen using it.
    pub people: u64,
    /// Older asks that found no room.
    pub dropped: u64,
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutBecause {
    /// The principal is flagged.
    Flagged,
    /// It was denied; denied attempts never become permits.
    DeniedAttempt,
    /// It got through only because the application is observed: a rule forbids it.
    Forbidden,
    /// The person is not, or no longer, in the directory.
    NotInDirectory,
    /// Too few uses to speak for the person.
    LittleSupport,
    /// At a time at which almost nobody else uses it.
    OddHours,
    /// From a device unlike those of almost all other uses.
    OtherDevice,
    /// With a weaker sign-in than almost all other uses.
    WeakerSignIn,
    /// From another network than almost all other uses.
    OtherNetwork,
    /// Without the purpose that all other uses state.
    OtherPurpose,
    /// The identity was not proven, or the groups were others at the time.
    OtherIdentity,
}

impl LeftOutBecause {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Flagged => "by flagged principals",
            Self::DeniedAttempt => "denied attempts",
            Self::Forbidden => "forbidden by a rule, got through because the application is observed",
            Self::NotInDirectory => "by people who are not in the directory",
            Self::LittleSupport => "too rare to speak for a person",
            Self::OddHours => "at odd hours",
            Self::OtherDevice => "from other devices than almost all uses",
            Self::WeakerSignIn => "with a weaker sign-in than almost all uses",
            Self::OtherNetwork => "from another network than almost all uses",
            Self::OtherPurpose => "without the usual purpose",
            Self::OtherIdentity => "with an unproven identity or other groups than now",
        }
    }
}

/// Observed asks that the proposal does not permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Why.
    pub because: LeftOutBecause,
    /// How many.
    pub count: u64,
    /// By whom, up to a bound.
    pub people: BTreeSet<Principal>,
    /// The first ones: place in the ledger, and words.
    pub examples: Vec<(u64, String)>,
}

/// A rule set that was written from observed use. It is a change not yet made: somebody else applies it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// For which application.
    pub app: AppId,
    /// The rules.
    pub rules: Vec<ProposedRule>,
    /// The whole file, ready for `policies/`.
    pub cedar: String,
    /// Its fixtures, ready for `policies/tests/`.
    pub fixtures: String,
    /// How good it is.
    pub figures: Figures,
    /// What it does not permit, worth a look.
    pub left_out: Vec<LeftOut>,
}

impl Proposal {
    /// The whole in words.
    #[must_use]
    pub fn report(&self) -> String {
        report::report(self)
    }
}

/// Why nothing is proposed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProposeError {
    /// Nobody got through in the window.
    #[error("nobody used `{0}` in the window; put it in observe mode, or choose a longer window")]
    NoUse(AppId),
    /// What was written does not pass the checks of policies.
    #[error("the proposal for `{app}` does not pass the checks: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused {
        /// For which application.
        app: AppId,
        /// What is wrong with it.
        faults: Vec<Fault>,
    },
}

/// Proposes rules for the application that was observed.
pub fn propose(
    seen: &Observed,
    app: &Application,
    directory: &Directory,
    settings: &Settings,
) -> Result<Proposal, ProposeError> {
    let uses: Vec<&Use> = seen.all().filter(|u| u.passed).collect();
    let (Some(from), Some(to)) = (uses.iter().map(|u| u.at).min(), uses.iter().map(|u| u.at).max()) else {
        return Err(ProposeError::NoUse(app.id.clone()));
    };
    let mine = Mine { seen, app, directory, settings };
    let drafts = mine.drafts(&uses);
    let days = 1 + to.since(from).millis() / 86_400_000;

    let evidence: Vec<&Use> = uses.iter().copied().filter(|u| mine.counts(u)).collect();
    let why = |draft: &Draft| {
        let (count, people) = mine.used(draft, &evidence);
        let noun = if people == 1 { "person" } else { "people" };
        format!(
            "observed use, {count} accesses by {people} {noun}, from {} to {}",
            words::date(from, seen.zone()),
            words::date(to, seen.zone())
        )
    };
    let texts: Vec<String> = drafts.iter().map(|d| write::rule(d, app, &why(d))).collect();
    let left_out = mine.left_out(&drafts);
    let figures = mine.figures(&drafts, &uses, (from, to, days));
    let cedar = report::file(app, &figures, &left_out, &drafts, &texts);
    let file = format!("policies/{}.cedar", app.id);
    let snapshot = Snapshot::build(
        1,
        Sources {
            policies: vec![PolicyText { file, text: cedar.clone() }],
            applications: vec![app.clone()],
            assets: vec![],
            zone: seen.zone().clone(),
        },
    )
    .map_err(|faults| ProposeError::Refused { app: app.id.clone(), faults })?;
    let fixtures = fixtures::fixtures(&mine, &drafts, &uses, &snapshot);
    let rules = drafts.into_iter().zip(texts).map(|(draft, cedar)| {
        let (uses, people) = mine.used(&draft, &uses);
        let words = snapshot.rule(&draft.id).map(|r| r.five_ws().sentence()).unwrap_or_default();
        let granted = mine.granted(&draft).len() as u64;
        ProposedRule { draft, words, cedar, uses, people, granted }
    });
    Ok(Proposal { app: app.id.clone(), rules: rules.collect(), cedar, fixtures, figures, left_out })
}

pub(crate) struct Mine<'a> {
    pub seen: &'a Observed,
    pub app: &'a Application,
    pub directory: &'a Directory,
    pub settings: &'a Settings,
}

impl Mine<'_> {
    /// Whether a use is evidence at all.
    fn counts(&self, one: &Use) -> bool {
        let principal = self.seen.principal(one);
        let known = match principal {
            Principal::Person(id) => self.directory.people.contains(id),
            Principal::Workload(_) => true,
            Principal::Nobody => false,
        };
        known && one.passed && one.proven && !self.settings.flagged.contains(principal)
    }

    fn drafts(&self, uses: &[&Use]) -> Vec<Draft> {
        let uses: Vec<&Use> = uses.iter().copied().filter(|u| self.counts(u)).collect();
        let mut by_target: BTreeMap<Target, BTreeMap<Action, Vec<&Use>>> = BTreeMap::new();
        for action in Action::ALL {
            let of_action: Vec<&Use> = uses.iter().copied().filter(|u| u.action == action).collect();
            for (target, uses) in self.targets(&of_action) {
                by_target.entry(target).or_default().insert(action, uses);
            }
        }
        by_target.into_iter().flat_map(|(target, actions)| self.of_target(&target, actions)).collect()
    }

    /// Who stands for the users of one kind of use, with the uses that each target answers for.
    fn targets<'u>(&self, uses: &[&'u Use]) -> BTreeMap<Target, Vec<&'u Use>> {
        let s = self.settings;
        let mut counts: BTreeMap<&Principal, usize> = BTreeMap::new();
        for one in uses {
            *counts.entry(self.seen.principal(one)).or_default() += 1;
        }
        let people = |least: usize| -> BTreeSet<PersonId> {
            counts.iter().filter(|(_, n)| **n >= least).filter_map(|(p, _)| p.person().cloned()).collect()
        };
        let weights = Weights {
            over_grant: s.over_grant,
            missed: s.missed,
            size: s.size,
            min_share: s.min_group_share,
            min_users: s.min_group_users,
        };
        let chosen = cover(&people(1), &people(s.min_uses), &self.directory.members, &weights);
        let mut found: BTreeMap<Target, Vec<&Use>> = BTreeMap::new();
        for one in uses {
            let principal = self.seen.principal(one);
            // The smallest chosen group answers for a person in several.
            let group = principal.person().and_then(|person| {
                let holding = chosen.groups.iter().filter(|g| self.directory.members[*g].contains(person));
                holding.min_by_key(|g| (self.directory.members[*g].len(), (*g).clone()))
            });
            let target = match group {
                Some(group) => Target::Group(group.clone()),
                None if counts[principal] >= s.min_uses => Target::One(principal.clone()),
                None => continue,
            };
            found.entry(target).or_default().push(one);
        }
        found
    }

    /// The rules of one target: kinds of use under the same conditions become one rule.
    fn of_target(&self, target: &Target, actions: BTreeMap<Action, Vec<&Use>>) -> Vec<Draft> {
        let mut alike: Vec<(Conditions, BTreeSet<Action>, Vec<&Use>)> = Vec::new();
        for (action, uses) in actions {
            let shape = Conditions::of(&uses, self.seen, self.settings).without_hours();
            match alike.iter_mut().find(|(other, ..)| *other == shape) {
                Some((_, actions, all)) => {
                    actions.insert(action);
                    all.extend(uses);
                }
                None => alike.push((shape, [action].into(), uses)),
            }
        }
        let except = match target {
            Target::One(_) => BTreeSet::new(),
            Target::Group(group) => {
                let inside = |p: &&Principal| p.person().is_some_and(|id| self.directory.members[group].contains(id));
                self.settings.flagged.iter().filter(inside).cloned().collect()
            }
        };
        let drafts = alike.into_iter().map(|(_, actions, uses)| Draft {
            id: self.id(target, &actions),
            target: target.clone(),
            except: except.clone(),
            conditions: Conditions::of(&uses, self.seen, self.settings),
            actions,
        });
        drafts.collect()
    }

    fn id(&self, target: &Target, actions: &BTreeSet<Action>) -> RuleId {
        let who = match target {
            Target::Group(id) => id.to_string(),
            Target::One(principal) => principal.to_string(),
        };
        let actions: Vec<&str> = actions.iter().map(|a| a.name()).collect();
        let actions = actions.join("-");
        let id = format!("{}-{who}-{actions}", self.app.id);
        // Long names give way to a short digest of themselves.
        let short = || format!("proposed-{:016x}-{actions}", fnv(&id));
        id.parse().unwrap_or_else(|_| short().parse().expect("a short id of letters and digits is valid"))
    }

    /// Whether a draft lets a recorded use pass, with the groups of the time.
    pub(crate) fn permits(&self, draft: &Draft, one: &Use) -> bool {
        self.speaks_of(draft, one) && draft.conditions.misses(one, self.seen).is_empty()
    }

    fn speaks_of(&self, draft: &Draft, one: &Use) -> bool {
        let principal = self.seen.principal(one);
        let inside = match &draft.target {
            Target::Group(group) => self.seen.group_sets.name(one.groups).contains(group),
            Target::One(other) => other == principal,
        };
        one.proven
            && *principal != Principal::Nobody
            && inside
            && !draft.except.contains(principal)
            && draft.actions.contains(&one.action)
    }

    /// How many of these uses a draft permits, and of how many principals.
    fn used(&self, draft: &Draft, uses: &[&Use]) -> (u64, u64) {
        let permitted = || uses.iter().filter(|u| self.permits(draft, u));
        let people: BTreeSet<u32> = permitted().map(|u| u.who).collect();
        (permitted().count() as u64, people.len() as u64)
    }

    /// Whom a draft lets in, by the directory of now.
    fn granted(&self, draft: &Draft) -> BTreeSet<Principal> {
        let mut all: BTreeSet<Principal> = match &draft.target {
            Target::One(principal) => [principal.clone()].into(),
            Target::Group(group) => self.directory.members[group].iter().cloned().map(Principal::Person).collect(),
        };
        all.retain(|p| !draft.except.contains(p));
        all
    }

    fn figures(&self, drafts: &[Draft], uses: &[&Use], (from, to, days): (Timestamp, Timestamp, u64)) -> Figures {
        let covered = |drafts: &[Draft], one: &Use| drafts.iter().any(|d| self.permits(d, one));
        let granted: BTreeSet<(Principal, Action)> = drafts
            .iter()
            .flat_map(|d| self.granted(d).into_iter().flat_map(|p| d.actions.iter().map(move |a| (p.clone(), *a))))
            .collect();
        let used: BTreeSet<(Principal, Action)> =
            uses.iter().map(|u| (self.seen.principal(u).clone(), u.action)).collect();
        let cut = to - safeconduct_model::Duration::from_millis(to.since(from).millis() / 4);
        let (early, late): (Vec<&Use>, Vec<&Use>) = uses.iter().partition(|u| u.at < cut);
        let trained = self.drafts(&early);
        let late: Vec<&Use> =
            late.into_iter().filter(|u| !self.settings.flagged.contains(self.seen.principal(u))).collect();
        let test_denied = late.iter().filter(|u| !covered(&trained, u)).count() as u64;
        let total = uses.len() as u64;
        let covered = uses.iter().filter(|u| covered(drafts, u)).count() as u64;
        let unused = granted.difference(&used).count() as u64;
        let test_uses = if early.is_empty() { 0 } else { late.len() as u64 };
        Figures {
            uses: total,
            covered,
            coverage: words::ratio(covered, total).unwrap_or(0.0),
            granted_pairs: granted.len() as u64,
            unused_pairs: unused,
            over_grant: words::ratio(unused, granted.len() as u64),
            test_uses,
            test_denied: if early.is_empty() { 0 } else { test_denied },
            under_privilege: words::ratio(test_denied, test_uses),
            from,
            to,
            dates: (words::date(from, self.seen.zone()), words::date(to, self.seen.zone())),
            days,
            people: uses.iter().map(|u| u.who).collect::<BTreeSet<_>>().len() as u64,
            dropped: self.seen.dropped(),
        }
    }

    /// Every observed ask that no draft permits, by cause. Nothing is dropped in silence: the uses in here and those that
    /// are covered are all uses.
    fn left_out(&self, drafts: &[Draft]) -> Vec<LeftOut> {
        let mut found: BTreeMap<LeftOutBecause, LeftOut> = BTreeMap::new();
        for one in self.seen.all() {
            if one.passed && drafts.iter().any(|d| self.permits(d, one)) {
                continue;
            }
            let because = self.because(drafts, one);
            let list = found.entry(because).or_insert_with(|| LeftOut {
                because,
                count: 0,
                people: BTreeSet::new(),
                examples: Vec::new(),
            });
            list.count += 1;
            if list.people.len() < LEFT_OUT_PEOPLE {
                list.people.insert(self.seen.principal(one).clone());
            }
            if list.examples.len() < LEFT_OUT_EXAMPLES {
                list.examples.push((one.seq, self.seen.sentence(one)));
            }
        }
        found.into_values().collect()
    }

    fn because(&self, drafts: &[Draft], one: &Use) -> LeftOutBecause {
        use LeftOutBecause as B;
        let principal = self.seen.principal(one);
        if one.forbidden {
            return B::Forbidden;
        }
        if !one.passed {
            return B::DeniedAttempt;
        }
        if self.settings.flagged.contains(principal) {
            return B::Flagged;
        }
        if principal.person().is_some_and(|p| !self.directory.people.contains(p)) {
            return B::NotInDirectory;
        }
        let speaking = drafts.iter().filter(|d| self.speaks_of(d, one));
        let nearest = speaking.map(|d| d.conditions.misses(one, self.seen)).min_by_key(BTreeSet::len);
        match nearest.and_then(|misses| misses.first().copied()) {
            Some(Miss::Hours) => B::OddHours,
            Some(Miss::Device) => B::OtherDevice,
            Some(Miss::Factors) => B::WeakerSignIn,
            Some(Miss::Network) => B::OtherNetwork,
            Some(Miss::Purpose) => B::OtherPurpose,
            None if !one.proven || self.granted_now(drafts, principal, one.action) => B::OtherIdentity,
            None => B::LittleSupport,
        }
    }

    fn granted_now(&self, drafts: &[Draft], principal: &Principal, action: Action) -> bool {
        drafts.iter().any(|d| d.actions.contains(&action) && self.granted(d).contains(principal))
    }
}

/// A short digest for names; nothing rests on it but readability.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
