//! What end users see of themselves: what opens and why not the rest, their sessions, devices and sign-in methods.

use std::net::IpAddr;

use safeconduct_access::{Session, Visitor};
use safeconduct_authn::password::Password;
use safeconduct_config::CONSOLE;
use safeconduct_console::Trouble;
use safeconduct_console::view::{Hidden, Home, MyDevice, MySession, Opens, Outcome, Passkey, Security, Tile, Totp};
use safeconduct_gateway::Identity;
use safeconduct_model::{
    Action, AppId, Application, Ask, PersonId, Place, Reason, SessionEventKind, SessionId, Timestamp, What,
};
use safeconduct_policy::{Snapshot, Verdict};
use safeconduct_store::{MAX_PAGE, Page};

use crate::devices;
use crate::house::House;
use crate::rooms::links::{Naming, count, named};
use crate::rooms::people::facts_of;
use crate::rooms::sign_in::{again, go, said};
use crate::rooms::things::address_of;
use crate::rooms::watch::live;
use crate::rooms::{client_ip, not_found, settled, unavailable, unkept};

/// Where sign-in methods are shown.
const SECURITY: &str = "/me/security";

/// My access.
pub(crate) fn home(house: &House, by: &Visitor) -> Result<Home, Trouble> {
    let now = house.now();
    let Some(session) = house.sessions().get(&by.auth.session, now).cloned() else { return Err(not_found()) };
    Ok(Home { tiles: tiles(house, &session, now), sessions: sessions(house, by), devices: devices(house, by) })
}

/// Every application but the console; those that no rule opens for this person come last.
fn tiles(house: &House, session: &Session, now: Timestamp) -> Vec<Tile> {
    let (current, ip) = (house.current(), client_ip());
    let estate = &current.config.estate;
    let apps = estate.applications.values().filter(|a| a.id.as_str() != CONSOLE);
    let mut tiles: Vec<Tile> = apps
        .map(|app| Tile {
            id: app.id.clone(),
            name: app.name.clone(),
            note: note(estate, app),
            address: address_of(house, app),
            opens: by_name(
                house,
                opens(&current.snapshot, &app.id, ip, now, &|| house.identity_of(session, &app.id, ip, now)),
            ),
        })
        .collect();
    let closed = |t: &Tile| matches!(t.opens, Opens::No { reason: Reason::NoRule, .. });
    tiles.sort_by_key(closed);
    tiles
}

/// What an application leads to, in one line.
fn note(estate: &safeconduct_config::Estate, app: &Application) -> String {
    let assets: Vec<&safeconduct_model::Asset> = app.assets.iter().filter_map(|a| estate.assets.get(a)).collect();
    match assets.as_slice() {
        [one] if !one.note.is_empty() => one.note.clone(),
        many => many.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// What policy says to reading and writing the start page now.
fn opens(snapshot: &Snapshot, app: &AppId, ip: IpAddr, now: Timestamp, identity: &dyn Fn() -> Identity) -> Opens {
    let ask = |action: Action, method: &str| {
        let Identity { who, device, why, lock, network, country } = identity();
        let request = "look".parse().expect("a fixed id is valid");
        let what = What { app: app.clone(), action, method: method.to_owned(), path: "/".to_owned() };
        snapshot.decide(&Ask { request, who, what, place: Place { ip, network, country, device }, why, lock }, now)
    };
    may(ask(Action::Read, "GET"), ask(Action::Write, "POST"))
}

/// The same with the owner by name.
fn by_name(names: &dyn Naming, opens: Opens) -> Opens {
    match opens {
        Opens::No { reason, failing, remedies } => Opens::No { reason, failing, remedies: named(names, remedies) },
        yes @ Opens::Yes { .. } => yes,
    }
}

/// What two verdicts come to.
fn may(read: Verdict, write: Verdict) -> Opens {
    match (read, write) {
        (Verdict::Permit(read), Verdict::Permit(write)) => {
            Opens::Yes { may: "read and write".to_owned(), until: Some(read.until().min(write.until())) }
        }
        (Verdict::Permit(one), _) => Opens::Yes { may: "read".to_owned(), until: Some(one.until()) },
        (_, Verdict::Permit(one)) => Opens::Yes { may: "write".to_owned(), until: Some(one.until()) },
        (Verdict::Denial(no), _) => Opens::No { reason: no.reason, failing: no.failing, remedies: no.remedies },
    }
}

fn sessions(house: &House, by: &Visitor) -> Vec<MySession> {
    let of_me: Vec<Session> = house.sessions().of(&by.person).into_iter().cloned().collect();
    let live = live(house);
    let row = |s: &Session| MySession {
        id: s.id.clone(),
        this: s.id == by.auth.session,
        machine: s.bound.as_ref().map(|b| b.machine.clone()),
        device: s.device.as_ref().map(|d| house.device(d).text),
        methods: s.methods.iter().copied().collect(),
        since: s.began,
        until: s.until,
        ip: s.ip,
        connections: count(live.iter().filter(|l| l.session.as_ref() == Some(&s.id)).count()),
    };
    of_me.iter().map(row).collect()
}

/// The devices of the visitor, and the one of this session whoever it belongs to.
pub(crate) fn devices(house: &House, by: &Visitor) -> Vec<MyDevice> {
    let now = house.now();
    let mine = |d: &&devices::Device| d.owner.as_ref() == Some(&by.person) || by.device.as_ref() == Some(&d.id);
    let all: Vec<devices::Device> = house.devices().all().filter(mine).cloned().collect();
    let row = |d: &devices::Device| {
        let facts = facts_of(house, d);
        MyDevice {
            id: d.id.to_string(),
            name: d.name.clone(),
            this: by.device.as_ref() == Some(&d.id),
            managed: d.managed,
            compliant: facts.is_compliant(now),
            reported: facts.reported,
            failing: facts.failing(now).into_iter().collect(),
        }
    };
    all.iter().map(row).collect()
}

/// When a person last changed one of their sign-in methods, as the ledger has it.
async fn changed(house: &House, person: &PersonId, verb: &str) -> Result<Timestamp, Trouble> {
    let page = Page { before_seq: None, limit: MAX_PAGE };
    let found = house.index.changes(Some(verb), page).await.map_err(|e| unavailable("The index", &e))?;
    // What was set before the ledger began is as old as can be.
    Ok(found.iter().find(|c| c.object == person.as_str()).map(|c| c.at).unwrap_or_default())
}

/// How the visitor signs in.
pub(crate) async fn security(house: &House, by: &Visitor) -> Result<Security, Trouble> {
    let summary = house.accounts.summary(&by.person);
    let organisation = house.current().config.settings.organisation.clone();
    let passkeys = summary.passkeys.into_iter();
    let password = if summary.password { Some(changed(house, &by.person, "password.set").await?) } else { None };
    let totp = match house.totp.pending(&by.person, &by.auth.session, &organisation, house.now()) {
        Some(new) => Totp::Pending { secret: new.secret, link: new.url },
        None if summary.totp => Totp::On { since: changed(house, &by.person, "totp.add").await? },
        None => Totp::Off,
    };
    Ok(Security {
        passkeys: passkeys.map(|p| Passkey { id: p.id, name: p.name, added: p.created, used: p.used }).collect(),
        password,
        totp,
    })
}

/// Records that the visitor changed how they sign in; afterwards, because a change that failed is none.
async fn record(house: &House, by: &Visitor, verb: &str, detail: &str) -> Result<(), Trouble> {
    let person = by.person.as_str();
    let recorded = house.record_change(person, verb, person, detail).await;
    recorded.map_err(|e| unavailable("The change was made, but the ledger", &e))?;
    settled(house).await;
    Ok(())
}

/// Sets a password.
pub(crate) async fn set_password(house: &House, by: &Visitor, password: &Hidden) -> Result<Outcome, Trouble> {
    if let Err(words) = house.may_change_sign_in(by) {
        return Ok(again(words));
    }
    let chosen = match Password::chosen(password.reveal().to_owned()) {
        Ok(chosen) => chosen,
        Err(error) => return Ok(again(sentence(&error.to_string()))),
    };
    if let Err(error) = house.passwords.set(&by.person, chosen).await {
        tracing::warn!(%error, "a password could not be set");
        return Ok(again(said(&error)));
    }
    record(house, by, "password.set", "").await?;
    Ok(go(SECURITY))
}

/// Makes a new secret for codes.
pub(crate) fn totp_begin(house: &House, by: &Visitor) -> Outcome {
    if let Err(words) = house.may_change_sign_in(by) {
        return again(words);
    }
    let organisation = house.current().config.settings.organisation.clone();
    match house.totp.begin(&by.person, &by.auth.session, &organisation, house.now()) {
        Ok(_) => go(SECURITY),
        Err(error) => again(said(&error)),
    }
}

/// Confirms the secret with a code.
pub(crate) async fn totp_finish(house: &House, by: &Visitor, code: &Hidden) -> Result<Outcome, Trouble> {
    if let Err(words) = house.may_change_sign_in(by) {
        return Ok(again(words));
    }
    match house.totp.finish(&by.person, &by.auth.session, code.reveal(), house.now()).await {
        Ok(()) => {
            record(house, by, "totp.add", "").await?;
            Ok(go(SECURITY))
        }
        Err(safeconduct_directory::SignInError::Refused) => {
            Ok(again("The code is not right. Take the one that shows now."))
        }
        Err(error) => Ok(again(said(&error))),
    }
}

/// Removes the codes.
pub(crate) async fn totp_remove(house: &House, by: &Visitor) -> Result<Outcome, Trouble> {
    if let Err(words) = house.may_change_sign_in(by) {
        return Ok(again(words));
    }
    if let Err(error) = house.accounts.remove_totp(&by.person).await {
        tracing::warn!(%error, "a generator of codes could not be removed");
        return Ok(again("The codes could not be removed. Try again in a moment."));
    }
    record(house, by, "totp.remove", "").await?;
    Ok(go(SECURITY))
}

/// Removes a passkey.
pub(crate) async fn passkey_remove(house: &House, by: &Visitor, id: &str) -> Result<Outcome, Trouble> {
    if let Err(words) = house.may_change_sign_in(by) {
        return Ok(again(words));
    }
    let name = house.accounts.summary(&by.person).passkeys.into_iter().find(|p| p.id == id).map(|p| p.name);
    let Some(name) = name else { return Err(not_found()) };
    if let Err(error) = house.accounts.remove_passkey(&by.person, id).await {
        tracing::warn!(%error, "a passkey could not be removed");
        return Ok(again("The passkey could not be removed. Try again in a moment."));
    }
    record(house, by, "passkey.remove", &name).await?;
    Ok(go(SECURITY))
}

/// Ends one session of the visitor.
pub(crate) async fn end_session(house: &House, by: &Visitor, id: &SessionId) -> Result<Outcome, Trouble> {
    let mine = house.sessions().get(id, house.now()).is_some_and(|s| s.person == by.person);
    if !mine {
        return Err(not_found());
    }
    house.end_session(id, SessionEventKind::SignedOut).await.map_err(|e| unkept(&e))?;
    Ok(go("/"))
}

/// An error as a sentence.
fn sentence(error: &str) -> String {
    let mut letters = error.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect::<String>() + ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use safeconduct_policy::{PolicyText, Sources};

    fn ada() -> Identity {
        let who = serde_json::from_str(
            r#"{"principal":{"person":"ada"},"groups":["staff"],
                "auth":{"session":"s1","methods":["passkey"],"at":1000,"until":90000}}"#,
        );
        Identity { who: who.expect("a person"), ..Identity::nobody() }
    }

    fn tile(rules: &str) -> Opens {
        let app: Application = serde_json::from_str(
            r#"{"id":"wiki","name":"Wiki","hosts":[],"upstream":"http://127.0.0.1:1","mode":"enforce","class":"low",
                "assets":[],"owner":null,"routes":[],"hardening":{"allow_encoded_slash":false,"merge_slashes":false,
                "allow_semicolon":false,"drop_underscore_headers":false}}"#,
        )
        .expect("an application");
        let policies = vec![PolicyText { file: "policies/x.cedar".into(), text: rules.into() }];
        let sources = Sources { policies, applications: vec![app], assets: vec![], zone: jiff::tz::TimeZone::UTC };
        let snapshot = Snapshot::build(1, sources).unwrap_or_else(|f| panic!("{}", f[0]));
        let (app, now) = ("wiki".parse().expect("id"), Timestamp::from_millis(2_000));
        opens(&snapshot, &app, IpAddr::from([10, 0, 0, 7]), now, &ada)
    }

    #[test]
    fn a_tile_says_what_may_be_done_and_until_when() {
        let reads = tile("@id(\"r\") permit(principal, action == Action::\"read\", resource);");
        assert!(
            matches!(&reads, Opens::Yes { may, until: Some(u) } if may == "read" && u.millis() == 90_000),
            "{reads:?}"
        );
        let both = tile("@id(\"r\") permit(principal, action, resource);");
        assert!(matches!(&both, Opens::Yes { may, .. } if may == "read and write"), "{both:?}");
    }

    #[test]
    fn a_tile_that_does_not_open_says_why() {
        let shut = tile("@id(\"r\") permit(principal, action, resource) when { context.device.managed };");
        assert!(
            matches!(&shut, Opens::No { reason: Reason::DeviceUnknown, failing, .. } if failing.len() == 1),
            "{shut:?}"
        );
        assert!(matches!(tile(""), Opens::No { reason: Reason::NoRule, .. }));
    }

    #[test]
    fn an_error_reads_as_a_sentence() {
        assert_eq!(sentence("the password is too short"), "The password is too short.");
    }
}
