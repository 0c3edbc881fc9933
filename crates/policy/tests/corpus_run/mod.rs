//! Runs Cedar's integration tests through the compiled engine and compares decision, determining policies and errors.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use safeconduct_policy::engine::{Cedar, Engine, Entities, Metrics, Mode, Outcome, Request, Rules, Schema, Scratch};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    policies: String,
    entities: String,
    schema: String,
    should_validate: bool,
    requests: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    description: String,
    decision: String,
    reason: Vec<String>,
    errors: Vec<String>,
    #[serde(flatten)]
    request: serde_json::Value,
}

/// What a run found.
#[derive(Default)]
pub struct Score {
    /// Files with rules, entities and requests.
    pub files: usize,
    /// Sets that should pass validation and do.
    pub valid: usize,
    /// Sets that should pass validation and do not.
    pub refused_wrongly: usize,
    /// Sets that pass validation although the validator with which the tests were generated refused them. Validation is
    /// Cedar's own.
    pub accepted_beyond: usize,
    /// Requests.
    pub requests: usize,
    /// Requests of which decision, determining policies and errors are as expected.
    pub right: usize,
    /// Requests that were expected to have errors.
    pub with_errors: usize,
    /// Rules.
    pub rules: usize,
    /// Rules that the compiler did not cover, so that Cedar evaluated them.
    pub fallbacks: usize,
    /// What was different, in words.
    pub differences: Vec<String>,
    /// Requests that Cedar allows and the early exit denies by design: it met a rule that cannot be evaluated.
    pub stricter: Vec<String>,
    /// Requests that Cedar denies as well, where the early exit says that a rule could not be evaluated.
    pub told_as_error: usize,
    /// Requests of which the early exit says something else, for no reason that it may have.
    pub early_wrong: usize,
}

/// The folder with the tests: `SAFECONDUCT_TESTDATA`, or `shared/data` beside the workspace.
pub fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("SAFECONDUCT_TESTDATA").map_or_else(beside, PathBuf::from);
    Some(data.join("cedar-corpus")).filter(|folder| folder.join("corpus-tests.tar.gz").is_file())
}

/// Unpacks the generated tests below `into`, once, and says where they are.
pub fn unpack(folder: &Path, into: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let done = into.join("complete");
    if !done.is_file() {
        fs::create_dir_all(into)?;
        let archive = folder.join("corpus-tests.tar.gz");
        let status = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(into).status()?;
        if !status.success() {
            return Err(format!("tar ended with {status}").into());
        }
        fs::write(done, "")?;
    }
    Ok(into.to_owned())
}

/// The test files below a folder, by name.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if name.ends_with(".json") && !name.ends_with(".entities.json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs one test file; the paths in it begin at `root`. Asks Cedar as well if `oracle` is set.
pub fn run(root: &Path, test: &Path, oracle: bool, score: &mut Score) -> Result<(), Box<dyn Error>> {
    let file: File = serde_json::from_str(&fs::read_to_string(test)?)?;
    let read = |path: &str| fs::read_to_string(root.join(path));
    let schema = Schema::parse(&read(&file.schema)?)?;
    let mut rules = Rules::default();
    rules.add_text(&read(&file.policies)?)?;
    let entities = Entities::parse(&read(&file.entities)?, Some(&schema))?;
    let engine = Engine::compile(&rules, &entities)?;
    let Metrics { rules: count, fallbacks, .. } = engine.metrics();
    score.files += 1;
    score.rules += count;
    score.fallbacks += fallbacks;
    match (file.should_validate, rules.validate(&schema).is_empty()) {
        (true, true) => score.valid += 1,
        (true, false) => score.refused_wrongly += 1,
        (false, true) => score.accepted_beyond += 1,
        (false, false) => {}
    }
    let cedar = oracle.then(|| Cedar::new(rules, entities));
    let mut scratch = Scratch::default();
    for mut expected in file.requests {
        expected.reason.sort();
        expected.errors.sort();
        let request = Request::from_json(&expected.request, Some(&schema))?;
        let prepared = engine.prepare(&request)?;
        let outcome = prepared.decide(Mode::Exhaustive, &mut scratch);
        let answer = prepared.answer(outcome, &scratch);
        let early = prepared.decide(Mode::EarlyExit, &mut scratch);
        let name = test.file_name().unwrap_or_default().to_string_lossy();
        let named = || format!("{name}, {}", expected.description);
        // The early exit may only be stricter, and only where something could not be evaluated.
        let explained = match early {
            Outcome::Error if answer.errors.is_empty() => false,
            Outcome::Error if outcome.allows() => {
                score.stricter.push(format!("{}: {} cannot be evaluated", named(), answer.errors.join(", ")));
                true
            }
            Outcome::Error => {
                score.told_as_error += 1;
                true
            }
            _ => early.allows() == outcome.allows(),
        };
        score.early_wrong += usize::from(!explained);
        score.requests += 1;
        score.with_errors += usize::from(!expected.errors.is_empty());
        let right = answer.decision == expected.decision
            && answer.determining == expected.reason
            && answer.errors == expected.errors
            && cedar.as_ref().is_none_or(|cedar| cedar.answer(&request) == answer)
            && explained;
        score.right += usize::from(right);
        if !right {
            let wanted = (&expected.decision, &expected.reason, &expected.errors);
            score.differences.push(format!("{}: {answer:?}, early {early:?}, instead of {wanted:?}", named()));
        }
    }
    Ok(())
}
