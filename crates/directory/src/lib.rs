//! Where identities come from: local accounts with passkeys, passwords and one-time codes, and OpenID providers.
//!
//! This crate runs the sign-in ceremonies. A ceremony is bound to one principal from its first step to its last, lives for
//! five minutes, and ends with its first answer, right or wrong. What it yields is [`Proven`]: who, and by which methods.
//! Whether such a person may do anything is policy's business; whether they still belong to the organisation is for the
//! caller to check before it opens a session.
//!
//! | type | what it does |
//! |---|---|
//! | [`Accounts`] | what local accounts hold; persisted through [`Keep`] first, then applied in memory |
//! | [`Passkeys`] | registration, sign-in and step-up with WebAuthn |
//! | [`Passwords`] | password, then a one-time code where one is enrolled |
//! | [`TotpEnrolments`] | a new generator of one-time codes, which counts once its first code was right |
//! | [`SetupLinks`] | one-time links that let a person make their account |
//! | [`Providers`] | OpenID Connect: code flow with PKCE, strict token checks, linking to a person |
//! | [`DeviceChallenges`] | challenges for browsers that prove their device |
//! | [`Attempts`] | how often someone may try, per principal and per network |
//!
//! Time is an argument of every call. Secrets are sealed ([`Seal`]) or hashed before they are kept.
//!
//! ```
//! use safeconduct_directory::Seal;
//!
//! let seal = Seal::new(&[7; 32]);
//! let sealed = seal.seal("totp", "ada", b"secret")?;
//! assert_eq!(seal.open("totp", "ada", &sealed)?, b"secret");
//! assert!(seal.open("totp", "eve", &sealed).is_err(), "a sealed value opens only where it was put");
//! # Ok::<(), safeconduct_directory::SealError>(())
//! ```

mod accounts;
mod attempts;
mod device_challenges;
mod https;
mod keep;
mod oidc;
mod open;
mod passkeys;
mod passwords;
mod proven;
mod seal;
mod setup;
mod totp_enrolment;

pub use accounts::{Accounts, AccountsError, PasskeyInfo, Summary};
pub use attempts::{Attempts, MAX_PER_NETWORK, MAX_PER_PERSON};
pub use device_challenges::DeviceChallenges;
pub use https::{HttpsClient, HttpsError};
pub use keep::{BoxFuture, Keep, KeepError};
pub use oidc::{
    ClientSecretText, Federated, Link, OidcAnswer, OidcBegun, OidcPurpose, People, ProviderConfig, ProviderError,
    Providers,
};
pub use open::{CEREMONY_LIFE, MAX_OPEN_CEREMONIES};
pub use passkeys::{Begun, PasskeyConfigError, Passkeys};
pub use passwords::{PasswordStep, Passwords};
pub use proven::{Proven, SignInError};
pub use seal::{Seal, SealError};
pub use setup::{SETUP_LINK_LIFE, SetupLinks};
pub use totp_enrolment::{NewGenerator, TotpEnrolments};

#[cfg(test)]
mod testing;
