//! What the pages show and do: the console's questions, answered from the house.
//!
//! Each room reads real data and shapes it; nothing here decides. What is counted comes from the ledger, its index, the
//! snapshot, the estate, the sessions and the gateway. What is not known is said to be unknown.

mod assess;
mod connectors;
mod cut;
mod digest;
mod explained;
mod figures;
mod five;
pub(crate) mod health;
pub(crate) mod links;
pub(crate) mod locks;
mod machine;
mod map;
mod me;
mod moves;
mod overview;
mod people;
mod policy;
mod proposal;
mod protect;
mod purpose;
mod sign_in;
mod things;
mod today;
mod verdict;
mod watch;

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use safeconduct_access::Visitor;
use safeconduct_console::{Answer, Backend, Events, Trouble, view};
use safeconduct_model::{AppId, ConnectorName, DeviceId, Duration, LockId, PersonId, SessionId, Timestamp};

use crate::house::House;
use crate::portal::CLIENT;
use digest::Digest;
pub(crate) use digest::{Reading, follow};

/// How far back figures of use look.
pub(crate) const WINDOW_DAYS: u32 = 30;

/// How long an action waits for the index.
const SETTLES_WITHIN: StdDuration = StdDuration::from_secs(2);

/// The rooms, over the house.
pub(crate) struct Rooms {
    house: Arc<House>,
    integrity: Arc<assess::Checked>,
    today: Arc<today::Today>,
}

impl Rooms {
    pub(crate) fn new(house: Arc<House>) -> Self {
        Self { house, integrity: Arc::default(), today: Arc::default() }
    }

    /// Looks at the digest of the ledger, brought up to date, away from the requests.
    async fn digest<T: Send + 'static>(&self, look: impl FnOnce(&Digest) -> T + Send + 'static) -> Result<T, Trouble> {
        let house = Arc::clone(&self.house);
        let looked = tokio::task::spawn_blocking(move || {
            house.reading.look(&house.ledger, &house.ledger_dir(), |digest| {
                if digest.beyond() > 0 {
                    tracing::warn!(beyond = digest.beyond(), "verdicts found no room in the figures of use");
                }
                look(digest)
            })
        });
        match looked.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(unavailable("The ledger", &error)),
            Err(error) => Err(unavailable("Reading the ledger", &error)),
        }
    }
}

/// There is no such thing.
pub(crate) fn not_found() -> Trouble {
    Trouble::NotFound
}

/// No, with the reason.
pub(crate) fn refused(reason: impl Into<String>) -> Trouble {
    Trouble::Refused { reason: reason.into() }
}

/// Something of ours does not answer. The visitor learns what; the log learns why.
pub(crate) fn unavailable(what: &str, error: &dyn Display) -> Trouble {
    tracing::warn!(%error, what, "a page could not be answered");
    Trouble::Unavailable { what: format!("{what} does not answer at this moment. The health page says more.") }
}

/// A change could not be kept or recorded.
pub(crate) fn unkept(error: &anyhow::Error) -> Trouble {
    tracing::warn!(error = format!("{error:#}"), "a change could not be kept");
    Trouble::Unavailable { what: "The change could not be kept. The health page says more.".to_owned() }
}

/// Waits until the index has what was just recorded, so that the next page shows it; not for ever.
pub(crate) async fn settled(house: &House) {
    if let Some(last) = house.ledger.health().written.checked_sub(1) {
        let _ = tokio::time::timeout(SETTLES_WITHIN, house.index.reached(last)).await;
    }
}

/// From where the request comes that is being answered. Outside of a request it is nowhere.
pub(crate) fn client_ip() -> IpAddr {
    CLIENT.try_with(|client| client.ip).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The instant at which a window of days begins.
pub(crate) fn window(now: Timestamp, days: u32) -> Timestamp {
    now - Duration::from_days(days.into())
}

impl Backend for Rooms {
    fn now(&self) -> Timestamp {
        self.house.now()
    }
    fn organisation(&self) -> String {
        self.house.current().config.settings.organisation.clone()
    }
    fn safe_return(&self, wanted: &str) -> String {
        self.house.place(wanted)
    }

    fn overview<'a>(&'a self, _: &'a Visitor) -> Answer<'a, view::Overview> {
        Box::pin(overview::view(self))
    }
    fn protect<'a>(&'a self, _: &'a Visitor) -> Answer<'a, view::Protect> {
        Box::pin(protect::view(self))
    }
    fn map<'a>(&'a self, _: &'a Visitor, query: &'a view::MapQuery) -> Answer<'a, view::Map> {
        Box::pin(map::view(self, query))
    }
    fn policy<'a>(&'a self, _: &'a Visitor) -> Answer<'a, view::Policy> {
        Box::pin(policy::view(self))
    }
    fn proposal<'a>(&'a self, _: &'a Visitor, id: &'a str) -> Answer<'a, view::Proposal> {
        Box::pin(proposal::view(&self.house, id))
    }
    fn propose<'a>(&'a self, by: &'a Visitor, app: &'a AppId) -> Answer<'a, String> {
        Box::pin(proposal::propose(&self.house, by, app))
    }
    fn publish<'a>(&'a self, by: &'a Visitor, id: &'a str) -> Answer<'a, view::Done> {
        Box::pin(proposal::publish(&self.house, by, id))
    }
    fn discard<'a>(&'a self, by: &'a Visitor, id: &'a str) -> Answer<'a, view::Done> {
        Box::pin(proposal::discard(&self.house, by, id))
    }
    fn watch<'a>(&'a self, _: &'a Visitor, query: &'a view::WatchQuery) -> Answer<'a, view::Watch> {
        Box::pin(watch::view(&self.house, query))
    }
    fn events<'a>(&'a self, _: &'a Visitor, query: &'a view::WatchQuery) -> Answer<'a, Events> {
        Box::pin(async move { Ok(watch::events(&self.house, query)) })
    }
    fn verdict<'a>(&'a self, _: &'a Visitor, seq: u64, again: bool) -> Answer<'a, view::Verdict> {
        Box::pin(verdict::view(&self.house, seq, again))
    }
    fn assess<'a>(&'a self, _: &'a Visitor) -> Answer<'a, view::Assess> {
        Box::pin(assess::view(self))
    }
    fn apps<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<view::AppRow>> {
        Box::pin(things::apps(self))
    }
    fn app<'a>(&'a self, _: &'a Visitor, id: &'a AppId) -> Answer<'a, view::App> {
        Box::pin(things::app(self, id))
    }
    fn people<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<view::PersonRow>> {
        Box::pin(people::people(self))
    }
    fn person<'a>(&'a self, _: &'a Visitor, id: &'a PersonId) -> Answer<'a, view::Person> {
        Box::pin(people::person(self, id))
    }
    fn devices<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<view::DeviceRow>> {
        Box::pin(people::devices(self))
    }
    fn device<'a>(&'a self, _: &'a Visitor, id: &'a DeviceId) -> Answer<'a, view::Device> {
        Box::pin(people::device(self, id))
    }
    fn connectors<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<view::ConnectorRow>> {
        Box::pin(async move { Ok(connectors::list(&self.house)) })
    }
    fn revoke_connector<'a>(&'a self, by: &'a Visitor, name: &'a ConnectorName) -> Answer<'a, view::Done> {
        Box::pin(connectors::revoke(&self.house, by, name))
    }
    fn locks<'a>(&'a self, _: &'a Visitor) -> Answer<'a, Vec<view::LockRow>> {
        Box::pin(async move { Ok(locks::list(&self.house)) })
    }
    fn place_lock<'a>(&'a self, by: &'a Visitor, form: &'a view::LockForm) -> Answer<'a, view::LockPlaced> {
        Box::pin(locks::place(&self.house, by, form))
    }
    fn lift_lock<'a>(&'a self, by: &'a Visitor, id: &'a LockId) -> Answer<'a, view::Done> {
        Box::pin(locks::lift(&self.house, by, id))
    }
    fn cut_session<'a>(&'a self, by: &'a Visitor, id: &'a SessionId) -> Answer<'a, view::Done> {
        Box::pin(cut::session(&self.house, by, id))
    }
    fn end_sessions<'a>(&'a self, by: &'a Visitor, person: &'a PersonId) -> Answer<'a, view::Done> {
        Box::pin(cut::all_of(&self.house, by, person))
    }
    fn health<'a>(&'a self, _: &'a Visitor) -> Answer<'a, view::Health> {
        Box::pin(health::view(&self.house))
    }

    fn home<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Home> {
        Box::pin(async move { me::home(&self.house, by) })
    }
    fn security<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Security> {
        Box::pin(me::security(&self.house, by))
    }
    fn my_devices<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::MyDevices> {
        Box::pin(async move { Ok(view::MyDevices { devices: me::devices(&self.house, by) }) })
    }
    fn sign_in(&self) -> Answer<'_, view::SignIn> {
        Box::pin(async move { Ok(sign_in::ways(&self.house)) })
    }
    fn sign_in_password<'a>(&'a self, form: &'a view::PasswordForm) -> Answer<'a, view::Outcome> {
        Box::pin(sign_in::with_password(&self.house, form))
    }
    fn step_up<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::StepUp> {
        Box::pin(async move { Ok(sign_in::step_up(&self.house, by)) })
    }
    fn why<'a>(&'a self, _: &'a Visitor, app: &'a AppId) -> Answer<'a, view::Why> {
        Box::pin(async move { purpose::why(&self.house, app) })
    }
    fn explained<'a>(&'a self, by: &'a Visitor, request: &'a str) -> Answer<'a, view::Denied> {
        Box::pin(explained::explained(&self.house, by, request))
    }
    fn state_purpose<'a>(&'a self, by: &'a Visitor, form: &'a view::PurposeForm) -> Answer<'a, view::Outcome> {
        Box::pin(purpose::state_purpose(&self.house, by, form))
    }
    fn setup<'a>(&'a self, token: &'a str) -> Answer<'a, view::Setup> {
        Box::pin(sign_in::setup(&self.house, token))
    }
    fn set_up<'a>(&'a self, token: &'a str, form: &'a view::SetupForm) -> Answer<'a, view::Outcome> {
        Box::pin(sign_in::set_up(&self.house, token, form))
    }
    fn sign_out<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Outcome> {
        Box::pin(sign_in::sign_out(&self.house, by))
    }
    fn set_password<'a>(&'a self, by: &'a Visitor, password: &'a view::Hidden) -> Answer<'a, view::Outcome> {
        Box::pin(me::set_password(&self.house, by, password))
    }
    fn totp_begin<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Outcome> {
        Box::pin(async move { Ok(me::totp_begin(&self.house, by)) })
    }
    fn totp_finish<'a>(&'a self, by: &'a Visitor, code: &'a view::Hidden) -> Answer<'a, view::Outcome> {
        Box::pin(me::totp_finish(&self.house, by, code))
    }
    fn totp_remove<'a>(&'a self, by: &'a Visitor) -> Answer<'a, view::Outcome> {
        Box::pin(me::totp_remove(&self.house, by))
    }
    fn passkey_remove<'a>(&'a self, by: &'a Visitor, id: &'a str) -> Answer<'a, view::Outcome> {
        Box::pin(me::passkey_remove(&self.house, by, id))
    }
    fn machine<'a>(&'a self, by: &'a Visitor, asked: &'a view::MachineAsked) -> Answer<'a, view::Machine> {
        Box::pin(async move { machine::look(&self.house, by, asked) })
    }
    fn answer_machine<'a>(
        &'a self,
        by: &'a Visitor,
        asked: &'a view::MachineAsked,
        yes: bool,
    ) -> Answer<'a, view::Outcome> {
        Box::pin(machine::answer(&self.house, by, asked, yes))
    }
    fn end_my_session<'a>(&'a self, by: &'a Visitor, id: &'a SessionId) -> Answer<'a, view::Outcome> {
        Box::pin(me::end_session(&self.house, by, id))
    }
}

#[cfg(test)]
mod tests;
