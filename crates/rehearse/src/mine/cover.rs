//! Which groups stand for the users of an application: a greedy cover that weighs over-grant against missed users.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_model::PersonId;

/// What choosing costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Weights {
    /// For each person who would be let in without ever having used it.
    pub over_grant: f64,
    /// For each user who would be missed.
    pub missed: f64,
    /// For each rule.
    pub size: f64,
    /// The least share of a group's members that must be users.
    pub min_share: f64,
    /// The least number of users that make a group stand for them.
    pub min_users: usize,
}

/// The chosen groups, and the users whom none of them holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cover<G: Ord> {
    pub groups: BTreeSet<G>,
    pub singles: BTreeSet<PersonId>,
}

/// Chooses groups one by one, the one with the largest gain first, until none gains. `users` have used the application;
/// only `supported` ones, who used it often enough, speak for a group.
pub(crate) fn cover<G: Ord + Clone>(
    users: &BTreeSet<PersonId>,
    supported: &BTreeSet<PersonId>,
    members: &BTreeMap<G, BTreeSet<PersonId>>,
    w: &Weights,
) -> Cover<G> {
    let share = |people: &BTreeSet<PersonId>| count(people.intersection(users).count()) / count(people.len().max(1));
    let candidates: BTreeMap<&G, &BTreeSet<PersonId>> = members
        .iter()
        .filter(|(_, people)| people.intersection(supported).count() >= w.min_users && share(people) >= w.min_share)
        .collect();
    let mut chosen: BTreeSet<G> = BTreeSet::new();
    let mut granted: BTreeSet<&PersonId> = BTreeSet::new();
    loop {
        let gain = |people: &BTreeSet<PersonId>| {
            let fresh = |p: &&PersonId| !granted.contains(*p);
            let covered = people.intersection(supported).filter(fresh).count();
            let extra = people.difference(users).filter(fresh).count();
            count(covered) * w.missed - count(extra) * w.over_grant - w.size
        };
        let best = candidates
            .iter()
            .filter(|(id, _)| !chosen.contains(**id))
            .map(|(id, people)| (gain(people), *id, *people))
            .filter(|(gain, ..)| *gain > 0.0)
            .max_by(|(a, id_a, p_a), (b, id_b, p_b)| {
                a.total_cmp(b).then(p_b.len().cmp(&p_a.len())).then_with(|| id_b.cmp(id_a))
            });
        let Some((_, id, people)) = best else { break };
        chosen.insert(id.clone());
        granted.extend(people);
    }
    drop_redundant(&mut chosen, supported, members);
    let held = |person: &&PersonId| chosen.iter().any(|g| members[g].contains(*person));
    let singles = users.iter().filter(|p| !held(p)).cloned().collect();
    Cover { groups: chosen, singles }
}

/// A later choice may have made an earlier one superfluous.
fn drop_redundant<G: Ord + Clone>(
    chosen: &mut BTreeSet<G>,
    supported: &BTreeSet<PersonId>,
    members: &BTreeMap<G, BTreeSet<PersonId>>,
) {
    for id in chosen.clone() {
        let others = |p: &&PersonId| chosen.iter().any(|g| *g != id && members[g].contains(*p));
        if members[&id].intersection(supported).all(|p| others(&p)) {
            chosen.remove(&id);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of people are far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use safeconduct_model::GroupId;

    const W: Weights = Weights { over_grant: 1.0, missed: 2.0, size: 1.0, min_share: 0.5, min_users: 2 };

    fn people(names: &str) -> BTreeSet<PersonId> {
        names.chars().map(|c| c.to_string().parse().expect("id")).collect()
    }

    fn chosen(users: &str, groups: &[(&str, &str)]) -> String {
        let members: BTreeMap<GroupId, BTreeSet<PersonId>> =
            groups.iter().map(|(g, p)| (g.parse().expect("id"), people(p))).collect();
        let cover = cover(&people(users), &people(users), &members, &W);
        let names: Vec<String> = cover.groups.iter().map(ToString::to_string).collect();
        let singles: String = cover.singles.iter().map(PersonId::as_str).collect();
        format!("{} | {singles}", names.join(" "))
    }

    #[test]
    fn the_smallest_groups_that_fit_are_taken_and_the_rest_named() {
        let groups = [("all", "abcdefghijkl"), ("front", "abc"), ("back", "def")];
        assert_eq!(chosen("abcdef", &groups), "back front | ");
        assert_eq!(chosen("abcdefghijkl", &groups), "all | ");
        assert_eq!(chosen("abcg", &groups), "front | g");
        assert_eq!(chosen("g", &groups), " | g");
        assert_eq!(chosen("", &groups), " | ");
    }

    #[test]
    fn a_group_of_which_few_members_are_users_is_not_taken() {
        assert_eq!(chosen("ab", &[("team", "abcde")]), " | ab");
        assert_eq!(chosen("abc", &[("team", "abcde")]), "team | ");
    }

    #[test]
    fn a_group_within_another_choice_is_dropped() {
        assert_eq!(chosen("abcdef", &[("all", "abcdef"), ("inner", "abc")]), "all | ");
    }
}
