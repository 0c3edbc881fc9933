//! `bench decide`: how fast the compiled engine decides, beside Cedar's authorizer and regorus on the same rules and requests. Each
//! engine and size runs in a process of its own. Prints a table and writes `target/bench/decide.json`.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::goals::{disagreements, goals};
use super::{load, machine, program, write};
use crate::terminal::{say, spaced, table};
use crate::tree;

const SIZES: [u64; 5] = [10, 1_000, 10_000, 100_000, 1_000_000];
/// The engines, and the number of rules up to which each takes part.
const ENGINES: [(&str, u64); 4] =
    [("safeconduct", 1_000_000), ("cedar", 100_000), ("cedar-text", 100_000), ("regorus", 100_000)];
/// The largest size of a smoke run.
const QUICK: u64 = 1_000;
/// Worlds after the OOPSLA 2024 paper, and how many entities of each kind they have.
const SCENARIOS: [&str; 3] = ["gdrive", "github", "tinytodo"];
const EACH: [u64; 2] = [5, 50];
/// The longest that one process may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// The longest for an engine that scans every rule in an interpreter, at the size that may be too large for it.
const LESS_PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// One process.
struct Run {
    case: String,
    words: Vec<String>,
    patience: Duration,
}

/// Runs everything and compares. False if a goal does not hold.
pub(crate) fn decide(options: &[&str]) -> Result<bool> {
    let up_to = up_to(options)?;
    let root = tree::root()?;
    say("building ...");
    let program = program(&root)?;
    let (machine, before) = (machine(), load());
    let mut rows = Vec::new();
    for run in plan(up_to) {
        say(format!("{} ...", run.words.join(" ")));
        let told = measured(&program, &run)?;
        told.iter().map(summary).for_each(say);
        rows.extend(told);
    }
    let wrong = disagreements(&rows);
    let goals = goals(&rows, wrong.len());
    let busy = format!("load {before} when it began, {} at the end", load());
    say(table(&cells(&rows)));
    say(format!("{machine}; {busy}. A reading of the clock is in every figure of a single decision."));
    wrong.iter().for_each(say);
    say(table(&goals.iter().map(goal_cells).collect::<Vec<_>>()));
    let result = json!({ "name": "decide", "machine": machine, "load": busy, "rows": compared(&rows),
        "measured": without_answers(&rows), "disagreements": wrong, "goals": goals });
    let file = write(&root, "bench", "decide", &result)?;
    let holds = goals.iter().all(|goal| goal["holds"] != false);
    say(if holds { format!("the goals hold; see {file}") } else { format!("a GOAL DOES NOT HOLD; see {file}") });
    Ok(holds)
}

fn up_to(options: &[&str]) -> Result<u64> {
    match options {
        [] => Ok(1_000_000),
        ["--quick"] => Ok(QUICK),
        ["--up-to", n] => {
            let n = n.parse().with_context(|| format!("--up-to {n}: it must be a number"))?;
            ensure!(n >= SIZES[0], "--up-to {n}: the smallest size is {}", SIZES[0]);
            Ok(n)
        }
        _ => bail!("bench decide takes [--quick] [--up-to N]"),
    }
}

/// All processes, peers beside each other.
fn plan(up_to: u64) -> Vec<Run> {
    let mut runs = Vec::new();
    let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    runs.push(Run { case: "clock".into(), words: words(&["engine", "clock", "10"]), patience: PATIENCE });
    for size in SIZES.into_iter().filter(|size| *size <= up_to) {
        for (engine, _) in ENGINES.into_iter().filter(|(_, most)| size <= *most) {
            let patience = if engine == "regorus" { LESS_PATIENCE } else { PATIENCE };
            runs.push(Run { case: size.to_string(), words: words(&["engine", engine, &size.to_string()]), patience });
        }
    }
    for (scenario, each) in SCENARIOS.into_iter().flat_map(|s| EACH.map(|each| (s, each.to_string()))) {
        for engine in ["safeconduct", "cedar"] {
            let words = words(&["scenario", scenario, engine, &each]);
            runs.push(Run { case: format!("{scenario} {each}"), words, patience: PATIENCE });
        }
    }
    runs
}

/// The rows that one process tells, or one that says that it took too long.
fn measured(program: &Path, run: &Run) -> Result<Vec<Value>> {
    let mut child = Command::new(program).args(&run.words).stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().context("the program has no output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > run.patience {
            child.kill()?;
            child.wait()?;
            let note = format!("not within {} s", run.patience.as_secs());
            return Ok(vec![json!({ "case": run.case, "engine": run.words[1], "note": note })]);
        }
        sleep(LOOK);
    };
    let text = reader.join().map_err(|_| anyhow::anyhow!("the output could not be read"))??;
    ensure!(status.success(), "{} failed: {status}", run.words.join(" "));
    text.lines()
        .map(|line| {
            let mut row: Value = serde_json::from_str(line)?;
            row["case"] = json!(run.case);
            Ok(row)
        })
        .collect()
}

/// One row in a line, so that a long run that is broken off was not for nothing.
fn summary(row: &Value) -> String {
    let number = |key: &str| row[key].as_f64().unwrap_or(0.0);
    let engine = row["engine"].as_str().unwrap_or_default();
    match row["note"].as_str() {
        Some(note) => format!("    {engine}: {note}"),
        None => format!(
            "    {engine}: {:.3} us, p99 {:.3} us, load {:.0} CPU ms, {:.0} MB",
            number("median_us"),
            number("p99_us"),
            number("load_cpu_ms"),
            number("resident_mb"),
        ),
    }
}

fn name(case: &str) -> String {
    case.parse().map_or_else(|_| case.to_owned(), spaced)
}

fn cells(rows: &[Value]) -> Vec<Vec<String>> {
    let head = [
        "rules",
        "engine",
        "load ms",
        "CPU ms",
        "resident MB",
        "free of it",
        "peak MB",
        "median us",
        "p99 us",
        "decided",
        "allowed",
    ];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str, places: usize| {
            row[key].as_f64().map_or_else(String::new, |n| if n == 0.0 { "-".into() } else { format!("{n:.places$}") })
        };
        if let Some(note) = row["note"].as_str() {
            cells.push(vec![name(&text("case")), text("engine"), note.to_owned()]);
            continue;
        }
        cells.push(vec![
            name(&text("case")),
            text("engine"),
            number("load_ms", 0),
            number("load_cpu_ms", 0),
            number("resident_mb", 1),
            number("left_over_mb", 1),
            number("peak_mb", 1),
            number("median_us", 3),
            number("p99_us", 3),
            number("decided", 0),
            number("allowed", 0),
        ]);
    }
    cells
}

fn goal_cells(goal: &Value) -> Vec<String> {
    let holds = match goal["holds"].as_bool() {
        Some(true) => "holds",
        Some(false) => "DOES NOT HOLD",
        None => "not measured",
    };
    let number = |key: &str| goal[key].as_f64().map_or_else(|| "-".to_owned(), |n| format!("{n:.3}"));
    let text = |key: &str| goal[key].as_str().unwrap_or_default().to_owned();
    vec![holds.to_owned(), text("name"), number("value"), text("op"), number("goal"), text("unit")]
}

/// What was measured, in the shape of every bench: one row for each case and metric, the peers beside ours.
fn compared(rows: &[Value]) -> Vec<Value> {
    const METRICS: [(&str, &str, &str); 5] = [
        ("median", "us", "median_us"),
        ("99th percentile", "us", "p99_us"),
        ("load, CPU time", "ms", "load_cpu_ms"),
        ("resident", "MB", "resident_mb"),
        ("resident and free again", "MB", "left_over_mb"),
    ];
    let mut found = Vec::new();
    for ours in rows.iter().filter(|row| row["engine"] == "safeconduct") {
        for (metric, unit, key) in METRICS {
            let peers = rows.iter().filter(|row| row["case"] == ours["case"] && row["engine"] != "safeconduct");
            let peers = peers.filter(|row| row["engine"] != "cedar-text" || !key.ends_with("_us"));
            let peers: serde_json::Map<String, Value> = peers
                .filter(|row| row[key].is_number())
                .filter_map(|row| Some((row["engine"].as_str()?.to_owned(), row[key].clone())))
                .collect();
            found.push(
                json!({ "case": ours["case"], "metric": metric, "unit": unit, "ours": ours[key], "peers": peers }),
            );
        }
    }
    found
}

fn without_answers(rows: &[Value]) -> Vec<Value> {
    let mut rows = rows.to_vec();
    rows.iter_mut().filter_map(Value::as_object_mut).for_each(|row| drop(row.remove("answers")));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_how_far_it_goes() {
        assert_eq!(up_to(&[]).expect("whole"), 1_000_000);
        assert_eq!(up_to(&["--quick"]).expect("quick"), QUICK);
        assert_eq!(up_to(&["--up-to", "10000"]).expect("some"), 10_000);
        for bad in [&["--up-to"][..], &["--up-to", "1"], &["--up-to", "x"], &["--fast"]] {
            assert!(up_to(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_engine_takes_part_as_far_as_it_can() {
        let words: Vec<String> = plan(1_000_000).into_iter().map(|run| run.words.join(" ")).collect();
        for there in
            ["engine safeconduct 1000000", "engine cedar 100000", "engine regorus 100000", "scenario github cedar 50"]
        {
            assert!(words.iter().any(|w| w == there), "{there}");
        }
        assert!(!words.iter().any(|w| w == "engine cedar 1000000"));
        assert!(plan(QUICK).iter().all(|run| run.case != "10000"));
    }

    #[test]
    fn peers_stand_beside_ours() {
        let row =
            |engine: &str, median: f64| json!({ "case": "10", "engine": engine, "median_us": median, "answers": "f" });
        let rows = [
            row("safeconduct", 0.5),
            row("cedar", 8.0),
            json!({ "case": "10", "engine": "regorus", "note": "not within 120 s" }),
        ];
        let median = json!({ "case": "10", "metric": "median", "unit": "us", "ours": 0.5, "peers": { "cedar": 8.0 } });
        assert_eq!(compared(&rows)[0], median);
        assert_eq!(without_answers(&rows)[0]["answers"], Value::Null);
        let text = table(&cells(&rows));
        assert!(text.contains("0.500") && text.contains("not within 120 s"), "{text}");
    }
}
