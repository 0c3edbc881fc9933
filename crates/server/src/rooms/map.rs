//! Who uses what: uses of a window of days, folded to groups where a group stands for its members.

use std::collections::{BTreeMap, BTreeSet};

use safeconduct_console::Trouble;
use safeconduct_console::view::{Asker, Flow, Link, Map, MapApp, MapAsset, MapQuery, Usage, Via};
use safeconduct_flows::MIN_GROUP_USERS;
use safeconduct_model::{Action, AppId, Duration, GroupId, PersonId, Principal, Timestamp};

use crate::rooms::digest::{Counts, Digest, Use, day_of};
use crate::rooms::links::{Naming, count};
use crate::rooms::{Rooms, window};

/// How long something counts as new after it was first seen.
const NEW_FOR: Duration = Duration::from_days(3);

/// Who stands at the near end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Group(GroupId),
    One(Principal),
}

/// Uses of one asker that are alike.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    pub(crate) who: Who,
    pub(crate) via: Via,
    pub(crate) app: AppId,
    pub(crate) action: Action,
    pub(crate) people: BTreeSet<PersonId>,
    pub(crate) counts: Counts,
    /// When any of it was first seen at all.
    pub(crate) since: Timestamp,
}

/// The groups of everybody, transitively.
pub(crate) type Groups = BTreeMap<PersonId, BTreeSet<GroupId>>;

/// The groups of everybody of the estate.
pub(crate) fn groups_of(estate: &safeconduct_config::Estate) -> Groups {
    estate.people.keys().filter_map(|p| Some((p.clone(), estate.groups_of(p)?))).collect()
}

/// Folds the uses since the day `since` that fit. A group stands for its members where more than half of those who were seen
/// get through; every use goes into exactly one flow.
pub(crate) fn fold(digest: &Digest, since: i64, groups: &Groups, fits: impl Fn(&Use) -> bool) -> Vec<Folded> {
    let all = digest.uses(since);
    let uses: Vec<(&Use, Counts)> = all.iter().filter(|(u, _)| fits(u)).map(|(u, c)| (*u, *c)).collect();
    let mut members: BTreeMap<&GroupId, BTreeSet<&PersonId>> = BTreeMap::new();
    for person in all.keys().filter_map(|u| u.who.person()) {
        for group in groups.get(person).into_iter().flatten() {
            members.entry(group).or_default().insert(person);
        }
    }
    let mut through: BTreeMap<(&AppId, Action), BTreeSet<&PersonId>> = BTreeMap::new();
    for (u, _) in uses.iter().filter(|(_, c)| c.passed() > 0) {
        through.entry((&u.app, u.action)).or_default().extend(u.who.person());
    }
    let stands: BTreeMap<_, _> = through.into_iter().map(|(at, users)| (at, standing(&users, &members))).collect();
    let mut folded: BTreeMap<(Who, Via, &AppId, Action), Folded> = BTreeMap::new();
    for (u, counts) in &uses {
        let group = u.who.person().and_then(|p| stands.get(&(&u.app, u.action))?.get(p));
        let who = group.map_or_else(|| Who::One(u.who.clone()), |g| Who::Group((*g).clone()));
        let flow = folded.entry((who.clone(), u.via, &u.app, u.action)).or_insert_with(|| Folded {
            who,
            via: u.via,
            app: u.app.clone(),
            action: u.action,
            people: BTreeSet::new(),
            counts: Counts::default(),
            since: Timestamp::MAX,
        });
        flow.people.extend(u.who.person().cloned());
        flow.counts.merge(counts);
        flow.since = flow.since.min(digest.first_of(u));
    }
    folded.into_values().collect()
}

/// Which group stands for which user: the one that stands for the most who are still open goes first, the smaller among equals.
fn standing<'a>(
    users: &BTreeSet<&'a PersonId>,
    members: &BTreeMap<&'a GroupId, BTreeSet<&'a PersonId>>,
) -> BTreeMap<&'a PersonId, &'a GroupId> {
    let fits = |people: &BTreeSet<&PersonId>| {
        let using = people.intersection(users).count();
        using >= MIN_GROUP_USERS && using * 2 > people.len()
    };
    let candidates: Vec<_> = members.iter().filter(|(_, people)| fits(people)).collect();
    let (mut open, mut found) = (users.clone(), BTreeMap::new());
    loop {
        let gain = |people: &BTreeSet<&PersonId>| people.intersection(&open).count();
        let best = candidates
            .iter()
            .max_by_key(|(id, people)| (gain(people), std::cmp::Reverse(people.len()), std::cmp::Reverse(*id)));
        let Some((group, people)) = best.filter(|(_, people)| gain(people) >= MIN_GROUP_USERS) else { return found };
        for person in *people {
            if open.remove(person) {
                found.insert(*person, **group);
            }
        }
    }
}

/// The asker of a flow, with its page.
pub(crate) fn asker(names: &dyn Naming, who: &Who) -> Asker {
    match who {
        Who::Group(id) => Asker { key: format!("group:{id}"), name: names.group(id), group: true },
        Who::One(principal) => {
            let key = match principal {
                Principal::Person(id) => format!("person:{id}"),
                Principal::Workload(id) => format!("workload:{id}"),
                Principal::Nobody => "nobody".to_owned(),
            };
            Asker { key, name: names.principal(principal), group: false }
        }
    }
}

/// Whether a flow is new: first seen in the last days, while the ledger reaches further back than that.
fn is_new(since: Timestamp, first: Option<Timestamp>, now: Timestamp) -> bool {
    let edge = now - NEW_FOR;
    since >= edge && first.is_some_and(|f| f < edge)
}

/// The page.
pub(crate) async fn view(rooms: &Rooms, query: &MapQuery) -> Result<Map, Trouble> {
    let (house, now) = (&rooms.house, rooms.house.now());
    let current = house.current();
    let estate = &current.config.estate;
    let (groups, wanted) = (groups_of(estate), query.clone());
    let (folded, first) = rooms
        .digest(move |digest| {
            let of_group = |u: &Use| match (&wanted.group, u.who.person()) {
                (None, _) => true,
                (Some(group), Some(p)) => groups.get(p).is_some_and(|all| all.iter().any(|g| g.as_str() == group)),
                (Some(_), None) => false,
            };
            let fits = |u: &Use| wanted.app.as_deref().is_none_or(|a| u.app.as_str() == a) && of_group(u);
            (fold(digest, day_of(window(now, wanted.days)), &groups, fits), digest.first)
        })
        .await?;
    let flow = |f: &Folded| Flow {
        who: asker(&**house, &f.who),
        via: f.via,
        app: f.app.clone(),
        action: f.action,
        people: count(f.people.len()),
        allowed: f.counts.allowed,
        would_deny: f.counts.would_deny,
        denied: f.counts.denied,
        first: f.counts.first,
        last: f.counts.last,
        new: is_new(f.since, first, now),
    };
    let apps = estate.applications.values().map(|app| MapApp {
        id: app.id.clone(),
        name: app.name.clone(),
        mode: app.mode,
        assets: (app.assets.iter().filter_map(|id| estate.assets.get(id)))
            .map(|a| MapAsset { id: a.id.clone(), name: a.name.clone(), class: a.class })
            .collect(),
        rules: count(current.snapshot.rules().iter().filter(|r| r.covers_application(app)).count()),
    });
    Ok(Map {
        apps: apps.collect(),
        flows: folded.iter().map(flow).collect(),
        groups: estate.groups.values().map(|g| (g.id.to_string(), g.name.clone())).collect(),
        requests: folded.iter().map(|f| f.counts.total()).sum(),
    })
}

/// Use of one application or by one person, by the other side.
pub(crate) fn usage(flows: Vec<(Link, Counts)>) -> Vec<Usage> {
    let mut by_name: BTreeMap<Link, Counts> = BTreeMap::new();
    for (other, counts) in flows {
        by_name.entry(other).or_default().merge(&counts);
    }
    let mut all: Vec<_> = by_name
        .into_iter()
        .map(|(other, c)| Usage { other, allowed: c.allowed, denied: c.would_deny + c.denied, last: Some(c.last) })
        .collect();
    all.sort_by_key(|u| std::cmp::Reverse(u.allowed + u.denied));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::digest::testing::entry;

    fn groups(all: &[(&str, &[&str])]) -> Groups {
        let ids = |g: &[&str]| g.iter().map(|g| g.parse().expect("id")).collect();
        all.iter().map(|(p, g)| (p.parse().expect("id"), ids(g))).collect()
    }

    fn digest(who: &[&str]) -> Digest {
        let mut digest = Digest::default();
        for (seq, who) in who.iter().enumerate() {
            digest.add(&entry(seq as u64, 1_790_000_000_000 + seq as i64, who, "wiki", true, "enforce"));
        }
        digest
    }

    #[test]
    fn a_group_stands_for_its_members_where_most_of_them_get_through() {
        let groups = groups(&[("ada", &["staff"]), ("bob", &["staff"]), ("eve", &["guests"])]);
        let flows = fold(&digest(&["ada", "bob", "eve", "ada"]), 0, &groups, |_| true);
        let said: Vec<(String, usize, u64)> =
            flows.iter().map(|f| (format!("{:?}", f.who), f.people.len(), f.counts.allowed)).collect();
        assert_eq!(flows.len(), 2, "{said:?}");
        assert!(matches!(&flows[0].who, Who::Group(g) if g.as_str() == "staff") && flows[0].counts.allowed == 3);
        assert!(matches!(&flows[1].who, Who::One(_)) && flows[1].counts.allowed == 1);
    }

    #[test]
    fn every_use_goes_into_exactly_one_flow() {
        let groups = groups(&[("ada", &["a", "b"]), ("bob", &["a", "b"]), ("cy", &["b"]), ("di", &["b"])]);
        let flows = fold(&digest(&["ada", "bob", "cy", "di"]), 0, &groups, |_| true);
        assert_eq!(flows.iter().map(|f| f.counts.total()).sum::<u64>(), 4);
        assert_eq!(flows.len(), 1, "the larger group stands for all: {flows:?}");
    }

    #[test]
    fn nothing_is_new_while_the_ledger_itself_is() {
        let now = Timestamp::default() + Duration::from_days(100);
        assert!(is_new(now - Duration::from_days(1), Some(now - Duration::from_days(9)), now));
        assert!(!is_new(now - Duration::from_days(1), Some(now - Duration::from_days(2)), now));
        assert!(!is_new(now - Duration::from_days(4), Some(now - Duration::from_days(9)), now));
    }
}
