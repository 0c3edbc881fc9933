//! Passkeys (WebAuthn): registration, sign-in and step-up, with user verification always.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use safeconduct_authn::one_time::Purpose;
use safeconduct_authn::return_to::ReturnTo;
use safeconduct_model::{Method, PersonId, SessionId, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use webauthn_rs::fake::{FakePasskeyDistribution, WebauthnFakeCredentialGenerator};
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, RequestChallengeResponse, Url, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::open::Open;
use crate::{Accounts, AccountsError, Attempts, PasskeyInfo, Proven, SignInError};

/// Why passkeys cannot be offered.
#[derive(Debug, Error)]
pub enum PasskeyConfigError {
    /// The origin is not an address.
    #[error("`{0}` is not an origin; give the portal's address as https://host[:port]")]
    Origin(String),
    /// The relying party id does not fit the origin.
    #[error("`{0}` cannot be the passkey domain of `{1}`; it must be the host itself or a parent domain")]
    Domain(String, String),
}

/// A ceremony that has begun. Its name does not print.
#[derive(Clone)]
pub struct Begun {
    /// The name of the ceremony, secret and single-use.
    pub ceremony: String,
    /// The options for `navigator.credentials` (`publicKey`).
    pub public_key: Value,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun([redacted])")
    }
}

struct Registration {
    person: PersonId,
    session: SessionId,
    name: String,
    state: PasskeyRegistration,
}

struct SignIn {
    return_to: ReturnTo,
    whose: Whose,
}

/// Whom a ceremony is for. It never becomes anyone else's.
enum Whose {
    /// The authenticator says who it is.
    Anyone(DiscoverableAuthentication),
    /// The person who was named at the beginning.
    Person(PersonId, PasskeyAuthentication),
    /// A name without passkeys. The ceremony looks like any other, and fails.
    Nobody,
    /// The person behind a session, to prove more.
    StepUp(PersonId, SessionId, PasskeyAuthentication),
}

/// The passkeys of local accounts.
pub struct Passkeys {
    webauthn: Webauthn,
    accounts: Arc<Accounts>,
    attempts: Arc<Attempts>,
    decoys: WebauthnFakeCredentialGenerator<FakePasskeyDistribution>,
    registrations: Open<Registration>,
    sign_ins: Open<SignIn>,
}

impl Passkeys {
    /// Passkeys for the domain `rp_id` and pages of `origin`. `decoy_key` makes the credential ids that are shown for people
    /// without passkeys; keep it, so that they stay the same.
    ///
    /// # Errors
    /// [`PasskeyConfigError`] if domain and origin do not fit.
    pub fn new(
        rp_id: &str,
        origin: &str,
        organisation: &str,
        decoy_key: &[u8; 32],
        accounts: Arc<Accounts>,
        attempts: Arc<Attempts>,
    ) -> Result<Self, PasskeyConfigError> {
        let url = Url::parse(origin).map_err(|_| PasskeyConfigError::Origin(origin.to_owned()))?;
        let domain = || PasskeyConfigError::Domain(rp_id.to_owned(), origin.to_owned());
        let webauthn =
            WebauthnBuilder::new(rp_id, &url).and_then(|b| b.rp_name(organisation).build()).map_err(|_| domain())?;
        let decoys = WebauthnFakeCredentialGenerator::new(decoy_key).map_err(|_| domain())?;
        Ok(Self {
            webauthn,
            accounts,
            attempts,
            decoys,
            registrations: Open::new(Purpose::Ceremony),
            sign_ins: Open::new(Purpose::Ceremony),
        })
    }

    /// Begins the registration of a passkey called `name`, for the person behind a session.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn begin_registration(
        &self,
        person: &PersonId,
        display_name: &str,
        session: &SessionId,
        name: &str,
        now: Timestamp,
    ) -> Result<Begun, SignInError> {
        Accounts::check_passkey_name(name)?;
        let handle = self.accounts.ensure_handle(person).await?;
        let known = self.accounts.passkeys(person).iter().map(|p| p.cred_id().clone()).collect();
        let (options, state) = self
            .webauthn
            .start_passkey_registration(handle, person.as_str(), display_name, Some(known))
            .map_err(|e| unavailable(&e))?;
        let mut public_key = to_json(&options.public_key)?;
        // So that the person can sign in without typing a name; an authenticator that cannot is welcome, too.
        public_key["authenticatorSelection"]["residentKey"] = json!("preferred");
        let registration =
            Registration { person: person.clone(), session: session.clone(), name: name.trim().to_owned(), state };
        Ok(Begun { ceremony: self.registrations.begin(registration, now)?, public_key })
    }

    /// Ends a registration. It must be the same person in the same session as at its beginning.
    ///
    /// # Errors
    /// [`SignInError`]; whatever it is, the ceremony is over.
    pub async fn finish_registration(
        &self,
        person: &PersonId,
        session: &SessionId,
        ceremony: &str,
        credential: &Value,
        now: Timestamp,
    ) -> Result<PasskeyInfo, SignInError> {
        let registration = self.registrations.take(ceremony, now)?;
        if registration.person != *person || registration.session != *session {
            return Err(SignInError::NotOpen);
        }
        let credential: RegisterPublicKeyCredential = from_json(credential)?;
        let passkey = self
            .webauthn
            .finish_passkey_registration(&credential, &registration.state)
            .map_err(|e| refused(&e, "registration"))?;
        Ok(self.accounts.add_passkey(person, registration.name, passkey, now).await?)
    }

    /// Begins a sign-in. Without a name the authenticator says who it is. A name without passkeys gets an answer of the same
    /// shape, so that nobody learns who has an account.
    ///
    /// # Errors
    /// [`SignInError`].
    pub fn begin_sign_in(
        &self,
        person: Option<&str>,
        return_to: ReturnTo,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Begun, SignInError> {
        self.attempts.from_network(ip, now)?;
        let Some(typed) = person.map(|p| p.trim().to_ascii_lowercase()).filter(|p| !p.is_empty()) else {
            let (options, state) = self.webauthn.start_discoverable_authentication().map_err(|e| unavailable(&e))?;
            return self.open(&options, &[], return_to, Whose::Anyone(state), now);
        };
        let person: Option<PersonId> = typed.parse().ok();
        let passkeys = person.as_ref().map(|p| self.accounts.passkeys(p)).unwrap_or_default();
        match person {
            Some(person) if !passkeys.is_empty() => {
                let (options, state) =
                    self.webauthn.start_passkey_authentication(&passkeys).map_err(|e| unavailable(&e))?;
                let ids: Vec<_> = passkeys.iter().map(|p| p.cred_id().clone()).collect();
                self.open(&options, &ids, return_to, Whose::Person(person, state), now)
            }
            _ => {
                let (options, _) = self.webauthn.start_discoverable_authentication().map_err(|e| unavailable(&e))?;
                let ids = self.decoys.generate(typed.as_bytes()).map_err(|e| unavailable(&e))?;
                self.open(&options, &ids, return_to, Whose::Nobody, now)
            }
        }
    }

    /// Ends a sign-in.
    ///
    /// # Errors
    /// [`SignInError`]; whatever it is, the ceremony is over.
    pub async fn finish_sign_in(
        &self,
        ceremony: &str,
        credential: &Value,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<(Proven, ReturnTo), SignInError> {
        self.attempts.from_network(ip, now)?;
        let SignIn { return_to, whose } = self.sign_ins.take(ceremony, now)?;
        let credential: PublicKeyCredential = from_json(credential)?;
        let person = match whose {
            Whose::Person(person, state) => self.verify(person, &credential, &state, now).await?,
            Whose::Anyone(state) => self.verify_discovered(&credential, state, now).await?,
            Whose::Nobody => return Err(SignInError::Refused),
            Whose::StepUp(..) => return Err(SignInError::NotOpen),
        };
        self.attempts.succeeded(&person);
        Ok((Proven::new(person, [Method::Passkey]), return_to))
    }

    /// Begins a step-up of a session.
    ///
    /// # Errors
    /// [`SignInError::Account`] with [`AccountsError::NoSuchPasskey`] if the person has no passkey to step up with.
    pub fn begin_step_up(
        &self,
        person: &PersonId,
        session: &SessionId,
        return_to: ReturnTo,
        now: Timestamp,
    ) -> Result<Begun, SignInError> {
        let passkeys = self.accounts.passkeys(person);
        if passkeys.is_empty() {
            return Err(AccountsError::NoSuchPasskey.into());
        }
        let (options, state) = self.webauthn.start_passkey_authentication(&passkeys).map_err(|e| unavailable(&e))?;
        let ids: Vec<_> = passkeys.iter().map(|p| p.cred_id().clone()).collect();
        self.open(&options, &ids, return_to, Whose::StepUp(person.clone(), session.clone(), state), now)
    }

    /// Ends a step-up. It must be the same person in the same session as at its beginning.
    ///
    /// # Errors
    /// [`SignInError`]; whatever it is, the ceremony is over.
    pub async fn finish_step_up(
        &self,
        person: &PersonId,
        session: &SessionId,
        ceremony: &str,
        credential: &Value,
        now: Timestamp,
    ) -> Result<(Proven, ReturnTo), SignInError> {
        let SignIn { return_to, whose } = self.sign_ins.take(ceremony, now)?;
        let state = match whose {
            Whose::StepUp(whose, of, state) if whose == *person && of == *session => state,
            _ => return Err(SignInError::NotOpen),
        };
        let credential: PublicKeyCredential = from_json(credential)?;
        let person = self.verify(person.clone(), &credential, &state, now).await?;
        Ok((Proven::new(person, [Method::Passkey]), return_to))
    }

    fn open(
        &self,
        options: &RequestChallengeResponse,
        ids: &[CredentialID],
        return_to: ReturnTo,
        whose: Whose,
        now: Timestamp,
    ) -> Result<Begun, SignInError> {
        let mut public_key = to_json(&options.public_key)?;
        // Only what is the same for real and for decoy credentials is told.
        let allowed = ids.iter().map(|id| json!({ "type": "public-key", "id": URL_SAFE_NO_PAD.encode(id) }));
        public_key["allowCredentials"] = allowed.collect();
        if let Some(members) = public_key.as_object_mut() {
            members.remove("extensions");
        }
        Ok(Begun { ceremony: self.sign_ins.begin(SignIn { return_to, whose }, now)?, public_key })
    }

    async fn verify(
        &self,
        person: PersonId,
        credential: &PublicKeyCredential,
        state: &PasskeyAuthentication,
        now: Timestamp,
    ) -> Result<PersonId, SignInError> {
        let handle = self.accounts.handle(&person).ok_or(SignInError::Refused)?;
        if credential.get_user_unique_id().is_some_and(|given| given != handle.as_bytes()) {
            return Err(SignInError::Refused);
        }
        let result = self
            .webauthn
            .finish_passkey_authentication(credential, state)
            .map_err(|e| refused(&e, "authentication"))?;
        self.accepted(person, &result, now).await
    }

    async fn verify_discovered(
        &self,
        credential: &PublicKeyCredential,
        state: DiscoverableAuthentication,
        now: Timestamp,
    ) -> Result<PersonId, SignInError> {
        let (handle, id) =
            self.webauthn.identify_discoverable_authentication(credential).map_err(|e| refused(&e, "discovery"))?;
        let person = self.accounts.by_handle(handle).ok_or(SignInError::Refused)?;
        let passkeys = self.accounts.passkeys(&person);
        let passkey = passkeys.iter().find(|p| p.cred_id().as_slice() == id).ok_or(SignInError::Refused)?;
        let result = self
            .webauthn
            .finish_discoverable_authentication_v2(credential, state, passkey)
            .map_err(|e| refused(&e, "authentication"))?;
        self.accepted(person, &result, now).await
    }

    async fn accepted(
        &self,
        person: PersonId,
        result: &webauthn_rs::prelude::AuthenticationResult,
        now: Timestamp,
    ) -> Result<PersonId, SignInError> {
        if !result.user_verified() {
            return Err(SignInError::Refused);
        }
        match self.accounts.used_passkey(&person, result, now).await {
            Ok(()) => Ok(person),
            Err(AccountsError::NoSuchPasskey) => Err(SignInError::Refused),
            Err(AccountsError::Cloned) => {
                tracing::warn!(%person, "a passkey was refused because its counter went backwards: it may be a copy");
                Err(SignInError::Refused)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value, SignInError> {
    serde_json::to_value(value).map_err(|_| SignInError::Unavailable("the passkey options are no JSON"))
}

fn from_json<T: DeserializeOwned>(value: &Value) -> Result<T, SignInError> {
    T::deserialize(value).map_err(|_| SignInError::Refused)
}

fn refused(error: &WebauthnError, step: &str) -> SignInError {
    tracing::info!(%error, step, "a passkey was refused");
    SignInError::Refused
}

fn unavailable(error: &WebauthnError) -> SignInError {
    tracing::warn!(%error, "a passkey ceremony could not begin");
    SignInError::Unavailable("a passkey ceremony could not begin")
}

#[cfg(test)]
mod tests;
