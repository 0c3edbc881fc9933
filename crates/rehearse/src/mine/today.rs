//! What binds now, asked about the past: whether a recorded use would still pass, and whether the right still exists.

use std::collections::{BTreeMap, BTreeSet};

use std::net::IpAddr;

use safeconduct_model::{
    Access, Action, AppId, Application, Ask, GroupId, Mode, PersonId, Place, Principal, Reason, RuleId, What, Who, Why,
};
use safeconduct_policy::{Effect, Rule, Scope, Snapshot};

use super::propose::Directory;
use crate::answer::Answer;

/// The purpose that a person states when breaking the glass.
pub const BREAK_GLASS: &str = "break-glass";
/// The annotation of a rule for emergencies.
const BREAK_GLASS_NOTE: &str = "break_glass";

/// Whether a rule is for exceptions: its uses are no evidence, and no proposal supersedes it. That is every rule with the
/// annotation `@break_glass`, and every one that asks for a dated grant.
#[must_use]
pub fn is_exceptional(rule: &Rule) -> bool {
    rule.annotations.contains_key(BREAK_GLASS_NOTE) || rule.reads().contains("granted")
}

/// Whether a rule gives way to a proposal for an application: it permits, speaks of that application and of no other, and is
/// not for exceptions.
#[must_use]
pub fn is_superseded(rule: &Rule, app: &AppId) -> bool {
    let alone = matches!(&rule.resource, Scope::Is(kind, id) if kind == "Application" && id == app.as_str());
    rule.effect == Effect::Permit && alone && !is_exceptional(rule)
}

pub(crate) fn is_break_glass(access: &Access) -> bool {
    access.ask.why.purpose(access.decided) == Some(BREAK_GLASS)
}

/// What binds now, with the groups of today.
pub struct Today<'s> {
    snapshot: &'s Snapshot,
    directory: &'s Directory,
    exceptional: BTreeSet<RuleId>,
    groups: BTreeMap<PersonId, BTreeSet<GroupId>>,
}

/// What binds now, about one recorded use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    pub allowed: bool,
    pub exists: bool,
    pub break_glass: bool,
    pub shut: bool,
    pub rules: BTreeSet<RuleId>,
}

impl<'s> Today<'s> {
    /// What a snapshot says, to people who are in the groups of this directory.
    #[must_use]
    pub fn of(snapshot: &'s Snapshot, directory: &'s Directory) -> Self {
        let exceptional = snapshot.rules().iter().filter(|r| is_exceptional(r)).map(|r| r.id.clone()).collect();
        Self { snapshot, directory, exceptional, groups: BTreeMap::new() }
    }

    pub(crate) fn judge(&mut self, access: &Access) -> Judged {
        let observed = self.snapshot.application(&access.ask.what.app).is_some_and(|a| a.mode == Mode::Observe);
        let then = Answer::of(self.snapshot, &access.ask, access.decided);
        let mut now = then.clone();
        if let Some(person) = access.ask.who.principal.person() {
            let groups = (self.groups.entry(person.clone())).or_insert_with(|| self.directory.groups_of(person));
            if *groups != access.ask.who.groups {
                let mut ask = access.ask.clone();
                ask.who.groups = groups.clone();
                now = Answer::of(self.snapshot, &ask, access.decided);
            }
            if !self.directory.people.contains(person) {
                now.permitted = false;
            }
        }
        Judged {
            allowed: lets_pass(&then, observed),
            exists: lets_pass(&now, observed),
            shut: then.reason == Some(Reason::Forbidden),
            break_glass: then.permitted && then.rules.iter().all(|r| self.exceptional.contains(r)),
            rules: if then.permitted {
                then.rules.into_iter().filter(|r| !self.exceptional.contains(r)).collect()
            } else {
                BTreeSet::new()
            },
        }
    }
}

/// Where verdicts do not bind yet, everybody who is signed in gets through, and only what a rule forbids is no right.
fn lets_pass(answer: &Answer, observed: bool) -> bool {
    let shut = [Reason::Forbidden, Reason::Locked, Reason::EvaluationError, Reason::SignInRequired];
    answer.permitted || (observed && answer.reason.is_some_and(|r| !shut.contains(&r)))
}

/// The permits for an application that a proposal for it may supersede, and below which it stays.
pub(crate) fn standing<'s>(snapshot: &'s Snapshot, app: &'s Application) -> impl Iterator<Item = &'s Rule> {
    let rules = snapshot.rules().iter().map(AsRef::as_ref);
    rules.filter(move |r: &&Rule| r.effect == Effect::Permit && r.covers_application(app) && !is_exceptional(r))
}

/// Every pair of person and kind of use that the rules of now speak of, whatever they ask beside it.
pub(crate) fn rights(snapshot: &Snapshot, app: &Application, directory: &Directory) -> BTreeSet<(Principal, Action)> {
    let rules: Vec<&Rule> = standing(snapshot, app).collect();
    let mut groups: BTreeMap<&PersonId, BTreeSet<GroupId>> = BTreeMap::new();
    for (group, people) in &directory.members {
        for person in people {
            groups.entry(person).or_default().insert(group.clone());
        }
    }
    let mut found = BTreeSet::new();
    for person in &directory.people {
        let principal = Principal::Person(person.clone());
        let ask = Ask {
            request: "rights".parse().expect("a fixed id is valid"),
            who: Who {
                principal: principal.clone(),
                groups: groups.get(person).cloned().unwrap_or_default(),
                auth: None,
            },
            what: What { app: app.id.clone(), action: Action::Read, method: String::new(), path: String::new() },
            place: Place { ip: IpAddr::from([127, 0, 0, 1]), network: None, country: None, device: None },
            why: Why::default(),
            lock: None,
        };
        let speaking = rules.iter().filter(|r| r.covers_principal(&ask));
        found.extend(speaking.flat_map(|r| r.actions.iter()).map(|a| (principal.clone(), *a)));
    }
    found
}
