//! `bench replay`: how fast recorded verdicts are decided again on a changed set. Prints a table and writes
//! `target/bench/replay.json`.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{load, machine, rows, write};
use crate::terminal::{say, table};
use crate::tree;

/// Verdicts of a whole run, and of a smoke run.
const VERDICTS: (u64, u64) = (10_000_000, 100_000);
/// Decided again in one second of CPU time, at least.
const GOAL_PER_CPU_SECOND: f64 = 1_000_000.0;

/// Replays, tells the figures. False if the goal does not hold.
pub(crate) fn replay(options: &[&str]) -> Result<bool> {
    let verdicts = match options {
        [] => VERDICTS.0,
        ["--quick"] => VERDICTS.1,
        ["--verdicts", n] => n.parse().with_context(|| format!("--verdicts {n}: it must be a number"))?,
        _ => bail!("bench replay takes [--verdicts N] [--quick]"),
    };
    let root = tree::root()?;
    let arguments = ["run", "--quiet", "--release", "-p", "safeconduct-rehearse", "--example", "replay", "--"];
    let run = Command::new("cargo").args(arguments).arg(verdicts.to_string()).current_dir(&root).output()?;
    ensure!(run.status.success(), "the run failed: {}", String::from_utf8_lossy(&run.stderr));
    let told: Value = serde_json::from_slice(&run.stdout).context("the run printed no figures")?;
    let result = report(&told);
    let place = write(&root, "bench", "replay", &result)?;
    say(table(&rows(&result)));
    let holds = result["goals"][0]["holds"] == Value::Bool(true);
    say(format!("{}; see {place}", if holds { "the goal holds" } else { "the GOAL DOES NOT HOLD" }));
    Ok(holds)
}

/// The figures in the shape that every bench writes.
fn report(told: &Value) -> Value {
    let case = format!("{} verdicts, {} rules, {} people", told["verdicts"], told["rules"], told["people"]);
    let row = |metric: &str, unit: &str| json!({ "case": case, "metric": metric, "unit": unit, "ours": told[metric], "peers": {} });
    let rate = told["per_cpu_second"].as_f64().unwrap_or_default();
    json!({
        "name": "replay", "machine": machine(), "load": load(),
        "rows": [
            row("per_cpu_second", "verdicts"), row("wall_s", "s"), row("cpu_s", "s"), row("put_in_per_second", "verdicts"),
            row("same", "verdicts"), row("newly_denied", "verdicts"), row("newly_allowed", "verdicts"),
            row("denied_for_another_reason", "verdicts"),
        ],
        "goals": [{ "name": "decided again", "value": rate, "op": ">=", "goal": GOAL_PER_CPU_SECOND,
            "unit": "verdicts/CPU-s", "holds": rate >= GOAL_PER_CPU_SECOND }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_run_and_one_without_figures_do_not_hold() {
        let holds = |told: Value| report(&told)["goals"][0]["holds"].clone();
        assert_eq!(holds(json!({ "per_cpu_second": 1_000_001.0 })), json!(true));
        assert_eq!(holds(json!({ "per_cpu_second": 999_999.0 })), json!(false));
        assert_eq!(holds(json!({})), json!(false));
    }
}
