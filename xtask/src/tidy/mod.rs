//! `tidy`: the rules of the house that no compiler knows. Every finding says where, what, and why the rule exists.

mod edges;
mod manifests;
mod pure;
mod texts;

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::terminal::say;
use crate::tree;

/// A rule that does not hold somewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, with the line where there is one.
    place: String,
    /// What is wrong there.
    what: String,
    /// Why the rule exists.
    why: &'static str,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>, why: &'static str) -> Self {
        Self { place: place.into(), what: what.into(), why }
    }

    fn report(&self) -> String {
        format!("{}: {}\n    why: {}", self.place, self.what, self.why)
    }
}

/// Looks at everything and tells all findings. True if there is none.
pub(crate) fn run() -> Result<bool> {
    say("tidy ...");
    let root = tree::root()?;
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .or_else(|_| cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    let packages = edges::read(&serde_json::from_str(&metadata)?, &root.to_string_lossy())?;
    let sources = tree::sources(&root)?;
    let mut findings = edges::check(&packages);
    findings.extend(manifests::check(&packages, &sources));
    findings.extend(texts::check(&sources));
    for package in packages.iter().filter(|p| pure::applies(&p.name)) {
        let tree = cargo(&["tree", "-p", &package.name, "-e", "normal", "--prefix", "none"])?;
        findings.extend(pure::check(package, &tree));
    }
    findings.extend(pure::banned(&cargo(&["tree", "--workspace", "-e", "normal", "--prefix", "none"])?));
    findings.sort();
    findings.dedup();
    for finding in &findings {
        say(finding.report());
    }
    match findings.len() {
        0 => say(format!("tidy: well, {} files and {} crates", sources.len(), packages.len())),
        n => say(format!("tidy: FAILED with {n} findings")),
    }
    Ok(findings.is_empty())
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let output =
        Command::new("cargo").args(arguments).current_dir(tree::root()?).output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
