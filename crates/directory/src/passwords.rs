//! Sign-in with a password, and with a one-time code where one is enrolled.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use safeconduct_authn::one_time::Purpose;
use safeconduct_authn::password::{Password, PasswordError, PasswordHash, SALT_BYTES};
use safeconduct_model::{Method, PersonId, Timestamp};
use tokio::sync::Semaphore;

use crate::open::Open;
use crate::{Accounts, AccountsError, Attempts, Proven, SignInError};

/// How many hashes are computed at once. Each takes 19 MiB and a processor.
const MAX_HASHES_AT_ONCE: usize = 2;
/// How many may wait for their turn.
const MAX_HASHES_WAITING: usize = 32;

/// What comes after the password. The name of a ceremony does not print.
pub enum PasswordStep {
    /// Nothing: the account has no generator, and the session is one of a single factor.
    Proven(Proven),
    /// The one-time code: hand the name of the ceremony to [`Passwords::finish`].
    CodeNeeded {
        /// The name of the ceremony, secret and single-use.
        ceremony: String,
    },
}

impl fmt::Debug for PasswordStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven(proven) => f.debug_tuple("Proven").field(proven).finish(),
            Self::CodeNeeded { .. } => f.write_str("CodeNeeded([redacted])"),
        }
    }
}

/// Sign-in with passwords.
pub struct Passwords {
    accounts: Arc<Accounts>,
    attempts: Arc<Attempts>,
    waiting: Arc<Semaphore>,
    hashing: Arc<Semaphore>,
    open: Open<PersonId>,
}

impl Passwords {
    /// Sign-in with the passwords of these accounts.
    #[must_use]
    pub fn new(accounts: Arc<Accounts>, attempts: Arc<Attempts>) -> Self {
        Self {
            accounts,
            attempts,
            waiting: Arc::new(Semaphore::new(MAX_HASHES_WAITING)),
            hashing: Arc::new(Semaphore::new(MAX_HASHES_AT_ONCE)),
            open: Open::new(Purpose::Ceremony),
        }
    }

    /// Checks a password. `person` is what someone typed as their name; it is brought into its one spelling first, so that
    /// no spelling has attempts of its own. An account that does not exist takes as long and says the same.
    ///
    /// # Errors
    /// [`SignInError`] says what the person may know.
    pub async fn begin(
        &self,
        person: &str,
        password: String,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<PasswordStep, SignInError> {
        self.attempts.from_network(ip, now)?;
        let person: Option<PersonId> = person.trim().to_ascii_lowercase().parse().ok();
        if let Some(person) = &person {
            self.attempts.at_person(person, now)?;
        }
        let password = Password::typed(password).map_err(|_| SignInError::Refused)?;
        let kept = person.as_ref().and_then(|person| self.accounts.password_hash(person));
        let hash = kept.unwrap_or_else(PasswordHash::of_nobody);
        let fits = self.hashing(move || hash.verify(&password)).await?;
        let person = person.filter(|_| fits).ok_or(SignInError::Refused)?;
        if self.accounts.has_totp(&person) {
            return Ok(PasswordStep::CodeNeeded { ceremony: self.open.begin(person, now)? });
        }
        self.attempts.succeeded(&person);
        Ok(PasswordStep::Proven(Proven::new(person, [Method::Password])))
    }

    /// Checks the one-time code of a ceremony whose password was right.
    ///
    /// # Errors
    /// [`SignInError`]; whatever it is, the ceremony is over.
    pub async fn finish(&self, ceremony: &str, code: &str, ip: IpAddr, now: Timestamp) -> Result<Proven, SignInError> {
        self.attempts.from_network(ip, now)?;
        let person = self.open.take(ceremony, now)?;
        self.attempts.at_person(&person, now)?;
        match self.accounts.use_code(&person, code.trim(), now).await {
            Ok(()) => {
                self.attempts.succeeded(&person);
                Ok(Proven::new(person, [Method::Password, Method::Totp]))
            }
            Err(AccountsError::CodeRefused) => Err(SignInError::Refused),
            Err(error) => Err(error.into()),
        }
    }

    /// Both steps in one, for a form that asks for the password and perhaps the code. Without a code where one is needed,
    /// the ceremony waits for it.
    ///
    /// # Errors
    /// [`SignInError`] says what the person may know.
    pub async fn sign_in(
        &self,
        person: &str,
        password: String,
        code: Option<&str>,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<PasswordStep, SignInError> {
        match (self.begin(person, password, ip, now).await?, code) {
            (PasswordStep::CodeNeeded { ceremony }, Some(code)) => {
                self.finish(&ceremony, code, ip, now).await.map(PasswordStep::Proven)
            }
            (step, _) => Ok(step),
        }
    }

    /// Sets the password of a person.
    ///
    /// # Errors
    /// [`SignInError::Account`] if it could not be written down, [`SignInError::Busy`] if too much is going on.
    pub async fn set(&self, person: &PersonId, chosen: Password) -> Result<(), SignInError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| SignInError::Unavailable("no random bytes"))?;
        let hash = self.hashing(move || PasswordHash::of(&chosen, salt)).await?;
        Ok(self.accounts.set_password(person, &hash).await?)
    }

    /// Runs a hash on the blocking pool, a few at a time. The permits go with the work: a caller who leaves does not make
    /// room for the next hash before this one is done.
    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, SignInError> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| SignInError::Busy)?;
        let turn = Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| SignInError::Busy)?;
        let task = tokio::task::spawn_blocking(move || {
            let _held = (waiting, turn);
            work()
        });
        match task.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) | Err(_) => Err(SignInError::Unavailable("a password could not be hashed")),
        }
    }
}

#[cfg(test)]
mod tests;
