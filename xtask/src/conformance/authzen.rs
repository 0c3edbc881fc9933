//! `conformance authzen`: every level of the AuthZEN 1.0 certification scenario, and the decisions of the Todo interop.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::cases::{self, Earlier, Failed};
use super::stage::Stage;
use crate::terminal::{say, table};
use crate::tree;

/// The store of the Todo interop.
const INTEROP: &str = "/stores/todo";

/// How many cases of a level passed, and those that did not.
#[derive(Default)]
struct Level {
    passed: u64,
    failed: Vec<String>,
}

/// Levels by name.
#[derive(Default)]
struct Score(BTreeMap<String, Level>);

impl Score {
    fn add(&mut self, level: &str, case: &str, failed: Failed) {
        let level = self.0.entry(level.to_owned()).or_default();
        match failed {
            None => level.passed += 1,
            Some(why) => level.failed.push(format!("{case}: {why}")),
        }
    }

    fn holds(&self, level: &str) -> bool {
        self.0.get(level).is_some_and(|l| l.failed.is_empty() && l.passed > 0)
    }
}

/// Runs everything. False if anything failed.
pub(crate) fn run() -> Result<bool> {
    let root = tree::root()?;
    let data = std::env::var_os("SAFECONDUCT_TESTDATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let data = data.join("authzen");
    ensure!(data.is_dir(), "there is no {}; set SAFECONDUCT_TESTDATA to the folder of the test data", data.display());
    let built = Command::new("cargo").args(["build", "-p", "safeconduct"]).current_dir(&root).status()?;
    ensure!(built.success(), "the build failed");
    let out = root.join("target/conformance");
    fs::create_dir_all(&out)?;
    let stage = Stage::put_up(&root, &tree::target(&root).join("debug/safeconduct"), &out.join("authzen-data"))?;

    let scenario = read(&data.join("certification.json"))?;
    let mut score = Score::default();
    let mut earlier = Earlier::new();
    for case in scenario["cases"].as_array().context("the scenario has no cases")? {
        let failed = cases::run(&stage, case, &scenario["endpoints"], &mut earlier)?;
        score.add(case["level"].as_str().unwrap_or("?"), case["id"].as_str().unwrap_or("?"), failed);
    }
    for draft in ["00", "01", "02"] {
        todo(&stage, &data, draft, &mut score)?;
    }
    let levels = scenario["levels"].as_object().context("the scenario has no levels")?;
    let needs: BTreeMap<String, Vec<String>> = levels
        .iter()
        .map(|(l, n)| {
            (l.clone(), n.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        })
        .collect();
    tell(&score, &needs, &out)
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn todo(stage: &Stage, data: &Path, draft: &str, score: &mut Score) -> Result<()> {
    let file = read(&data.join(format!("todo/decisions-authorization-api-1_0-{draft}.json")))?;
    let level = format!("todo-{draft}");
    for (n, case) in file["evaluation"].as_array().into_iter().flatten().enumerate() {
        let request = if draft == "00" { in_final_form(&case["request"]) } else { case["request"].clone() };
        let reply =
            stage.post(&format!("{INTEROP}/access/v1/evaluation"), "application/json", &[], &request.to_string())?;
        let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        let well = reply.status == 200 && body["decision"] == case["expected"];
        score.add(&level, &format!("evaluation {n}"), (!well).then_some(reply.body));
    }
    for (n, case) in file["evaluations"].as_array().into_iter().flatten().enumerate() {
        let path = format!("{INTEROP}/access/v1/evaluations");
        let reply = stage.post(&path, "application/json", &[], &case["request"].to_string())?;
        let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        let wanted: Vec<Value> =
            case["expected"].as_array().into_iter().flatten().map(|e| e["decision"].clone()).collect();
        let well = reply.status == 200 && cases::decisions(&body, &json!(wanted));
        score.add(&level, &format!("batch {n}"), (!well).then_some(reply.body));
    }
    Ok(())
}

/// A request of the first draft in the form of the standard: the draft named the subject by an extra member and let attributes
/// stand beside type and id. The standard has both unknown members ignored, so the decision point does not read them.
fn in_final_form(request: &Value) -> Value {
    let mut request = request.clone();
    if let Some(identity) = request["subject"].as_object_mut().and_then(|s| s.remove("identity")) {
        request["subject"]["id"] = identity;
    }
    if let Some(resource) = request["resource"].as_object_mut() {
        let known = ["type", "id", "properties"];
        let extra: Vec<String> = resource.keys().filter(|k| !known.contains(&k.as_str())).cloned().collect();
        let moved: serde_json::Map<String, Value> =
            extra.into_iter().filter_map(|k| resource.remove_entry(&k)).collect();
        if !moved.is_empty() {
            resource.insert("properties".to_owned(), Value::Object(moved));
        }
    }
    request
}

/// Prints the table and writes the file. A level is reached when all its cases, those of every level and those of the levels that it
/// needs pass.
fn tell(score: &Score, needs: &BTreeMap<String, Vec<String>>, out: &Path) -> Result<bool> {
    let mut rows = vec![["level", "passed", "failed", "reached"].map(str::to_owned).to_vec()];
    let (mut told, mut goals, mut well) = (Vec::new(), Vec::new(), true);
    for (name, level) in &score.0 {
        let needed = needs.get(name).into_iter().flatten();
        let shared = needs.contains_key(name).then_some("all");
        let reached = needed.map(String::as_str).chain(shared).chain([name.as_str()]).all(|l| score.holds(l));
        well &= reached;
        let (passed, failed) = (level.passed, level.failed.len() as u64);
        rows.push(vec![
            name.clone(),
            passed.to_string(),
            failed.to_string(),
            if reached { "yes" } else { "NO" }.to_owned(),
        ]);
        told.push(json!({ "case": name, "metric": "cases passed", "unit": format!("of {}", passed + failed), "ours": passed, "peers": {} }));
        goals.push(
            json!({ "name": name, "value": failed, "op": "<=", "goal": 0, "unit": "failed cases", "holds": reached }),
        );
    }
    let machine = format!("{} cores", std::thread::available_parallelism().map_or(1, usize::from));
    let report = json!({ "name": "authzen", "machine": machine, "rows": told, "goals": goals });
    fs::write(out.join("authzen.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    say(table(&rows));
    for why in score.0.values().flat_map(|l| &l.failed) {
        say(format!("FAILED {why}"));
    }
    say(if well {
        "every level is reached; see target/conformance/authzen.json"
    } else {
        "NOT every level is reached"
    });
    Ok(well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_the_first_draft_is_moved_into_the_final_form() {
        let old = json!({ "subject": { "type": "user", "id": "mail", "identity": "opaque" }, "resource": { "type": "todo", "id": "1", "ownerID": "mail" } });
        let new = json!({ "subject": { "type": "user", "id": "opaque" }, "resource": { "type": "todo", "id": "1", "properties": { "ownerID": "mail" } } });
        assert_eq!(in_final_form(&old), new);
        assert_eq!(in_final_form(&new), new);
    }

    #[test]
    fn a_level_without_a_passed_case_does_not_hold() {
        let mut score = Score::default();
        assert!(!score.holds("basic-core"));
        score.add("basic-core", "a", None);
        assert!(score.holds("basic-core"));
        score.add("basic-core", "b", Some("no".to_owned()));
        assert!(!score.holds("basic-core"));
    }
}
