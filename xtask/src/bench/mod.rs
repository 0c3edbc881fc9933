//! `bench NAME`: what Safeconduct achieves, beside its peers in the same run. Each prints a table and writes
//! `target/bench/NAME.json`.

mod ahead;
mod cut;
mod decide;
mod differential;
mod docs;
mod gateway;
mod goals;
mod ledger;
mod mine;
mod pace;
mod prove;
mod replay;
mod soak;
mod svg;
mod tunnels;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

pub(crate) use cut::cut;
pub(crate) use decide::decide;
pub(crate) use differential::differential;
pub(crate) use gateway::{compare, gateway};
pub(crate) use ledger::ledger;
pub(crate) use mine::mine;
pub(crate) use prove::run as prove;
pub(crate) use replay::replay;
pub(crate) use soak::soak;

use crate::tree;

/// The machine, in the words that every result carries.
pub(crate) fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .unwrap_or("unknown")
        .trim_start_matches([' ', '\t', ':']);
    format!("{cpus} cores, {model}")
}

/// How busy it is, as the operating system tells: processes that want a core, over the last minute.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The program that measures, freshly built.
pub(crate) fn program(root: &Path) -> Result<PathBuf> {
    let build = ["build", "--release", "--quiet", "-p", "safeconduct-bench"];
    let built = Command::new("cargo").args(build).current_dir(root).status().context("cannot run cargo")?;
    ensure!(built.success(), "the release build failed");
    Ok(tree::target(root).join("release/safeconduct-bench"))
}

/// Writes a result where every command of its kind leaves it.
pub(crate) fn write(root: &Path, kind: &str, name: &str, result: &Value) -> Result<String> {
    let (folder, file) = (root.join("target").join(kind), format!("{name}.json"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(folder.join(&file), serde_json::to_string_pretty(result)? + "\n")?;
    Ok(format!("target/{kind}/{file}"))
}

pub(crate) fn rows(report: &Value) -> Vec<Vec<String>> {
    let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut rows = vec![["case", "metric", "ours", "unit"].map(str::to_owned).to_vec()];
    for row in report["rows"].as_array().into_iter().flatten() {
        rows.push(["case", "metric", "ours", "unit"].iter().map(|k| word(&row[*k])).collect());
    }
    rows
}
