//! Reliability, as Rhapsody defines it: the worst precision of a rule over any significant refinement of it. A group of whom
//! most use an application may hold a team that never does; on the whole the rule looks precise, for that team it is not.
//!
//! Refined here is *who* and *what*: the members whom a rule shares with another group, and each of its kinds of use. Hours,
//! devices and networks are conditions that are derived from all uses, and are not refined again.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{Action, GroupId, PersonId, Principal};
use serde::Serialize;

use super::draft::{Draft, Mine};
use super::observe::Use;
use super::propose::{Directory, Settings};
use crate::words::ratio;

/// How far a rule can be trusted where it is least precise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// Used out of granted combinations of person and kind of use.
    pub precision: f64,
    /// The worst precision over all significant refinements.
    pub reliability: f64,
    /// The refinement with the worst one; `None` if none is worse than the rule itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst: Option<String>,
}

/// The group that shares enough of these members and used it least, with the share of them that did.
pub(crate) fn worst_group<'d>(
    members: &BTreeSet<PersonId>,
    users: &BTreeSet<PersonId>,
    groups: &'d BTreeMap<GroupId, BTreeSet<PersonId>>,
    s: &Settings,
) -> Option<(&'d GroupId, f64)> {
    let part = |(id, others): (&'d GroupId, &'d BTreeSet<PersonId>)| {
        let shared: Vec<&PersonId> = members.intersection(others).collect();
        if shared.len() < s.significant_people || shared.len() == members.len() {
            return None;
        }
        let used = shared.iter().filter(|p| users.contains(**p)).count();
        Some((id, ratio(used as u64, shared.len() as u64)?))
    };
    groups.iter().filter_map(part).min_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(b.0)))
}

/// The reliability of a finished draft, from the uses that count.
pub(crate) fn of(mine: &Mine<'_>, draft: &Draft, evidence: &[&Use]) -> Reliability {
    let granted = mine.granted(draft);
    let used: BTreeSet<(&Principal, Action)> =
        evidence.iter().filter(|u| mine.permits(draft, u)).map(|u| (mine.seen.principal(u), u.action)).collect();
    let precision = |who: &dyn Fn(&Principal) -> bool, what: &dyn Fn(Action) -> bool| {
        let actions: Vec<Action> = draft.actions.iter().copied().filter(|a| what(*a)).collect();
        let people: Vec<&Principal> = granted.iter().filter(|p| who(p)).collect();
        let hits = people.iter().map(|p| actions.iter().filter(|a| used.contains(&(*p, **a))).count()).sum::<usize>();
        let significant = people.len() >= mine.settings.significant_people || people.len() == granted.len();
        significant.then(|| ratio(hits as u64, (people.len() * actions.len()) as u64)).flatten()
    };
    let all = precision(&|_| true, &|_| true).unwrap_or(0.0);
    let mut found = Reliability { precision: all, reliability: all, worst: None };
    let mut refine = |name: String, value: Option<f64>| {
        if let Some(value) = value.filter(|v| *v < found.reliability) {
            found.reliability = value;
            found.worst = Some(name);
        }
    };
    let Directory { members, .. } = mine.directory;
    for action in draft.actions.iter().copied() {
        refine(format!("to {action}"), precision(&|_| true, &|a| a == action));
        for (group, people) in members {
            let inside = |p: &Principal| p.person().is_some_and(|id| people.contains(id));
            refine(format!("to {action}, of those in {group}"), precision(&inside, &|a| a == action));
        }
    }
    found
}
