//! The protect surface.

use std::collections::BTreeSet;

use safeconduct_console::Trouble;
use safeconduct_console::view::{AssetRow, Exposure, Protect};
use safeconduct_model::{Application, Mode, PersonId};

use crate::rooms::digest::day_of;
use crate::rooms::links::{Naming, count};
use crate::rooms::things::by_app;
use crate::rooms::{Rooms, WINDOW_DAYS, window};

/// How an asset can be reached, by the applications that lead to it.
pub(crate) fn exposure<'a>(apps: impl IntoIterator<Item = &'a Application>) -> Exposure {
    let mut apps = apps.into_iter().peekable();
    if apps.peek().is_none() {
        Exposure::Unknown
    } else if apps.all(|a| a.mode == Mode::Enforce) {
        Exposure::Enforced
    } else {
        Exposure::Observed
    }
}

/// The page.
pub(crate) async fn view(rooms: &Rooms) -> Result<Protect, Trouble> {
    let house = &rooms.house;
    let current = house.current();
    let since = day_of(window(house.now(), WINDOW_DAYS));
    let used = rooms.digest(move |digest| by_app(digest, since)).await?;
    let estate = &current.config.estate;
    let row = |asset: &safeconduct_model::Asset| {
        let apps: Vec<&Application> = estate.applications.values().filter(|a| a.assets.contains(&asset.id)).collect();
        let uses: Vec<_> = apps.iter().filter_map(|a| used.get(&a.id)).collect();
        let people: BTreeSet<&PersonId> = uses.iter().flat_map(|u| &u.people).collect();
        AssetRow {
            id: asset.id.clone(),
            name: asset.name.clone(),
            note: asset.note.clone(),
            kind: asset.kind,
            class: asset.class,
            owner: asset.owner.as_ref().map(|o| house.person(o)),
            apps: apps.iter().map(|a| house.app(&a.id)).collect(),
            exposure: exposure(apps.iter().copied()),
            people: count(people.len()),
            last: uses.iter().filter_map(|u| u.last).max(),
        }
    };
    Ok(Protect { assets: estate.assets.values().map(row).collect() })
}
