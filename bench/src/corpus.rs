//! All of Cedar's integration tests through the compiled engine, in both modes.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use crate::corpus_run::{Score, files, run as run_file, unpack};

/// How many of each list are told; the counts are of all.
const TOLD: usize = 20;

/// Runs the handwritten and the generated tests of a folder; unpacks the generated ones below `into`.
pub(crate) fn run(folder: &Path, into: &Path) -> Result<Vec<Value>> {
    let failed = |e: Box<dyn std::error::Error>| anyhow!("{e}");
    let generated = unpack(folder, into).map_err(failed)?;
    let mut rows = Vec::new();
    for (name, root, tests) in [
        ("generated", &generated, generated.join("corpus-tests")),
        ("handwritten", &folder.to_owned(), folder.join("tests")),
    ] {
        let (mut score, start) = (Score::default(), Instant::now());
        for test in files(&tests).map_err(failed)? {
            run_file(root, &test, true, &mut score).map_err(|e| anyhow!("{}: {e}", test.display()))?;
        }
        rows.push(row(name, &score, start.elapsed().as_secs_f64()));
    }
    Ok(rows)
}

fn row(name: &str, score: &Score, seconds: f64) -> Value {
    let some = |all: &[String]| all.iter().take(TOLD).cloned().collect::<Vec<_>>();
    json!({
        "name": name, "files": score.files, "requests": score.requests, "right": score.right,
        "with_errors": score.with_errors, "sets_valid": score.valid, "sets_refused_wrongly": score.refused_wrongly,
        "sets_accepted_beyond": score.accepted_beyond, "rules": score.rules, "rules_left_to_cedar": score.fallbacks,
        "unexplained": score.differences.len(), "differences": some(&score.differences),
        "early_exit": {
            "same": score.requests - score.stricter.len() - score.told_as_error - score.early_wrong,
            "denied_for_an_error": score.stricter.len(), "which": some(&score.stricter),
            "denied_anyway_and_told_as_error": score.told_as_error, "unexplained": score.early_wrong,
        },
        "seconds": seconds,
    })
}
