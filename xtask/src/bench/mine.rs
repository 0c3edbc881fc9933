//! `bench mine`: how well mined rules fit the time after, on generated enterprises whose truth is known. Prints a table and
//! writes `target/bench/mine.json`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bench::{machine, rows};
use crate::terminal::{say, table};
use crate::tree;

/// Enterprises of a whole run, and of a smoke run.
const SEEDS: (u32, u32) = (10, 2);
/// Weeks of each: a window of ninety days, a quarter before it, and four weeks to judge.
const WEEKS: u32 = 22;
/// Of what is needed in the week after, the share that may be denied.
const MOST_UNDER: f64 = 0.005;
/// Of what is granted, weighted by class, the share that may lie idle in the four weeks after.
const MOST_OVER: f64 = 0.20;

/// Mines, judges, tells the figures. False if a goal does not hold.
pub(crate) fn mine(options: &[&str]) -> Result<bool> {
    let seeds = match options {
        [] => SEEDS.0,
        ["--quick"] => SEEDS.1,
        _ => bail!("bench mine takes [--quick]"),
    };
    let root = tree::root()?;
    let (seeds, weeks) = (seeds.to_string(), WEEKS.to_string());
    let arguments = ["run", "--quiet", "--release", "-p", "safeconduct-rehearse", "--example", "mine", "--"];
    let run = Command::new("cargo").args(arguments).args([&seeds, &weeks]).current_dir(&root).output()?;
    ensure!(run.status.success(), "the run failed: {}", String::from_utf8_lossy(&run.stderr));
    let runs: Vec<Value> = serde_json::from_slice(&run.stdout).context("the run printed no figures")?;
    let told = report(&runs, &machine());
    let bench = root.join("target/bench");
    fs::create_dir_all(&bench)?;
    fs::write(bench.join("mine.json"), serde_json::to_string_pretty(&told)? + "\n")?;
    say(table(&rows(&told)));
    let holds = told["goals"].as_array().is_some_and(|g| g.iter().all(|goal| goal["holds"] == Value::Bool(true)));
    say(if holds {
        "the goals hold; see target/bench/mine.json"
    } else {
        "a GOAL DOES NOT HOLD; see target/bench/mine.json"
    });
    Ok(holds)
}

/// The figures in the shape that every bench writes. The goals are about the worst enterprise, not about the mean.
fn report(runs: &[Value], machine: &str) -> Value {
    let all = |key: &str| runs.iter().filter_map(|r| r[key].as_f64()).collect::<Vec<f64>>();
    let most = |key: &str| all(key).into_iter().fold(0.0, f64::max);
    let mean = |key: &str| all(key).iter().sum::<f64>() / (runs.len().max(1) as f64);
    let percent = |share: f64| (share * 1e4).round() / 1e2;
    let case = format!("{} enterprises", runs.len());
    let row = |metric: &str, unit: &str, ours: f64| json!({ "case": case, "metric": metric, "unit": unit, "ours": ours, "peers": {} });
    let (under, over) = (most("under"), most("over"));
    json!({
        "name": "mine",
        "machine": machine,
        "rows": [
            row("records of an enterprise, mean", "records", mean("records").round()),
            row("needed accesses that were judged, all", "accesses", all("needed").iter().sum()),
            row("under-privilege, the week after, worst", "%", percent(under)),
            row("under-privilege, the week after, mean", "%", percent(mean("under"))),
            row("over-privilege, four weeks after, weighted, worst", "%", percent(over)),
            row("over-privilege, four weeks after, weighted, mean", "%", percent(mean("over"))),
            row("over-privilege, the week after alone, weighted, worst", "%", percent(most("over_in_a_week"))),
            row("curious accesses that became a right, worst", "of all", most("noise_permitted")),
            row("rules, mean", "rules", mean("rules").round()),
            row("complexity, mean", "", mean("complexity").round()),
            row("reliability of the least reliable rule", "", all("least_reliability").into_iter().fold(1.0, f64::min)),
        ],
        "runs": runs,
        "goals": [
            { "name": "under-privilege, the week after", "value": percent(under), "op": "<=", "goal": percent(MOST_UNDER), "unit": "%",
              "holds": !runs.is_empty() && under <= MOST_UNDER },
            { "name": "over-privilege, four weeks after", "value": percent(over), "op": "<=", "goal": percent(MOST_OVER), "unit": "%",
              "holds": !runs.is_empty() && over <= MOST_OVER },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_enterprise_decides() {
        let run = |under: f64, over: f64| json!({ "under": under, "over": over, "records": 10 });
        let holds = |runs: &[Value]| -> Vec<bool> {
            let told = report(runs, "a machine");
            told["goals"].as_array().expect("goals").iter().map(|g| g["holds"] == Value::Bool(true)).collect()
        };
        assert_eq!(holds(&[run(0.0, 0.1), run(0.005, 0.2)]), [true, true]);
        assert_eq!(holds(&[run(0.0, 0.1), run(0.006, 0.3)]), [false, false]);
        assert_eq!(holds(&[]), [false, false]);
    }
}
