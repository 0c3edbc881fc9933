//! Proofs to identity: pure verification, without clock, chance, socket or file.
//!
//! A proof arrives as text or bytes, beside it the instant and, where something is made, the random bytes. What leaves is
//! a typed value that says what was proven, or a small error that says which part did not hold. Nothing here keeps state
//! of its own: whoever calls stores the last TOTP step, the ids of posture reports, the open ceremonies, and the values that count.
//!
//! | module | proves |
//! |---|---|
//! | [`password`] | that someone knows a password (Argon2id) |
//! | [`totp`] | that someone holds a one-time code generator (RFC 6238) |
//! | [`device`] | that a browser holds the key of an enrolled device |
//! | [`posture`] | what a device says about its own health |
//! | [`oidc`] | what an OpenID provider says, beyond what its client library checks |
//! | [`return_to`] | that an address to return to is our own |
//! | [`one_time`] | that a token is the one that was given out, for the purpose for which it was given |
//! | [`dpop`] | that whoever sends a token holds the key to which it is bound (RFC 9449) |
//! | [`device_grant`], [`user_code`] | that a person let a machine in (RFC 8628) |
//! | [`code_grant`] | that a person let a program on their own machine in (RFC 8252 with PKCE) |
//! | [`rate`] | that something is not tried too often |
//! | [`software_passkey`] | a passkey in software, for the demo and for tests |
//!
//! ```
//! use safeconduct_authn::one_time::{Purpose, Token};
//!
//! let token = Token::from_random([7; 32]);
//! let kept = token.digest(Purpose::Session);
//! let presented: Token = token.reveal().parse()?;
//! assert!(presented.digest(Purpose::Session).matches(&kept));
//! assert!(!presented.digest(Purpose::SetupLink).matches(&kept), "a token counts for one purpose only");
//! assert_eq!(format!("{token:?}"), "Token([redacted])");
//! # Ok::<(), safeconduct_authn::one_time::TokenError>(())
//! ```

pub mod code_grant;
pub mod device;
pub mod device_grant;
pub mod dpop;
pub mod email;
mod jws;
pub mod oidc;
pub mod one_time;
pub mod password;
pub mod posture;
pub mod rate;
pub mod return_to;
pub mod software_passkey;
pub mod strict_json;
pub mod totp;
pub mod user_code;

pub use p256::ecdsa::{SigningKey, VerifyingKey};
