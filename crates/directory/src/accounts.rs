//! Local accounts: what each person holds to prove who they are. Written down first, then applied in memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use safeconduct_authn::one_time::same_text;
use safeconduct_authn::password::PasswordHash;
use safeconduct_authn::totp::{self, Step};
use safeconduct_model::{PersonId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::Mutex;
use webauthn_rs::prelude::{AuthenticationResult, CredentialID, Passkey, Uuid};

use crate::{Keep, KeepError, Seal, SealError};

/// How many passkeys one person may have.
const MAX_PASSKEYS_PER_PERSON: usize = 20;
/// How long the name of a passkey may be, in bytes.
const MAX_PASSKEY_NAME_BYTES: usize = 80;
const ACCOUNT: &str = "account";
const EXTERNAL: &str = "external-subject";
const TOTP: &str = "account-totp";

/// Why an account was not read or changed.
#[derive(Debug, Error)]
pub enum AccountsError {
    /// The store failed.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// A secret could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A kept document is not readable.
    #[error("the kept {kind} `{id}` is not readable: {why}")]
    Unreadable {
        /// The kind of document.
        kind: &'static str,
        /// Its id.
        id: String,
        /// Why.
        why: String,
    },
    /// The bound is reached.
    #[error("an account may have {MAX_PASSKEYS_PER_PERSON} passkeys at most; remove one first")]
    TooManyPasskeys,
    /// The passkey is registered already.
    #[error("this passkey is registered already")]
    KnownPasskey,
    /// No such passkey in this account.
    #[error("there is no such passkey in this account")]
    NoSuchPasskey,
    /// The name is empty or too long.
    #[error("name the passkey with 1 to {MAX_PASSKEY_NAME_BYTES} characters")]
    BadName,
    /// The one-time code was used, or there is no generator.
    #[error("the code does not count")]
    CodeRefused,
    /// The passkey's counter went backwards: someone may have copied it.
    #[error("the passkey was refused because its counter went backwards")]
    Cloned,
    /// The subject at the provider belongs to another person.
    #[error("this identity is linked to another person")]
    LinkedElsewhere,
}

/// A passkey as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PasskeyInfo {
    /// Its id, hexadecimal.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was registered.
    pub created: Timestamp,
    /// When it was used last.
    pub used: Option<Timestamp>,
}

/// What an account holds, without any secret.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Whether a password is set.
    pub password: bool,
    /// Whether a generator of one-time codes is enrolled.
    pub totp: bool,
    /// The passkeys.
    pub passkeys: Vec<PasskeyInfo>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    /// The user handle of WebAuthn: random, so that it tells an authenticator nothing about the person.
    handle: Uuid,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    totp: Option<Generator>,
    #[serde(default)]
    passkeys: Vec<NamedPasskey>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generator {
    sealed: String,
    last: Option<Step>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedPasskey {
    name: String,
    created: Timestamp,
    #[serde(default)]
    used: Option<Timestamp>,
    passkey: Passkey,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct External {
    issuer: String,
    subject: String,
    person: PersonId,
}

#[derive(Default)]
struct State {
    accounts: HashMap<PersonId, Arc<Account>>,
    handles: HashMap<Uuid, PersonId>,
    external: HashMap<String, External>,
}

/// The local accounts.
pub struct Accounts {
    keep: Arc<dyn Keep>,
    seal: Seal,
    state: RwLock<State>,
    /// One change at a time: what is read, written down and applied belongs together.
    changing: Mutex<()>,
}

impl Accounts {
    /// Reads all accounts.
    ///
    /// # Errors
    /// [`AccountsError`] if the store does not answer or a document is not readable: no sign-in is better than a wrong one.
    pub async fn load(keep: Arc<dyn Keep>, seal: Seal) -> Result<Self, AccountsError> {
        let mut state = State::default();
        for (id, body) in keep.load(ACCOUNT).await? {
            let person: PersonId = id.parse().map_err(|e| unreadable(ACCOUNT, &id, e))?;
            let account: Account = serde_json::from_value(body).map_err(|e| unreadable(ACCOUNT, &id, e))?;
            state.handles.insert(account.handle, person.clone());
            state.accounts.insert(person, Arc::new(account));
        }
        for (id, body) in keep.load(EXTERNAL).await? {
            let external: External = serde_json::from_value(body).map_err(|e| unreadable(EXTERNAL, &id, e))?;
            state.external.insert(id, external);
        }
        Ok(Self { keep, seal, state: RwLock::new(state), changing: Mutex::new(()) })
    }

    /// Whether nobody holds anything to sign in with yet. An account whose registration was begun and not ended holds nothing.
    #[must_use]
    pub fn nobody_can_sign_in(&self) -> bool {
        let state = self.read();
        state.accounts.values().all(|a| a.password.is_none() && a.passkeys.is_empty()) && state.external.is_empty()
    }

    /// What a person's account holds; nothing for someone without one.
    #[must_use]
    pub fn summary(&self, person: &PersonId) -> Summary {
        let Some(account) = self.account(person) else { return Summary::default() };
        let passkeys = account.passkeys.iter().map(|p| PasskeyInfo {
            id: hex(p.passkey.cred_id()),
            name: p.name.clone(),
            created: p.created,
            used: p.used,
        });
        Summary { password: account.password.is_some(), totp: account.totp.is_some(), passkeys: passkeys.collect() }
    }

    /// Sets the password hash of a person.
    ///
    /// # Errors
    /// [`AccountsError`] if it could not be written down.
    pub async fn set_password(&self, person: &PersonId, hash: &PasswordHash) -> Result<(), AccountsError> {
        let stored = hash.to_stored();
        self.change(person, |account| {
            account.password = Some(stored);
            Ok(())
        })
        .await
    }

    /// Takes the password from an account.
    ///
    /// # Errors
    /// [`AccountsError`] if it could not be written down.
    pub async fn remove_password(&self, person: &PersonId) -> Result<(), AccountsError> {
        self.change(person, |account| {
            account.password = None;
            Ok(())
        })
        .await
    }

    /// Enrols a generator of one-time codes, in place of an older one. `code` proves that the person holds it, and is used up.
    ///
    /// # Errors
    /// [`AccountsError::CodeRefused`] if the code is wrong.
    pub async fn enrol_totp(
        &self,
        person: &PersonId,
        secret: &totp::Secret,
        code: &str,
        now: Timestamp,
    ) -> Result<(), AccountsError> {
        let step = secret.verify(code, now, None).map_err(|_| AccountsError::CodeRefused)?;
        let sealed = self.seal.seal(TOTP, person.as_str(), secret.reveal())?;
        self.change(person, |account| {
            account.totp = Some(Generator { sealed, last: Some(step) });
            Ok(())
        })
        .await
    }

    /// Removes the generator of one-time codes.
    ///
    /// # Errors
    /// [`AccountsError`] if it could not be written down.
    pub async fn remove_totp(&self, person: &PersonId) -> Result<(), AccountsError> {
        self.change(person, |account| {
            account.totp = None;
            Ok(())
        })
        .await
    }

    /// Accepts a one-time code, once.
    ///
    /// # Errors
    /// [`AccountsError::CodeRefused`] if it is wrong, was used, or there is no generator.
    pub async fn use_code(&self, person: &PersonId, code: &str, now: Timestamp) -> Result<(), AccountsError> {
        if !self.has_account(person) {
            return Err(AccountsError::CodeRefused);
        }
        self.change(person, |account| {
            let generator = account.totp.as_mut().ok_or(AccountsError::CodeRefused)?;
            let bytes = self.seal.open(TOTP, person.as_str(), &generator.sealed)?;
            let secret = totp::Secret::from_bytes(&bytes).ok_or(AccountsError::CodeRefused)?;
            let step = secret.verify(code, now, generator.last).map_err(|_| AccountsError::CodeRefused)?;
            generator.last = Some(step);
            Ok(())
        })
        .await
    }

    /// Removes a passkey by its id from [`PasskeyInfo`].
    ///
    /// # Errors
    /// [`AccountsError::NoSuchPasskey`] if the account has none with this id.
    pub async fn remove_passkey(&self, person: &PersonId, id: &str) -> Result<(), AccountsError> {
        if !self.has_account(person) {
            return Err(AccountsError::NoSuchPasskey);
        }
        self.change(person, |account| {
            let before = account.passkeys.len();
            account.passkeys.retain(|p| hex(p.passkey.cred_id()) != id);
            if account.passkeys.len() == before { Err(AccountsError::NoSuchPasskey) } else { Ok(()) }
        })
        .await
    }

    /// Removes an account with everything in it, and the links of the person to providers.
    ///
    /// # Errors
    /// [`AccountsError`] if it could not be written down.
    pub async fn remove(&self, person: &PersonId) -> Result<(), AccountsError> {
        let _one = self.changing.lock().await;
        let links: Vec<String> =
            self.read().external.iter().filter(|(_, e)| e.person == *person).map(|(id, _)| id.clone()).collect();
        for id in links {
            self.keep.delete(EXTERNAL, &id).await?;
            self.write().external.remove(&id);
        }
        self.keep.delete(ACCOUNT, person.as_str()).await?;
        let mut state = self.write();
        if let Some(account) = state.accounts.remove(person) {
            state.handles.remove(&account.handle);
        }
        Ok(())
    }

    /// The person whom this subject of this issuer is linked to.
    #[must_use]
    pub fn linked(&self, issuer: &str, subject: &str) -> Option<PersonId> {
        let state = self.read();
        let external = state.external.get(&external_id(issuer, subject))?;
        (same_text(&external.issuer, issuer) && same_text(&external.subject, subject)).then(|| external.person.clone())
    }

    /// Links a subject of an issuer to a person, for good.
    ///
    /// # Errors
    /// [`AccountsError::LinkedElsewhere`] if it is linked to someone else.
    pub async fn link(&self, issuer: &str, subject: &str, person: &PersonId) -> Result<(), AccountsError> {
        let _one = self.changing.lock().await;
        match self.linked(issuer, subject) {
            Some(linked) if linked == *person => return Ok(()),
            Some(_) => return Err(AccountsError::LinkedElsewhere),
            None => {}
        }
        let id = external_id(issuer, subject);
        let external = External { issuer: issuer.to_owned(), subject: subject.to_owned(), person: person.clone() };
        let body = serde_json::to_value(&external).map_err(|e| unreadable(EXTERNAL, &id, e))?;
        self.keep.put(EXTERNAL, &id, &body).await?;
        self.write().external.insert(id, external);
        Ok(())
    }

    pub(crate) fn has_account(&self, person: &PersonId) -> bool {
        self.read().accounts.contains_key(person)
    }

    /// The kept password hash; `None` without account or password. An unreadable hash is told and counts as none.
    pub(crate) fn password_hash(&self, person: &PersonId) -> Option<PasswordHash> {
        let account = self.account(person)?;
        match PasswordHash::from_stored(account.password.as_deref()?) {
            Ok(hash) => Some(hash),
            Err(error) => {
                tracing::warn!(%person, %error, "an account has an unreadable password hash");
                None
            }
        }
    }

    pub(crate) fn has_totp(&self, person: &PersonId) -> bool {
        self.account(person).is_some_and(|account| account.totp.is_some())
    }

    pub(crate) fn passkeys(&self, person: &PersonId) -> Vec<Passkey> {
        self.account(person).map(|a| a.passkeys.iter().map(|p| p.passkey.clone()).collect()).unwrap_or_default()
    }

    pub(crate) fn handle(&self, person: &PersonId) -> Option<Uuid> {
        self.account(person).map(|account| account.handle)
    }

    pub(crate) fn by_handle(&self, handle: Uuid) -> Option<PersonId> {
        self.read().handles.get(&handle).cloned()
    }

    /// The user handle of a person, made with an empty account if there is none.
    pub(crate) async fn ensure_handle(&self, person: &PersonId) -> Result<Uuid, AccountsError> {
        match self.handle(person) {
            Some(handle) => Ok(handle),
            None => self.change(person, |account| Ok(account.handle)).await,
        }
    }

    pub(crate) async fn add_passkey(
        &self,
        person: &PersonId,
        name: String,
        passkey: Passkey,
        now: Timestamp,
    ) -> Result<PasskeyInfo, AccountsError> {
        let info = PasskeyInfo { id: hex(passkey.cred_id()), name: name.clone(), created: now, used: None };
        self.change(person, |account| {
            if account.passkeys.len() >= MAX_PASSKEYS_PER_PERSON {
                return Err(AccountsError::TooManyPasskeys);
            }
            if self.knows_credential(passkey.cred_id()) {
                return Err(AccountsError::KnownPasskey);
            }
            account.passkeys.push(NamedPasskey { name, created: now, used: None, passkey });
            Ok(())
        })
        .await?;
        Ok(info)
    }

    /// Notes the use of a passkey. It must still be in the account, and its counter, if it has one, must have grown.
    pub(crate) async fn used_passkey(
        &self,
        person: &PersonId,
        result: &AuthenticationResult,
        now: Timestamp,
    ) -> Result<(), AccountsError> {
        if !self.has_account(person) {
            return Err(AccountsError::NoSuchPasskey);
        }
        self.change(person, |account| {
            let named = account.passkeys.iter_mut().find(|p| p.passkey.cred_id() == result.cred_id());
            let named = named.ok_or(AccountsError::NoSuchPasskey)?;
            let grew = named.passkey.update_credential(result) == Some(true);
            if result.counter() > 0 && !grew {
                return Err(AccountsError::Cloned);
            }
            named.used = Some(now);
            Ok(())
        })
        .await
    }

    pub(crate) fn check_passkey_name(name: &str) -> Result<(), AccountsError> {
        let fits =
            !name.trim().is_empty() && name.len() <= MAX_PASSKEY_NAME_BYTES && !name.chars().any(char::is_control);
        if fits { Ok(()) } else { Err(AccountsError::BadName) }
    }

    fn knows_credential(&self, id: &CredentialID) -> bool {
        self.read().accounts.values().any(|a| a.passkeys.iter().any(|p| p.passkey.cred_id() == id))
    }

    async fn change<R>(
        &self,
        person: &PersonId,
        change: impl FnOnce(&mut Account) -> Result<R, AccountsError>,
    ) -> Result<R, AccountsError> {
        let _one = self.changing.lock().await;
        let mut account = match self.account(person) {
            Some(account) => Account::clone(&account),
            None => Account { handle: Uuid::new_v4(), password: None, totp: None, passkeys: Vec::new() },
        };
        let result = change(&mut account)?;
        let body: Value = serde_json::to_value(&account).map_err(|e| unreadable(ACCOUNT, person.as_str(), e))?;
        self.keep.put(ACCOUNT, person.as_str(), &body).await?;
        let mut state = self.write();
        state.handles.insert(account.handle, person.clone());
        state.accounts.insert(person.clone(), Arc::new(account));
        Ok(result)
    }

    fn account(&self, person: &PersonId) -> Option<Arc<Account>> {
        self.read().accounts.get(person).cloned()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(kind: &'static str, id: &str, why: impl std::fmt::Display) -> AccountsError {
    AccountsError::Unreadable { kind, id: id.to_owned(), why: why.to_string() }
}

/// The id of a link: a hash, because issuers and subjects may hold any character.
fn external_id(issuer: &str, subject: &str) -> String {
    let length = (issuer.len() as u64).to_be_bytes();
    hex(&Sha256::new().chain_update(length).chain_update(issuer).chain_update(subject).finalize())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a String takes every text");
        out
    })
}

#[cfg(test)]
mod tests;
