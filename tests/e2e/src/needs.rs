//! What the tests need on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of the workspace.
pub(crate) fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the crate stands in tests/e2e")?;
    Ok(root.to_owned())
}

/// Where `cargo xtask test` installs npm's packages.
pub(crate) fn node_modules() -> Result<PathBuf> {
    Ok(root()?.join("target/e2e-node/node_modules"))
}

/// The real program: the one that `SAFECONDUCT_BIN` names, or the one beside the tests, built in the same profile.
pub fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("SAFECONDUCT_BIN") {
        return Ok(named.into());
    }
    let tests = std::env::current_exe()?;
    Ok(tests.ancestors().nth(2).context("tests stand in target/PROFILE/deps")?.join("safeconduct"))
}

/// Where the path has a program.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What is missing, in words; nothing if the tests can run.
#[must_use]
pub fn missing() -> Option<String> {
    let needed = ["chromium", "chromedriver", "certutil", "node"];
    let mut gone: Vec<String> =
        needed.iter().filter(|n| find(n).is_none()).map(|n| format!("the program {n}")).collect();
    if !node_modules().is_ok_and(|m| m.join("oidc-provider").is_dir()) {
        gone.push("npm's oidc-provider in target/e2e-node".to_owned());
    }
    if !program().is_ok_and(|p| p.is_file()) {
        gone.push("the binary (cargo build -p safeconduct)".to_owned());
    }
    (!gone.is_empty()).then(|| format!("missing: {}; `cargo xtask test` brings it", gone.join(", ")))
}
