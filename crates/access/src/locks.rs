//! Locks: who and what is shut out now, found by what they are on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use safeconduct_model::{Lock, LockId, LockTarget, Timestamp};
use thiserror::Error;

/// How many locks may be known at once.
pub const MAX_LOCKS: usize = 10_000;

/// There is no room for another lock.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("there are {MAX_LOCKS} locks; lift some first, or lock a group")]
pub struct LocksFull;

/// Every lock that is known, by its id and by its target. One that has ended stays until it is lifted: only time frees, and a
/// clock that goes back shuts again.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    all: BTreeMap<LockId, Lock>,
    on: HashMap<LockTarget, BTreeSet<LockId>>,
}

impl Locks {
    /// Takes a lock in. One with the same id gives way.
    pub fn place(&mut self, lock: Lock) -> Result<(), LocksFull> {
        if self.all.len() >= MAX_LOCKS && !self.all.contains_key(&lock.id) {
            return Err(LocksFull);
        }
        self.lift(&lock.id.clone());
        self.on.entry(lock.target.clone()).or_default().insert(lock.id.clone());
        self.all.insert(lock.id.clone(), lock);
        Ok(())
    }

    /// Takes a lock out; what it was, if it was there.
    pub fn lift(&mut self, id: &LockId) -> Option<Lock> {
        let lock = self.all.remove(id)?;
        if let Some(ids) = self.on.get_mut(&lock.target) {
            ids.remove(id);
            if ids.is_empty() {
                self.on.remove(&lock.target);
            }
        }
        Some(lock)
    }

    /// The lock with this id.
    #[must_use]
    pub fn get(&self, id: &LockId) -> Option<&Lock> {
        self.all.get(id)
    }

    /// Whether there is none: most of the time nothing is locked, and then nothing needs to be looked up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Every lock, in force or ended.
    pub fn all(&self) -> impl Iterator<Item = &Lock> {
        self.all.values()
    }

    /// The locks in force.
    pub fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &Lock> {
        self.all().filter(move |lock| lock.is_in_force(now))
    }

    /// The lock that holds longest of those on any of these targets; `None` if none is in force.
    #[must_use]
    pub fn over(&self, targets: impl IntoIterator<Item = LockTarget>, now: Timestamp) -> Option<&Lock> {
        let on = targets.into_iter().filter_map(|target| self.on.get(&target)).flatten();
        let in_force = on.filter_map(|id| self.all.get(id)).filter(|lock| lock.is_in_force(now));
        in_force.max_by_key(|lock| (lock.until.is_none(), lock.until, &lock.id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(n: u8) -> LockTarget {
        let name = format!("x{}", n / 3);
        LockTarget::of(["person", "group", "device"][usize::from(n % 3)], &name).expect("a target")
    }

    fn lock(id: u8, on: u8, until: Option<i64>) -> Lock {
        Lock {
            id: format!("l{id}").parse().expect("id"),
            target: target(on),
            message: "Ask us.".parse().expect("a message"),
            by: "cli".into(),
            placed: Timestamp::default(),
            until: until.map(Timestamp::from_millis),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Place(u8, u8, Option<i64>),
        Lift(u8),
        Look(Vec<u8>, i64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u8..6, 0u8..9, proptest::option::of(0i64..10)).prop_map(|(id, on, until)| Step::Place(id, on, until)),
            (0u8..6).prop_map(Step::Lift),
            (proptest::collection::vec(0u8..9, 0..4), 0i64..12).prop_map(|(on, now)| Step::Look(on, now)),
        ]
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_scan_finds(steps in proptest::collection::vec(any_step(), 0..40)) {
            let mut locks = Locks::default();
            let mut list: Vec<Lock> = Vec::new();
            for step in steps {
                match step {
                    Step::Place(id, on, until) => {
                        let new = lock(id, on, until);
                        list.retain(|l| l.id != new.id);
                        list.push(new.clone());
                        prop_assert_eq!(locks.place(new), Ok(()));
                    }
                    Step::Lift(id) => {
                        let id = lock(id, 0, None).id;
                        let known = list.iter().position(|l| l.id == id).map(|at| list.remove(at));
                        prop_assert_eq!(locks.lift(&id), known);
                    }
                    Step::Look(on, now) => {
                        let now = Timestamp::from_millis(now);
                        let on: Vec<LockTarget> = on.into_iter().map(target).collect();
                        let found = locks.over(on.clone(), now);
                        let speaks = |l: &&Lock| on.contains(&l.target) && l.until.is_none_or(|u| now < u);
                        let scan: Vec<&Lock> = list.iter().filter(speaks).collect();
                        prop_assert_eq!(found.is_some(), !scan.is_empty());
                        let end = |l: &Lock| l.until.map_or(i64::MAX, Timestamp::millis);
                        prop_assert_eq!(found.map(end), scan.iter().map(|l| end(l)).max(), "the one that holds longest");
                        prop_assert_eq!(locks.in_force(now).count(), list.iter().filter(|l| l.is_in_force(now)).count());
                    }
                }
                prop_assert_eq!(locks.is_empty(), list.is_empty());
            }
        }
    }

    #[test]
    fn lifting_all_leaves_nothing_behind_and_the_bound_holds() {
        let mut locks = Locks::default();
        for n in 0..MAX_LOCKS {
            let id = format!("l{n}").parse().expect("id");
            assert_eq!(locks.place(Lock { id, ..lock(0, 0, None) }), Ok(()));
        }
        assert_eq!(locks.place(Lock { id: "more".parse().expect("id"), ..lock(0, 0, None) }), Err(LocksFull));
        assert_eq!(locks.place(lock(7, 0, None)), Ok(()), "one that is there may be placed again");
        for id in locks.all().map(|l| l.id.clone()).collect::<Vec<_>>() {
            locks.lift(&id);
        }
        assert!(locks.is_empty() && locks.on.is_empty());
    }
}
