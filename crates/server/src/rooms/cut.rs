//! Ending sessions: what ends is said in numbers, and recorded.

use std::collections::BTreeMap;

use safeconduct_access::Visitor;
use safeconduct_console::Trouble;
use safeconduct_console::view::{Done, Link};
use safeconduct_gateway::LiveView;
use safeconduct_model::{AppId, PersonId, Principal, SessionEventKind, SessionId};

use crate::house::House;
use crate::rooms::links::{Naming, count, plural};
use crate::rooms::watch::live;
use crate::rooms::{not_found, settled, unavailable, unkept};

/// Ends one session and says what that did.
pub(crate) async fn session(house: &House, by: &Visitor, id: &SessionId) -> Result<Done, Trouble> {
    let Some(session) = house.sessions().get(id, house.now()).cloned() else { return Err(not_found()) };
    let rests: Vec<LiveView> = live(house).into_iter().filter(|l| l.session.as_ref() == Some(id)).collect();
    if !house.end_session(id, SessionEventKind::Ended).await.map_err(|e| unkept(&e))? {
        return Err(not_found());
    }
    let detail = format!("of {}, {} live", session.person, plural(count(rests.len()), "connection", "connections"));
    let recorded = house.record_change(by.person.as_str(), "session.cut", id.as_str(), &detail).await;
    recorded.map_err(|e| unavailable("The session was ended, but the ledger", &e))?;
    settled(house).await;
    let name = house.person(&session.person);
    let mut by_app: BTreeMap<&AppId, u64> = BTreeMap::new();
    for view in &rests {
        *by_app.entry(&view.app).or_default() += 1;
    }
    Ok(Done {
        title: format!(
            "Ended 1 session of {} and {} that rested on it.",
            name.text,
            plural(count(rests.len()), "live connection", "live connections")
        ),
        details: by_app.into_iter().map(|(app, n)| format!("{}: {n}", house.app(app).text)).collect(),
        next: Link { text: format!("Everything about {}", name.text), href: name.href },
    })
}

/// Ends every session of a person and says what that did.
pub(crate) async fn all_of(house: &House, by: &Visitor, person: &PersonId) -> Result<Done, Trouble> {
    if house.person_name(person).is_none() {
        return Err(not_found());
    }
    let who = Principal::Person(person.clone());
    let rests = count(live(house).iter().filter(|l| l.session.is_some() && l.principal == who).count());
    let ended = house.end_sessions_of(person, SessionEventKind::Ended).await.map_err(|e| unkept(&e))?;
    let ended = plural(count(ended), "session", "sessions");
    let recorded = house.record_change(by.person.as_str(), "person.end_sessions", person.as_str(), &ended).await;
    recorded.map_err(|e| unavailable("The sessions were ended, but the ledger", &e))?;
    settled(house).await;
    let name = house.person(person);
    Ok(Done {
        title: format!("Ended {ended} of {}.", name.text),
        details: vec![format!("{} rested on them.", plural(rests, "live connection", "live connections"))],
        next: name,
    })
}
