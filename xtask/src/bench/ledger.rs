//! `bench ledger`: how fast a ledger of the demo's generator is verified, and what recording costs ([`super::pace`]). Prints a table and writes `target/bench/ledger.json`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{machine, rows};
use crate::terminal::{say, table};
use crate::tree;

/// Records of a whole run.
const RECORDS: u64 = 1_000_000;
/// Records of a smoke run.
const QUICK_RECORDS: u64 = 20_000;
/// Records verified in one second of CPU time, at least: a year of ten requests a second in less than half an hour.
const GOAL_PER_CPU_SECOND: f64 = 200_000.0;

/// What one run of a program took, from the operating system's accounting.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Took {
    wall: f64,
    user: f64,
    system: f64,
}

/// Makes a ledger, verifies it, tells the figures. False if a goal does not hold.
pub(crate) fn ledger(options: &[&str]) -> Result<bool> {
    let records = records(options)?;
    let root = tree::root()?;
    let built = Command::new("cargo").args(["build", "--release", "-p", "safeconduct"]).current_dir(&root).status()?;
    ensure!(built.success(), "the release build failed");
    let (program, bench) = (tree::target(&root).join("release/safeconduct"), root.join("target/bench"));
    let folder = bench.join("ledger-data");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&bench)?;
    let count = records.to_string();
    let made = timed(&program, &["demo", "--records", &count, "--dir", text(&folder)?])?;
    let (ledger, key) = (folder.join("data/ledger"), folder.join("data/keys/ledger.key.pub"));
    let verified = timed(&program, &["ledger", "verify", "--ledger", text(&ledger)?, "--key", text(&key)?])?;
    let bytes = size(&ledger)?;
    fs::remove_dir_all(&folder)?;
    let mut told = report(records, bytes, &machine(), made.1, verified.1);
    // What the program says itself is the proof that this many records were verified.
    let intact = verified.0.split_whitespace().next() == Some(count.as_str());
    ensure!(intact, "the ledger was not verified whole: {}", verified.0.trim());
    let (rows_of_pace, goals) = super::pace::pace(&root, &bench.join("pace-data"), options.contains(&"--quick"))?;
    for (list, more) in [("rows", rows_of_pace), ("goals", goals)] {
        told[list].as_array_mut().context("a report has lists")?.extend(more);
    }
    fs::write(bench.join("ledger.json"), serde_json::to_string_pretty(&told)? + "\n")?;
    say(table(&rows(&told)));
    let holds = told["goals"].as_array().is_some_and(|g| g.iter().all(|goal| goal["holds"] == Value::Bool(true)));
    say(if holds {
        "the goals hold; see target/bench/ledger.json"
    } else {
        "a GOAL DOES NOT HOLD; see target/bench/ledger.json"
    });
    Ok(holds)
}

fn records(options: &[&str]) -> Result<u64> {
    match options {
        [] => Ok(RECORDS),
        ["--quick"] => Ok(QUICK_RECORDS),
        ["--records", n] | ["--records", n, "--quick"] | ["--quick", "--records", n] => {
            let n: u64 = n.parse().with_context(|| format!("--records {n}: it must be a number"))?;
            ensure!(n > 0, "--records 0: there would be nothing to verify");
            Ok(n)
        }
        _ => bail!("bench ledger takes [--records N] [--quick]"),
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path of the repository is not UTF-8")
}

/// Runs a program and returns what it printed and what it took.
fn timed(program: &Path, arguments: &[&str]) -> Result<(String, Took)> {
    // The shell's own keyword asks the operating system for the CPU time of the child.
    let mut command = Command::new("bash");
    command.env("TIMEFORMAT", "%3R %3U %3S").args(["-c", "time \"$0\" \"$@\""]).arg(program).args(arguments);
    let output = command.output().context("cannot run bash")?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{} failed: {out}{err}", arguments.join(" "));
    let last = err.lines().last().unwrap_or_default();
    let took = took(last).with_context(|| format!("bash told no times but: {last}"))?;
    Ok((out.into_owned(), took))
}

/// Reads "real user system" in seconds.
fn took(line: &str) -> Option<Took> {
    let numbers: Vec<f64> = line.split_whitespace().map_while(|w| w.parse().ok()).collect();
    let [wall, user, system] = numbers.as_slice() else { return None };
    Some(Took { wall: *wall, user: *user, system: *system })
}

fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

/// The figures in the shape that every bench writes.
fn report(records: u64, bytes: u64, machine: &str, made: Took, verified: Took) -> Value {
    let per = |seconds: f64| (records as f64 / seconds.max(1e-3)).round();
    let cpu = verified.user + verified.system;
    let row = |metric: &str, unit: &str, ours: f64| json!({ "case": format!("{records} records"), "metric": metric, "unit": unit, "ours": ours, "peers": {} });
    let rate = per(cpu);
    json!({
        "name": "ledger",
        "machine": machine,
        "rows": [
            row("size of the ledger", "bytes/record", (bytes as f64 / records as f64).round()),
            row("written by the generator", "records/CPU-s", per(made.user + made.system)),
            row("verified, wall clock", "s", verified.wall),
            row("verified, CPU time", "CPU-s", cpu),
            row("verified, wall clock", "records/s", per(verified.wall)),
            row("verified, CPU time", "records/CPU-s", rate),
        ],
        "goals": [{
            "name": "verification in CPU time", "value": rate, "op": ">=", "goal": GOAL_PER_CPU_SECOND,
            "unit": "records/CPU-s", "holds": rate >= GOAL_PER_CPU_SECOND,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_how_many_records() {
        assert_eq!(records(&[]).expect("whole"), RECORDS);
        assert_eq!(records(&["--quick"]).expect("quick"), QUICK_RECORDS);
        assert_eq!(records(&["--records", "7"]).expect("seven"), 7);
        assert!(records(&["--records", "many"]).is_err());
        assert!(records(&["--records", "0"]).is_err());
        assert!(records(&["--fast"]).is_err());
    }

    #[test]
    fn times_of_the_shell_are_read() {
        assert_eq!(took("1.500 1.200 0.300"), Some(Took { wall: 1.5, user: 1.2, system: 0.3 }));
        assert_eq!(took("bash: not found"), None);
    }

    #[test]
    fn the_figures_have_the_shape_of_every_bench() {
        let made = Took { wall: 9.0, user: 8.0, system: 2.0 };
        let told = report(1_000, 500_000, "two cores", made, Took { wall: 0.004, user: 0.003, system: 0.001 });
        assert_eq!(
            told["rows"][5],
            json!({ "case": "1000 records", "metric": "verified, CPU time", "unit": "records/CPU-s", "ours": 250_000.0, "peers": {} })
        );
        assert_eq!(told["goals"][0]["holds"], true);
        let slow = report(1_000, 500_000, "two cores", made, Took { wall: 1.0, user: 1.0, system: 0.0 });
        assert_eq!(slow["goals"][0]["holds"], false);
        assert_eq!(rows(&told).len(), 7);
    }
}
