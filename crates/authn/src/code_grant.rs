//! The authorisation code with PKCE for a program on the person's own machine (RFC 8252, RFC 7636): the browser comes back to
//! a port of that machine with a code, and the program trades it.
//!
//! A code is bound to four things: the challenge, the address to come back to, the key of the program, and one minute.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use safeconduct_model::{Duration, Timestamp};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::dpop::Thumbprint;
use crate::one_time::{Digest, same_text};

/// How long a code counts.
pub const CODE_LIFE: Duration = Duration::from_mins(1);
/// How many codes may be open.
const MAX_OPEN: usize = 10_000;
/// The longest state that a program sends along, in bytes.
const MAX_STATE: usize = 256;

/// What a program asks for, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where the browser comes back to: a port of the person's own machine.
    pub redirect: String,
    /// What the program sends along, to know its own answer by.
    pub state: String,
    /// The key to which the tokens will be bound.
    pub key: Thumbprint,
    challenge: String,
}

/// Why a program does not get to ask. The person is told, and the browser goes nowhere.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Not a code with PKCE.
    #[error("the program must ask for response_type code with code_challenge_method S256")]
    Kind,
    /// Not a port of this machine.
    #[error("the program must be reached at http://127.0.0.1:PORT/ or http://[::1]:PORT/")]
    Redirect,
    /// Not a SHA-256 in base64url.
    #[error("code_challenge or dpop_jkt is not a SHA-256 in base64url")]
    Hash,
    /// Too long, or not plain.
    #[error("state must be 1 to {MAX_STATE} letters, digits, - and _")]
    State,
}

impl Request {
    /// Reads the parameters of a request. `parameter` gives the one value of a name, if there is exactly one.
    ///
    /// # Errors
    /// [`RequestError`] says which parameter is not as expected.
    pub fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, RequestError> {
        let is = |name: &str, value: &str| parameter(name) == Some(value);
        if !is("response_type", "code") || !is("code_challenge_method", "S256") {
            return Err(RequestError::Kind);
        }
        let redirect = parameter("redirect_uri").filter(|r| is_loopback(r)).ok_or(RequestError::Redirect)?;
        let challenge = parameter("code_challenge").filter(|c| is_hash(c)).ok_or(RequestError::Hash)?;
        let key = parameter("dpop_jkt").and_then(|k| k.parse().ok()).ok_or(RequestError::Hash)?;
        let plain = |s: &&str| {
            (1..=MAX_STATE).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        let state = parameter("state").filter(plain).ok_or(RequestError::State)?;
        Ok(Self { redirect: redirect.to_owned(), state: state.to_owned(), key, challenge: challenge.to_owned() })
    }
}

/// `http://127.0.0.1:PORT/` or `http://[::1]:PORT/`, nothing more: not `localhost`, which may be somewhere else (RFC 8252, 8.3).
fn is_loopback(uri: &str) -> bool {
    let after = uri.strip_prefix("http://127.0.0.1:").or_else(|| uri.strip_prefix("http://[::1]:"));
    let port = after.and_then(|rest| rest.strip_suffix('/'));
    port.is_some_and(|p| p.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == p))
}

fn is_hash(text: &str) -> bool {
    text.parse::<Thumbprint>().is_ok()
}

/// The challenge of a verifier.
#[must_use]
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

struct Open<A> {
    request: Request,
    given: A,
    until: Timestamp,
}

/// The codes that were given out.
pub struct CodeGrants<A>(HashMap<Digest, Open<A>>);

impl<A> Default for CodeGrants<A> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<A> CodeGrants<A> {
    /// Keeps what a code will be traded for. Says `false` if too many are open.
    #[must_use]
    pub fn begin(&mut self, code: Digest, request: Request, given: A, now: Timestamp) -> bool {
        if self.0.len() >= MAX_OPEN {
            self.0.retain(|_, o| now < o.until);
        }
        if self.0.len() >= MAX_OPEN {
            return false;
        }
        self.0.insert(code, Open { request, given, until: now + CODE_LIFE });
        true
    }

    /// Trades a code. It is gone, whatever comes of it.
    #[must_use]
    pub fn trade(
        &mut self,
        code: &Digest,
        verifier: &str,
        redirect: &str,
        key: &Thumbprint,
        now: Timestamp,
    ) -> Option<A> {
        let Open { request, given, until } = self.0.remove(code)?;
        let holds = now < until
            && same_text(&challenge(verifier), &request.challenge)
            && request.redirect == redirect
            && request.key == *key;
        holds.then_some(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use crate::one_time::{Purpose, Token};

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const BACK: &str = "http://127.0.0.1:4711/";

    fn key(n: u8) -> Thumbprint {
        Thumbprint::of(SigningKey::from_slice(&[n; 32]).expect("in range").verifying_key())
    }

    fn read(changed: &str, value: Option<&str>) -> Result<Request, RequestError> {
        let (challenge, key) = (challenge(VERIFIER), key(1).to_string());
        let all = [
            ("response_type", "code"),
            ("code_challenge_method", "S256"),
            ("code_challenge", challenge.as_str()),
            ("redirect_uri", BACK),
            ("dpop_jkt", key.as_str()),
            ("state", "xyz"),
        ];
        Request::read(|name| match name == changed {
            true => value,
            false => all.iter().find(|(n, _)| *n == name).map(|(_, v)| *v),
        })
    }

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        assert_eq!(challenge(VERIFIER), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn nt_21_the_browser_comes_back_to_its_own_machine_or_nowhere() {
        assert!(read("", None).is_ok() && read("redirect_uri", Some("http://[::1]:1/")).is_ok());
        for bad in [
            "http://localhost:4711/",
            "https://127.0.0.1:4711/",
            "http://127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:04711/",
            "http://127.0.0.1:4711",
            "http://127.0.0.1:4711/x",
            "http://127.0.0.1:4711@evil.example/",
            "http://127.0.0.1.evil.example:1/",
            "http://127.0.0.1:4711/?x=/",
            "http://10.0.0.1:4711/",
            "javascript:alert(1)/",
            "//127.0.0.1:1/",
            "",
        ] {
            assert_eq!(read("redirect_uri", Some(bad)), Err(RequestError::Redirect), "{bad}");
        }
    }

    #[test]
    fn a_request_without_its_bindings_is_refused() {
        for (name, value, error) in [
            ("response_type", Some("token"), RequestError::Kind),
            ("code_challenge_method", Some("plain"), RequestError::Kind),
            ("code_challenge_method", None, RequestError::Kind),
            ("code_challenge", None, RequestError::Hash),
            ("code_challenge", Some("short"), RequestError::Hash),
            ("dpop_jkt", None, RequestError::Hash),
            ("state", None, RequestError::State),
            ("state", Some(""), RequestError::State),
            ("state", Some("a&code=b"), RequestError::State),
        ] {
            assert_eq!(read(name, value), Err(error), "{name} {value:?}");
        }
    }

    #[test]
    fn a_code_is_traded_once_by_who_began() {
        let now = Timestamp::from_millis(1_000_000);
        let code = |n: u8| Token::from_random([n; 32]).digest(Purpose::AuthorisationCode);
        let trade = |verifier: &str, back: &str, key: &Thumbprint, at: Timestamp| {
            let mut all = CodeGrants::default();
            assert!(all.begin(code(1), read("", None).expect("a request"), 7, now));
            let first = all.trade(&code(1), verifier, back, key, at);
            assert_eq!(all.trade(&code(1), VERIFIER, BACK, &self::key(1), now), None, "it is gone in any case");
            first
        };
        assert_eq!(trade(VERIFIER, BACK, &key(1), now), Some(7));
        assert_eq!(trade("another", BACK, &key(1), now), None);
        assert_eq!(trade(VERIFIER, "http://127.0.0.1:4712/", &key(1), now), None);
        assert_eq!(trade(VERIFIER, BACK, &key(2), now), None);
        assert_eq!(trade(VERIFIER, BACK, &key(1), now + CODE_LIFE), None);
    }
}
