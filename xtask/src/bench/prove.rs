//! `bench prove`: how fast and how right proofs over rule sets are. Prints a table and writes `target/bench/prove.json`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bench::{machine, rows};
use crate::terminal::{say, table};
use crate::tree;

/// Seeds of a whole run; each makes 32 edits of every size.
const SEEDS: u64 = 3;
/// One changed rule among a thousand, at most, in milliseconds.
const GOAL_MEDIAN_MS: f64 = 50.0;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    seeds: u64,
    symcc: Option<u64>,
}

/// Runs the proofs, tells the figures. False if a goal does not hold.
pub(crate) fn run(options: &[&str]) -> Result<bool> {
    let asked = asked(options)?;
    let root = tree::root()?;
    let seeds = asked.seeds.to_string();
    let proofs = ["run", "--release", "-q", "-p", "safeconduct-rehearse", "--example", "prove", "--", &seeds];
    let lines = output(&root, &proofs)?;
    let sizes: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let agreed = asked.symcc.map(|pairs| symcc(&root, pairs)).transpose()?;
    let told = report(&sizes, agreed, &machine());
    let bench = root.join("target/bench");
    fs::create_dir_all(&bench)?;
    fs::write(bench.join("prove.json"), serde_json::to_string_pretty(&told)? + "\n")?;
    say(table(&rows(&told)));
    for wrong in sizes.iter().flat_map(|s| s["wrong"].as_array().into_iter().flatten()) {
        say(format!("WRONG: {wrong}"));
    }
    let holds = told["goals"].as_array().is_some_and(|g| g.iter().all(|goal| goal["holds"] == Value::Bool(true)));
    say(if holds {
        "the goals hold; see target/bench/prove.json"
    } else {
        "a GOAL DOES NOT HOLD; see target/bench/prove.json"
    });
    Ok(holds)
}

fn asked(options: &[&str]) -> Result<Asked> {
    let mut asked = Asked { seeds: SEEDS, symcc: None };
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "--quick" => asked.seeds = 1,
            "--symcc" => {
                let pairs = rest.next().context("--symcc takes the number of pairs")?;
                asked.symcc = Some(pairs.parse().with_context(|| format!("--symcc {pairs}: it must be a number"))?);
            }
            _ => bail!("bench prove takes [--quick] [--symcc PAIRS]"),
        }
    }
    Ok(asked)
}

/// Compares the prover with SymCC; how many pairs agree.
fn symcc(root: &std::path::Path, pairs: u64) -> Result<(u64, u64)> {
    let count = pairs.to_string();
    let told = output(root, &["run", "--release", "-q", "-p", "safeconduct-symcc", "--", &count])?;
    say(told.trim());
    let agree = told.split_whitespace().next().and_then(|n| n.parse().ok()).context("no count was told")?;
    Ok((agree, pairs))
}

fn output(root: &std::path::Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("cargo").args(arguments).current_dir(root).output().context("cannot run cargo")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {} failed: {}", arguments.join(" "), error.trim());
    String::from_utf8(output.stdout).context("the figures are not UTF-8")
}

/// The figures in the shape that every bench writes.
fn report(sizes: &[Value], agreed: Option<(u64, u64)>, machine: &str) -> Value {
    let number = |v: &Value, key: &str| v[key].as_f64().unwrap_or(0.0);
    let rounded = |n: f64| (n * 1_000.0).round() / 1_000.0;
    let share = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    let (mut right, mut proofs, mut shown, mut confirmed, mut median) = (0.0, 0.0, 0.0, 0.0, f64::MAX);
    for size in sizes {
        let case = format!("{} rules, one changed", size["rules"]);
        let mut row = |metric: &str, unit: &str, ours: f64| {
            rows.push(json!({ "case": case, "metric": metric, "unit": unit, "ours": ours, "peers": {} }));
        };
        row("proofs", "", number(size, "proofs"));
        row("median", "ms", rounded(number(size, "median_ms")));
        row("99th percentile", "ms", rounded(number(size, "p99_ms")));
        row("right", "%", share(number(size, "right"), number(size, "proofs")));
        row("counterexamples", "", number(size, "counterexamples"));
        row("confirmed by the engine", "%", share(number(size, "confirmed"), number(size, "counterexamples")));
        (right, proofs) = (right + number(size, "right"), proofs + number(size, "proofs"));
        (shown, confirmed) = (shown + number(size, "counterexamples"), confirmed + number(size, "confirmed"));
        if size["rules"] == 1_000 {
            median = number(size, "median_ms");
        }
    }
    let mut goal = |name: &str, value: f64, op: &str, goal: f64, unit: &str| {
        let holds = if op == "<" { value < goal } else { value >= goal };
        goals.push(
            json!({ "name": name, "value": rounded(value), "op": op, "goal": goal, "unit": unit, "holds": holds }),
        );
    };
    goal("median, one changed rule among 1000", median, "<", GOAL_MEDIAN_MS, "ms");
    goal("right answers", share(right, proofs), ">=", 100.0, "%");
    goal("counterexamples confirmed by the engine", share(confirmed, shown), ">=", 100.0, "%");
    if let Some((agree, pairs)) = agreed {
        let peers = json!({ "SymCC": pairs });
        rows.push(json!({ "case": "small pairs", "metric": "agree with SymCC", "unit": "pairs", "ours": agree, "peers": peers }));
        #[expect(clippy::cast_precision_loss, reason = "counts of pairs are small")]
        goal("agreement with SymCC", agree as f64, ">=", pairs as f64, "pairs");
    }
    json!({ "name": "prove", "machine": machine, "rows": rows, "goals": goals })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_how_much_is_run() {
        assert_eq!(asked(&[]).expect("whole"), Asked { seeds: SEEDS, symcc: None });
        assert_eq!(asked(&["--quick", "--symcc", "500"]).expect("both"), Asked { seeds: 1, symcc: Some(500) });
        assert!(asked(&["--symcc"]).is_err());
        assert!(asked(&["--fast"]).is_err());
    }

    #[test]
    fn one_wrong_answer_fails_the_goal() {
        let size = |right: u64| {
            json!({ "rules": 1_000, "proofs": 10, "median_ms": 1.5, "p99_ms": 2.0, "right": right,
            "counterexamples": 4, "confirmed": 4 })
        };
        let holds = |told: &Value| told["goals"].as_array().expect("goals").iter().all(|g| g["holds"] == true);
        assert!(holds(&report(&[size(10)], Some((500, 500)), "m")));
        assert!(!holds(&report(&[size(9)], None, "m")));
        assert!(!holds(&report(&[size(10)], Some((499, 500)), "m")));
        assert!(!holds(&report(&[], None, "m")), "nothing was measured");
    }
}
