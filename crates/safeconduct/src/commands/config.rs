//! `init`, `config check` and `config limits`.

use std::path::Path;

use anyhow::Result;
use safeconduct_config::{Limits, starter};
use safeconduct_model::{Fault, Host};
use safeconduct_server::{files, signed};

use crate::commands::offline;
use crate::out::{self, Answer, say};

pub(crate) fn init(dir: &Path, domain: &str) -> Result<Answer> {
    if let Err(error) = domain.parse::<Host>() {
        return Ok(Answer::BadInput(vec![Fault::new(
            "--domain",
            0,
            error.to_string(),
            "name a domain, as in example.com",
        )]));
    }
    let texts = starter(domain);
    if let Err(fault) = files::init(dir, &texts) {
        return Ok(Answer::BadInput(vec![fault]));
    }
    for text in &texts {
        say(format!("  {}", dir.join(&text.file).display()));
    }
    say(format!("\nRun it with: safeconduct up --config {}", dir.display()));
    Ok(Answer::Done)
}

pub(crate) fn check(config: &Path) -> Result<Answer> {
    let offline = offline!(config);
    let current = &offline.current;
    let trusted = &current.config.settings.trusted_keys;
    if let Err(faults) = signed::check(&offline.dir, trusted, &current.texts, None) {
        return Ok(Answer::BadInput(faults));
    }
    let estate = &offline.current.config.estate;
    say(format!(
        "{}: no faults. {} people, {} groups, {} applications, {} assets, {} rules, {} tests hold.",
        offline.dir.display(),
        estate.people.len(),
        estate.groups.len(),
        estate.applications.len(),
        estate.assets.len(),
        offline.current.snapshot.rules().len(),
        offline.current.fixtures.len(),
    ));
    Ok(Answer::Done)
}

/// The limits in effect.
pub(crate) fn limits(config: &Path, json: bool) -> Result<Answer> {
    let offline = offline!(config);
    let values = offline.current.config.settings.limits.values();
    let rows = Limits::table().into_iter().zip(values);
    if json {
        let row = |(l, value): (safeconduct_config::Limit, String)| {
            serde_json::json!({
                "name": l.name, "value": value, "unit": l.unit, "default": l.default,
                "least": l.bounds.0, "most": l.bounds.1, "what": l.what, "met": l.met,
            })
        };
        out::json(&rows.map(row).collect::<Vec<_>>())?;
        return Ok(Answer::Done);
    }
    let row = |(l, value): (safeconduct_config::Limit, String)| {
        let set = if value == l.default { String::new() } else { format!("default {}", l.default) };
        let bounds = format!("{} – {}", l.bounds.0, l.bounds.1);
        vec![l.name.to_owned(), value, l.unit.to_owned(), bounds, l.met.to_owned(), set]
    };
    out::table(&["limit", "value", "unit", "bounds", "when it is met", ""], &rows.map(row).collect::<Vec<_>>());
    Ok(Answer::Done)
}
