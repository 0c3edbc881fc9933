//! Compact JWS with ES256 and a pinned `typ`. Deliberately not general: one algorithm, the key is given by the caller, and
//! every header member that could name another key is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::strict_json;

/// Why a token was refused before its claims were read.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum JwsError {
    /// More bytes than the caller accepts.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of base64url.
    #[error("the token is not a compact JWS")]
    Malformed,
    /// The header is not `alg` ES256 and the expected `typ`, or holds something else.
    #[error("the token has the wrong algorithm, the wrong type or an unexpected header member")]
    Header,
    /// The signature does not fit the key.
    #[error("the signature does not hold")]
    Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
}

/// Signs `claims`.
pub(crate) fn sign(key: &SigningKey, typ: &str, claims: &[u8]) -> String {
    let header = Header { alg: "ES256".to_owned(), typ: typ.to_owned() };
    let header = serde_json::to_vec(&header).expect("two texts are JSON");
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// Verifies `token` and returns the bytes of its claims.
pub(crate) fn verify(key: &VerifyingKey, typ: &str, max_bytes: usize, token: &str) -> Result<Vec<u8>, JwsError> {
    if token.len() > max_bytes {
        return Err(JwsError::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(JwsError::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed);
    let header: Header = strict_json::from_slice(&decode(header)?).map_err(|_| JwsError::Header)?;
    if header.alg != "ES256" || header.typ != typ {
        return Err(JwsError::Header);
    }
    let claims = decode(claims)?;
    let signature = Signature::from_slice(&decode(signature)?).map_err(|_| JwsError::Signature)?;
    key.verify(signed.as_bytes(), &signature).map_err(|_| JwsError::Signature)?;
    Ok(claims)
}
