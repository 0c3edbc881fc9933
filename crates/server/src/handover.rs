//! Carrying a session from the portal to the host of an application: a code that works once, for one host, for a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use safeconduct_authn::one_time::{Digest, Purpose, Token};
use safeconduct_model::{Duration, Host, SessionId, Timestamp};

/// How long a code counts.
const LIFE: Duration = Duration::from_mins(1);
/// How many codes may be open.
const MAX_OPEN: usize = 10_000;

/// A session on its way.
#[derive(Debug)]
struct Parcel {
    session: SessionId,
    host: Host,
    until: Timestamp,
}

/// The sessions on their way.
#[derive(Debug, Default)]
pub(crate) struct HandOvers(Mutex<HashMap<Digest, Parcel>>);

impl HandOvers {
    /// Sends a session to a host under a code. Says `false` if too many are on their way.
    pub(crate) fn send(&self, code: &Token, session: SessionId, host: Host, now: Timestamp) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.retain(|_, p| now < p.until);
        }
        if open.len() >= MAX_OPEN {
            return false;
        }
        open.insert(code.digest(Purpose::HandOver), Parcel { session, host, until: now + LIFE });
        true
    }

    /// Takes the session that came to `host` under a code. The code is gone, whatever comes of it.
    pub(crate) fn receive(&self, code: &Token, host: &Host, now: Timestamp) -> Option<SessionId> {
        let parcel = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&code.digest(Purpose::HandOver))?;
        (parcel.host == *host && now < parcel.until).then_some(parcel.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_works_once_for_one_host_and_not_for_long() {
        let all = HandOvers::default();
        let host = |h: &str| h.parse::<Host>().expect("host");
        let now = Timestamp::from_millis(1_000);
        let send = |n: u8| {
            let code = Token::from_random([n; 32]);
            assert!(all.send(&code, "s1".parse().expect("id"), host("wiki"), now));
            code
        };
        let code = send(1);
        assert!(all.receive(&code, &host("wiki"), now).is_some());
        assert!(all.receive(&code, &host("wiki"), now).is_none(), "twice");
        let code = send(2);
        assert!(all.receive(&code, &host("crm"), now).is_none(), "another host");
        assert!(all.receive(&code, &host("wiki"), now).is_none(), "and it is gone");
        let code = send(3);
        assert!(all.receive(&code, &host("wiki"), now + LIFE).is_none(), "too late");
    }
}
