//! What the server implements, and the values that pass.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;

use futures_util::Stream;
use safeconduct_access::Visitor;
use safeconduct_model::{
    AppId, ConnectorName, DeviceId, Entry, Lock, LockId, Method, PersonId, RequestId, SessionId, SiteId, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ApiError, ConnectorRow, ConnectorToken, Cookie, NewLock};

/// What a backend answers, in time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// Verdicts as they happen.
pub type Events = Pin<Box<dyn Stream<Item = Entry> + Send>>;

/// From where a request comes. An extension of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address of the peer.
    pub ip: IpAddr,
    /// The id of the request.
    pub request: RequestId,
}

/// Marks requests of the local socket, whose peers are the operators of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalSocket;

/// Who administers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The command line on the local socket.
    Cli,
    /// An operator who signed in.
    Operator(PersonId),
}

/// A ceremony that has begun at the server. Its name does not print.
#[derive(Clone, PartialEq, Serialize)]
pub struct Begun {
    /// The name of the ceremony, secret and single-use.
    pub ceremony: String,
    /// The options for `navigator.credentials`.
    #[serde(rename = "publicKey")]
    pub public_key: Value,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun([redacted])")
    }
}

/// A sign-in or step-up that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// Where to go; the backend made sure that it is one of our own origins.
    pub location: String,
    /// The cookies to set.
    pub cookies: Vec<Cookie>,
}

/// A sign-in at an OpenID provider that begins. The address holds state and nonce, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct OidcBegun {
    /// The address at the provider.
    pub location: String,
    /// The cookie that binds the sign-in to this browser.
    pub cookie: Cookie,
}

impl fmt::Debug for OidcBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OidcBegun([redacted])")
    }
}

/// What a provider sent back through the browser. Code and state do not print.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Callback {
    /// The code, if the provider signed the person in.
    pub code: Option<String>,
    /// The state of our request.
    pub state: Option<String>,
    /// The issuer (RFC 9207).
    pub iss: Option<String>,
    /// The error code, if it did not.
    pub error: Option<String>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("iss", &self.iss).field("error", &self.error).finish_non_exhaustive()
    }
}

/// A browser proves that it holds the key of a device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceProof {
    /// Which device.
    pub device: DeviceId,
    /// The challenge, as it was given out.
    pub challenge: String,
    /// The signature, raw r || s in base64url.
    pub signature: String,
}

/// A browser enrols the key that it made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceEnrolment {
    /// What the person calls the device.
    pub name: String,
    /// The public key, SubjectPublicKeyInfo in base64url.
    pub public_key: String,
    /// The challenge, as it was given out.
    pub challenge: String,
    /// The signature of the new key over the challenge.
    pub signature: String,
}

/// What everyone may ask of the server: signing in, devices, reports.
///
/// Texts that come from outside (`return`, names of people, states) are handed on as they are; the backend parses them.
pub trait Ceremonies: Send + Sync + 'static {
    /// The origin of the portal, `https://host[:port]`.
    fn origin(&self) -> &str;
    /// Begins a passkey sign-in; without a person, the authenticator says who it is.
    fn begin_sign_in<'a>(&'a self, client: &'a Client, person: Option<String>, return_to: String) -> Answer<'a, Begun>;
    /// Ends a passkey sign-in.
    fn finish_sign_in<'a>(&'a self, client: &'a Client, ceremony: String, credential: Value) -> Answer<'a, SignedIn>;
    /// Begins a step-up of this session.
    fn begin_step_up<'a>(&'a self, client: &'a Client, visitor: &'a Visitor, return_to: String) -> Answer<'a, Begun>;
    /// Ends a step-up of this session.
    fn finish_step_up<'a>(
        &'a self,
        client: &'a Client,
        visitor: &'a Visitor,
        ceremony: String,
        credential: Value,
    ) -> Answer<'a, SignedIn>;
    /// Begins the registration of a passkey for this person.
    fn begin_registration<'a>(&'a self, client: &'a Client, visitor: &'a Visitor, name: String) -> Answer<'a, Begun>;
    /// Ends the registration of a passkey for this person.
    fn finish_registration<'a>(
        &'a self,
        client: &'a Client,
        visitor: &'a Visitor,
        ceremony: String,
        credential: Value,
    ) -> Answer<'a, SignedIn>;
    /// Gives out a challenge for a device proof, base64url.
    fn device_challenge<'a>(&'a self, client: &'a Client, visitor: Option<&'a Visitor>) -> Answer<'a, String>;
    /// Binds a device that proves itself to this session.
    fn prove_device<'a>(
        &'a self,
        client: &'a Client,
        visitor: &'a Visitor,
        proof: DeviceProof,
        return_to: String,
    ) -> Answer<'a, SignedIn>;
    /// Enrols the browser's device for this person.
    fn enrol_device<'a>(
        &'a self,
        client: &'a Client,
        visitor: &'a Visitor,
        enrolment: DeviceEnrolment,
    ) -> Answer<'a, DeviceId>;
    /// Begins a sign-in at an OpenID provider.
    fn begin_oidc<'a>(
        &'a self,
        client: &'a Client,
        visitor: Option<&'a Visitor>,
        provider: String,
        return_to: String,
    ) -> Answer<'a, OidcBegun>;
    /// Ends a sign-in at an OpenID provider. `flow` is the value of the cookie [`Cookie::FLOW`].
    fn finish_oidc<'a>(
        &'a self,
        client: &'a Client,
        visitor: Option<&'a Visitor>,
        provider: String,
        callback: Callback,
        flow: Option<String>,
    ) -> Answer<'a, SignedIn>;
    /// Takes a signed posture report.
    fn posture<'a>(&'a self, client: &'a Client, token: String) -> Answer<'a, ()>;
    /// The public keys that identity assertions are signed with.
    fn jwks(&self) -> Value;
}

/// A session, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// Which session.
    pub session: SessionId,
    /// Whose.
    pub person: PersonId,
    /// The methods proven.
    pub methods: Vec<Method>,
    /// The machine whose command line it is; nothing for a browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The device bound to it.
    pub device: Option<DeviceId>,
    /// When it began.
    pub since: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// The address it was last used from.
    pub ip: Option<IpAddr>,
    /// How many live connections rest on it.
    pub connections: u64,
}

/// Which verdicts to list. All conditions hold together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct VerdictQuery {
    /// Of this person.
    pub person: Option<PersonId>,
    /// On this application.
    pub app: Option<AppId>,
    /// `permit` or `deny`.
    pub verdict: Option<String>,
    /// With this reason code.
    pub reason: Option<String>,
    /// Of this request.
    pub request: Option<RequestId>,
    /// Not before this instant.
    pub since: Option<Timestamp>,
    /// Before this place in the ledger: the next page.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: Option<u32>,
}

/// What to publish.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PublishFrom {
    /// The policies of a directory on the server's machine.
    Directory(String),
    /// A signed bundle on the server's machine.
    Bundle(String),
    /// A proposal by its name.
    Proposal(String),
}

/// A policy that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The revision that binds now.
    pub revision: u64,
    /// What differs from what bound before, rule by rule, in words.
    pub difference: String,
}

/// A device to be known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// Its name.
    pub name: String,
    /// Whether the organisation manages it.
    pub managed: bool,
    /// Its public key, SubjectPublicKeyInfo in base64url.
    pub public_key: String,
    /// Whose it is, if it is someone's.
    #[serde(default)]
    pub person: Option<PersonId>,
    /// How it proves itself in a session.
    #[serde(default)]
    pub proof: ProvesBy,
}

/// How a new device proves itself in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ProvesBy {
    /// By a client certificate, on every connection.
    #[default]
    Certificate,
    /// By a key that signs a challenge, at sign-in and step-up.
    Browser,
}

/// How the server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether everything works.
    pub healthy: bool,
    /// Each part in words.
    pub parts: BTreeMap<String, String>,
}

/// What operators and the command line may ask of the server. Every change is recorded with its actor.
pub trait Administration: Send + Sync + 'static {
    /// The origin of the portal, `https://host[:port]`.
    fn origin(&self) -> &str;
    /// The live sessions.
    fn sessions(&self) -> Answer<'_, Vec<SessionRow>>;
    /// Ends a session; says how many live connections were cut.
    fn cut_session<'a>(&'a self, actor: Actor, session: SessionId) -> Answer<'a, u64>;
    /// Ends all sessions of a person; says how many.
    fn end_sessions<'a>(&'a self, actor: Actor, person: PersonId) -> Answer<'a, u64>;
    /// Recorded verdicts, the newest first.
    fn verdicts(&self, query: VerdictQuery) -> Answer<'_, Vec<Entry>>;
    /// Verdicts as they happen.
    fn events(&self) -> Answer<'_, Events>;
    /// Publishes a policy.
    fn publish<'a>(&'a self, actor: Actor, from: PublishFrom) -> Answer<'a, Published>;
    /// Makes a device known.
    fn add_device<'a>(&'a self, actor: Actor, device: NewDevice) -> Answer<'a, DeviceId>;
    /// Makes a one-time link with which a person makes their account.
    fn setup_link<'a>(&'a self, actor: Actor, person: PersonId) -> Answer<'a, String>;
    /// Every connector.
    fn connectors(&self) -> Answer<'_, Vec<ConnectorRow>>;
    /// Makes a token that lets one connector join a site.
    fn connector_token<'a>(&'a self, actor: Actor, site: SiteId) -> Answer<'a, ConnectorToken>;
    /// Lets a connector in no more; says how many links were cut.
    fn revoke_connector<'a>(&'a self, actor: Actor, name: ConnectorName) -> Answer<'a, u64>;
    /// Every lock that is kept, also those that ended of late.
    fn locks(&self) -> Answer<'_, Vec<Lock>>;
    /// Places a lock.
    fn place_lock<'a>(&'a self, actor: Actor, new: NewLock) -> Answer<'a, Lock>;
    /// Lifts a lock; says which it was.
    fn lift_lock<'a>(&'a self, actor: Actor, id: LockId) -> Answer<'a, Lock>;
    /// How the server is.
    fn health(&self) -> Answer<'_, Health>;
}
