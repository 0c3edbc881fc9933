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
    /// Those whose record says other than the answer did, or of which two verdicts are recorded.
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
    let mut open: BTreeMap<&str, Story<'_>> = BTreeMap::new();
    for (id, outcome) in text.lines().filter_map(|l| l.split_once(' ')) {
        found.answered += 1;
        let story = Story { outcome, passed: Vec::new(), cut: false };
        if open.insert(id, story).is_some() {
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
        if let Some((id, word)) = word(&record)
            && let Some(story) = open.get_mut(id)
        {
            match word {
                Word::Verdict(passed) => story.passed.push(passed),
                // What was permitted may still break a limit on its way.
                Word::Refusal if story.passed.is_empty() => story.passed.push(false),
                Word::Refusal => {}
                Word::Cut => story.cut = true,
            }
        }
    }
    ensure!(export.wait()?.success(), "the export of the ledger failed");
    for (id, story) in &open {
        let words = match story.passed.as_slice() {
            [] => {
                found.missing += 1;
                format!("no record of {id}, answered {}", story.outcome)
            }
            _ if !story.agrees() => {
                found.other += 1;
                format!("{id} is recorded otherwise: {story:?}")
            }
            _ => continue,
        };
        if found.words.len() < TOLD {
            found.words.push(words);
        }
    }
    Ok(found)
}

/// What clients and ledger tell of one request.
#[derive(Debug)]
struct Story<'a> {
    outcome: &'a str,
    /// Whether it was let pass: every first word about it; there may be one.
    passed: Vec<bool>,
    cut: bool,
}

impl Story<'_> {
    /// Whether the answer is one that such a verdict leads to. What fails at the application was permitted; what was permitted and
    /// lost its permit before it was answered is refused too, and its end is recorded.
    fn agrees(&self) -> bool {
        let [passed] = self.passed.as_slice() else { return false };
        match self.outcome {
            "right" | "wrong" => *passed,
            "302" | "303" | "401" | "403" => !passed || self.cut,
            _ => true,
        }
    }
}

/// What a record is about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// The first verdict.
    Verdict(bool),
    Refusal,
    Cut,
}

fn word(record: &Value) -> Option<(&str, Word)> {
    match record["kind"].as_str()? {
        "access" if record["again"] != Value::Bool(true) => {
            Some((record["ask"]["request"].as_str()?, Word::Verdict(record["verdict"] == "permit")))
        }
        "refusal" => Some((record["request"].as_str()?, Word::Refusal)),
        "cut" => Some((record["request"].as_str()?, Word::Cut)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_about_a_request_are_found() {
        let read = |text: &str| -> Option<(String, Word)> {
            let record: Value = serde_json::from_str(text).expect("JSON");
            word(&record).map(|(id, word)| (id.to_owned(), word))
        };
        let permit = r#"{"seq":1,"kind":"access","ask":{"request":"r1"},"verdict":"permit"}"#;
        assert_eq!(read(permit), Some(("r1".into(), Word::Verdict(true))));
        assert_eq!(read(&permit.replace("\"permit", "\"deny")), Some(("r1".into(), Word::Verdict(false))));
        assert_eq!(read(&permit.replace("\"verdict", "\"again\":true,\"verdict")), None, "it was decided again");
        assert_eq!(read(r#"{"kind":"refusal","request":"r2"}"#), Some(("r2".into(), Word::Refusal)));
        assert_eq!(read(r#"{"kind":"cut","request":"r1"}"#), Some(("r1".into(), Word::Cut)));
        assert_eq!(read(r#"{"kind":"session","session":"s"}"#), None);
    }

    #[test]
    fn an_answer_that_the_record_forbids_is_seen() {
        let agrees = |outcome, passed: &[bool], cut| Story { outcome, passed: passed.to_vec(), cut }.agrees();
        assert!(agrees("right", &[true], false) && agrees("right", &[true], true) && !agrees("right", &[false], false));
        assert!(agrees("403", &[false], false) && agrees("403", &[true], true) && !agrees("403", &[true], false));
        assert!(agrees("502", &[true], false) && agrees("408", &[false], false));
        assert!(!agrees("right", &[true, true], false), "two verdicts on one request");
    }
}
