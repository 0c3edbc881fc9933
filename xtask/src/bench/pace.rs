//! What recording a permitted request costs while a server runs: CPU of every thread, and how long until it is written.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::tree;

/// Records offered in a second, from one thread.
const RATES: [u64; 2] = [20_000, 50_000];
/// For how long, in a whole run and in a smoke run.
const SECONDS: u64 = 10;
const QUICK_SECONDS: u64 = 2;
/// CPU that one permitted record may cost in the whole process, indexing included: what is left of nginx's bare proxy after
/// sockets and codec.
const GOAL_US: f64 = 2.0;

/// What is told of each rate.
const METRICS: [(&str, &str, &str); 6] = [
    ("append_us", "CPU per record, where it is handed in", "us"),
    ("writer_us", "CPU per record, threads of the writer", "us"),
    ("index_us", "CPU per record, index", "us"),
    ("whole_us", "CPU per record, all together", "us"),
    ("p50_us", "left to wait for the record when an upstream has answered, median", "us"),
    ("p99_us", "left to wait for the record when an upstream has answered, p99", "us"),
];

/// Offers records at every rate; returns the rows and goals.
pub(super) fn pace(root: &Path, folder: &Path, quick: bool) -> Result<(Vec<Value>, Vec<Value>)> {
    let build = ["build", "--release", "--quiet", "-p", "safeconduct-store", "--example", "pace"];
    let built = Command::new("cargo").args(build).current_dir(root).status().context("cannot run cargo")?;
    ensure!(built.success(), "the release build failed");
    let program = tree::target(root).join("release/examples/pace");
    let seconds = if quick { QUICK_SECONDS } else { SECONDS };
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for rate in RATES {
        let _ = fs::remove_dir_all(folder);
        let output = Command::new(&program).arg(folder).args([rate, seconds].map(|n| n.to_string())).output();
        let output = output.with_context(|| format!("cannot run {}", program.display()))?;
        fs::remove_dir_all(folder)?;
        ensure!(output.status.success(), "pace failed: {}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).context("pace told no figures")?;
        rows.extend(of_rate(rate, &told));
        goals.extend(goal(rate, &told));
    }
    Ok((rows, goals))
}

fn of_rate(rate: u64, told: &Value) -> Vec<Value> {
    let row = |(key, metric, unit): &(&str, &str, &str)| json!({ "case": format!("{rate} records/s"), "metric": metric, "unit": unit, "ours": told[*key], "peers": {} });
    METRICS.iter().map(row).collect()
}

/// Without a figure there is no goal that holds.
fn goal(rate: u64, told: &Value) -> Option<Value> {
    let value = told["whole_us"].as_f64().unwrap_or(f64::INFINITY);
    let name = format!("CPU per permitted record at {rate} records/s");
    (rate == RATES[0]).then(|| json!({ "name": name, "value": value, "op": "<=", "goal": GOAL_US, "unit": "us", "holds": value <= GOAL_US }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_rate_are_rows_and_one_goal() {
        let told =
            json!({ "append_us": 0.5, "writer_us": 1.0, "index_us": 0.4, "whole_us": 1.9, "p50_us": 3, "p99_us": 90 });
        let rows = of_rate(20_000, &told);
        assert_eq!(rows.len(), METRICS.len());
        assert_eq!((rows[3]["case"].as_str(), rows[3]["ours"].as_f64()), (Some("20000 records/s"), Some(1.9)));
        assert_eq!(goal(20_000, &told).expect("a goal")["holds"], true);
        assert_eq!(goal(20_000, &json!({})).expect("a goal")["holds"], false);
        assert_eq!(goal(50_000, &told), None);
    }
}
