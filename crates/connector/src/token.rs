//! The one-time word that lets a connector in, as it is handed over: a secret, and by which authority the gateway is known.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// The longest secret, in characters.
const SECRET: usize = 128;

/// A join token. It does not print.
pub struct JoinToken {
    secret: String,
    authority: [u8; 32],
}

/// The text is not a join token.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("this is not a join token; make one with `safeconduct connector token SITE` on the gateway, and copy it whole")]
pub struct JoinTokenError;

impl JoinToken {
    /// A token of a secret and the SHA-256 of the certificate (DER) of the authority.
    #[must_use]
    pub fn new(secret: &str, authority: [u8; 32]) -> Self {
        Self { secret: secret.to_owned(), authority }
    }

    /// The text to hand over.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}.{}", self.secret, URL_SAFE_NO_PAD.encode(self.authority))
    }

    /// The secret, for the gateway alone.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The SHA-256 of the certificate of the authority.
    #[must_use]
    pub fn authority(&self) -> &[u8; 32] {
        &self.authority
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let (secret, pin) = text.trim().split_once('.').ok_or(JoinTokenError)?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if secret.is_empty() || secret.len() > SECRET || !secret.bytes().all(fits) {
            return Err(JoinTokenError);
        }
        let pin = URL_SAFE_NO_PAD.decode(pin).map_err(|_| JoinTokenError)?;
        Ok(Self { secret: secret.to_owned(), authority: pin.try_into().map_err(|_| JoinTokenError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_whole_or_it_is_none() {
        let text = JoinToken::new("abc_-9", [3; 32]).reveal();
        let again: JoinToken = format!(" {text}\n").parse().unwrap();
        assert_eq!((again.secret(), again.authority()), ("abc_-9", &[3; 32]));
        for bad in ["", ".", "abc", "abc.", &text[1..].replace('.', ""), &text[..text.len() - 2], "a b.c"] {
            assert!(bad.parse::<JoinToken>().is_err(), "{bad}");
        }
    }
}
