//! Sessions of programs: tokens that are worth nothing without the key to which they are bound.
//!
//! A program gets two secrets. The access token is short-lived and goes with every use; the refresh token buys the next
//! pair. Both count only beside a proof of the key whose thumbprint the session names: checking the proof is not done
//! here, comparing the thumbprint is. A refresh token is good once; the one before it stays good for a moment, because an
//! answer may be lost on its way, and after that its use means that two parties hold it: the session ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use safeconduct_model::{AppId, Duration, Method, PersonId, SessionId, Stated, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::session::{Session, SessionError, Sessions, TokenHash};

/// How long an access token counts.
pub const ACCESS_LIFE: Duration = Duration::from_mins(10);
/// How long a refresh token stays good after it was used once.
const LOST_ANSWER: Duration = Duration::from_mins(1);
/// How many access tokens of one session are good at a time: those of programs that were started one after the other.
const ACCESS_TOKENS: usize = 8;

impl TokenHash {
    /// The hash of an access token.
    #[must_use]
    pub fn of_access(secret: &[u8]) -> Self {
        Self::within(b"safeconduct access token v1\n", secret)
    }

    /// The hash of a refresh token.
    #[must_use]
    pub fn of_refresh(secret: &[u8]) -> Self {
        Self::within(b"safeconduct refresh token v1\n", secret)
    }
}

/// What a session of a program is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The thumbprint of the key (RFC 7638).
    pub key: String,
    /// What the machine calls itself.
    pub machine: String,
    /// The access tokens that count, each with its end; the oldest first.
    access: Vec<(TokenHash, Timestamp)>,
    /// The refresh token that counts.
    refresh: TokenHash,
    /// The one before, and when it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<(TokenHash, Timestamp)>,
}

impl Bound {
    pub(crate) fn tokens(&self) -> impl Iterator<Item = TokenHash> {
        let access = self.access.iter().map(|(token, _)| *token);
        access.chain([self.refresh]).chain(self.before.map(|(token, _)| token))
    }
}

/// What was proven when somebody let a program in: the session begins with exactly that, and never outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Who.
    pub person: PersonId,
    /// By which methods.
    pub methods: BTreeSet<Method>,
    /// When.
    pub proven: Timestamp,
    /// When the session in which it was proven ends.
    pub until: Timestamp,
    /// The purposes stated in it.
    pub stated: BTreeMap<AppId, Stated>,
}

/// A pair of secrets, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The access token.
    pub access: TokenHash,
    /// The refresh token.
    pub refresh: TokenHash,
}

/// Why a token of a program does not count.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BoundError {
    /// Nobody got this token, or its session ended.
    #[error("the token is not known, or its session has ended; sign in again")]
    Unknown,
    /// It is too old.
    #[error("the token has expired; refresh it")]
    Expired,
    /// The key that was proven is another one.
    #[error("the token is bound to another key")]
    OtherKey,
    /// It was used before: two parties hold it. Its session must end.
    #[error("the token was used before; sign in again")]
    Reused(SessionId),
}

impl Sessions {
    /// Begins a session of a program. The oldest session of the person gives way where there are too many; it is returned.
    #[expect(clippy::too_many_arguments, reason = "a session is made of exactly these, and nothing of it may default")]
    pub fn begin_bound(
        &mut self,
        id: SessionId,
        proof: Proof,
        key: String,
        machine: String,
        pair: Pair,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<(Session, Option<Session>), SessionError> {
        if proof.until <= now {
            return Err(SessionError::Ended);
        }
        let gave_way = self.make_room(&proof.person)?;
        let access = vec![(pair.access, (now + ACCESS_LIFE).min(proof.until))];
        let bound = Bound { key, machine, access, refresh: pair.refresh, before: None };
        let session = Session::of_program(id, proof, bound, ip, now);
        self.restore(session.clone());
        Ok((session, gave_way))
    }

    /// The live session behind an access token, for who proved the key with this thumbprint.
    pub fn by_access(&mut self, token: &TokenHash, key: &str, now: Timestamp) -> Result<&Session, BoundError> {
        let id = self.by_bound.get(token).ok_or(BoundError::Unknown)?;
        let idle = self.lifetimes.idle;
        let live = |s: &&mut Session| now < s.until && now < s.used + idle;
        let session = self.by_id.get_mut(id).filter(live).ok_or(BoundError::Unknown)?;
        let bound = session.bound.as_ref().ok_or(BoundError::Unknown)?;
        let (_, until) = bound.access.iter().find(|(t, _)| t == token).ok_or(BoundError::Unknown)?;
        if bound.key != key {
            return Err(BoundError::OtherKey);
        }
        if now >= *until {
            return Err(BoundError::Expired);
        }
        session.used = now;
        Ok(session)
    }

    /// The live session of a program with this name, for who proved the key with this thumbprint. Using it keeps it from
    /// resting.
    pub fn of_key(&mut self, id: &SessionId, key: &str, now: Timestamp) -> Option<&Session> {
        let idle = self.lifetimes.idle;
        let session = self.by_id.get_mut(id).filter(|s| now < s.until && now < s.used + idle)?;
        session.bound.as_ref().filter(|b| b.key == key)?;
        session.used = now;
        Some(session)
    }

    /// Whether a refresh token is known and bound to this key. Says nothing about its age.
    #[must_use]
    pub fn is_refresh_of(&self, token: &TokenHash, key: &str) -> bool {
        let session = self.by_bound.get(token).and_then(|id| self.by_id.get(id));
        session.and_then(|s| s.bound.as_ref()).is_some_and(|b| b.key == key)
    }

    /// Trades a refresh token for the next pair. On [`BoundError::Reused`] the caller ends the session.
    pub fn refresh(&mut self, token: &TokenHash, key: &str, next: Pair, now: Timestamp) -> Result<Session, BoundError> {
        let id = self.by_bound.get(token).cloned().ok_or(BoundError::Unknown)?;
        self.get(&id, now).ok_or(BoundError::Unknown)?;
        let session = self.by_id.get_mut(&id).ok_or(BoundError::Unknown)?;
        let until = (now + ACCESS_LIFE).min(session.until);
        let bound = session.bound.as_mut().ok_or(BoundError::Unknown)?;
        // An access token buys nothing.
        let used = bound.before.filter(|(before, _)| before == token).map(|(_, at)| at);
        if bound.refresh != *token && used.is_none() {
            return Err(BoundError::Unknown);
        }
        if bound.key != key {
            return Err(BoundError::OtherKey);
        }
        if used.is_some_and(|at| now >= at + LOST_ANSWER) {
            return Err(BoundError::Reused(id));
        }
        let mut gone: Vec<TokenHash> = bound.access.extract_if(.., |(_, end)| now >= *end).map(|(t, _)| t).collect();
        if bound.access.len() >= ACCESS_TOKENS {
            gone.push(bound.access.remove(0).0);
        }
        bound.access.push((next.access, until));
        match used {
            // The answer was lost: the pair that nobody got is replaced, and the time does not begin anew.
            Some(_) => gone.push(bound.refresh),
            None => {
                gone.extend(bound.before.map(|(t, _)| t));
                bound.before = Some((*token, now));
            }
        }
        bound.refresh = next.refresh;
        session.used = now;
        let session = session.clone();
        for token in gone {
            self.by_bound.remove(&token);
        }
        for token in [next.access, next.refresh] {
            self.by_bound.insert(token, id.clone());
        }
        Ok(session)
    }
}

#[cfg(test)]
mod tests;
