//! What a program proves itself with, instead of a cookie: an access token and a proof of the key to which it is bound.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, header};
use safeconduct_model::{AppId, SessionId};

/// The field with the proof (RFC 9449).
const PROOF: &str = "dpop";
/// The scheme of the token, in lower case.
const SCHEME: &str = "dpop ";

/// A token and its proof, as a program shows them for one request.
#[derive(Clone, Copy)]
pub struct TokenShown<'a> {
    /// The access token.
    pub token: &'a str,
    /// The proof.
    pub proof: &'a str,
    /// The method that the proof must name.
    pub method: &'a str,
    /// The address that the proof must name.
    pub uri: &'a str,
    /// The application that is asked for.
    pub app: &'a AppId,
    /// The address of the client.
    pub peer: IpAddr,
}

/// A token whose binding was proven once, at the door. What rests on it afterwards is its session and its key, not the
/// token, which may expire while a tunnel lives. Only an implementation of `Control::prove_token` makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundToken {
    /// The session to which the token belongs.
    pub session: SessionId,
    /// The thumbprint of the key that was proven.
    pub key: Arc<str>,
}

/// A token that does not count, with the stable code for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRefused(pub &'static str);

/// Reads token and proof: each exactly once, and never as a bearer.
pub(super) fn shown(headers: &HeaderMap) -> Result<Option<(&str, &str)>, TokenRefused> {
    let one = |name: &str, twice: &'static str| {
        let mut all = headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| TokenRefused("token_not_ascii")),
            _ => Err(TokenRefused(twice)),
        }
    };
    let authorization = one(header::AUTHORIZATION.as_str(), "two_tokens")?;
    let proof = one(PROOF, "two_proofs")?;
    match (authorization, proof) {
        (None, None) => Ok(None),
        (Some(text), proof) => {
            let scheme = text.get(..SCHEME.len()).filter(|s| s.eq_ignore_ascii_case(SCHEME));
            scheme.ok_or(TokenRefused("not_dpop"))?;
            let token = text[SCHEME.len()..].trim();
            let proof = proof.ok_or(TokenRefused("no_proof"))?;
            Ok(Some((token, proof)))
        }
        (None, Some(_)) => Err(TokenRefused("no_token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&'static str, &'static str)]) -> Result<Option<(String, String)>, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        shown(&headers).map(|s| s.map(|(t, p)| (t.to_owned(), p.to_owned()))).map_err(|r| r.0)
    }

    #[test]
    fn a_token_comes_once_with_one_proof_and_never_as_a_bearer() {
        let both = Ok(Some(("t".to_owned(), "p".to_owned())));
        assert_eq!(read(&[("authorization", "DPoP t"), ("dpop", "p")]), both);
        assert_eq!(read(&[("authorization", "dpop t"), ("dpop", "p")]), both);
        assert_eq!(read(&[("cookie", "__Host-safeconduct=x")]), Ok(None));
        for (fields, code) in [
            (&[("authorization", "Bearer t"), ("dpop", "p")][..], "not_dpop"),
            (&[("authorization", "Basic eDp5")], "not_dpop"),
            (&[("authorization", "DPoP")], "not_dpop"),
            (&[("authorization", "DPoP t")], "no_proof"),
            (&[("dpop", "p")], "no_token"),
            (&[("authorization", "DPoP t"), ("dpop", "p"), ("dpop", "q")], "two_proofs"),
            (&[("authorization", "DPoP t"), ("authorization", "DPoP u"), ("dpop", "p")], "two_tokens"),
        ] {
            assert_eq!(read(fields), Err(code), "{fields:?}");
        }
    }
}
