//! The signed statement to the application: who asks, for which application, until when. ES256, at most a minute.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use safeconduct_model::{Ask, DeviceId, Duration, GroupId, Principal, SessionId, Timestamp};
use serde::Serialize;
use thiserror::Error;

/// How long an assertion holds.
const LIFE: Duration = Duration::from_secs(60);
/// How long one may be used again for the same facts.
const REUSE: Duration = Duration::from_secs(20);
/// So much of its thumbprint (RFC 7638) names a key: 48 bits tell a portal's few keys apart, and every request carries them.
const KEY_ID_CHARS: usize = 8;
/// How many are kept for use again.
const KEPT: usize = 4_096;

/// Signs assertions with one key.
pub struct Signer {
    issuer: String,
    key: EncodingKey,
    header: Header,
    jwks: String,
    kept: Mutex<HashMap<Facts, (Timestamp, String)>>,
}

/// Why a key cannot sign assertions.
#[derive(Debug, Error)]
#[error("the assertion key cannot be used: {0}; it must be a P-256 key in PKCS #8 PEM")]
pub struct SignerError(String);

/// Every fact that an assertion states: two asks share one only if all of them are the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Facts {
    app: String,
    person: Option<String>,
    workload: Option<String>,
    session: Option<SessionId>,
    device: Option<DeviceId>,
    groups: BTreeSet<GroupId>,
    until: Option<Timestamp>,
    obligations: Vec<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    groups: &'a BTreeSet<GroupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<&'a DeviceId>,
    iat: i64,
    exp: i64,
    jti: &'a str,
    /// What the application must do when it lets the request through: `@obligation` of the rules that permitted it.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    obligations: &'a [String],
}

impl Signer {
    /// A signer that names itself `issuer`, with a P-256 key in PKCS #8 PEM.
    pub fn new(issuer: &str, key_pem: &str) -> Result<Self, SignerError> {
        let fault = |e: jsonwebtoken::errors::Error| SignerError(e.to_string());
        let key = EncodingKey::from_ec_pem(key_pem.as_bytes()).map_err(fault)?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(fault)?;
        let mut kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(fault)?;
        kid.truncate(KEY_ID_CHARS);
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        let jwks = serde_json::json!({ "keys": [jwk] }).to_string();
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid);
        Ok(Self { issuer: issuer.to_owned(), key, header, jwks, kept: Mutex::default() })
    }

    /// The public keys, as a JSON Web Key Set.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The assertion for an ask; `None` if nobody asks or the key refused.
    pub(crate) fn assert(&self, ask: &Ask, obligations: &[String], now: Timestamp) -> Option<String> {
        let subject = match &ask.who.principal {
            Principal::Person(id) => id.as_str(),
            Principal::Workload(id) => id.as_str(),
            Principal::Nobody => return None,
        };
        let facts = Facts::of(ask, obligations);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, token)) = kept.get(&facts)
            && *made <= now
            && now < *made + REUSE
        {
            return Some(token.clone());
        }
        let ends = facts.until.map_or(now + LIFE, |until| until.min(now + LIFE));
        let claims = Claims {
            iss: &self.issuer,
            aud: ask.what.app.as_str(),
            sub: subject,
            groups: &ask.who.groups,
            sid: facts.session.as_ref(),
            did: facts.device.as_ref(),
            iat: now.millis() / 1_000,
            exp: ends.millis() / 1_000,
            jti: ask.request.as_str(),
            obligations,
        };
        let token = encode(&self.header, &claims, &self.key).ok()?;
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(facts, (now, token.clone()));
        Some(token)
    }
}

impl Facts {
    fn of(ask: &Ask, obligations: &[String]) -> Self {
        let workload = match &ask.who.principal {
            Principal::Workload(id) => Some(id.to_string()),
            Principal::Person(_) | Principal::Nobody => None,
        };
        Self {
            app: ask.what.app.to_string(),
            person: ask.who.principal.person().map(ToString::to_string),
            workload,
            session: ask.who.auth.as_ref().map(|a| a.session.clone()),
            device: ask.place.device.as_ref().map(|d| d.id.clone()),
            groups: ask.who.groups.clone(),
            until: ask.who.auth.as_ref().map(|a| a.until),
            obligations: obligations.to_vec(),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("issuer", &self.issuer).field("key", &"[redacted]").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use safeconduct_model::{Action, Auth, Place, What, Who, Why};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn signer() -> Signer {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Signer::new("https://portal.test", &key.serialize_pem()).unwrap()
    }

    fn ask() -> Ask {
        let auth = Auth { session: "s1".parse().unwrap(), methods: BTreeSet::new(), at: NOW, until: Timestamp::MAX };
        let groups = ["staff".parse().unwrap()].into();
        Ask {
            request: "r1".parse().unwrap(),
            who: Who { principal: Principal::Person("ada".parse().unwrap()), groups, auth: Some(auth) },
            what: What { app: "wiki".parse().unwrap(), action: Action::Read, method: "GET".into(), path: "/".into() },
            place: Place { ip: [127, 0, 0, 1].into(), network: None, country: None, device: None },
            why: Why::default(),
            lock: None,
        }
    }

    #[test]
    fn nt_15_an_assertion_is_used_again_only_for_the_very_same_facts() {
        let (signer, first) = (signer(), ask());
        let token = signer.assert(&first, &[], NOW);
        assert!(token.is_some());
        assert_eq!(signer.assert(&Ask { request: "r2".parse().unwrap(), ..first.clone() }, &[], NOW), token);
        let changes: [fn(&mut Ask); 5] = [
            |a| a.what.app = "shop".parse().unwrap(),
            |a| a.who.principal = Principal::Person("bob".parse().unwrap()),
            |a| a.who.groups.clear(),
            |a| a.who.auth.as_mut().unwrap().session = "s2".parse().unwrap(),
            |a| a.who.auth.as_mut().unwrap().until = NOW + Duration::from_secs(5),
        ];
        for change in changes {
            let mut other = first.clone();
            change(&mut other);
            assert_ne!(signer.assert(&other, &[], NOW), token, "{other:?}");
        }
        assert_ne!(signer.assert(&first, &["mask".to_owned()], NOW), token, "another obligation");
        assert_ne!(signer.assert(&first, &[], NOW + REUSE), token, "too old");
        assert_ne!(signer.assert(&first, &[], NOW - Duration::from_secs(1)), token, "the clock went back");
    }

    #[test]
    fn nobody_gets_no_assertion_and_the_key_is_never_printed() {
        let signer = signer();
        let mut nobody = ask();
        nobody.who.principal = Principal::Nobody;
        assert_eq!(signer.assert(&nobody, &[], NOW), None);
        assert!(format!("{signer:?}").contains("[redacted]"));
        assert!(!signer.jwks().contains("\"d\"") && signer.jwks().contains("\"kid\""), "{}", signer.jwks());
        assert!(Signer::new("x", "junk").unwrap_err().to_string().contains("P-256 key in PKCS #8 PEM"));
    }
}
