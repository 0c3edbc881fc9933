//! Signing in, proving devices, taking reports: the JSON of the portal, answered by the directory and the house.

use std::sync::Arc;

use safeconduct_access::{SessionError, Visitor};
use safeconduct_api::{
    Answer, ApiError, Begun, Callback, Ceremonies, Client, Cookie, DeviceEnrolment, DeviceProof, OidcBegun, SignedIn,
};
use safeconduct_authn::device::DeviceKey;
use safeconduct_authn::one_time::Token;
use safeconduct_authn::return_to::ReturnTo;
use safeconduct_directory::{OidcAnswer, OidcPurpose, Proven, ProviderError, SignInError};
use safeconduct_model::{DeviceId, Duration};
use serde_json::Value;

use crate::devices::{Device, DeviceError, Proof};
use crate::house::House;
use crate::locks::LockedOut;
use crate::portal::SHOWN_DEVICE;
use crate::sign_in::encode;

/// How long the browser may take at an OpenID provider.
const FLOW_LIFE: Duration = Duration::from_mins(10);

/// The desk for everyone.
pub(crate) struct Desk(pub(crate) Arc<House>);

impl Desk {
    fn return_to(&self, wanted: &str) -> ReturnTo {
        self.0.return_to(wanted)
    }

    async fn open(&self, client: &Client, proven: Proven, return_to: &ReturnTo) -> Result<SignedIn, ApiError> {
        let device = SHOWN_DEVICE.try_with(Clone::clone).ok().flatten();
        let token = self.0.open_session(proven, device, client.ip).await.map_err(|e| told(&e))?;
        Ok(signed_in(&token, return_to))
    }

    async fn stepped_up(&self, visitor: &Visitor, proven: Proven, return_to: &ReturnTo) -> Result<SignedIn, ApiError> {
        let token = self.0.step_up(&visitor.auth.session, proven).await.map_err(|e| told(&e))?;
        Ok(signed_in(&token, return_to))
    }
}

/// The way on after a proof: past the page where a known device proves itself.
pub(crate) fn signed_in(token: &Token, return_to: &ReturnTo) -> SignedIn {
    let location = format!("/device/prove?return={}", encode(return_to.as_str()));
    SignedIn { location, cookies: vec![Cookie::new(Cookie::SESSION, token.reveal(), None)] }
}

impl Ceremonies for Desk {
    fn origin(&self) -> &str {
        &self.0.origin
    }

    fn begin_sign_in<'a>(&'a self, client: &'a Client, person: Option<String>, return_to: String) -> Answer<'a, Begun> {
        Box::pin(async move {
            let back = self.return_to(&return_to);
            let begun = self.0.passkeys.begin_sign_in(person.as_deref(), back, client.ip, self.0.now());
            begun.map(begins).map_err(|e| sign_in_error(&e))
        })
    }

    fn finish_sign_in<'a>(&'a self, client: &'a Client, ceremony: String, credential: Value) -> Answer<'a, SignedIn> {
        Box::pin(async move {
            let finished = self.0.passkeys.finish_sign_in(&ceremony, &credential, client.ip, self.0.now()).await;
            let (proven, back) = finished.map_err(|e| sign_in_error(&e))?;
            self.open(client, proven, &back).await
        })
    }

    fn begin_step_up<'a>(&'a self, _: &'a Client, visitor: &'a Visitor, return_to: String) -> Answer<'a, Begun> {
        Box::pin(async move {
            let back = self.return_to(&return_to);
            let begun = self.0.passkeys.begin_step_up(&visitor.person, &visitor.auth.session, back, self.0.now());
            begun.map(begins).map_err(|e| sign_in_error(&e))
        })
    }

    fn finish_step_up<'a>(
        &'a self,
        _: &'a Client,
        visitor: &'a Visitor,
        ceremony: String,
        credential: Value,
    ) -> Answer<'a, SignedIn> {
        Box::pin(async move {
            let (person, session) = (&visitor.person, &visitor.auth.session);
            let finished = self.0.passkeys.finish_step_up(person, session, &ceremony, &credential, self.0.now()).await;
            let (proven, back) = finished.map_err(|e| sign_in_error(&e))?;
            self.stepped_up(visitor, proven, &back).await
        })
    }

    fn begin_registration<'a>(&'a self, _: &'a Client, visitor: &'a Visitor, name: String) -> Answer<'a, Begun> {
        Box::pin(async move {
            self.0.may_change_sign_in(visitor).map_err(ApiError::refused)?;
            let session = &visitor.auth.session;
            let begun =
                self.0.passkeys.begin_registration(&visitor.person, &visitor.name, session, &name, self.0.now()).await;
            begun.map(begins).map_err(|e| sign_in_error(&e))
        })
    }

    fn finish_registration<'a>(
        &'a self,
        _: &'a Client,
        visitor: &'a Visitor,
        ceremony: String,
        credential: Value,
    ) -> Answer<'a, SignedIn> {
        Box::pin(async move {
            let (person, session) = (&visitor.person, &visitor.auth.session);
            let added =
                self.0.passkeys.finish_registration(person, session, &ceremony, &credential, self.0.now()).await;
            let added = added.map_err(|e| sign_in_error(&e))?;
            let recorded = self.0.record_change(person.as_str(), "passkey.add", person.as_str(), &added.name).await;
            recorded.map_err(|e| ApiError::unavailable(e.to_string()))?;
            Ok(SignedIn { location: "/me/security".to_owned(), cookies: vec![] })
        })
    }

    fn device_challenge<'a>(&'a self, _: &'a Client, visitor: Option<&'a Visitor>) -> Answer<'a, String> {
        Box::pin(async move {
            let visitor = visitor.ok_or_else(ApiError::sign_in_required)?;
            let issued = self.0.challenges.issue(Some(&visitor.auth.session), self.0.now());
            issued.map_err(|e| sign_in_error(&e))
        })
    }

    fn prove_device<'a>(
        &'a self,
        _: &'a Client,
        visitor: &'a Visitor,
        proof: DeviceProof,
        return_to: String,
    ) -> Answer<'a, SignedIn> {
        Box::pin(async move {
            let key = {
                let devices = self.0.devices();
                let known = devices.get(&proof.device).filter(|d| d.proof == Proof::Browser);
                known
                    .ok_or_else(|| ApiError::refused("This browser's device is not known any more. Enrol it again."))?;
                devices.key(&proof.device).map_err(|e| device_error(&e))?
            };
            self.proven(&key, &proof.challenge, &proof.signature, visitor)?;
            self.0.bind_device(&visitor.auth.session, proof.device).await.map_err(|e| told(&e))?;
            Ok(SignedIn { location: self.0.place(&return_to), cookies: vec![] })
        })
    }

    fn enrol_device<'a>(
        &'a self,
        _: &'a Client,
        visitor: &'a Visitor,
        enrolment: DeviceEnrolment,
    ) -> Answer<'a, DeviceId> {
        Box::pin(async move {
            let key = DeviceKey::from_base64url(&enrolment.public_key)
                .map_err(|e| ApiError::refused(format!("The public key is not accepted: {e}.")))?;
            self.proven(&key, &enrolment.challenge, &enrolment.signature, visitor)?;
            let name: String = enrolment.name.trim().chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
            if name.is_empty() {
                return Err(ApiError::refused("Give the device a name."));
            }
            let random = crate::house::random_hex::<4>().map_err(|e| told(&e))?;
            let id: DeviceId = format!("browser-{random}").parse().expect("hexadecimal digits are an id");
            let device = Device {
                id: id.clone(),
                name: name.clone(),
                owner: Some(visitor.person.clone()),
                // What a person enrols alone is known, not managed: only an operator says that.
                managed: false,
                public_key: key.to_base64url(),
                proof: Proof::Browser,
                enrolled: self.0.now(),
                report: None,
            };
            self.0.enrol(device, visitor.person.as_str()).await.map_err(|e| told(&e))?;
            self.0.bind_device(&visitor.auth.session, id.clone()).await.map_err(|e| told(&e))?;
            Ok(id)
        })
    }

    fn begin_oidc<'a>(
        &'a self,
        _: &'a Client,
        visitor: Option<&'a Visitor>,
        provider: String,
        return_to: String,
    ) -> Answer<'a, OidcBegun> {
        Box::pin(async move {
            let purpose = match visitor {
                Some(v) => OidcPurpose::StepUp(v.person.clone(), v.auth.session.clone()),
                None => OidcPurpose::SignIn,
            };
            let providers = self.0.providers.load_full();
            let begun = providers.begin(&provider, purpose, self.return_to(&return_to), self.0.now()).await;
            let begun = begun.map_err(|e| provider_error(&e))?;
            Ok(OidcBegun { location: begun.location, cookie: Cookie::new(Cookie::FLOW, begun.flow, Some(FLOW_LIFE)) })
        })
    }

    fn finish_oidc<'a>(
        &'a self,
        client: &'a Client,
        visitor: Option<&'a Visitor>,
        provider: String,
        callback: Callback,
        flow: Option<String>,
    ) -> Answer<'a, SignedIn> {
        Box::pin(async move {
            let Callback { code, state, iss, error } = callback;
            let answer = OidcAnswer { code, state, iss, error, flow };
            let session = visitor.map(|v| (&v.person, &v.auth.session));
            let providers = self.0.providers.load_full();
            let federated = providers.finish(&provider, answer, session, self.0.now()).await;
            let federated = federated.map_err(|e| provider_error(&e))?;
            if federated.newly_linked {
                let person = federated.proven.person.as_str();
                let recorded = self.0.record_change(person, "identity.link", person, &provider).await;
                recorded.map_err(|e| ApiError::unavailable(e.to_string()))?;
            }
            let mut signed = match (&federated.purpose, visitor) {
                (OidcPurpose::StepUp(..), Some(v)) => {
                    self.stepped_up(v, federated.proven, &federated.return_to).await?
                }
                _ => self.open(client, federated.proven, &federated.return_to).await?,
            };
            signed.cookies.push(Cookie::forget(Cookie::FLOW));
            Ok(signed)
        })
    }

    fn posture<'a>(&'a self, _: &'a Client, token: String) -> Answer<'a, ()> {
        Box::pin(async move {
            let max_age = self.0.current().config.settings.report_max_age;
            let believed = self.0.devices().believe(&token, self.0.now(), max_age);
            let device = believed.map_err(|e| device_error(&e))?;
            self.0.take_report(device).await.map_err(|e| told(&e))
        })
    }

    fn jwks(&self) -> Value {
        self.0.gateway().map_or(Value::Null, |g| serde_json::from_str(&g.jwks()).unwrap_or(Value::Null))
    }
}

/// The longest name of a device, in characters.
const MAX_NAME: usize = 60;

impl Desk {
    /// Whether a device key answered a challenge of this session.
    fn proven(&self, key: &DeviceKey, challenge: &str, signature: &str, visitor: &Visitor) -> Result<(), ApiError> {
        let session = Some(&visitor.auth.session);
        let answered = self.0.challenges.verify(challenge, session, key, signature, self.0.now());
        answered.map_err(|e| match e {
            SignInError::NotOpen => ApiError::refused("The challenge is unknown, used, or too old. Reload the page."),
            _ => ApiError::refused("The device key did not prove itself."),
        })
    }
}

fn begins(begun: safeconduct_directory::Begun) -> Begun {
    Begun { ceremony: begun.ceremony, public_key: begun.public_key }
}

fn sign_in_error(error: &SignInError) -> ApiError {
    match error {
        SignInError::Refused => ApiError::sign_in_failed(),
        SignInError::TooMany | SignInError::Busy => ApiError::limit_reached(),
        SignInError::NotOpen => ApiError::refused("The sign-in took too long or was already used. Begin again."),
        SignInError::Account(e) => ApiError::refused(format!("{e}.")),
        SignInError::Unavailable(_) => {
            tracing::warn!(%error, "a sign-in could not be completed");
            ApiError::unavailable("The sign-in could not be completed. Try again in a moment.")
        }
    }
}

fn provider_error(error: &ProviderError) -> ApiError {
    tracing::warn!(%error, "a sign-in through an identity provider did not succeed");
    match error {
        ProviderError::Unknown(_) => ApiError::not_found("There is no such identity provider."),
        ProviderError::Http(_) | ProviderError::Document(..) | ProviderError::Config(..) => {
            ApiError::unavailable("The identity provider could not be asked. Try again, or sign in another way.")
        }
        _ => ApiError::sign_in_failed(),
    }
}

fn device_error(error: &DeviceError) -> ApiError {
    match error {
        DeviceError::Unknown(_) => ApiError::not_found("No such device is enrolled."),
        other => ApiError::refused(format!("{other}.")),
    }
}

/// An error of the house, for the person who asked. What may be known is said; the rest goes to the log.
fn told(error: &anyhow::Error) -> ApiError {
    if let Some(session) = error.downcast_ref::<SessionError>() {
        return ApiError::refused(format!("{session}."));
    }
    if let Some(locked) = error.downcast_ref::<LockedOut>() {
        return ApiError::refused(locked.to_string());
    }
    if let Some(device) = error.downcast_ref::<DeviceError>() {
        return device_error(device);
    }
    tracing::warn!(error = format!("{error:#}"), "a ceremony could not be completed");
    ApiError::unavailable("It could not be completed. Try again in a moment.")
}
