//! Sessions: what a cookie stands for. The cookie is an opaque secret; everything else stays here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::bound::Bound;
use safeconduct_model::{AppId, Auth, DeviceId, Duration, Host, Method, PersonId, SessionId, Stated, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many sessions one person may hold.
pub const MAX_SESSIONS_PER_PERSON: usize = 32;
/// How many host names one session may be carried to.
pub const MAX_HOSTS_PER_SESSION: usize = 64;
/// How many secrets of one host are good at a time.
const SECRETS_PER_HOST: usize = 4;
/// How many sessions there may be in all.
pub const MAX_SESSIONS: usize = 1_000_000;

/// SHA-256 of a session secret. The secret itself is never kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self::within(b"safeconduct session v1\n", secret)
    }

    /// The hash of a secret that counts for one purpose only.
    pub(crate) fn within(domain: &[u8], secret: &[u8]) -> Self {
        use sha2::Digest;
        let mut hasher = sha2::Sha256::new();
        hasher.update(domain);
        hasher.update(secret);
        Self(hasher.finalize().into())
    }
}

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// One session of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its public name.
    pub id: SessionId,
    /// Whose it is. Never changes.
    pub person: PersonId,
    /// What was proven so far.
    pub methods: BTreeSet<Method>,
    /// When it began.
    pub began: Timestamp,
    /// When something was last proven.
    pub proven: Timestamp,
    /// When it was last used, to the minute.
    pub used: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// The device bound to it.
    pub device: Option<DeviceId>,
    /// The address it was begun from.
    pub ip: IpAddr,
    /// The purposes stated, by application.
    pub stated: BTreeMap<AppId, Stated>,
    /// What a session of a program is bound to; nothing for the session of a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
    /// One secret per host name, because a `__Host-` cookie never travels.
    tokens: Vec<(Host, TokenHash)>,
}

impl Session {
    /// A session of a program: no cookie opens it.
    pub(crate) fn of_program(
        id: SessionId,
        from: crate::bound::Proof,
        bound: Bound,
        ip: IpAddr,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            person: from.person,
            methods: from.methods,
            began: now,
            proven: from.proven,
            used: now,
            until: from.until,
            device: None,
            ip,
            stated: from.stated,
            bound: Some(bound),
            tokens: Vec::new(),
        }
    }

    /// How the identity is proven, as policy reads it.
    #[must_use]
    pub fn auth(&self) -> Auth {
        Auth { session: self.id.clone(), methods: self.methods.clone(), at: self.proven, until: self.until }
    }
}

/// How long sessions live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// At most this long after the sign-in.
    pub absolute: Duration,
    /// At most this long without a request.
    pub idle: Duration,
}

/// Why a session cannot begin or be carried on.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum SessionError {
    /// Too many in all.
    #[error("there are {MAX_SESSIONS} sessions already; end some first")]
    Full,
    /// Too many host names.
    #[error("the session is open on {MAX_HOSTS_PER_SESSION} hosts already; sign in again")]
    TooManyHosts,
    /// No such session, or it ended.
    #[error("the session has ended; sign in again")]
    Ended,
    /// Another device is bound.
    #[error("the session belongs to another device; sign in on this one")]
    OtherDevice,
}

/// Every session, in memory.
#[derive(Debug)]
pub struct Sessions {
    pub(crate) lifetimes: Lifetimes,
    pub(crate) by_id: HashMap<SessionId, Session>,
    by_token: HashMap<TokenHash, SessionId>,
    /// The tokens of programs. No cookie is looked up here, and no such token among the cookies.
    pub(crate) by_bound: HashMap<TokenHash, SessionId>,
    by_person: HashMap<PersonId, Vec<SessionId>>,
}

/// How coarse the time of last use is kept, so that use does not mean writing.
const USE_STEP: Duration = Duration::from_mins(1);

impl Sessions {
    /// No sessions yet.
    #[must_use]
    pub fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            by_id: HashMap::new(),
            by_token: HashMap::new(),
            by_bound: HashMap::new(),
            by_person: HashMap::new(),
        }
    }

    /// Other lifetimes from now on; running sessions keep their absolute end.
    pub fn set_lifetimes(&mut self, lifetimes: Lifetimes) {
        self.lifetimes = lifetimes;
    }

    /// Begins a session on one host. The oldest session of the person gives way where there are too many; it is returned.
    #[expect(clippy::too_many_arguments, reason = "a session is made of exactly these, and nothing of it may default")]
    pub fn begin(
        &mut self,
        id: SessionId,
        person: PersonId,
        methods: BTreeSet<Method>,
        host: Host,
        token: TokenHash,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<(Session, Option<Session>), SessionError> {
        let gave_way = self.make_room(&person)?;
        let session = Session {
            id,
            person,
            methods,
            began: now,
            proven: now,
            used: now,
            until: now + self.lifetimes.absolute,
            device: None,
            ip,
            stated: BTreeMap::new(),
            bound: None,
            tokens: vec![(host, token)],
        };
        self.restore(session.clone());
        Ok((session, gave_way))
    }

    /// Makes room for one more session of a person: the oldest gives way where there are too many.
    pub(crate) fn make_room(&mut self, person: &PersonId) -> Result<Option<Session>, SessionError> {
        if self.by_id.len() >= MAX_SESSIONS {
            return Err(SessionError::Full);
        }
        let oldest = self
            .by_person
            .get(person)
            .filter(|ids| ids.len() >= MAX_SESSIONS_PER_PERSON)
            .and_then(|ids| ids.iter().min_by_key(|id| self.by_id.get(*id).map(|s| s.began)).cloned());
        Ok(oldest.and_then(|id| self.end(&id)))
    }

    /// Puts a session back that was kept elsewhere.
    pub fn restore(&mut self, session: Session) {
        for (_, token) in &session.tokens {
            self.by_token.insert(*token, session.id.clone());
        }
        for token in session.bound.iter().flat_map(Bound::tokens) {
            self.by_bound.insert(token, session.id.clone());
        }
        let of_person = self.by_person.entry(session.person.clone()).or_default();
        if !of_person.contains(&session.id) {
            of_person.push(session.id.clone());
        }
        self.by_id.insert(session.id.clone(), session);
    }

    /// The live session behind a secret presented to `host`, and whether its time of use moved a step (worth keeping).
    pub fn find(&mut self, token: &TokenHash, host: &Host, now: Timestamp) -> Option<(&Session, bool)> {
        let id = self.by_token.get(token)?;
        let live = |s: &Session| now < s.until && now < s.used + self.lifetimes.idle;
        let session = self.by_id.get_mut(id).filter(|s| live(s))?;
        if !session.tokens.iter().any(|(h, t)| h == host && t == token) {
            return None;
        }
        let moved = now >= session.used + USE_STEP;
        if moved {
            session.used = now;
        }
        Some((session, moved))
    }

    /// The live session with this name.
    #[must_use]
    pub fn get(&self, id: &SessionId, now: Timestamp) -> Option<&Session> {
        self.by_id.get(id).filter(|s| now < s.until && now < s.used + self.lifetimes.idle)
    }

    /// Carries a session to a host, under a secret of its own. Tabs may arrive side by side, so the last few secrets of a host
    /// stay good.
    pub fn carry(&mut self, id: &SessionId, host: Host, token: TokenHash, now: Timestamp) -> Result<(), SessionError> {
        self.get(id, now).ok_or(SessionError::Ended)?;
        let session = self.by_id.get_mut(id).ok_or(SessionError::Ended)?;
        let hosts: BTreeSet<&Host> = session.tokens.iter().map(|(h, _)| h).collect();
        if !hosts.contains(&host) && hosts.len() >= MAX_HOSTS_PER_SESSION {
            return Err(SessionError::TooManyHosts);
        }
        let of_host: Vec<TokenHash> = session.tokens.iter().filter(|(h, _)| *h == host).map(|(_, t)| *t).collect();
        if let Some(oldest) = of_host.first().filter(|_| of_host.len() >= SECRETS_PER_HOST) {
            session.tokens.retain(|(_, t)| t != oldest);
            self.by_token.remove(oldest);
        }
        session.tokens.push((host, token));
        self.by_token.insert(token, id.clone());
        Ok(())
    }

    /// The person proved more. Every older secret of `host` ends.
    pub fn step_up(
        &mut self,
        id: &SessionId,
        methods: impl IntoIterator<Item = Method>,
        host: Host,
        token: TokenHash,
        now: Timestamp,
    ) -> Result<Session, SessionError> {
        self.get(id, now).ok_or(SessionError::Ended)?;
        let session = self.by_id.get_mut(id).ok_or(SessionError::Ended)?;
        for (_, old) in session.tokens.extract_if(.., |(h, _)| *h == host) {
            self.by_token.remove(&old);
        }
        self.carry(id, host, token, now)?;
        let session = self.by_id.get_mut(id).ok_or(SessionError::Ended)?;
        session.methods.extend(methods);
        session.proven = now;
        Ok(session.clone())
    }

    /// Binds a device that proved itself. A session never changes its device.
    pub fn bind_device(&mut self, id: &SessionId, device: DeviceId, now: Timestamp) -> Result<Session, SessionError> {
        self.get(id, now).ok_or(SessionError::Ended)?;
        let session = self.by_id.get_mut(id).ok_or(SessionError::Ended)?;
        match &session.device {
            Some(bound) if *bound != device => Err(SessionError::OtherDevice),
            _ => {
                session.device = Some(device);
                Ok(session.clone())
            }
        }
    }

    /// Keeps the purpose that the person stated for an application.
    pub fn state(
        &mut self,
        id: &SessionId,
        app: AppId,
        stated: Stated,
        now: Timestamp,
    ) -> Result<Session, SessionError> {
        self.get(id, now).ok_or(SessionError::Ended)?;
        let session = self.by_id.get_mut(id).ok_or(SessionError::Ended)?;
        session.stated.insert(app, stated);
        Ok(session.clone())
    }

    /// Ends a session; its secrets are worthless from now on.
    pub fn end(&mut self, id: &SessionId) -> Option<Session> {
        let session = self.by_id.remove(id)?;
        for (_, token) in &session.tokens {
            self.by_token.remove(token);
        }
        for token in session.bound.iter().flat_map(Bound::tokens) {
            self.by_bound.remove(&token);
        }
        if let Some(of_person) = self.by_person.get_mut(&session.person) {
            of_person.retain(|s| s != id);
            if of_person.is_empty() {
                self.by_person.remove(&session.person);
            }
        }
        Some(session)
    }

    /// Removes every session that grew too old and returns them.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Session> {
        let idle = self.lifetimes.idle;
        let old = self.by_id.values().filter(|s| now >= s.until || now >= s.used + idle).map(|s| s.id.clone());
        let old: Vec<SessionId> = old.collect();
        old.iter().filter_map(|id| self.end(id)).collect()
    }

    /// The sessions of a person, oldest first.
    #[must_use]
    pub fn of(&self, person: &PersonId) -> Vec<&Session> {
        let ids = self.by_person.get(person).map(Vec::as_slice).unwrap_or_default();
        let mut sessions: Vec<_> = ids.iter().filter_map(|id| self.by_id.get(id)).collect();
        sessions.sort_by_key(|s| s.began);
        sessions
    }

    /// Every session, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<&Session> {
        let mut sessions: Vec<_> = self.by_id.values().collect();
        sessions.sort_by(|a, b| (a.began, &a.id).cmp(&(b.began, &b.id)));
        sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000) + Duration::from_secs(s)
    }
    fn host(h: &str) -> Host {
        h.parse().expect("host")
    }
    fn token(n: u64) -> TokenHash {
        TokenHash::of(&n.to_le_bytes())
    }

    fn sessions() -> Sessions {
        Sessions::new(Lifetimes { absolute: Duration::from_secs(1_000), idle: Duration::from_secs(300) })
    }

    fn begin(all: &mut Sessions, n: u64, person: &str, now: u64) -> SessionId {
        let id: SessionId = format!("s{n}").parse().expect("id");
        let person = person.parse().expect("id");
        let ip = IpAddr::from([127, 0, 0, 1]);
        let begun = all.begin(id.clone(), person, [Method::Passkey].into(), host("portal"), token(n), ip, at(now));
        begun.expect("there is room");
        id
    }

    #[test]
    fn a_secret_opens_only_the_host_it_was_given_to() {
        let mut all = sessions();
        let id = begin(&mut all, 1, "ada", 0);
        all.carry(&id, host("wiki"), token(2), at(1)).expect("live");
        assert!(all.find(&token(1), &host("portal"), at(2)).is_some());
        assert!(all.find(&token(1), &host("wiki"), at(2)).is_none());
        assert!(all.find(&token(2), &host("portal"), at(2)).is_none());
        assert!(all.find(&token(3), &host("portal"), at(2)).is_none());
    }

    #[test]
    fn nt_24_the_secret_rotates_at_step_up() {
        let mut all = sessions();
        let id = begin(&mut all, 1, "ada", 0);
        let session = all.step_up(&id, [Method::Totp], host("portal"), token(9), at(5)).expect("live");
        assert_eq!((session.proven, session.methods.len()), (at(5), 2));
        assert!(all.find(&token(1), &host("portal"), at(6)).is_none());
        assert!(all.find(&token(9), &host("portal"), at(6)).is_some());
    }

    #[test]
    fn nt_23_an_ended_session_is_gone_on_every_host() {
        let mut all = sessions();
        let id = begin(&mut all, 1, "ada", 0);
        all.carry(&id, host("wiki"), token(2), at(1)).expect("live");
        assert!(all.end(&id).is_some());
        assert!(all.find(&token(1), &host("portal"), at(2)).is_none());
        assert!(all.find(&token(2), &host("wiki"), at(2)).is_none());
        assert!(all.of(&"ada".parse().expect("id")).is_empty());
        assert_eq!(all.carry(&id, host("wiki"), token(3), at(2)), Err(SessionError::Ended));
    }

    #[test]
    fn a_session_ends_when_idle_or_old_whichever_comes_first() {
        let mut all = sessions();
        let id = begin(&mut all, 1, "ada", 0);
        for s in [299, 598, 897] {
            assert!(all.find(&token(1), &host("portal"), at(s)).is_some(), "{s}");
        }
        assert!(all.find(&token(1), &host("portal"), at(1_000)).is_none(), "the absolute end");
        assert!(all.get(&id, at(999)).is_some());
        let lazy = begin(&mut all, 2, "bob", 0);
        assert!(all.get(&lazy, at(300)).is_none(), "idle");
        assert_eq!(all.expire(at(300)).len(), 1);
    }

    #[test]
    fn nt_24_a_session_never_changes_its_device() {
        let mut all = sessions();
        let id = begin(&mut all, 1, "ada", 0);
        all.bind_device(&id, "lt-1".parse().expect("id"), at(1)).expect("first");
        assert_eq!(all.bind_device(&id, "lt-2".parse().expect("id"), at(2)), Err(SessionError::OtherDevice));
    }

    #[test]
    fn the_last_few_secrets_of_a_host_stay_good() {
        let mut all = sessions();
        let id = begin(&mut all, 1, "ada", 0);
        for n in 10..15 {
            all.carry(&id, host("wiki"), token(n), at(1)).expect("live");
        }
        assert!(all.find(&token(10), &host("wiki"), at(2)).is_none(), "the oldest gave way");
        assert!((11..15).all(|n| all.find(&token(n), &host("wiki"), at(2)).is_some()));
    }

    #[test]
    fn the_oldest_session_gives_way() {
        let mut all = sessions();
        for n in 0..=MAX_SESSIONS_PER_PERSON as u64 {
            begin(&mut all, n, "ada", n);
        }
        assert_eq!(all.of(&"ada".parse().expect("id")).len(), MAX_SESSIONS_PER_PERSON);
        assert!(all.find(&token(0), &host("portal"), at(40)).is_none());
    }

    #[test]
    fn a_kept_session_comes_back_with_its_secrets_and_prints_none() {
        let mut all = sessions();
        let id = begin(&mut all, 1, "ada", 0);
        let kept = all.get(&id, at(0)).expect("live").clone();
        assert!(format!("{kept:?}").contains("[redacted]"));
        let mut again = sessions();
        again.restore(kept);
        assert!(again.find(&token(1), &host("portal"), at(1)).is_some());
    }
}
