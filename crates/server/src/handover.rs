//! Carrying a session from the portal to the host of an application: a code that works once, for one host, for a minute, and for
//! the browser alone that asked for it on that host.

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
    /// The digest of the secret that the browser got on that host; nothing for journeys that this process begins itself.
    browser: Option<Digest>,
    until: Timestamp,
}

/// The sessions on their way.
#[derive(Debug, Default)]
pub(crate) struct HandOvers(Mutex<HashMap<Digest, Parcel>>);

impl HandOvers {
    /// Sends a session to a host under a code. Says `false` if too many are on their way.
    pub(crate) fn send(
        &self,
        code: &Token,
        session: SessionId,
        host: Host,
        browser: Option<Digest>,
        now: Timestamp,
    ) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.retain(|_, p| now < p.until);
        }
        if open.len() >= MAX_OPEN {
            return false;
        }
        open.insert(code.digest(Purpose::HandOver), Parcel { session, host, browser, until: now + LIFE });
        true
    }

    /// Takes the session that came to `host` under a code. The code is gone, whatever comes of it.
    pub(crate) fn receive(
        &self,
        code: &Token,
        host: &Host,
        browser: Option<&Token>,
        now: Timestamp,
    ) -> Option<SessionId> {
        let parcel = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&code.digest(Purpose::HandOver))?;
        let same_browser = match &parcel.browser {
            None => true,
            Some(wanted) => browser.is_some_and(|secret| secret.digest(Purpose::Arrival).matches(wanted)),
        };
        (parcel.host == *host && same_browser && now < parcel.until).then_some(parcel.session)
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
        let browser = Token::from_random([9; 32]);
        let send = |n: u8| {
            let code = Token::from_random([n; 32]);
            let asks = Some(browser.digest(Purpose::Arrival));
            assert!(all.send(&code, "s1".parse().expect("id"), host("wiki"), asks, now));
            code
        };
        let code = send(1);
        assert!(all.receive(&code, &host("wiki"), Some(&browser), now).is_some());
        assert!(all.receive(&code, &host("wiki"), Some(&browser), now).is_none(), "twice");
        let code = send(2);
        assert!(all.receive(&code, &host("crm"), Some(&browser), now).is_none(), "another host");
        assert!(all.receive(&code, &host("wiki"), Some(&browser), now).is_none(), "and it is gone");
        let code = send(3);
        assert!(all.receive(&code, &host("wiki"), Some(&browser), now + LIFE).is_none(), "too late");
        let code = send(4);
        assert!(all.receive(&code, &host("wiki"), None, now).is_none(), "a browser that never asked");
        let code = send(5);
        let other = Token::from_random([8; 32]);
        assert!(
            all.receive(&code, &host("wiki"), Some(&other), now).is_none(),
            "a browser that asked for something else"
        );
        let own = Token::from_random([6; 32]);
        assert!(all.send(&own, "s1".parse().expect("id"), host("wiki"), None, now));
        assert!(all.receive(&own, &host("wiki"), None, now).is_some(), "a journey of this process");
    }
}
