//! Grants: who may use what, from when, until when, and why.

use std::collections::BTreeSet;

use safeconduct_model::{AppId, GrantFacts, GrantId, GroupId, PersonId, Timestamp};

/// Whom a grant is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    /// One person.
    Person(PersonId),
    /// Everybody in a group.
    Group(GroupId),
}

/// A dated permission with a purpose. Rules decide what it opens; without a rule that reads it, it opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// For whom.
    pub to: Grantee,
    /// For which application.
    pub app: AppId,
    /// What for.
    pub purpose: String,
    /// The ticket that asked for it.
    pub ticket: Option<String>,
    /// From when it holds.
    pub from: Timestamp,
    /// Until when it holds; the instant itself is too late.
    pub until: Timestamp,
    /// Who gave it.
    pub by: PersonId,
}

impl Grant {
    fn is_for(&self, person: &PersonId, groups: &BTreeSet<GroupId>) -> bool {
        match &self.to {
            Grantee::Person(id) => id == person,
            Grantee::Group(id) => groups.contains(id),
        }
    }

    /// The facts of the grant, as policy reads them.
    #[must_use]
    pub fn facts(&self) -> GrantFacts {
        GrantFacts {
            id: self.id.clone(),
            purpose: self.purpose.clone(),
            ticket: self.ticket.clone(),
            from: self.from,
            until: self.until,
        }
    }
}

/// The grant that speaks for a person on an application at `now`: of those that hold, the one that holds longest.
#[must_use]
pub fn grant_for<'g>(
    grants: impl IntoIterator<Item = &'g Grant>,
    person: &PersonId,
    groups: &BTreeSet<GroupId>,
    app: &AppId,
    now: Timestamp,
) -> Option<&'g Grant> {
    let holds = |g: &&Grant| g.app == *app && g.from <= now && now < g.until && g.is_for(person, groups);
    grants.into_iter().filter(holds).max_by_key(|g| (g.until, &g.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: &str, to: Grantee, from: i64, until: i64) -> Grant {
        Grant {
            id: id.parse().expect("id"),
            to,
            app: "ledger".parse().expect("id"),
            purpose: "close".into(),
            ticket: None,
            from: Timestamp::from_millis(from),
            until: Timestamp::from_millis(until),
            by: "cfo".parse().expect("id"),
        }
    }

    #[test]
    fn only_a_grant_that_holds_and_is_meant_speaks() {
        let ada: PersonId = "ada".parse().expect("id");
        let finance: GroupId = "finance".parse().expect("id");
        let grants = [
            grant("a", Grantee::Person(ada.clone()), 10, 20),
            grant("b", Grantee::Group(finance.clone()), 10, 30),
            grant("c", Grantee::Person("bob".parse().expect("id")), 0, 100),
        ];
        let found = |groups: &BTreeSet<GroupId>, app: &str, now| {
            let app = app.parse().expect("id");
            grant_for(&grants, &ada, groups, &app, Timestamp::from_millis(now)).map(|g| g.id.to_string())
        };
        let none = BTreeSet::new();
        assert_eq!(found(&none, "ledger", 15).as_deref(), Some("a"));
        assert_eq!(found(&[finance].into(), "ledger", 15).as_deref(), Some("b"), "the longer one");
        assert_eq!(found(&none, "ledger", 20), None, "the end itself is too late");
        assert_eq!(found(&none, "ledger", 9), None);
        assert_eq!(found(&none, "wiki", 15), None);
    }
}
