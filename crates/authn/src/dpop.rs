//! DPoP (RFC 9449): a proof, made for one request, that its sender holds the key to which a token is bound.
//!
//! Deliberately narrower than the standard: ES256 alone, and a header of exactly `typ`, `alg` and a public `jwk`. Members that
//! could lead to another key (`kid`, `jku`, `x5u`, a private part) are refused, not ignored. What was proven leaves as a
//! [`Proven`]: whoever takes it still has to see that it is not a repetition (see [`Seen`]) and that the token is bound to
//! the same key.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use safeconduct_model::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::strict_json;

/// The longest proof, in bytes.
pub const MAX_PROOF_BYTES: usize = 2 * 1024;
/// How old a proof may be.
pub const PROOF_AGE: Duration = Duration::from_secs(60);
/// How far a proof may be ahead of our clock.
pub const PROOF_AHEAD: Duration = Duration::from_secs(30);
/// The longest name of a proof, in bytes.
const MAX_JTI_BYTES: usize = 128;
/// How many proofs of one key are remembered.
const PROOFS_PER_KEY: usize = 2_000;
/// The proofs of how many keys are remembered.
const KEYS: usize = 50_000;
/// The type of the header, pinned.
const TYP: &str = "dpop+jwt";

/// The name of a key: the SHA-256 of its canonical JWK (RFC 7638), in base64url.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint(String);

/// The text is not a thumbprint.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("not a thumbprint of a key: expected 43 characters of base64url")]
pub struct ThumbprintError;

impl Thumbprint {
    /// The thumbprint of a public key.
    #[must_use]
    pub fn of(key: &VerifyingKey) -> Self {
        let Jwk { crv, kty, x, y } = Jwk::of(key);
        // The members in the order of their names and without a blank: that order is the standard.
        let canonical = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#);
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Thumbprint {
    type Err = ThumbprintError;

    fn from_str(text: &str) -> Result<Self, ThumbprintError> {
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) if text.len() == 43 => Ok(Self(text.to_owned())),
            _ => Err(ThumbprintError),
        }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// Its address, without query and fragment.
    pub uri: &'a str,
    /// The access token that comes with it; none where a token is asked for.
    pub token: Option<&'a str>,
}

/// Why a proof does not hold.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum DpopError {
    /// Too long, or not three parts of base64url.
    #[error("the proof is not a compact JWS of at most {MAX_PROOF_BYTES} bytes")]
    Malformed,
    /// Another type, algorithm or header member than the standard needs, or not a public P-256 key.
    #[error("the header of the proof must hold exactly typ dpop+jwt, alg ES256 and a public P-256 jwk")]
    Header,
    /// The signature is not of the key in the header.
    #[error("the signature of the proof does not hold")]
    Signature,
    /// A claim is missing, repeated or of the wrong type.
    #[error("the claims of the proof are not as expected")]
    Claims,
    /// It was made for another method.
    #[error("the proof was made for another method")]
    Method,
    /// It was made for another address.
    #[error("the proof was made for another address")]
    Uri,
    /// It was made for another token, or for none.
    #[error("the proof was made for another token")]
    Token,
    /// It is too old, or from the future.
    #[error("the proof is too old or ahead of time; set the clock of this machine")]
    Time,
}

impl DpopError {
    /// The stable name, for records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "proof_malformed",
            Self::Header => "proof_header",
            Self::Signature => "proof_signature",
            Self::Claims => "proof_claims",
            Self::Method => "proof_method",
            Self::Uri => "proof_uri",
            Self::Token => "proof_token",
            Self::Time => "proof_time",
        }
    }
}

/// A proof that holds, not yet known to be new.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Proven {
    /// The key that signed.
    pub key: Thumbprint,
    jti: [u8; 32],
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
}

/// A public key, in the order of RFC 7638.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    crv: String,
    kty: String,
    x: String,
    y: String,
}

impl Jwk {
    fn of(key: &VerifyingKey) -> Self {
        let point = key.to_sec1_point(false);
        // 0x04 and the two coordinates.
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Self { crv: "P-256".to_owned(), kty: "EC".to_owned(), x: text(x), y: text(y) }
    }

    fn key(&self) -> Option<VerifyingKey> {
        if self.kty != "EC" || self.crv != "P-256" {
            return None;
        }
        let mut point = [4; 65];
        let (x, y) = point[1..].split_at_mut(32);
        let whole = |text: &str, to: &mut [u8]| URL_SAFE_NO_PAD.decode_slice(text, to) == Ok(32);
        if !whole(&self.x, x) || !whole(&self.y, y) {
            return None;
        }
        VerifyingKey::from_sec1_bytes(&point).ok()
    }
}

/// The claims that count. Others are ignored (RFC 7519, section 4).
#[derive(Serialize, Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
}

/// What a proof says of the token that it comes with.
fn hash_of_token(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

/// Makes a proof. `jti` is fresh random text.
#[must_use]
pub fn sign(key: &SigningKey, expected: &Expected<'_>, jti: &str, now: Timestamp) -> String {
    let header = Header { typ: TYP.to_owned(), alg: "ES256".to_owned(), jwk: Jwk::of(key.verifying_key()) };
    let claims = Claims {
        jti: jti.to_owned(),
        htm: expected.method.to_owned(),
        htu: expected.uri.to_owned(),
        iat: now.millis().div_euclid(1_000),
        ath: expected.token.map(hash_of_token),
    };
    let part = |json: Result<Vec<u8>, _>| URL_SAFE_NO_PAD.encode(json.expect("texts and a number are JSON"));
    let signed = format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(&claims)));
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// Checks a proof against the request that it came with.
///
/// # Errors
/// [`DpopError`] says which part did not hold.
pub fn verify(proof: &str, expected: &Expected<'_>, now: Timestamp) -> Result<Proven, DpopError> {
    if proof.len() > MAX_PROOF_BYTES {
        return Err(DpopError::Malformed);
    }
    let (signed, signature) = proof.rsplit_once('.').ok_or(DpopError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(DpopError::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| DpopError::Malformed);
    let header: Header = strict_json::from_slice(&decode(header)?).map_err(|_| DpopError::Header)?;
    if header.alg != "ES256" || header.typ != TYP {
        return Err(DpopError::Header);
    }
    let key = header.jwk.key().ok_or(DpopError::Header)?;
    let claims = decode(claims)?;
    let signature = Signature::from_slice(&decode(signature)?).map_err(|_| DpopError::Signature)?;
    key.verify(signed.as_bytes(), &signature).map_err(|_| DpopError::Signature)?;
    let claims: Claims = strict_json::from_slice(&claims).map_err(|_| DpopError::Claims)?;
    if claims.jti.is_empty() || claims.jti.len() > MAX_JTI_BYTES {
        return Err(DpopError::Claims);
    }
    if claims.htm != expected.method {
        return Err(DpopError::Method);
    }
    if !same_address(&claims.htu, expected.uri) {
        return Err(DpopError::Uri);
    }
    let token = expected.token.map(hash_of_token);
    let fits = match (&claims.ath, &token) {
        (Some(given), Some(wanted)) => crate::one_time::same_text(given, wanted),
        (given, wanted) => given.is_none() && wanted.is_none(),
    };
    if !fits {
        return Err(DpopError::Token);
    }
    let millis = claims.iat.checked_mul(1_000).ok_or(DpopError::Claims)?;
    let at = Timestamp::from_millis(millis);
    if at + PROOF_AGE <= now || at > now + PROOF_AHEAD {
        return Err(DpopError::Time);
    }
    Ok(Proven { key: Thumbprint::of(&key), jti: Sha256::digest(&claims.jti).into(), at })
}

/// Whether two addresses are the same: scheme and host in any case, the port of HTTPS written or not.
fn same_address(given: &str, wanted: &str) -> bool {
    fn parts(uri: &str) -> Option<(String, &str)> {
        let (scheme, rest) = uri.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(":443").unwrap_or(&authority).to_owned();
        (scheme.eq_ignore_ascii_case("https") && !path.contains(['?', '#']))
            .then_some((authority, if path.is_empty() { "/" } else { path }))
    }
    matches!((parts(given), parts(wanted)), (Some(a), Some(b)) if a == b)
}

/// The proofs that were taken, as long as one of them could be taken again. A proof counts once.
#[derive(Debug, Default)]
pub struct Seen(HashMap<Thumbprint, HashMap<[u8; 32], Timestamp>>);

impl Seen {
    /// Takes a proof. Says `false` if it was taken before, or if there is no room to remember it: then it does not count.
    /// To be asked last, after the token was found to be bound to this key: strangers must not fill it.
    #[must_use]
    pub fn take(&mut self, proven: &Proven, now: Timestamp) -> bool {
        if self.0.len() >= KEYS && !self.0.contains_key(&proven.key) {
            self.0.retain(|_, proofs| proofs.values().any(|until| now < *until));
            if self.0.len() >= KEYS {
                return false;
            }
        }
        let of_key = self.0.entry(proven.key.clone()).or_default();
        if of_key.len() >= PROOFS_PER_KEY {
            of_key.retain(|_, until| now < *until);
        }
        if of_key.len() >= PROOFS_PER_KEY || of_key.contains_key(&proven.jti) {
            return false;
        }
        of_key.insert(proven.jti, proven.at + PROOF_AGE);
        true
    }
}

#[cfg(test)]
mod tests;
