//! `check`: what to run before a commit.

use std::process::Command;

use anyhow::Result;

use crate::step::Steps;
use crate::{tidy, tree};

/// Format, clippy, tidy.
pub(crate) fn run() -> Result<bool> {
    let steps = Steps::new(&tree::root()?)?;
    let format = steps.run("fmt", Command::new("cargo").args(["fmt", "--all", "--check"]))?.well;
    let clippy = steps.run("clippy", &mut clippy())?.well;
    let tidy = tidy::run()?;
    Ok(format && clippy && tidy)
}

/// Clippy over everything, warnings are errors.
pub(crate) fn clippy() -> Command {
    let mut command = Command::new("cargo");
    command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    command
}
