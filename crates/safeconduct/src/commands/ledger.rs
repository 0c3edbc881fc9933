//! `ledger verify`, `inspect`, `export`.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use safeconduct_store::{Entries, LedgerKey, verify_ledger};

use crate::commands::data;
use crate::out::{self, Answer, say};

pub(crate) fn verify(
    config: &Path,
    ledger: Option<&Path>,
    key: Option<&Path>,
    checkpoints: Option<&Path>,
) -> Result<Answer> {
    let (ledger, key) = match (ledger, key) {
        (Some(ledger), Some(key)) => (ledger.to_owned(), key.to_owned()),
        (_, key) => {
            let data = data!(config);
            let own = LedgerKey::public_path(&data.join("keys/ledger.key"));
            (data.join("ledger"), key.map_or(own, Path::to_owned))
        }
    };
    let public = LedgerKey::load_public(&key)?;
    let started = Instant::now();
    let report = verify_ledger(&ledger, &public, checkpoints)?;
    let took = started.elapsed();
    if let Some(finding) = &report.finding {
        say(finding.to_string());
        say(format!("{} records in front of it hold", report.records));
        return Ok(Answer::No);
    }
    let rate = (report.records as f64 / took.as_secs_f64().max(1e-9)).round();
    let signed =
        report.signed_to.map_or_else(|| "nothing signed yet".to_owned(), |seq| format!("signed up to record {seq}"));
    say(format!(
        "{} records in {} segments hold; {} checkpoints, {signed}; {:.2} s, {rate} records/s",
        report.records,
        report.segments,
        report.checkpoints,
        took.as_secs_f64()
    ));
    Ok(Answer::Done)
}

pub(crate) fn inspect(config: &Path, seq: u64) -> Result<Answer> {
    let data = data!(config);
    match Entries::from_seq(&data.join("ledger"), seq)?.next() {
        Some(located) => {
            let located = located?;
            out::json(&located.entry)?;
            Ok(Answer::Done)
        }
        None => {
            say(format!("the ledger has no record {seq}"));
            Ok(Answer::No)
        }
    }
}

pub(crate) fn export(config: &Path, from: u64) -> Result<Answer> {
    let data = data!(config);
    for located in Entries::from_seq(&data.join("ledger"), from)? {
        say(serde_json::to_string(&located?.entry)?);
    }
    Ok(Answer::Done)
}
