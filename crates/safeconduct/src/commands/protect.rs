//! `protect list`.

use std::path::Path;

use anyhow::Result;
use safeconduct_model::Mode;
use serde_json::json;

use crate::commands::offline;
use crate::out::{self, Answer, table};

pub(crate) fn list(config: &Path, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let estate = &offline.current.config.estate;
    let mut assets: Vec<_> = estate.assets.values().collect();
    assets.sort_by(|a, b| (b.class, &a.id).cmp(&(a.class, &b.id)));
    let leading = |asset: &safeconduct_model::AssetId| -> Vec<_> {
        estate.applications.values().filter(|a| a.assets.contains(asset)).collect()
    };
    if json {
        let rows: Vec<_> = assets
            .iter()
            .map(|a| {
                let apps: Vec<_> = leading(&a.id).iter().map(|app| json!({ "id": app.id, "mode": app.mode })).collect();
                json!({ "asset": a, "applications": apps })
            })
            .collect();
        out::json(&rows)?;
        return Ok(Answer::Done);
    }
    let rows: Vec<Vec<String>> = assets
        .iter()
        .map(|a| {
            let apps = leading(&a.id);
            let named = apps.iter().map(|app| match app.mode {
                Mode::Enforce => app.id.to_string(),
                Mode::Observe => format!("{} (observed)", app.id),
            });
            let named: Vec<String> = named.collect();
            let via = if named.is_empty() { "not behind the gateway".to_owned() } else { named.join(", ") };
            let owner = a.owner.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
            vec![a.class.to_string(), a.id.to_string(), a.kind.name().to_owned(), owner, via]
        })
        .collect();
    table(&["CLASS", "ASSET", "KIND", "OWNER", "THROUGH"], &rows);
    Ok(Answer::Done)
}
