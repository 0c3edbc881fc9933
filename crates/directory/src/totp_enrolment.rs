//! Enrolling a generator of one-time codes: the secret is shown, and counts once the first code from it was right.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use safeconduct_authn::totp::{SECRET_BYTES, Secret};
use safeconduct_model::{PersonId, SessionId, Timestamp};

use crate::{Accounts, AccountsError, Attempts, CEREMONY_LIFE, MAX_OPEN_CEREMONIES, SignInError};

/// A generator to be set up, as its owner needs to see it once. It does not print.
pub struct NewGenerator {
    /// The secret in base32, to be typed.
    pub secret: String,
    /// The `otpauth` address, to be shown as a QR code.
    pub url: String,
}

impl fmt::Debug for NewGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewGenerator([redacted])")
    }
}

/// The open enrolments: one per session, of the person behind it.
pub struct TotpEnrolments {
    accounts: Arc<Accounts>,
    attempts: Arc<Attempts>,
    open: Mutex<HashMap<SessionId, (PersonId, Secret, Timestamp)>>,
}

impl TotpEnrolments {
    /// Enrolments for these accounts.
    #[must_use]
    pub fn new(accounts: Arc<Accounts>, attempts: Arc<Attempts>) -> Self {
        Self { accounts, attempts, open: Mutex::new(HashMap::new()) }
    }

    /// Makes a secret. An older open enrolment of the session ends; an enrolled generator stays until the new one counts.
    ///
    /// # Errors
    /// [`SignInError::Busy`] if too many are open.
    pub fn begin(
        &self,
        person: &PersonId,
        session: &SessionId,
        issuer: &str,
        now: Timestamp,
    ) -> Result<NewGenerator, SignInError> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| SignInError::Unavailable("no random bytes"))?;
        let secret = Secret::from_random(bytes);
        let new = NewGenerator { secret: secret.to_base32(), url: secret.otpauth_url(issuer, person.as_str()) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (_, _, until)| now < *until);
        if open.len() >= MAX_OPEN_CEREMONIES {
            return Err(SignInError::Busy);
        }
        open.insert(session.clone(), (person.clone(), secret, now + CEREMONY_LIFE));
        Ok(new)
    }

    /// The open enrolment of this person in this session, to be shown again.
    #[must_use]
    pub fn pending(
        &self,
        person: &PersonId,
        session: &SessionId,
        issuer: &str,
        now: Timestamp,
    ) -> Option<NewGenerator> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get(session) {
            Some((whose, secret, until)) if whose == person && now < *until => {
                Some(NewGenerator { secret: secret.to_base32(), url: secret.otpauth_url(issuer, person.as_str()) })
            }
            _ => None,
        }
    }

    /// Takes the first code. A wrong one may be corrected until the enrolment is too old.
    ///
    /// # Errors
    /// [`SignInError::NotOpen`] without an open enrolment of this person in this session, [`SignInError::Refused`] for a
    /// wrong code.
    pub async fn finish(
        &self,
        person: &PersonId,
        session: &SessionId,
        code: &str,
        now: Timestamp,
    ) -> Result<(), SignInError> {
        self.attempts.at_person(person, now)?;
        let secret = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            match open.get(session) {
                Some((whose, secret, until)) if whose == person && now < *until => secret.clone(),
                _ => return Err(SignInError::NotOpen),
            }
        };
        match self.accounts.enrol_totp(person, &secret, code.trim(), now).await {
            Ok(()) => {
                self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
                Ok(())
            }
            Err(AccountsError::CodeRefused) => Err(SignInError::Refused),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, accounts, person};

    fn session(id: &str) -> SessionId {
        id.parse().expect("id")
    }

    fn secret_of(open: &TotpEnrolments, of: &SessionId) -> Secret {
        open.open.lock().expect("lock")[of].1.clone()
    }

    #[tokio::test]
    async fn a_generator_counts_after_its_first_right_code() {
        let (_, accounts) = accounts().await;
        let open = TotpEnrolments::new(Arc::clone(&accounts), Arc::new(Attempts::new()));
        let (ada, s1) = (person("ada"), session("s1"));
        let new = open.begin(&ada, &s1, "Clinic", NOW).expect("room");
        assert!(new.url.contains(&new.secret) && !format!("{new:?}").contains(&new.secret));
        let code = secret_of(&open, &s1).code(NOW);
        assert!(matches!(open.finish(&ada, &s1, "12345", NOW).await, Err(SignInError::Refused)));
        assert!(!accounts.summary(&ada).totp);
        open.finish(&ada, &s1, &code, NOW).await.expect("right");
        assert!(accounts.summary(&ada).totp);
        assert!(matches!(open.finish(&ada, &s1, &code, NOW).await, Err(SignInError::NotOpen)));
    }

    #[tokio::test]
    async fn nt_34_an_enrolment_stays_with_its_person_and_session_and_ends() {
        let (_, accounts) = accounts().await;
        let open = TotpEnrolments::new(accounts, Arc::new(Attempts::new()));
        let s1 = session("s1");
        open.begin(&person("ada"), &s1, "Clinic", NOW).expect("room");
        let code = secret_of(&open, &s1).code(NOW);
        for (who, of, at) in [("bob", "s1", NOW), ("ada", "s2", NOW), ("ada", "s1", NOW + CEREMONY_LIFE)] {
            let result = open.finish(&person(who), &session(of), &code, at).await;
            assert!(matches!(result, Err(SignInError::NotOpen)), "{who} {of}");
        }
    }
}
