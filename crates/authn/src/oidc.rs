//! What must hold of an ID token beyond what the client library checks (OpenID Connect Core 3.1.3.7, RFC 9207, RFC 8176).
//!
//! The library verifies the signature; here the header is pinned before and the claims are read once more after, strictly:
//! no member twice, exact issuer, the audience and the authorised party, time, nonce, the hash of the access token.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use safeconduct_model::{Duration, Method, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use thiserror::Error;

use crate::email::Email;
use crate::one_time::same_text;
use crate::strict_json;

/// How far two clocks may differ.
pub const MAX_SKEW: Duration = Duration::from_secs(60);
/// The longest ID token, in bytes.
pub const MAX_ID_TOKEN_BYTES: usize = 16_384;
/// The oldest ID token that counts: it is fetched right after it is made.
pub const MAX_ID_TOKEN_AGE: Duration = Duration::from_mins(10);
/// The longest list that is read from a claim.
const MAX_LIST: usize = 512;
/// The longest subject, in bytes (OpenID Connect Core, section 2).
const MAX_SUBJECT_BYTES: usize = 255;

/// Why an answer of an OpenID provider does not count.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum OidcError {
    /// The ID token is too long, or not a compact JWS with JSON inside, or a member appears twice.
    #[error("the ID token is malformed")]
    Malformed,
    /// The header names an algorithm that is not accepted, another type, or a key of its own.
    #[error("the header of the ID token is refused: {0}")]
    Header(&'static str),
    /// The issuer of the token or of the response is another one.
    #[error("the answer comes from another issuer")]
    Issuer,
    /// The token is for someone else.
    #[error("the ID token is not for this client")]
    Audience,
    /// The token was issued to another party.
    #[error("the ID token was issued to another party (`azp`)")]
    AuthorizedParty,
    /// The token is no longer, or not yet, good.
    #[error("the ID token is expired, too old, or from the future; compare the clocks")]
    Time,
    /// The token does not answer our request.
    #[error("the ID token does not carry the nonce of this sign-in")]
    Nonce,
    /// The access token is not the one that the ID token speaks of.
    #[error("the access token does not fit the ID token (`at_hash`)")]
    AccessTokenHash,
    /// The person did not authenticate recently enough, or the provider does not say.
    #[error("the provider did not authenticate the person anew (`auth_time`)")]
    AuthTime,
    /// The provider did not reach the asked assurance.
    #[error("the provider did not reach the requested assurance (`acr`)")]
    Assurance,
}

/// The signature algorithms that are accepted. No `none`, no shared secrets, no SHA-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 7518")]
pub enum Alg {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Alg {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Rs256, "RS256"),
        (Self::Rs384, "RS384"),
        (Self::Rs512, "RS512"),
        (Self::Ps256, "PS256"),
        (Self::Ps384, "PS384"),
        (Self::Ps512, "PS512"),
        (Self::Es256, "ES256"),
        (Self::Es384, "ES384"),
        (Self::EdDsa, "EdDSA"),
    ];

    /// The algorithm with this name, if it is accepted.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(alg, _)| alg)
    }

    /// The name in JOSE headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(alg, _)| *alg == self).map_or("", |(_, name)| name)
    }

    /// The left half of the hash that belongs to the algorithm, in base64url: the form of `at_hash`.
    #[must_use]
    pub fn half_hash(self, text: &str) -> String {
        let hash = match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 => Sha256::digest(text).to_vec(),
            Self::Rs384 | Self::Ps384 | Self::Es384 => Sha384::digest(text).to_vec(),
            Self::Rs512 | Self::Ps512 | Self::EdDsa => Sha512::digest(text).to_vec(),
        };
        URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])
    }
}

/// The header of an ID token, pinned: an accepted algorithm, at most the id of a key, never a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The algorithm.
    pub alg: Alg,
    /// The id of the key.
    pub kid: Option<String>,
}

/// Reads the header and the claims of an ID token. The signature is not verified here.
///
/// # Errors
/// [`OidcError::Malformed`] or [`OidcError::Header`].
pub fn read(token: &str) -> Result<(Header, Claims), OidcError> {
    if token.len() > MAX_ID_TOKEN_BYTES {
        return Err(OidcError::Malformed);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(OidcError::Malformed);
    };
    let object = |part: &str| -> Result<Map<String, Value>, OidcError> {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| OidcError::Malformed)?;
        strict_json::from_slice(&bytes).map_err(|_| OidcError::Malformed)
    };
    let header = object(header)?;
    for member in ["crit", "jku", "jwk", "x5u", "x5c", "cty", "zip", "enc"] {
        if header.contains_key(member) {
            return Err(OidcError::Header("it names its own key or needs an extension"));
        }
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") => {}
        Some(_) => return Err(OidcError::Header("it is another kind of token (`typ`)")),
    }
    let alg = header.get("alg").and_then(Value::as_str).and_then(Alg::from_name);
    let alg = alg.ok_or(OidcError::Header("its algorithm is not accepted"))?;
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err(OidcError::Malformed),
    };
    let claims = serde_json::from_value(Value::Object(object(claims)?)).map_err(|_| OidcError::Malformed)?;
    Ok((Header { alg, kid }, claims))
}

/// The claims of an ID token.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    at_hash: Option<String>,
    auth_time: Option<f64>,
    acr: Option<String>,
    #[serde(default)]
    amr: Vec<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// What the answer must say.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The configured issuer, exactly.
    pub issuer: &'a str,
    /// Our id at the provider.
    pub client_id: &'a str,
    /// The nonce of the request.
    pub nonce: &'a str,
    /// The access token that came with the ID token.
    pub access_token: &'a str,
    /// The algorithm that the signature was verified with.
    pub alg: Alg,
    /// How recently the person must have authenticated, if that was asked for.
    pub max_age: Option<Duration>,
    /// The assurance levels of which one was asked for; empty where none was.
    pub acr_values: &'a [String],
    /// The instant.
    pub now: Timestamp,
}

impl Claims {
    /// The subject: with the issuer, the identity of the person at the provider.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.sub
    }

    /// The e-mail address, if the provider says that it verified it and it reads in one way only.
    #[must_use]
    pub fn verified_email(&self) -> Option<Email> {
        let verified = self.rest.get("email_verified") == Some(&Value::Bool(true));
        self.rest.get("email").and_then(Value::as_str).filter(|_| verified).and_then(|text| text.parse().ok())
    }

    /// A claim that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        if name == "sub" { Some(&self.sub) } else { self.rest.get(name).and_then(Value::as_str) }
    }

    /// A claim that is a list of texts. Anything else, and a list that is too long, is an empty list.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.rest.get(name) {
            Some(Value::Array(items)) if items.len() <= MAX_LIST => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// Checks the claims of a token whose signature holds.
    ///
    /// # Errors
    /// [`OidcError`] says what did not hold.
    pub fn check(&self, expected: &Expected<'_>) -> Result<(), OidcError> {
        self.check_parties(expected)?;
        self.check_times(expected)?;
        if !self.nonce.as_ref().is_some_and(|nonce| same_text(nonce, expected.nonce)) {
            return Err(OidcError::Nonce);
        }
        if self.at_hash.as_ref().is_some_and(|hash| !same_text(hash, &expected.alg.half_hash(expected.access_token))) {
            return Err(OidcError::AccessTokenHash);
        }
        let reached = self.acr.as_ref().is_some_and(|acr| expected.acr_values.contains(acr));
        if !expected.acr_values.is_empty() && !reached {
            return Err(OidcError::Assurance);
        }
        Ok(())
    }

    fn check_parties(&self, expected: &Expected<'_>) -> Result<(), OidcError> {
        if self.iss != expected.issuer {
            return Err(OidcError::Issuer);
        }
        if self.sub.is_empty() || self.sub.len() > MAX_SUBJECT_BYTES {
            return Err(OidcError::Malformed);
        }
        let audience = self.aud.as_slice();
        if !audience.iter().any(|aud| aud == expected.client_id) {
            return Err(OidcError::Audience);
        }
        match &self.azp {
            Some(azp) if azp != expected.client_id => Err(OidcError::AuthorizedParty),
            None if audience.len() > 1 => Err(OidcError::AuthorizedParty),
            _ => Ok(()),
        }
    }

    fn check_times(&self, expected: &Expected<'_>) -> Result<(), OidcError> {
        let instant = |seconds: f64| {
            let fits = (0.0..253_402_207_200.0).contains(&seconds);
            #[expect(clippy::cast_possible_truncation, reason = "in range by the check before")]
            if fits { Ok(Timestamp::from_millis((seconds * 1_000.0) as i64)) } else { Err(OidcError::Time) }
        };
        let now = expected.now;
        let issued = instant(self.iat)?;
        let early = self.nbf.map(instant).transpose()?.is_some_and(|nbf| nbf > now + MAX_SKEW);
        let over = instant(self.exp)? + MAX_SKEW <= now;
        if early || over || issued > now + MAX_SKEW || now.since(issued) > MAX_ID_TOKEN_AGE {
            return Err(OidcError::Time);
        }
        if let Some(max_age) = expected.max_age {
            let at = instant(self.auth_time.ok_or(OidcError::AuthTime)?)?;
            if at > now + MAX_SKEW || now.since(at).millis() > max_age.millis() + MAX_SKEW.millis() {
                return Err(OidcError::AuthTime);
            }
        }
        Ok(())
    }

    /// The methods that the token speaks of. `trust_methods` says whether this provider is believed about `amr` and `acr`;
    /// without it, it vouches for the person and nothing more.
    #[must_use]
    pub fn methods(&self, trust_methods: bool) -> BTreeSet<Method> {
        let mut methods = BTreeSet::from([Method::Oidc]);
        if !trust_methods {
            return methods;
        }
        let amr = |name: &str| self.amr.iter().any(|m| m == name);
        let any = |names: &[&str]| names.iter().any(|name| amr(name));
        if amr("mfa") {
            methods.insert(Method::OidcMfa);
        }
        // A hardware key alone may be a mere touch. With a second thing of the person it is two factors, and no look-alike
        // site can relay it. `phr` and `phrh` are the levels of the OpenID EAP ACR values.
        let with_person = any(&["mfa", "pin", "pwd", "fpt", "face", "iris", "retina", "vbm"]);
        let level = matches!(self.acr.as_deref(), Some("phr" | "phrh"));
        if level || (amr("hwk") && with_person) {
            methods.insert(Method::OidcPhishingResistant);
        }
        methods
    }
}

/// Checks the `iss` parameter of an authorization response (RFC 9207). `promised` is whether the provider's metadata says
/// that it always sends one.
///
/// # Errors
/// [`OidcError::Issuer`] if it is another issuer, or absent although promised.
pub fn check_response_issuer(given: Option<&str>, promised: bool, issuer: &str) -> Result<(), OidcError> {
    match given {
        Some(given) if given == issuer => Ok(()),
        None if !promised => Ok(()),
        _ => Err(OidcError::Issuer),
    }
}

#[cfg(test)]
mod tests;
