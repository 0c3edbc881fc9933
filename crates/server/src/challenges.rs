//! Things that are given out and come back once: challenges for device keys, secrets of one-time codes on probation.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use safeconduct_authn::totp::Secret;
use safeconduct_model::{Duration, SessionId, Timestamp};

/// How long something counts that was given out.
const LIFE: Duration = Duration::from_mins(5);
/// How many may be out.
const MAX_OUT: usize = 10_000;

/// Something of type `V` under a key, once, for a while.
#[derive(Debug)]
struct Out<K, V>(Mutex<HashMap<K, (V, Timestamp)>>);

impl<K, V> Default for Out<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: std::hash::Hash + Eq, V> Out<K, V> {
    fn put(&self, key: K, value: V, now: Timestamp) -> bool {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if out.len() >= MAX_OUT {
            out.retain(|_, (_, until)| now < *until);
        }
        let room = out.len() < MAX_OUT;
        if room {
            out.insert(key, (value, now + LIFE));
        }
        room
    }

    fn take(&self, key: &K, now: Timestamp) -> Option<V> {
        let (value, until) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key)?;
        (now < until).then_some(value)
    }
}

/// Challenges that a browser signs with its device key, each for the session that asked.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Out<String, SessionId>);

impl Challenges {
    pub(crate) fn give(&self, challenge: String, session: SessionId, now: Timestamp) -> bool {
        self.0.put(challenge, session, now)
    }

    /// Whether this challenge was given to this session. It counts once.
    pub(crate) fn redeem(&self, challenge: &str, session: &SessionId, now: Timestamp) -> bool {
        self.0.take(&challenge.to_owned(), now).is_some_and(|s| s == *session)
    }
}

/// Secrets of one-time codes that wait for their first code.
#[derive(Default)]
pub(crate) struct PendingTotp(Out<SessionId, Secret>);

impl PendingTotp {
    pub(crate) fn put(&self, session: SessionId, secret: Secret, now: Timestamp) -> bool {
        self.0.put(session, secret, now)
    }

    pub(crate) fn take(&self, session: &SessionId, now: Timestamp) -> Option<Secret> {
        self.0.take(session, now)
    }

    /// The secret that waits, to be shown.
    pub(crate) fn with<T>(&self, session: &SessionId, now: Timestamp, show: impl FnOnce(&Secret) -> T) -> Option<T> {
        let out = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.get(session).filter(|(_, until)| now < *until).map(|(secret, _)| show(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_counts_once_for_the_session_that_asked() {
        let all = Challenges::default();
        let (ada, eve): (SessionId, SessionId) = ("s1".parse().expect("id"), "s2".parse().expect("id"));
        let now = Timestamp::from_millis(0);
        all.give("c1".into(), ada.clone(), now);
        assert!(all.redeem("c1", &ada, now) && !all.redeem("c1", &ada, now));
        all.give("c2".into(), ada.clone(), now);
        assert!(!all.redeem("c2", &eve, now) && !all.redeem("c2", &ada, now));
        all.give("c3".into(), ada.clone(), now);
        assert!(!all.redeem("c3", &ada, now + LIFE));
    }
}
