//! Locks: who and what is shut out at once. Kept in the control state, in memory for every decision, told to what is live.
//!
//! A lock is no part of the configuration and none of the policy: neither a reload nor a publication touches it. Placing cuts
//! first and keeps then; lifting records first, keeps then, and frees last. Whatever fails in between leaves the lock in force.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use safeconduct_access::{Grant, Locks, LocksFull, Signal, grant_for};
use safeconduct_config::CONSOLE;
use safeconduct_model::{
    AppId, ConnectorName, DeviceId, Duration, GrantFacts, GroupId, Lock, LockFacts, LockId, LockMessage, LockTarget,
    PersonId, SessionId, Timestamp,
};
use safeconduct_store::Control;
use thiserror::Error;

use crate::house::{Current, House, random_hex};

/// The kind of the documents that hold locks.
const LOCK: &str = "lock";
/// How long a lock is kept that has ended: long enough that a clock which ran ahead and is set right frees nobody.
const KEPT: Duration = Duration::from_days(30);

/// How often an id is drawn until one is free.
const TRIES: usize = 8;

/// The locks of this house.
#[derive(Default)]
pub(crate) struct LockBook {
    held: ArcSwap<Locks>,
    /// Held while a lock is placed or lifted: who reads the locks to write them, writes what was read.
    changing: tokio::sync::Mutex<()>,
}

/// Somebody who is, or wants to be, signed in.
pub(crate) struct Somebody<'a> {
    /// Who.
    pub(crate) person: &'a PersonId,
    /// Every group of the person.
    pub(crate) groups: &'a BTreeSet<GroupId>,
    /// The session, if there is one already.
    pub(crate) session: Option<&'a SessionId>,
    /// The device that proved itself.
    pub(crate) device: Option<&'a DeviceId>,
}

/// What a lock is to be.
pub(crate) struct NewLock {
    /// What it is on.
    pub(crate) target: LockTarget,
    /// What whoever is refused is told.
    pub(crate) message: LockMessage,
    /// For how long; without an end until it is lifted.
    pub(crate) lasts: Option<Duration>,
    /// Also if the target is not known, or the lock shuts out whoever could lift it in the console.
    pub(crate) force: bool,
}

/// Why a lock was not placed or lifted.
#[derive(Debug, Error)]
pub(crate) enum LockError {
    /// No such thing.
    #[error("no {0} is known here; correct the name, or lock it all the same with --force on the command line")]
    Unknown(LockTarget),
    /// It would never hold.
    #[error("a lock that lasts no time shuts nobody out; give it a length, or leave the length away")]
    NoTime,
    /// Whoever places it would be shut out.
    #[error("this lock would shut you out yourself; if you mean it, use --force on the command line")]
    Yourself,
    /// Nobody could lift it in the console.
    #[error(
        "this lock would leave nobody who can operate the console; if you mean it, use --force on the command line"
    )]
    LastOperator,
    /// It has no id.
    #[error("nothing is locked: {0:#}")]
    NoId(anyhow::Error),
    /// There is no room.
    #[error(transparent)]
    Full(#[from] LocksFull),
    /// No such lock.
    #[error("there is no lock `{0}`")]
    NotThere(LockId),
    /// It holds, but it is not kept.
    #[error("the lock is in force, but a restart would lose it: {0:#}; see the health page, then place it again")]
    NotKept(anyhow::Error),
    /// It is kept and holds, but it is not recorded.
    #[error("the lock is in force and kept, but the ledger did not record who placed it: {0:#}; see the health page")]
    NotRecorded(anyhow::Error),
    /// It still holds, because it could not be recorded or kept that it was lifted.
    #[error("the lock still holds, because lifting it could not be kept: {0:#}; see the health page, then repeat")]
    StillHolds(anyhow::Error),
}

/// A sign-in that a lock refuses.
#[derive(Debug, Error)]
#[error("Sign-in is refused: {}. {}", .0.target.words(), .0.message)]
pub(crate) struct LockedOut(pub(crate) Lock);

impl LockBook {
    /// Reads what is kept. One that cannot be read stops the start: who was locked out must not come in for it.
    pub(crate) async fn load(control: &Control) -> anyhow::Result<Self> {
        let mut held = Locks::default();
        for doc in control.load(LOCK).await? {
            let lock: Lock = serde_json::from_value(doc.body)
                .with_context(|| format!("the lock `{}` in control.db is not readable", doc.id))?;
            held.place(lock)?;
        }
        Ok(Self { held: ArcSwap::from_pointee(held), changing: tokio::sync::Mutex::default() })
    }
}

impl House {
    /// The locks as they are now.
    pub(crate) fn locks(&self) -> Arc<Locks> {
        self.locks.held.load_full()
    }

    /// The lock that shuts somebody out, whatever they want.
    pub(crate) fn lock_on(&self, somebody: &Somebody<'_>, now: Timestamp) -> Option<Lock> {
        let locks = self.locks.held.load();
        if locks.is_empty() {
            return None;
        }
        locks.over(targets_of(somebody), now).cloned()
    }

    /// The lock on a sign-in of this person, from this device if it proved itself.
    pub(crate) fn lock_on_sign_in(&self, person: &PersonId, device: Option<&DeviceId>) -> Result<(), LockedOut> {
        let groups = self.current().config.estate.groups_of(person).unwrap_or_default();
        let somebody = Somebody { person, groups: &groups, session: None, device };
        self.lock_on(&somebody, self.now()).map_or(Ok(()), |lock| Err(LockedOut(lock)))
    }

    /// The lock that speaks about somebody's use of an application, and the grant that speaks for it: of those that are not
    /// locked.
    pub(crate) fn lock_and_grant(
        &self,
        current: &Current,
        somebody: &Somebody<'_>,
        app: &AppId,
        now: Timestamp,
    ) -> (Option<Box<LockFacts>>, Option<GrantFacts>) {
        let estate = &current.config.estate;
        let best = |grants: &mut dyn Iterator<Item = &Grant>| {
            grant_for(grants, somebody.person, somebody.groups, app, now).map(Grant::facts)
        };
        let first = best(&mut estate.grants.iter());
        let locks = self.locks.held.load();
        if locks.is_empty() {
            return (None, first);
        }
        let site = estate.applications.get(app).and_then(|a| a.connector.clone());
        let here = [LockTarget::Application(app.clone())].into_iter().chain(site.map(LockTarget::Site));
        let shut = locks.over(targets_of(somebody).chain(here), now);
        let on_grant = |g: &GrantFacts| locks.over([LockTarget::Grant(g.id.clone())], now);
        let on_first = first.as_ref().and_then(on_grant);
        let free = |g: &&Grant| locks.over([LockTarget::Grant(g.id.clone())], now).is_none();
        let grant = if on_first.is_some() { best(&mut estate.grants.iter().filter(free)) } else { first.clone() };
        let speaks = match (shut, on_first) {
            (Some(lock), _) => Some(lock.facts(None)),
            (None, Some(lock)) => Some(lock.facts(first)),
            (None, None) => None,
        };
        (speaks.map(Box::new), grant)
    }

    /// Whether a connector may not be linked: it is locked, or its site is.
    pub(crate) fn is_connector_locked(&self, name: &ConnectorName) -> bool {
        let targets = [LockTarget::Connector(name.clone()), LockTarget::Site(name.site.clone())];
        self.locks.held.load().over(targets, self.now()).is_some()
    }

    /// Places a lock: from this instant it holds, and what is live and rests on its target is cut. `by` is the name of who acts,
    /// `operator` the person if it is one.
    pub(crate) async fn place_lock(
        &self,
        by: &str,
        operator: Option<&PersonId>,
        wanted: NewLock,
    ) -> Result<Lock, LockError> {
        let _changing = self.locks.changing.lock().await;
        let now = self.now();
        if wanted.lasts.is_some_and(|d| d == Duration::from_millis(0)) {
            return Err(LockError::NoTime);
        }
        let mut held = Locks::clone(&self.locks());
        if !wanted.force {
            self.is_sensible(&held, operator, &wanted.target, now)?;
        }
        let over: Vec<LockId> =
            held.all().filter(|l| l.until.is_some_and(|u| u + KEPT < now)).map(|l| l.id.clone()).collect();
        for id in &over {
            held.lift(id);
        }
        let id = fresh_id(&held)?;
        let lock = Lock {
            id,
            target: wanted.target,
            message: wanted.message,
            by: by.to_owned(),
            placed: now,
            until: wanted.lasts.map(|lasts| now + lasts),
        };
        held.place(lock.clone())?;
        self.locks.held.store(Arc::new(held));
        self.tell_live(&lock.target);
        self.keep(LOCK, lock.id.as_str(), Some(&lock)).await.map_err(LockError::NotKept)?;
        let end = lock.until.map_or_else(|| "until it is lifted".to_owned(), |u| format!("until {u}"));
        let detail = format!("lock {}, {end}: {}", lock.id, lock.message);
        let recorded = self.record_change(by, "lock.place", &lock.target.to_string(), &detail).await;
        recorded.map_err(|e| LockError::NotRecorded(e.into()))?;
        for id in over {
            // It is over for so long that nobody is freed by it.
            if let Err(error) = self.keep::<Lock>(LOCK, id.as_str(), None).await {
                tracing::warn!(error = format!("{error:#}"), lock = %id, "a lock that ended long ago is still kept");
            }
        }
        Ok(lock)
    }

    /// Lifts a lock: from this instant everything is decided as if it had never been.
    pub(crate) async fn lift_lock(&self, by: &str, id: &LockId) -> Result<Lock, LockError> {
        let _changing = self.locks.changing.lock().await;
        let lock = self.locks().get(id).cloned().ok_or_else(|| LockError::NotThere(id.clone()))?;
        let detail = format!("lock {id}, placed by {}", lock.by);
        let recorded = self.record_change(by, "lock.lift", &lock.target.to_string(), &detail).await;
        recorded.map_err(|e| LockError::StillHolds(e.into()))?;
        self.keep::<Lock>(LOCK, id.as_str(), None).await.map_err(LockError::StillHolds)?;
        let mut held = Locks::clone(&self.locks());
        held.lift(id);
        self.locks.held.store(Arc::new(held));
        Ok(lock)
    }

    /// Has everything decided again that rests on a target.
    fn tell_live(&self, target: &LockTarget) {
        match target {
            LockTarget::Site(site) => {
                let current = self.current();
                let there = current.config.estate.applications.values().filter(|a| a.connector.as_ref() == Some(site));
                for app in there {
                    self.signal(&Signal::Locked(LockTarget::Application(app.id.clone())));
                }
                self.review_connectors();
            }
            // What its links carry ends with them, and nothing else rests on it.
            LockTarget::Connector(_) => self.review_connectors(),
            other => self.signal(&Signal::Locked(other.clone())),
        }
    }

    fn is_sensible(
        &self,
        held: &Locks,
        operator: Option<&PersonId>,
        target: &LockTarget,
        now: Timestamp,
    ) -> Result<(), LockError> {
        if !self.knows(target, now) {
            return Err(LockError::Unknown(target.clone()));
        }
        if operator.is_some_and(|person| self.shuts_out(target, person)) {
            return Err(LockError::Yourself);
        }
        let current = self.current();
        let (settings, estate) = (&current.config.settings, &current.config.estate);
        let operators: Vec<(&PersonId, BTreeSet<GroupId>)> = estate
            .people
            .values()
            .filter(|p| p.active)
            .filter_map(|p| Some((&p.id, estate.groups_of(&p.id)?)))
            .filter(|(_, groups)| groups.contains(&settings.operators))
            .filter(|(person, groups)| {
                held.over(targets_of(&Somebody { person, groups, session: None, device: None }), now).is_none()
            })
            .collect();
        let is_left = |(person, groups): &(&PersonId, BTreeSet<GroupId>)| {
            !targets_of(&Somebody { person, groups, session: None, device: None }).any(|t| t == *target)
        };
        let shuts_console = matches!(target, LockTarget::Application(app) if app.as_str() == CONSOLE);
        if shuts_console || (!operators.is_empty() && !operators.iter().any(is_left)) {
            return Err(LockError::LastOperator);
        }
        Ok(())
    }

    /// Whether a lock on this target shuts this person out of what they do now.
    fn shuts_out(&self, target: &LockTarget, person: &PersonId) -> bool {
        let sessions = self.sessions();
        let mine = sessions.of(person);
        match target {
            LockTarget::Person(id) => id == person,
            LockTarget::Group(id) => {
                self.current().config.estate.groups_of(person).is_some_and(|groups| groups.contains(id))
            }
            LockTarget::Session(id) => mine.iter().any(|s| s.id == *id),
            LockTarget::Device(id) => mine.iter().any(|s| s.device.as_ref() == Some(id)),
            LockTarget::Application(app) => app.as_str() == CONSOLE,
            LockTarget::Grant(_) | LockTarget::Workload(_) | LockTarget::Site(_) | LockTarget::Connector(_) => false,
        }
    }

    fn knows(&self, target: &LockTarget, now: Timestamp) -> bool {
        let current = self.current();
        let estate = &current.config.estate;
        match target {
            LockTarget::Person(id) => estate.people.contains_key(id),
            LockTarget::Group(id) => estate.groups.contains_key(id),
            LockTarget::Device(id) => self.devices().get(id).is_some(),
            LockTarget::Session(id) => self.sessions().get(id, now).is_some(),
            LockTarget::Grant(id) => estate.grants.iter().any(|g| g.id == *id),
            // No list of workloads is kept: each proves itself.
            LockTarget::Workload(_) => true,
            LockTarget::Application(id) => estate.applications.contains_key(id),
            LockTarget::Site(id) => estate.sites.contains_key(id),
            LockTarget::Connector(name) => self.connectors().iter().any(|c| c.known.name == *name),
        }
    }
}

/// An id that no lock has: one that came twice would lift the first.
fn fresh_id(held: &Locks) -> Result<LockId, LockError> {
    for _ in 0..TRIES {
        let id: LockId = random_hex::<5>().map_err(LockError::NoId)?.parse().expect("hexadecimal digits are an id");
        if held.get(&id).is_none() {
            return Ok(id);
        }
    }
    Err(LockError::NoId(anyhow::anyhow!("no id is free, try again")))
}

fn targets_of(somebody: &Somebody<'_>) -> impl Iterator<Item = LockTarget> {
    let person = LockTarget::Person(somebody.person.clone());
    let groups = somebody.groups.iter().cloned().map(LockTarget::Group);
    let session = somebody.session.cloned().map(LockTarget::Session);
    let device = somebody.device.cloned().map(LockTarget::Device);
    std::iter::once(person).chain(groups).chain(session).chain(device)
}

#[cfg(test)]
mod tests;
