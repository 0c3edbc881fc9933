//! From evidence to drafts: who stands for the users of each kind of use, and under which conditions.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{Action, Application, GroupId, PersonId, Principal, RuleId};
use serde::Serialize;

use super::conditions::Conditions;
use super::cover::{Weights, cover};
use super::observe::{Observed, Use};
use super::propose::{Directory, Settings};
use super::reliable;
use super::within::Within;

/// How often one kind of use looks for better groups before over-general ones are given up altogether.
const MAX_NARROWINGS: usize = 64;

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
    /// The groups whose members it does not let in although they belong to the target: almost none of them used it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<GroupId>,
    /// Whom it does not let in although they belong to the target.
    pub except: BTreeSet<Principal>,
    /// For which kinds of use.
    pub actions: BTreeSet<Action>,
    /// Under which conditions.
    pub conditions: Conditions,
    /// The rule of now below which it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// Whether it keeps a right that is used once a month, a quarter or a year.
    pub seasonal: bool,
}

/// A group without those of its members who belong to some other groups too, or one principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slice {
    pub target: Target,
    pub without: BTreeSet<GroupId>,
}

pub(crate) struct Mine<'a> {
    pub seen: &'a Observed,
    pub app: &'a Application,
    pub directory: &'a Directory,
    pub settings: &'a Settings,
    /// The rules of now below which every draft stays; `None` asks for no such thing.
    pub bounds: Option<&'a BTreeMap<RuleId, Within>>,
    /// Whether what binds now must allow a use for it to be evidence.
    pub narrow: bool,
}

impl Mine<'_> {
    /// Whether a use is evidence at all.
    pub(crate) fn counts(&self, one: &Use) -> bool {
        let principal = self.seen.principal(one);
        let known = match principal {
            Principal::Person(id) => self.directory.people.contains(id),
            Principal::Workload(_) => true,
            Principal::Nobody => false,
        };
        known
            && one.passed
            && one.proven
            && !one.exception
            && (!self.narrow || one.allowed)
            && !self.settings.flagged.contains(principal)
    }

    /// Drafts from these uses, of which a right needs `min_uses`.
    pub(crate) fn drafts(&self, uses: &[&Use], min_uses: usize, seasonal: bool) -> Vec<Draft> {
        let uses: Vec<&Use> = uses.iter().copied().filter(|u| self.counts(u)).collect();
        let mut found: Vec<Draft> = Vec::new();
        for (within, uses) in self.parts(&uses) {
            let mut by_slice: BTreeMap<Slice, BTreeMap<Action, Vec<&Use>>> = BTreeMap::new();
            for action in Action::ALL {
                let of_action: Vec<&Use> = uses.iter().copied().filter(|u| u.action == action).collect();
                for (slice, uses) in self.slices(&of_action, min_uses) {
                    by_slice.entry(slice).or_default().insert(action, uses);
                }
            }
            for (slice, actions) in by_slice {
                self.of_slice(&slice, actions, within, seasonal, &mut found);
            }
        }
        found
    }

    /// The uses by the rule of now that lets them pass: what is drafted from each part stays below that rule. Where several
    /// let a use pass, the one that does so most often answers for it.
    fn parts<'u>(&self, uses: &[&'u Use]) -> Vec<(Option<&Within>, Vec<&'u Use>)> {
        let Some(bounds) = self.bounds else { return vec![(None, uses.to_vec())] };
        let rules = |u: &Use| self.seen.rule_sets.name(u.rules).iter().filter(|r| bounds.contains_key(*r));
        let mut counts: BTreeMap<&RuleId, usize> = BTreeMap::new();
        for one in uses {
            for rule in rules(one) {
                *counts.entry(rule).or_default() += 1;
            }
        }
        let mut parts: BTreeMap<&RuleId, Vec<&Use>> = BTreeMap::new();
        for one in uses {
            let most = rules(one).max_by(|a, b| counts[*a].cmp(&counts[*b]).then_with(|| b.cmp(a)));
            if let Some(rule) = most {
                parts.entry(rule).or_default().push(one);
            }
        }
        parts.into_iter().map(|(rule, uses)| (bounds.get(rule), uses)).collect()
    }

    /// Who stands for the users of one kind of use, with the uses that each answers for. A group of which some significant
    /// part hardly ever uses it is over-general: it goes on without that part, or not at all.
    fn slices<'u>(&self, uses: &[&'u Use], min_uses: usize) -> BTreeMap<Slice, Vec<&'u Use>> {
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
        let (users, supported) = (people(1), people(min_uses));
        let whole = |g: &GroupId| Slice { target: Target::Group(g.clone()), without: BTreeSet::new() };
        let mut members: BTreeMap<Slice, BTreeSet<PersonId>> =
            self.directory.members.iter().map(|(g, m)| (whole(g), m.clone())).collect();
        let mut chosen = cover(&users, &supported, &members, &weights);
        for round in 0..=MAX_NARROWINGS {
            let over_general = chosen.groups.iter().find_map(|slice| {
                let worst = reliable::worst_group(&members[slice], &users, &self.directory.members, s)?;
                (worst.1 < s.min_reliability).then(|| (slice.clone(), worst.0.clone()))
            });
            let Some((slice, part)) = over_general else { break };
            let rest = members.remove(&slice).unwrap_or_default();
            if round < MAX_NARROWINGS {
                let rest = rest.difference(&self.directory.members[&part]).cloned().collect();
                let mut narrower = slice;
                narrower.without.insert(part);
                members.insert(narrower, rest);
            }
            chosen = cover(&users, &supported, &members, &weights);
        }
        let mut found: BTreeMap<Slice, Vec<&Use>> = BTreeMap::new();
        for one in uses {
            let principal = self.seen.principal(one);
            // The smallest chosen group answers for a person in several.
            let group = principal.person().and_then(|person| {
                let holding = chosen.groups.iter().filter(|g| members[*g].contains(person));
                holding.min_by_key(|g| (members[*g].len(), (*g).clone()))
            });
            let slice = match group {
                Some(slice) => slice.clone(),
                None if counts[principal] >= min_uses => {
                    Slice { target: Target::One(principal.clone()), without: BTreeSet::new() }
                }
                None => continue,
            };
            found.entry(slice).or_default().push(one);
        }
        found
    }

    /// The rules of one slice: kinds of use under the same conditions become one rule.
    fn of_slice(
        &self,
        slice: &Slice,
        actions: BTreeMap<Action, Vec<&Use>>,
        within: Option<&Within>,
        seasonal: bool,
        found: &mut Vec<Draft>,
    ) {
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
        let inside = self.members(&slice.target, &slice.without);
        let except: BTreeSet<Principal> = match &slice.target {
            Target::One(_) => BTreeSet::new(),
            Target::Group(_) => self.settings.flagged.iter().filter(|p| inside.contains(p)).cloned().collect(),
        };
        for (_, actions, uses) in alike {
            let taken = |id: &RuleId| found.iter().any(|d| d.id == *id);
            let id = self.id(&slice.target, &actions, seasonal, &taken);
            found.push(Draft {
                id,
                target: slice.target.clone(),
                without: slice.without.clone(),
                except: except.clone(),
                conditions: Conditions::of(&uses, self.seen, self.settings),
                actions,
                within: within.cloned(),
                seasonal,
            });
        }
    }

    fn id(
        &self,
        target: &Target,
        actions: &BTreeSet<Action>,
        seasonal: bool,
        taken: &dyn Fn(&RuleId) -> bool,
    ) -> RuleId {
        let who = match target {
            Target::Group(id) => id.to_string(),
            Target::One(principal) => principal.to_string(),
        };
        let actions: Vec<&str> = actions.iter().map(|a| a.name()).collect();
        let mut tail = actions.join("-");
        if seasonal {
            tail.push_str("-seasonal");
        }
        let id = format!("{}-{who}-{tail}", self.app.id);
        // Long names give way to a short digest of themselves.
        let short = |tail: &str| format!("proposed-{:016x}-{tail}", fnv(&id));
        let named = |more: &str| -> RuleId {
            let parsed = format!("{id}{more}").parse();
            parsed.unwrap_or_else(|_| {
                format!("{}{more}", short(&tail)).parse().expect("a short id of letters and digits is valid")
            })
        };
        std::iter::once(String::new())
            .chain((2u32..).map(|n| format!("-{n}")))
            .map(|more| named(&more))
            .find(|id| !taken(id))
            .expect("drafts are finite")
    }

    /// Whether a draft lets a recorded use pass, with the groups of the time.
    pub(crate) fn permits(&self, draft: &Draft, one: &Use) -> bool {
        self.speaks_of(draft, one) && draft.conditions.misses(one, self.seen).is_empty()
    }

    pub(crate) fn speaks_of(&self, draft: &Draft, one: &Use) -> bool {
        let principal = self.seen.principal(one);
        let groups = self.seen.group_sets.name(one.groups);
        let inside = match &draft.target {
            Target::Group(group) => groups.contains(group) && groups.is_disjoint(&draft.without),
            Target::One(other) => other == principal,
        };
        let below = draft.within.as_ref().is_none_or(|w| self.seen.rule_sets.name(one.rules).contains(&w.rule));
        one.proven
            && *principal != Principal::Nobody
            && inside
            && below
            && !draft.except.contains(principal)
            && draft.actions.contains(&one.action)
    }

    /// How many of these uses a draft permits, and of how many principals.
    pub(crate) fn used(&self, draft: &Draft, uses: &[&Use]) -> (u64, u64) {
        let permitted = || uses.iter().filter(|u| self.permits(draft, u));
        let people: BTreeSet<u32> = permitted().map(|u| u.who).collect();
        (permitted().count() as u64, people.len() as u64)
    }

    fn members(&self, target: &Target, without: &BTreeSet<GroupId>) -> BTreeSet<Principal> {
        let held = |group: &GroupId| self.directory.members.get(group).into_iter().flatten().cloned();
        match target {
            Target::One(principal) => [principal.clone()].into(),
            Target::Group(group) => {
                let gone: BTreeSet<PersonId> = without.iter().flat_map(held).collect();
                held(group).filter(|p| !gone.contains(p)).map(Principal::Person).collect()
            }
        }
    }

    /// Whom a draft lets in, by the directory of now.
    pub(crate) fn granted(&self, draft: &Draft) -> BTreeSet<Principal> {
        let mut all = self.members(&draft.target, &draft.without);
        all.retain(|p| !draft.except.contains(p));
        all
    }

    /// Every pair of person and kind of use that drafts let in.
    pub(crate) fn pairs(&self, drafts: &[Draft]) -> BTreeSet<(Principal, Action)> {
        let of = |d: &Draft| -> Vec<(Principal, Action)> {
            let people = self.granted(d);
            people.into_iter().flat_map(|p| d.actions.iter().map(move |a| (p.clone(), *a))).collect()
        };
        drafts.iter().flat_map(of).collect()
    }
}

/// A short digest for names; nothing rests on it but readability.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
