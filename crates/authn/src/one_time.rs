//! Opaque tokens: 256 random bits, kept only as a hash that also names what the token is for.
//!
//! The holder has the token, we keep its [`Digest`]. Whoever reads our store cannot use it, and a token that was given out
//! for one purpose has another digest for every other.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// The length of a token, in bytes.
pub const TOKEN_BYTES: usize = 32;
/// The length of a token as text.
const TOKEN_CHARS: usize = 43;
/// The domain of the forgery protection token.
const CSRF_DOMAIN: &[u8] = b"safeconduct csrf v1";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Proves a session of the portal.
    Session,
    /// Proves a session at one application.
    AppSession,
    /// Makes an account: the one-time link.
    SetupLink,
    /// Carries a session from the portal to an application, once.
    HandOver,
    /// Binds that journey to the browser that asked for it.
    Arrival,
    /// Names an open sign-in ceremony.
    Ceremony,
    /// Binds a sign-in at an OpenID provider to the browser that began it.
    SignInFlow,
    /// Proves an operator's command line.
    Command,
    /// Lets a connector join its site, once.
    ConnectorJoin,
    /// Lets a machine fetch the answer to its request (RFC 8628).
    DeviceCode,
    /// Carries a sign-in from the browser to a program on the same machine.
    AuthorisationCode,
}

impl Purpose {
    const fn domain(self) -> &'static [u8] {
        match self {
            Self::Session => b"safeconduct session v1",
            Self::AppSession => b"safeconduct app-session v1",
            Self::SetupLink => b"safeconduct setup-link v1",
            Self::HandOver => b"safeconduct hand-over v1",
            Self::Arrival => b"safeconduct arrival v1",
            Self::Ceremony => b"safeconduct ceremony v1",
            Self::SignInFlow => b"safeconduct sign-in-flow v1",
            Self::Command => b"safeconduct command v1",
            Self::ConnectorJoin => b"safeconduct connector-join v1",
            Self::DeviceCode => b"safeconduct device-code v1",
            Self::AuthorisationCode => b"safeconduct authorisation-code v1",
        }
    }
}

/// The text is not a token.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("not a token: expected {TOKEN_CHARS} characters of base64url")]
pub struct TokenError;

/// A secret token. It does not print, and is not compared: compare digests.
#[derive(Clone)]
pub struct Token(Zeroizing<[u8; TOKEN_BYTES]>);

impl Token {
    /// A new token from random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; TOKEN_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The text for the holder: 43 characters of base64url.
    #[must_use]
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_slice())
    }

    /// What is kept of the token.
    #[must_use]
    pub fn digest(&self, purpose: Purpose) -> Digest {
        let mut hash = Sha256::new();
        let domain = purpose.domain();
        hash.update([u8::try_from(domain.len()).expect("domains are short")]);
        hash.update(domain);
        hash.update(self.0.as_slice());
        Digest(hash.finalize().into())
    }

    /// The token that forms of the session with this secret must carry. It does not reveal the secret.
    #[must_use]
    pub fn csrf(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("HMAC takes a key of any length");
        mac.update(CSRF_DOMAIN);
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if text.len() != TOKEN_CHARS {
            return Err(TokenError);
        }
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        match URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice()) {
            Ok(TOKEN_BYTES) => Ok(Self(bytes)),
            _ => Err(TokenError),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// The hash of a token for one purpose. Safe to store and to use as a key of a map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Whether two digests are the same, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The text to store: 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        use fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut out, byte| {
            write!(out, "{byte:02x}").expect("a String takes every text");
            out
        })
    }

    /// Reads a stored text; `None` if it is not 64 hexadecimal digits in lower case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        let mut out = [0; 32];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(out))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({}…)", &self.to_hex()[..8])
    }
}

/// Whether two texts are the same, in a time that depends on their lengths alone.
#[must_use]
pub fn same_text(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const ALL: [Purpose; 9] = [
        Purpose::Session,
        Purpose::AppSession,
        Purpose::SetupLink,
        Purpose::HandOver,
        Purpose::Ceremony,
        Purpose::SignInFlow,
        Purpose::Command,
        Purpose::DeviceCode,
        Purpose::AuthorisationCode,
    ];

    #[test]
    fn nt_22_every_purpose_has_its_own_digest() {
        let token = Token::from_random([5; 32]);
        let digests: BTreeSet<_> = ALL.into_iter().map(|p| token.digest(p)).collect();
        assert_eq!(digests.len(), ALL.len());
        assert!(!digests.iter().any(|d| d.to_hex() == token.csrf()));
    }

    #[test]
    fn a_token_has_one_spelling() {
        let text = Token::from_random([255; 32]).reveal();
        assert!(text.parse::<Token>().is_ok());
        let mut other_tail = text.clone();
        other_tail.replace_range(42.., "9");
        for bad in
            ["", &text[1..], &format!("{text}="), &format!(" {}", &text[1..]), &text.replace('_', "/"), &other_tail]
        {
            assert_eq!(bad.parse::<Token>().map(|_| ()), Err(TokenError), "{bad}");
        }
    }

    #[test]
    fn nt_40_tokens_do_not_print() {
        let token = Token::from_random([5; 32]);
        let text = format!("{token:?} {:?}", token.digest(Purpose::Session));
        assert!(!text.contains(&token.reveal()) && text.len() < 60, "{text}");
    }

    #[test]
    fn the_forgery_token_depends_on_the_secret_and_hides_it() {
        let (a, b) = (Token::from_random([1; 32]), Token::from_random([2; 32]));
        assert_ne!(a.csrf(), b.csrf());
        assert_eq!(a.csrf().len(), 43);
        assert_ne!(a.csrf(), a.reveal());
    }

    proptest! {
        #[test]
        fn tokens_and_digests_read_back(bytes in any::<[u8; 32]>(), noise in ".{0,70}") {
            let token = Token::from_random(bytes);
            let again: Token = token.reveal().parse().expect("our own text");
            let digest = token.digest(Purpose::Session);
            prop_assert!(again.digest(Purpose::Session).matches(&digest));
            prop_assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
            let _ = noise.parse::<Token>();
            let _ = Digest::from_hex(&noise);
        }
    }
}
