//! Why a request was denied, for the person who asked: the page that programs name beside the number of the request.

use std::time::Duration;

use safeconduct_access::Visitor;
use safeconduct_console::Trouble;
use safeconduct_console::view::Denied;
use safeconduct_model::{Access, Outcome, Record, RequestId};
use tokio::time::sleep;

use crate::house::House;
use crate::portal::pages::ASSETS_HERE;
use crate::rooms::links::named;
use crate::rooms::{not_found, unavailable};

/// How often a denial is looked for that is not there yet, and how long between two looks.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// The last denial of a request. Somebody else's is not there; operators have the console.
pub(crate) async fn explained(house: &House, by: &Visitor, request: &str) -> Result<Denied, Trouble> {
    let request: RequestId = request.parse().map_err(|_| not_found())?;
    let mut looks = 0;
    let access = loop {
        let about = house.index.by_request(&request).await.map_err(|e| unavailable("The index", &e))?;
        let denied = about.into_iter().rev().find_map(|entry| match entry.record {
            Record::Access(access) if !access.permitted() => Some(access),
            _ => None,
        });
        looks += 1;
        match denied {
            Some(access) => break access,
            // Who follows the address at once may be faster than the index.
            None if looks < LOOKS => sleep(PAUSE).await,
            None => return Err(not_found()),
        }
    };
    if access.ask.who.principal.person() != Some(&by.person) {
        return Err(not_found());
    }
    told(house, &access).ok_or_else(not_found)
}

fn told(house: &House, access: &Access) -> Option<Denied> {
    let Outcome::Deny { reason, failing, remedies, .. } = &access.outcome else { return None };
    let current = house.current();
    let what = &access.ask.what;
    let app = current.snapshot.application(&what.app);
    // A tunnel has no address that a browser could go back to.
    let host = app.filter(|a| !a.is_tcp()).and_then(|a| a.hosts.first());
    let port = house.origin.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let person = access.ask.who.principal.person();
    Some(Denied {
        assets: ASSETS_HERE.to_owned(),
        portal: house.origin.clone(),
        organisation: current.config.settings.organisation.clone(),
        app: app.map(|a| (a.id.clone(), a.name.clone())),
        person: person
            .map(|id| current.config.estate.people.get(id).map_or_else(|| id.to_string(), |p| p.name.clone())),
        reason: *reason,
        failing: failing.clone(),
        remedies: named(house, remedies.clone()),
        wanted: format!("{} {}", what.method, what.path),
        back: host.map_or_else(|| format!("{}/", house.origin), |host| format!("https://{host}{port}{}", what.path)),
        request: access.ask.request.to_string(),
        now: access.decided,
    })
}
