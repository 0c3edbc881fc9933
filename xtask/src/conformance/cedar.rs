//! `conformance cedar`: all of Cedar's integration tests through the compiled engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bench::{machine, program, write};
use crate::terminal::{say, spaced};
use crate::tree;

/// What there is to be right about: the generated and the handwritten tests.
const REQUESTS: [(&str, u64); 2] = [("generated", 62_472), ("handwritten", 74)];
/// The deviations that are shown.
const SHOWN: usize = 5;

/// Runs both kinds and tells. False if a single answer is not as it should be.
pub(crate) fn cedar() -> Result<bool> {
    let root = tree::root()?;
    let folder = folder(&root).with_context(|| {
        "there is no cedar-corpus/corpus-tests.tar.gz: take it from github.com/cedar-policy/cedar-integration-tests \
         and name its parent folder in SAFECONDUCT_TESTDATA"
    })?;
    say("building ...");
    let program = program(&root)?;
    say("running ...");
    let output = Command::new(program).arg("corpus").args([&folder, &root.join("target/tmp/cedar-corpus")]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let rows = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<Value> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let goals: Vec<Value> = rows.iter().flat_map(goals).collect();
    rows.iter().flat_map(lines).for_each(say);
    let holds = rows.len() == REQUESTS.len() && goals.iter().all(|goal| goal["holds"] == true);
    let result = json!({ "name": "cedar", "machine": machine(), "rows": rows, "goals": goals });
    let file = write(&root, "conformance", "cedar", &result)?;
    say(if holds { format!("conforms; see {file}") } else { format!("DOES NOT CONFORM; see {file}") });
    Ok(holds)
}

fn folder(root: &Path) -> Option<PathBuf> {
    let beside = || root.join("../shared/data");
    let data = std::env::var_os("SAFECONDUCT_TESTDATA").map_or_else(beside, PathBuf::from);
    Some(data.join("cedar-corpus")).filter(|folder| folder.join("corpus-tests.tar.gz").is_file())
}

/// What must hold of one kind of tests.
fn goals(row: &Value) -> Vec<Value> {
    let name = row["name"].as_str().unwrap_or_default();
    let all = REQUESTS.iter().find(|(n, _)| *n == name).map_or(0, |(_, all)| *all);
    let goal = |what: &str, value: &Value, goal: u64| {
        json!({ "name": format!("{name}: {what}"), "value": value, "op": "==", "goal": goal, "unit": "requests",
            "holds": value.as_u64() == Some(goal) })
    };
    vec![
        goal("decision, determining policies and errors as expected", &row["right"], all),
        goal("requests", &row["requests"], all),
        goal("unexplained", &row["unexplained"], 0),
        goal("unexplained in the early exit", &row["early_exit"]["unexplained"], 0),
        goal("valid sets that were refused", &row["sets_refused_wrongly"], 0),
    ]
}

fn lines(row: &Value) -> Vec<String> {
    let text = |v: &Value| v.as_str().map_or_else(|| spaced(v.as_u64().unwrap_or(0)), str::to_owned);
    let [name, right, requests, unexplained] = ["name", "right", "requests", "unexplained"].map(|k| text(&row[k]));
    let early = &row["early_exit"];
    let mut lines = vec![
        format!(
            "{name}: {right} of {requests} requests: decision, determining policies and errors; {unexplained} unexplained"
        ),
        format!(
            "    {} of them with errors; {} rules, of which Cedar evaluates {}; {} sets valid",
            text(&row["with_errors"]),
            text(&row["rules"]),
            text(&row["rules_left_to_cedar"]),
            text(&row["sets_valid"]),
        ),
        format!(
            "    early exit: {} the same; by design {} denied, because a rule that cannot be evaluated was met, and {} that \
             Cedar denies too are told as an error; {} unexplained",
            text(&early["same"]),
            text(&early["denied_for_an_error"]),
            text(&early["denied_anyway_and_told_as_error"]),
            text(&early["unexplained"]),
        ),
    ];
    let listed = |list: &Value| {
        list.as_array().into_iter().flatten().take(SHOWN).map(|d| format!("        {}", text(d))).collect()
    };
    let (by_design, differences): (Vec<String>, Vec<String>) = (listed(&early["which"]), listed(&row["differences"]));
    lines.extend(by_design);
    if !differences.is_empty() {
        lines.push("    UNEXPLAINED:".to_owned());
        lines.extend(differences);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(right: u64, wrong_early: u64) -> Value {
        json!({ "name": "handwritten", "requests": 74, "right": right, "unexplained": 74 - right, "with_errors": 0,
            "sets_refused_wrongly": 0, "differences": [],
            "early_exit": { "same": 73, "denied_for_an_error": 1, "which": ["a.json: policy0 cannot be evaluated"],
                "denied_anyway_and_told_as_error": 0, "unexplained": wrong_early } })
    }

    #[test]
    fn one_wrong_answer_is_enough_to_fail() {
        let holds = |row: &Value| goals(row).iter().all(|goal| goal["holds"] == true);
        assert!(holds(&row(74, 0)));
        assert!(!holds(&row(73, 0)));
        assert!(!holds(&row(74, 1)));
        let fewer =
            json!({ "name": "handwritten", "requests": 0, "right": 0, "unexplained": 0, "sets_refused_wrongly": 0 });
        assert!(!holds(&fewer));
    }

    #[test]
    fn deviations_are_listed_and_counted() {
        let text = lines(&row(74, 0)).join("\n");
        assert!(text.contains("handwritten: 74 of 74 requests") && text.contains("by design 1 denied"), "{text}");
        assert!(text.contains("        a.json: policy0 cannot be evaluated"), "{text}");
        assert!(!text.contains("UNEXPLAINED"), "{text}");
    }
}
