//! What the pages need to know and do. The server implements it; nothing here knows how.

use std::future::Future;
use std::pin::Pin;

use futures_util::Stream;
use safeconduct_access::Visitor;
use safeconduct_model::{AppId, ConnectorName, DeviceId, LockId, PersonId, SessionId, Timestamp};
use thiserror::Error;

use crate::view;

/// A promised answer: object-safe, so that the pages know no concrete backend.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'a>>;

/// Verdicts as they happen.
pub type Events = Pin<Box<dyn Stream<Item = view::VerdictRow> + Send>>;

/// Why there is no answer.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such thing, or the visitor may not know of it.
    #[error("there is nothing here")]
    NotFound,
    /// The answer is no.
    #[error("{reason}")]
    Refused {
        /// Why, in words for the visitor.
        reason: String,
    },
    /// It cannot be answered at this moment.
    #[error("{what}")]
    Unavailable {
        /// What is missing, in words for the visitor.
        what: String,
    },
}

/// Everything that the pages ask for. Every method gets the visitor: the implementation records who did what.
pub trait Backend: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
    /// The name of the organisation, for headings.
    fn organisation(&self) -> String;

    /// Where to go on after a sign-in or the like: `wanted` if it is a path of the portal or lies on a host that the gateway
    /// publishes, else `/`. The wanted address comes from outside; nothing else stands between it and an open redirect.
    fn safe_return(&self, wanted: &str) -> String;

    /// How far the organisation is, and what is next.
    fn overview<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Overview>;
    /// The protect surface.
    fn protect<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Protect>;
    /// Who uses what.
    fn map<'a>(&'a self, by: &'a Visitor, query: &'a view::MapQuery) -> Answer<'a, view::Map>;
    /// The rules that bind, their tests and the proposals.
    fn policy<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Policy>;
    /// One proposal with its rehearsal.
    fn proposal<'a>(&'a self, by: &'a Visitor, id: &'a str) -> Answer<'a, view::Proposal>;
    /// Writes a proposal for an application from its observed use; the answer is the id of the proposal.
    fn propose<'a>(&'a self, by: &'a Visitor, app: &'a AppId) -> Answer<'a, String>;
    /// Binds a proposal.
    fn publish<'a>(&'a self, by: &'a Visitor, id: &'a str) -> Answer<'a, view::Done>;
    /// Sets a proposal aside.
    fn discard<'a>(&'a self, by: &'a Visitor, id: &'a str) -> Answer<'a, view::Done>;
    /// Verdicts, sessions and cuts.
    fn watch<'a>(&'a self, by: &'a Visitor, query: &'a view::WatchQuery) -> Answer<'a, view::Watch>;
    /// Verdicts as they happen. Filtering by the query is the backend's part.
    fn events<'a>(&'a self, by: &'a Visitor, query: &'a view::WatchQuery) -> Answer<'a, Events>;
    /// The record of one verdict; with `again` it is decided once more under today's policy.
    fn verdict<'a>(&'a self, by: &'a Visitor, seq: u64, again: bool) -> Answer<'a, view::Verdict>;
    /// Maturity as intervals.
    fn assess<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Assess>;
    /// Every application.
    fn apps<'a>(&'a self, by: &'a Visitor) -> Answer<'a, Vec<view::AppRow>>;
    /// One application.
    fn app<'a>(&'a self, by: &'a Visitor, id: &'a AppId) -> Answer<'a, view::App>;
    /// Every person.
    fn people<'a>(&'a self, by: &'a Visitor) -> Answer<'a, Vec<view::PersonRow>>;
    /// One person.
    fn person<'a>(&'a self, by: &'a Visitor, id: &'a PersonId) -> Answer<'a, view::Person>;
    /// Every device.
    fn devices<'a>(&'a self, by: &'a Visitor) -> Answer<'a, Vec<view::DeviceRow>>;
    /// One device.
    fn device<'a>(&'a self, by: &'a Visitor, id: &'a DeviceId) -> Answer<'a, view::Device>;
    /// Every connector.
    fn connectors<'a>(&'a self, by: &'a Visitor) -> Answer<'a, Vec<view::ConnectorRow>>;
    /// Lets a connector in no more, and ends its links.
    fn revoke_connector<'a>(&'a self, by: &'a Visitor, name: &'a ConnectorName) -> Answer<'a, view::Done>;
    /// Every lock that holds, and those that ended of late.
    fn locks<'a>(&'a self, by: &'a Visitor) -> Answer<'a, Vec<view::LockRow>>;
    /// Places a lock.
    fn place_lock<'a>(&'a self, by: &'a Visitor, form: &'a view::LockForm) -> Answer<'a, view::LockPlaced>;
    /// Lifts a lock.
    fn lift_lock<'a>(&'a self, by: &'a Visitor, id: &'a LockId) -> Answer<'a, view::Done>;
    /// Ends one session and everything that rests on it.
    fn cut_session<'a>(&'a self, by: &'a Visitor, id: &'a SessionId) -> Answer<'a, view::Done>;
    /// Ends every session of a person.
    fn end_sessions<'a>(&'a self, by: &'a Visitor, person: &'a PersonId) -> Answer<'a, view::Done>;
    /// The state of the parts of the system.
    fn health<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Health>;

    /// What the visitor can open, and why not the rest.
    fn home<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Home>;
    /// How the visitor signs in.
    fn security<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Security>;
    /// The devices of the visitor.
    fn my_devices<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::MyDevices>;
    /// The ways to sign in.
    fn sign_in(&self) -> Answer<'_, view::SignIn>;
    /// Signs in with a password and perhaps a code.
    fn sign_in_password<'a>(&'a self, form: &'a view::PasswordForm) -> Answer<'a, view::Outcome>;
    /// What a stronger or fresher proof asks for.
    fn step_up<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::StepUp>;
    /// The purposes that an application accepts.
    fn why<'a>(&'a self, by: &'a Visitor, app: &'a AppId) -> Answer<'a, view::Why>;
    /// Why a request of the visitor was denied. `NotFound` for every other.
    fn explained<'a>(&'a self, by: &'a Visitor, request: &'a str) -> Answer<'a, view::Denied>;
    /// States a purpose.
    fn state_purpose<'a>(&'a self, by: &'a Visitor, form: &'a view::PurposeForm) -> Answer<'a, view::Outcome>;
    /// Whether a one-time link is still good. `NotFound` if not.
    fn setup<'a>(&'a self, token: &'a str) -> Answer<'a, view::Setup>;
    /// Makes the first administrator.
    fn set_up<'a>(&'a self, token: &'a str, form: &'a view::SetupForm) -> Answer<'a, view::Outcome>;
    /// Ends the session of the visitor.
    fn sign_out<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Outcome>;
    /// Sets a password.
    fn set_password<'a>(&'a self, by: &'a Visitor, password: &'a view::Hidden) -> Answer<'a, view::Outcome>;
    /// Makes a new secret for codes; it counts after [`Self::totp_finish`].
    fn totp_begin<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Outcome>;
    /// Confirms the secret with a code.
    fn totp_finish<'a>(&'a self, by: &'a Visitor, code: &'a view::Hidden) -> Answer<'a, view::Outcome>;
    /// Removes the codes.
    fn totp_remove<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Outcome>;
    /// Removes a passkey.
    fn passkey_remove<'a>(&'a self, by: &'a Visitor, id: &'a str) -> Answer<'a, view::Outcome>;
    /// The machine or program that asks to sign in as the visitor. `NotFound` if none waits under this code.
    fn machine<'a>(&'a self, by: &'a Visitor, asked: &'a view::MachineAsked) -> Answer<'a, view::Machine>;
    /// Lets it in, or not.
    fn answer_machine<'a>(
        &'a self,
        by: &'a Visitor,
        asked: &'a view::MachineAsked,
        yes: bool,
    ) -> Answer<'a, view::Outcome>;
    /// Ends one session of the visitor.
    fn end_my_session<'a>(&'a self, by: &'a Visitor, id: &'a SessionId) -> Answer<'a, view::Outcome>;
}
