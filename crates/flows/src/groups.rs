//! Edges of people folded into edges of their groups.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::{Action, AppId, GroupId, PersonId, Principal};
use serde::Serialize;

use crate::map::{Key, Map};
use crate::stats::Stats;

/// How many members of a group must use something before the group stands for them.
pub const MIN_GROUP_USERS: usize = 2;

/// Who stands at the near end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asker {
    /// A group, of whose members most use the application in this way.
    Group {
        /// Which group.
        id: GroupId,
        /// How many of its members do.
        using: usize,
        /// How many of its members were seen anywhere on the map.
        members: usize,
    },
    /// One principal.
    One(Principal),
}

/// An edge of the folded map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Who.
    pub who: Asker,
    /// Which application.
    pub app: AppId,
    /// Which kind of use.
    pub action: Action,
    /// What is known about it.
    pub stats: Stats,
}

impl Map {
    /// The edges as they are, one for each principal.
    #[must_use]
    pub fn by_person(&self) -> Vec<Edge> {
        let one = |(key, stats): (&Key, &Stats)| Edge {
            who: Asker::One(key.principal.clone()),
            app: key.app.clone(),
            action: key.action,
            stats: stats.clone(),
        };
        self.edges().map(one).collect()
    }

    /// The edges with groups in the place of people, wherever more than half of the members that were seen anywhere get
    /// through. Every edge of a person goes into exactly one edge of the result: counts add up to those of the map.
    pub fn by_group(&self, groups_of: &dyn Fn(&PersonId) -> BTreeSet<GroupId>) -> Vec<Edge> {
        let mut members: BTreeMap<GroupId, BTreeSet<PersonId>> = BTreeMap::new();
        for person in self.people() {
            for group in groups_of(&person) {
                members.entry(group).or_default().insert(person.clone());
            }
        }
        let mut uses: BTreeMap<(&AppId, Action), Vec<(&Key, &Stats)>> = BTreeMap::new();
        for (key, stats) in self.edges() {
            uses.entry((&key.app, key.action)).or_default().push((key, stats));
        }
        uses.into_iter().flat_map(|((app, action), edges)| fold(app, action, &edges, &members)).collect()
    }
}

fn fold(
    app: &AppId,
    action: Action,
    edges: &[(&Key, &Stats)],
    members: &BTreeMap<GroupId, BTreeSet<PersonId>>,
) -> Vec<Edge> {
    let users: BTreeSet<&PersonId> =
        edges.iter().filter(|(_, stats)| stats.passed > 0).filter_map(|(key, _)| key.principal.person()).collect();
    let using = |people: &BTreeSet<PersonId>| people.iter().filter(|p| users.contains(p)).count();
    let fits = |people: &BTreeSet<PersonId>| {
        let using = using(people);
        using >= MIN_GROUP_USERS && using * 2 > people.len()
    };
    let candidates: Vec<_> = members.iter().filter(|(_, people)| fits(people)).collect();
    let mut open: BTreeMap<&PersonId, &Stats> = edges
        .iter()
        .filter(|(_, stats)| stats.passed > 0)
        .filter_map(|(key, stats)| Some((key.principal.person()?, *stats)))
        .collect();
    let mut folded = Vec::new();
    // The group that stands for the most people who are still open goes first; among equals the smaller one.
    loop {
        let gain = |people: &BTreeSet<PersonId>| people.iter().filter(|p| open.contains_key(p)).count();
        let best = candidates
            .iter()
            .max_by_key(|(id, people)| (gain(people), std::cmp::Reverse(people.len()), std::cmp::Reverse(*id)));
        let Some((id, people)) = best.filter(|(_, people)| gain(people) >= MIN_GROUP_USERS) else { break };
        let mut stats = Stats::default();
        for person in people.iter() {
            if let Some(theirs) = open.remove(person) {
                stats.merge(theirs);
            }
        }
        let who = Asker::Group { id: (*id).clone(), using: using(people), members: people.len() };
        folded.push(Edge { who, app: app.clone(), action, stats });
    }
    let single = |(key, _): &(&Key, &Stats)| match key.principal.person() {
        Some(person) => open.contains_key(person) || !users.contains(person),
        None => true,
    };
    let singles = edges.iter().filter(|edge| single(edge)).map(|(key, stats)| Edge {
        who: Asker::One(key.principal.clone()),
        app: app.clone(),
        action,
        stats: (*stats).clone(),
    });
    folded.extend(singles);
    folded
}
