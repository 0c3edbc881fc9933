//! How an application learns who is asking: it verifies the gateway's assertion against the keys of the portal.
//!
//! This is all that an application has to do, and it can be read as a sample. The gateway sends the header
//! `x-safeconduct-assertion`, a JWT signed with ES256. An application
//!
//! 1. fetches the keys from `/.well-known/jwks.json` of the portal, and again when it meets a key id that it does not know;
//! 2. accepts the algorithm ES256 and no other, and verifies the signature before it reads a claim;
//! 3. checks that the issuer is the portal, that the audience is itself, and that the assertion has not ended.

use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use safeconduct_model::Timestamp;
use serde::Deserialize;

use crate::demo::browser::{Browser, Net};

/// How far the clocks of gateway and application may differ, in seconds.
const LEEWAY: i64 = 5;

/// The time, as the application's machine shows it.
pub(crate) type Now = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Whom the applications believe.
pub(crate) struct Trust {
    portal: OnceLock<Portal>,
    keys: RwLock<BTreeMap<String, VerifyingKey>>,
}

struct Portal {
    origin: String,
    net: Net,
    now: Now,
}

/// Who is asking, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The person.
    pub(crate) person: String,
    /// The groups of the person.
    pub(crate) groups: Vec<String>,
    /// The device, if it proved itself.
    pub(crate) device: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    #[serde(default)]
    groups: Vec<String>,
    did: Option<String>,
    exp: i64,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
    kty: String,
    crv: String,
    x: String,
    y: String,
}

impl Asker {
    /// Nobody: the page was reached without an assertion, which the applications do not allow.
    pub(crate) fn nobody() -> Self {
        Self { person: "nobody".into(), groups: Vec::new(), device: None }
    }
}

impl Trust {
    /// Believes nobody yet.
    pub(crate) fn new() -> Self {
        Self { portal: OnceLock::new(), keys: RwLock::default() }
    }

    /// Believes this portal from now on. The first call counts.
    pub(crate) fn in_portal(&self, origin: &str, net: Net, now: Now) {
        let _ = self.portal.set(Portal { origin: origin.to_owned(), net, now });
    }

    /// Who is asking, according to an assertion for the application `audience`.
    pub(crate) async fn verify(&self, token: &str, audience: &str) -> Result<Asker> {
        let portal = self.portal.get().context("no portal is known yet")?;
        let kid = key_id(token)?;
        let key = match self.key(&kid) {
            Some(key) => key,
            None => {
                self.fetch_keys(portal).await?;
                self.key(&kid).context("the portal does not know the key of the assertion")?
            }
        };
        let claims = claims(token, &key)?;
        believe(claims, &portal.origin, audience, (portal.now)())
    }

    fn key(&self, kid: &str) -> Option<VerifyingKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).copied()
    }

    async fn fetch_keys(&self, portal: &Portal) -> Result<()> {
        let browser = Browser::new(portal.net.clone());
        let address = format!("{}/.well-known/jwks.json", portal.origin);
        let page = browser.fetch(Method::GET, &address, &[], "").await?;
        let set: KeySet = serde_json::from_value(page.json()?)?;
        let mut keys = BTreeMap::new();
        for key in set.keys.iter().filter(|k| k.kty == "EC" && k.crv == "P-256") {
            let point: Vec<u8> = [vec![4], URL_SAFE_NO_PAD.decode(&key.x)?, URL_SAFE_NO_PAD.decode(&key.y)?].concat();
            keys.insert(key.kid.clone(), VerifyingKey::from_sec1_bytes(&point)?);
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

/// The id of the key that an assertion says it is signed with. Nothing is believed yet.
fn key_id(token: &str) -> Result<String> {
    let header = token.split('.').next().unwrap_or_default();
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    ensure!(header.alg == "ES256", "the assertion is signed with {}, not ES256", header.alg);
    Ok(header.kid)
}

/// The claims of an assertion that this key signed.
fn claims(token: &str, key: &VerifyingKey) -> Result<Claims> {
    let (signed, signature) = token.rsplit_once('.').context("the assertion has no signature")?;
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature)?)?;
    key.verify(signed.as_bytes(), &signature).map_err(|_| anyhow::anyhow!("the signature does not hold"))?;
    let (_, claims) = signed.split_once('.').context("the assertion has no claims")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?)
}

/// Whether claims are by the portal, for this application, and still hold.
fn believe(claims: Claims, portal: &str, audience: &str, now: Timestamp) -> Result<Asker> {
    ensure!(claims.iss == portal, "the assertion is by {}", claims.iss);
    ensure!(claims.aud == audience, "the assertion is for {}", claims.aud);
    ensure!(now.millis() / 1_000 < claims.exp.saturating_add(LEEWAY), "the assertion has ended");
    Ok(Asker { person: claims.sub, groups: claims.groups, device: claims.did })
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::SigningKey;
    use p256::ecdsa::signature::Signer as _;
    use serde_json::json;

    use super::*;

    const PORTAL: &str = "https://portal.example";
    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_slice(&[seed; 32]).expect("in range")
    }

    fn token(alg: &str, aud: &str, exp: i64) -> String {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({ "alg": alg, "kid": "k1" }));
        let claims =
            part(json!({ "iss": PORTAL, "aud": aud, "sub": "ada", "groups": ["staff"], "did": "lt-ada", "exp": exp }));
        let signature: Signature = key(1).sign(format!("{header}.{claims}").as_bytes());
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn verified(token: &str, by: u8) -> Result<Asker, String> {
        let kid = key_id(token).map_err(|e| e.to_string())?;
        assert_eq!(kid, "k1");
        let claims = claims(token, key(by).verifying_key()).map_err(|e| e.to_string())?;
        believe(claims, PORTAL, "wiki", NOW).map_err(|e| e.to_string())
    }

    #[test]
    fn an_assertion_for_this_application_is_believed() {
        let asker = verified(&token("ES256", "wiki", 1_060), 1).expect("it holds");
        assert_eq!((asker.person.as_str(), asker.device.as_deref()), ("ada", Some("lt-ada")));
    }

    #[test]
    fn what_another_key_signed_or_is_for_another_or_has_ended_is_not_believed() {
        assert_eq!(verified(&token("ES256", "wiki", 1_060), 2), Err("the signature does not hold".into()));
        assert_eq!(verified(&token("ES256", "crm", 1_060), 1), Err("the assertion is for crm".into()));
        assert_eq!(verified(&token("ES256", "wiki", 995), 1), Err("the assertion has ended".into()));
        assert!(verified(&token("none", "wiki", 1_060), 1).is_err_and(|e| e.contains("not ES256")));
        let mut forged = token("ES256", "wiki", 1_060);
        forged.replace_range(forged.len() - 8.., "AAAAAAAA");
        assert!(verified(&forged, 1).is_err());
    }
}
