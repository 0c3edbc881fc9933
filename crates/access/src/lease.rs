//! Leases: which live connections rest on which facts, and until when.
//!
//! A pure index. It says *which* leases a change touches; whether they still hold is for policy to say, and ending them is for
//! the gateway to do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use safeconduct_model::{AppId, DeviceId, GrantId, GroupId, LockTarget, PersonId, SessionId, Timestamp};

/// The name of a lease. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(u64);

impl LeaseId {
    /// The number, for display.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The lease with this number, as a page names it.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What a lease rests on, and when it ends at the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interests {
    /// The session.
    pub session: Option<SessionId>,
    /// The person.
    pub person: Option<PersonId>,
    /// The device that proved itself.
    pub device: Option<DeviceId>,
    /// The groups that counted.
    pub groups: BTreeSet<GroupId>,
    /// The application.
    pub app: AppId,
    /// The grant that carried it.
    pub grant: Option<GrantId>,
    /// When it ends unless it is extended.
    pub until: Timestamp,
}

/// Something changed on which leases may rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A session ended or changed.
    SessionEnded(SessionId),
    /// A person, their grants or their groups changed.
    PersonChanged(PersonId),
    /// A group changed: its parents, its members.
    GroupChanged(GroupId),
    /// A device changed: enrolment, posture.
    DeviceChanged(DeviceId),
    /// A grant changed or was withdrawn.
    GrantChanged(GrantId),
    /// A lock was placed on this.
    Locked(LockTarget),
    /// A new snapshot holds.
    PolicyPublished,
    /// An application changed.
    AppChanged(AppId),
    /// Nothing is certain any more.
    Everything,
}

/// The index. Every lease is found by each of the facts that it rests on, without a scan.
#[derive(Debug, Default)]
pub struct Leases {
    next: u64,
    all: BTreeMap<LeaseId, Interests>,
    by_session: Index<SessionId>,
    by_person: Index<PersonId>,
    by_device: Index<DeviceId>,
    by_group: Index<GroupId>,
    by_grant: Index<GrantId>,
    by_app: Index<AppId>,
    by_end: BTreeSet<(Timestamp, LeaseId)>,
}

impl Leases {
    /// An index without a lease.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a lease in.
    pub fn register(&mut self, interests: Interests) -> LeaseId {
        let id = LeaseId(self.next);
        self.next += 1;
        self.enter(id, interests);
        id
    }

    /// Takes a lease out; what it rested on, if it was there.
    pub fn remove(&mut self, id: LeaseId) -> Option<Interests> {
        let interests = self.all.remove(&id)?;
        self.by_session.drop(interests.session.as_ref(), id);
        self.by_person.drop(interests.person.as_ref(), id);
        self.by_device.drop(interests.device.as_ref(), id);
        self.by_group.drop(&interests.groups, id);
        self.by_grant.drop(interests.grant.as_ref(), id);
        self.by_app.drop([&interests.app], id);
        self.by_end.remove(&(interests.until, id));
        Some(interests)
    }

    /// Gives a lease new interests after it was decided again. Says whether it was there.
    pub fn extend(&mut self, id: LeaseId, interests: Interests) -> bool {
        let known = self.remove(id).is_some();
        if known {
            self.enter(id, interests);
        }
        known
    }

    /// The leases that a change touches, in the order of their registration.
    #[must_use]
    pub fn affected(&self, signal: &Signal) -> Vec<LeaseId> {
        use LockTarget as On;
        match signal {
            Signal::SessionEnded(id) | Signal::Locked(On::Session(id)) => self.by_session.of(id),
            Signal::PersonChanged(id) | Signal::Locked(On::Person(id)) => self.by_person.of(id),
            Signal::GroupChanged(id) | Signal::Locked(On::Group(id)) => self.by_group.of(id),
            Signal::DeviceChanged(id) | Signal::Locked(On::Device(id)) => self.by_device.of(id),
            Signal::GrantChanged(id) | Signal::Locked(On::Grant(id)) => self.by_grant.of(id),
            Signal::AppChanged(id) | Signal::Locked(On::Application(id)) => self.by_app.of(id),
            // What is not in the index may be anything's ground.
            Signal::Locked(On::Workload(_) | On::Site(_) | On::Connector(_))
            | Signal::PolicyPublished
            | Signal::Everything => self.all.keys().copied().collect(),
        }
    }

    /// The leases whose time is up: `until` itself is too late. The earliest first.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<LeaseId> {
        self.by_end.iter().take_while(|(until, _)| *until <= now).map(|(_, id)| *id).collect()
    }

    /// When the next lease ends.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.by_end.first().map(|(until, _)| *until)
    }

    /// What a lease rests on.
    #[must_use]
    pub fn get(&self, id: LeaseId) -> Option<&Interests> {
        self.all.get(&id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn enter(&mut self, id: LeaseId, interests: Interests) {
        self.by_session.add(interests.session.as_ref(), id);
        self.by_person.add(interests.person.as_ref(), id);
        self.by_device.add(interests.device.as_ref(), id);
        self.by_group.add(&interests.groups, id);
        self.by_grant.add(interests.grant.as_ref(), id);
        self.by_app.add([&interests.app], id);
        self.by_end.insert((interests.until, id));
        self.all.insert(id, interests);
    }
}

/// From a fact to the leases that rest on it. A fact without leases takes no room.
#[derive(Debug)]
struct Index<K>(HashMap<K, BTreeSet<LeaseId>>);

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Index<K> {
    fn add<'k>(&mut self, keys: impl IntoIterator<Item = &'k K>, id: LeaseId)
    where
        K: 'k,
    {
        for key in keys {
            self.0.entry(key.clone()).or_default().insert(id);
        }
    }

    fn drop<'k>(&mut self, keys: impl IntoIterator<Item = &'k K>, id: LeaseId)
    where
        K: 'k,
    {
        for key in keys {
            if let Some(ids) = self.0.get_mut(key) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.0.remove(key);
                }
            }
        }
    }

    fn of(&self, key: &K) -> Vec<LeaseId> {
        self.0.get(key).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
