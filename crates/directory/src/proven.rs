//! What a ceremony yields, and why it may not.

use std::collections::BTreeSet;

use safeconduct_authn::one_time::{TOKEN_BYTES, Token};
use safeconduct_model::{Method, PersonId};
use thiserror::Error;

use crate::AccountsError;

/// A person proved who they are. Only ceremonies make it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proven {
    /// Who it is.
    pub person: PersonId,
    /// How it was proven.
    pub methods: BTreeSet<Method>,
}

impl Proven {
    pub(crate) fn new(person: PersonId, methods: impl IntoIterator<Item = Method>) -> Self {
        Self { person, methods: methods.into_iter().collect() }
    }
}

/// Why a sign-in did not succeed. What the person may know is the variant; details go to the log.
#[derive(Debug, Error)]
pub enum SignInError {
    /// The proof did not hold, or there is no such account. Deliberately the same.
    #[error("the sign-in did not succeed")]
    Refused,
    /// Too many attempts by this principal or from this network.
    #[error("too many attempts; wait a few minutes")]
    TooMany,
    /// The ceremony is not open: unknown, used, too old, or begun for something else.
    #[error("the sign-in took too long or was already used; begin again")]
    NotOpen,
    /// Too much is going on at once.
    #[error("too many sign-ins at the same time; try again in a moment")]
    Busy,
    /// The account refuses the change: too many passkeys, a key that is known already.
    #[error("{0}")]
    Account(#[from] AccountsError),
    /// Our side could not do it: the store, the random source, memory.
    #[error("the sign-in could not be completed: {0}")]
    Unavailable(&'static str),
}

/// A new random token.
pub(crate) fn random_token() -> Result<Token, SignInError> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| SignInError::Unavailable("no random bytes"))?;
    Ok(Token::from_random(bytes))
}

#[cfg(test)]
mod tests {
    use crate::{Begun, OidcAnswer, OidcBegun, PasswordStep};

    #[test]
    fn nt_40_what_opens_a_session_does_not_print() {
        let canary = || "canary".to_owned();
        let text = format!(
            "{:?} {:?} {:?} {:?}",
            Begun { ceremony: canary(), public_key: canary().into() },
            PasswordStep::CodeNeeded { ceremony: canary() },
            OidcBegun { location: canary(), flow: canary() },
            OidcAnswer { code: Some(canary()), state: Some(canary()), flow: Some(canary()), ..OidcAnswer::default() },
        );
        assert!(!text.contains("canary"), "{text}");
    }
}
