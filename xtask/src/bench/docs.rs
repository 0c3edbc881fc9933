//! Figures of a run, put into `docs/performance.md` by the run itself, so that nobody copies a number by hand.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::gateway::{shown, told};

const PAGE: &str = "docs/performance.md";

/// Writes the figures of `bench gateway`.
pub(crate) fn gateway(root: &Path, report: &Value, drawing: &str) -> Result<()> {
    fs::write(root.join("docs/images/latency.svg"), drawing).context("cannot write the drawing")?;
    put(root, "gateway", &gateway_text(report))
}

/// Writes the figures of `bench cut`.
pub(crate) fn cut(root: &Path, report: &Value, drawing: &str) -> Result<()> {
    fs::write(root.join("docs/images/cut.svg"), drawing).context("cannot write the drawing")?;
    put(root, "cut", &cut_text(report))
}

/// Writes the figures of the soak.
pub(crate) fn soak(root: &Path, report: &Value, drawing: &str) -> Result<()> {
    fs::write(root.join("docs/images/soak.svg"), drawing).context("cannot write the drawing")?;
    put(root, "soak", &soak_text(report))
}

/// Replaces what stands between the marks of a part.
fn put(root: &Path, part: &str, text: &str) -> Result<()> {
    let path = root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let page = replaced(&page, part, text).with_context(|| format!("{PAGE} has no marks for {part}"))?;
    fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))
}

fn replaced(page: &str, part: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- figures of bench {part} -->\n"), format!("<!-- end of bench {part} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{text}{end}{after}"))
}

fn gateway_text(report: &Value) -> String {
    let mut text = about(report);
    let rows: Vec<&Value> = report["rows"].as_array().into_iter().flatten().filter(|row| told(row)).collect();
    let mut peers: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(|r| r["peers"].as_object()).flat_map(serde_json::Map::keys) {
        if !peers.contains(&name.as_str()) {
            peers.push(name);
        }
    }
    let mut head = vec!["case", "what", "unit", "Safeconduct, one rule"];
    head.extend(&peers);
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let mut line = vec![word("case"), word("metric"), word("unit"), shown(&row["ours"])];
            line.extend(peers.iter().map(|p| shown(&row["peers"][*p])));
            line
        })
        .collect();
    text.push_str(&markdown(&head, &lines));
    text.push_str("\n![p99 over load](images/latency.svg)\n\n");
    text + &goals(report)
}

fn cut_text(report: &Value) -> String {
    let mut text = about(report);
    let line = |row: &Value| {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        vec![word("case"), word("metric"), word("unit"), shown(&row["ours"])]
    };
    let lines: Vec<Vec<String>> = report["rows"].as_array().into_iter().flatten().map(line).collect();
    text.push_str(&markdown(&["trigger", "what", "unit", "figure"], &lines));
    text.push_str("\n![How long after the trigger connections ended](images/cut.svg)\n\n");
    text + &goals(report)
}

fn soak_text(report: &Value) -> String {
    let mut text = format!("{} minutes. {}", report["minutes"], about(report));
    let line = |row: &Value| {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        vec![word("case"), word("metric"), word("unit"), shown(&row["ours"])]
    };
    let lines: Vec<Vec<String>> = report["rows"].as_array().into_iter().flatten().map(line).collect();
    text.push_str(&markdown(&["", "what", "unit", "figure"], &lines));
    text.push_str("\n![Memory, descriptors and requests over the time](images/soak.svg)\n\n");
    text + &goals(report)
}

fn about(report: &Value) -> String {
    let word = |key: &str| report[key].as_str().unwrap_or("unknown").to_owned();
    let mut text = format!(
        "Measured on {}; {}; load of the machine before the run: {}.",
        word("machine"),
        word("cores"),
        word("load_before")
    );
    if report["quick"] == Value::Bool(true) {
        text.push_str(" **A smoke run: its windows are too short for these figures to be quoted.**");
    }
    text.push_str("\n\n");
    for (key, word) in [("missing", "missing"), ("invalid", "not valid"), ("notes", "note")] {
        for told in report[key].as_array().into_iter().flatten() {
            text.push_str(&format!("- {word}: {}\n", told.as_str().unwrap_or_default()));
        }
    }
    text + "\n"
}

fn goals(report: &Value) -> String {
    let line = |goal: &Value| {
        let word = |key: &str| goal[key].as_str().unwrap_or_default().to_owned();
        let holds = if goal["holds"] == Value::Bool(true) { "ok" } else { "**short**" };
        let wanted = format!("{} {}", word("op"), goal["goal"]);
        vec![word("name"), shown(&goal["value"]), wanted, word("unit"), holds.to_owned()]
    };
    let lines: Vec<Vec<String>> = report["goals"].as_array().into_iter().flatten().map(line).collect();
    markdown(&["goal", "figure", "wanted", "unit", ""], &lines)
}

fn markdown(head: &[&str], lines: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for line in lines {
        text.push_str(&format!("| {} |\n", line.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = "a\n<!-- figures of bench cut -->\nold\n<!-- end of bench cut -->\nb\n";
        let new = replaced(page, "cut", "new\n").expect("marks");
        assert_eq!(new, "a\n<!-- figures of bench cut -->\nnew\n<!-- end of bench cut -->\nb\n");
        assert_eq!(replaced(&new, "cut", "new\n").as_deref(), Some(new.as_str()), "twice is once");
        assert!(replaced(page, "gateway", "x").is_none());
    }

    #[test]
    fn the_page_has_the_marks() {
        let page = fs::read_to_string(crate::tree::root().expect("a root").join(PAGE)).expect("a page");
        for part in ["gateway", "cut", "soak"] {
            assert!(replaced(&page, part, "").is_some(), "{part}");
        }
    }

    #[test]
    fn a_goal_that_does_not_hold_is_said_to() {
        let report = json!({ "goals": [
            { "name": "a", "value": 1.5, "op": "<=", "goal": 1.0, "unit": "times", "holds": false },
            { "name": "b", "value": null, "op": "<=", "goal": 1.0, "unit": "times", "holds": false },
        ] });
        let text = goals(&report);
        assert!(text.contains("| a | 1.50 | <= 1.0 | times | **short** |") && text.contains("| b | - |"), "{text}");
    }
}
