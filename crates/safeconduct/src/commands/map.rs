//! `map show`.

use std::path::Path;

use anyhow::Result;
use safeconduct_flows::{Map, rows, table};
use safeconduct_model::AppId;
use safeconduct_store::Entries;

use crate::commands::offline;
use crate::out::{self, Answer, aside, put};

pub(crate) fn show(config: &Path, app: Option<&AppId>, people: bool, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let mut map = Map::new(offline.current.config.settings.zone.clone());
    for located in Entries::from_seq(&offline.ledger(), 0)? {
        map.add(&located?.entry);
    }
    let estate = &offline.current.config.estate;
    let groups = |person: &safeconduct_model::PersonId| estate.groups_of(person).unwrap_or_default();
    let mut edges = if people { map.by_person() } else { map.by_group(&groups) };
    edges.retain(|e| app.is_none_or(|a| e.app == *a));
    let rows = rows(&edges);
    if json {
        out::json(&rows)?;
    } else {
        put(table(&rows));
    }
    for gap in map.gaps() {
        aside(format!("incomplete: {gap}"));
    }
    Ok(Answer::Done)
}
