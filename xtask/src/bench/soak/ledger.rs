//! Whether the ledger knows every request that was answered.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bench::gateway::ours::Server;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What `ledger verify` says, and whether it says yes.
    pub verified: bool,
    pub told: String,
    pub records: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Those of which the ledger has nothing.
    pub missing: u64,
    /// Those whose record says other than the answer did.
    pub other: u64,
    /// Ids that two answers had.
    pub twice: u64,
    pub words: Vec<String>,
}

/// So many are told in words.
const TOLD: usize = 5;

/// Reads the ids that the clients saw, and looks each of them up in the ledger of a server that has stopped.
pub(crate) fn look(server: &Server, ids: &Path) -> Result<Found> {
    let mut found = Found::default();
    match server.command(&["ledger", "verify"]) {
        Ok(told) => (found.verified, found.told) = (true, told.trim().to_owned()),
        Err(error) => found.told = format!("{error:#}"),
    }
    let text = fs::read_to_string(ids).context("the clients wrote no ids")?;
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, outcome) in text.lines().filter_map(|l| l.split_once(' ')) {
        found.answered += 1;
        if open.insert(id, outcome).is_some() {
            found.twice += 1;
        }
    }
    let mut export = Command::new(&server.program);
    let mut export = export
        .args(["ledger", "export", "--config"])
        .arg(&server.folder)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot export the ledger")?;
    let lines = BufReader::new(export.stdout.take().context("it is piped")?);
    for line in lines.lines() {
        let line = line?;
        found.records += 1;
        let record: Value = serde_json::from_str(&line).with_context(|| format!("not a record: {line}"))?;
        let Some((id, passed)) = verdict(&record) else { continue };
        if let Some(outcome) = open.remove(id)
            && !agree(outcome, passed)
        {
            found.other += 1;
            if found.words.len() < TOLD {
                found.words.push(format!("answered {outcome}: {line}"));
            }
        }
    }
    ensure!(export.wait()?.success(), "the export of the ledger failed");
    found.missing = open.len() as u64;
    let room = TOLD.saturating_sub(found.words.len());
    found.words.extend(open.iter().take(room).map(|(id, outcome)| format!("no record of {id}, answered {outcome}")));
    Ok(found)
}

/// The request that a record is about, and whether it was let pass; none for records of other kinds.
fn verdict(record: &Value) -> Option<(&str, bool)> {
    let record = &record["record"];
    let access = if record["access"].is_object() { &record["access"] } else { record };
    let id = access["ask"]["request"].as_str().or_else(|| access["request"].as_str())?;
    Some((id, access["outcome"].to_string().contains("permit")))
}

/// Whether an answer is one that such a verdict leads to. What fails at the application was permitted.
fn agree(outcome: &str, passed: bool) -> bool {
    match outcome {
        "right" | "wrong" => passed,
        "302" | "303" | "401" | "403" => !passed,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_the_record_forbids_is_seen() {
        assert!(agree("right", true) && !agree("right", false));
        assert!(agree("403", false) && !agree("403", true));
        assert!(agree("502", true) && agree("408", false));
    }
}
