//! `policy lint`.

use std::path::Path;

use anyhow::Result;
use safeconduct_model::{Duration, Record};
use safeconduct_rehearse::prove::overlaps;
use safeconduct_rehearse::{Level, Linting, Matches};
use safeconduct_server::clock;
use safeconduct_store::Entries;
use serde_json::json;

use crate::commands::offline;
use crate::out::{self, Answer, say};

/// How many pairs of rules are listed.
const MAX_PAIRS: usize = 200;

/// What was asked for.
pub(crate) struct Asked {
    pub(crate) days: u64,
    pub(crate) deny_warnings: bool,
    pub(crate) overlaps: bool,
    pub(crate) json: bool,
}

pub(crate) fn lint(config: &Path, asked: &Asked) -> Result<Answer> {
    let offline = offline!(config);
    let mut matches = Matches::default();
    for located in Entries::from_seq(&offline.ledger(), 0)? {
        if let Record::Access(access) = &located?.entry.record {
            matches.add(access);
        }
    }
    let (snapshot, now) = (&offline.current.snapshot, clock::system());
    let settings = &offline.current.config;
    // Where an identity provider knows the groups, the estate cannot say that one does not exist.
    let alone = settings.settings.oidc.is_empty();
    let groups = alone.then(|| settings.estate.groups.keys().map(ToString::to_string).collect());
    let against = Linting { now, matches: &matches, idle_after: Duration::from_days(asked.days), groups };
    let found = safeconduct_rehearse::lint(snapshot, &against);
    let pairs = if asked.overlaps { overlaps(snapshot, now, MAX_PAIRS) } else { vec![] };
    if asked.json {
        out::json(&json!({ "lints": found, "overlaps": pairs }))?;
    } else {
        for lint in &found {
            say(lint.to_string());
        }
        for pair in &pairs {
            let (a, b) = (&pair.first, &pair.second);
            let how = if pair.opposed { "opposed" } else { "the same way" };
            say(format!("{}:{}: rule {} meets {} at {}:{} ({how})", a.file, a.line, a.id, b.id, b.file, b.line));
        }
        let errors = found.iter().filter(|l| l.level == Level::Error).count();
        say(format!("{errors} errors, {} warnings in {} rules", found.len() - errors, snapshot.rules().len()));
    }
    let worst = found.iter().map(|l| l.level).max();
    let bad = worst == Some(Level::Error) || (asked.deny_warnings && worst.is_some());
    Ok(if bad { Answer::No } else { Answer::Done })
}
