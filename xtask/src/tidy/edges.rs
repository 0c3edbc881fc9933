//! Who may import whom: words ← core ← shells ← server ← program.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;

/// What a crate is, in the order in which crates may build on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Shared vocabulary.
    Words,
    /// Decides, and does no input or output.
    Core,
    /// Does input and output, and decides nothing.
    Shell,
    /// Where core and shells meet.
    Root,
    /// The program.
    Program,
    /// Measures from inside: builds on what it measures, and nothing builds on it.
    Bench,
    /// Looks on from outside, as a user does: builds on nothing of ours but other tools.
    Tool,
}

/// Every crate and its class. A new crate is a room of the house: see `docs/decisions`.
const CLASSES: [(&str, Class); 26] = [
    ("safeconduct-model", Class::Words),
    ("safeconduct-http", Class::Core),
    ("safeconduct-policy", Class::Core),
    ("safeconduct-rehearse", Class::Core),
    ("safeconduct-access", Class::Core),
    ("safeconduct-authn", Class::Core),
    ("safeconduct-ledger", Class::Core),
    ("safeconduct-flows", Class::Core),
    ("safeconduct-detect", Class::Core),
    ("safeconduct-entitlements", Class::Core),
    ("safeconduct-assess", Class::Core),
    ("safeconduct-config", Class::Core),
    ("safeconduct-gateway", Class::Shell),
    ("safeconduct-connector", Class::Shell),
    ("safeconduct-directory", Class::Shell),
    ("safeconduct-store", Class::Shell),
    ("safeconduct-api", Class::Shell),
    ("safeconduct-console", Class::Shell),
    ("safeconduct-agent", Class::Shell),
    ("safeconduct-server", Class::Root),
    ("safeconduct", Class::Program),
    ("safeconduct-bench", Class::Bench),
    ("safeconduct-e2e", Class::Tool),
    ("safeconduct-negative", Class::Tool),
    ("safeconduct-symcc", Class::Tool),
    ("xtask", Class::Tool),
];

/// The edges between two core crates, each with its reason. Every other edge of a core crate leads to the words.
const CORE_EDGES: [(&str, &str, &str); 3] = [
    ("safeconduct-rehearse", "safeconduct-policy", "a rehearsal asks the very `decide` that serves"),
    ("safeconduct-rehearse", "safeconduct-flows", "proposals are mined from observed edges"),
    ("safeconduct-config", "safeconduct-access", "the configuration names the lifetimes of sessions in their own type"),
];

/// The tools that build on ours all the same, because they hold it against another implementation of the same thing.
const COMPARING: [(&str, &str); 1] =
    [("safeconduct-symcc", "the prover is compared with Cedar's symbolic compiler, in one process")];

const WHY_CLASS: &str = "a crate's class says what it may touch; without one nothing can be checked";
const WHY_DOWN: &str =
    "words ← core ← shells ← server ← program: what decides can be read and tested without what does";
const WHY_SHELLS: &str = "shells meet in `server` alone; one that knows another cannot be replaced or tested alone";
const WHY_CORE: &str =
    "a new edge between core crates is a decision: write it down in docs/decisions and in this table";
const WHY_TOOL: &str = "tools look on from outside, as a user does; what they import they could not find broken";

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub name: String,
    /// Its manifest, relative to the workspace.
    pub manifest: String,
    /// The crates of the workspace that it names, for building, running or testing.
    pub ours: Vec<String>,
}

/// The packages that `cargo metadata --no-deps` tells of.
pub(crate) fn read(metadata: &Value, root: &str) -> Result<Vec<Package>> {
    let packages = metadata["packages"].as_array().context("cargo metadata tells of no packages")?;
    let read = packages.iter().map(|p| {
        let name = p["name"].as_str().context("a package has no name")?;
        let manifest = p["manifest_path"].as_str().context("a package has no manifest")?;
        let manifest = manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/');
        let dependencies = p["dependencies"].as_array().into_iter().flatten();
        // A dependency with a path is one of the workspace.
        let ours = dependencies.filter(|d| d["path"].is_string()).filter_map(|d| d["name"].as_str().map(str::to_owned));
        Ok(Package { name: name.to_owned(), manifest: manifest.to_owned(), ours: ours.collect() })
    });
    read.collect()
}

/// The class of a crate.
pub(crate) fn class(name: &str) -> Option<Class> {
    CLASSES.iter().find(|(n, _)| *n == name).map(|(_, class)| *class)
}

/// Every edge that leads the wrong way.
pub(crate) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        if class(&package.name).is_none() {
            let what = format!("the crate {} has no class; add it to xtask/src/tidy/edges.rs", package.name);
            findings.push(Finding::new(&package.manifest, what, WHY_CLASS));
            continue;
        }
        for other in &package.ours {
            if let Some(why) = objection(&package.name, other) {
                findings.push(Finding::new(
                    &package.manifest,
                    format!("{} must not build on {other}", package.name),
                    why,
                ));
            }
        }
    }
    findings
}

/// Why a crate may not build on another, if it may not.
fn objection(from: &str, to: &str) -> Option<&'static str> {
    let (from_class, to_class) = (class(from)?, class(to)?);
    let told = CORE_EDGES.iter().any(|(a, b, _)| (*a, *b) == (from, to));
    match (from_class, to_class) {
        (Class::Tool, Class::Words | Class::Core) if COMPARING.iter().any(|(tool, _)| *tool == from) => None,
        (Class::Tool, Class::Tool) => None,
        (Class::Tool, _) => Some(WHY_TOOL),
        (Class::Core, Class::Core) if told => None,
        (Class::Core, Class::Core) => Some(WHY_CORE),
        (Class::Shell, Class::Shell) => Some(WHY_SHELLS),
        (from, to) if to < from => None,
        _ => Some(WHY_DOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings(name: &str, ours: &[&str]) -> Vec<&'static str> {
        let ours = ours.iter().map(|o| format!("safeconduct-{o}")).collect();
        let package = Package { name: name.to_owned(), manifest: "crates/x/Cargo.toml".to_owned(), ours };
        check(&[package]).into_iter().map(|f| f.why).collect()
    }

    #[test]
    fn edges_lead_downwards_only() {
        let none: [&str; 0] = [];
        assert_eq!(findings("safeconduct-gateway", &["model", "policy", "access"]), none);
        assert_eq!(findings("safeconduct-store", &["ledger"]), none);
        assert_eq!(findings("safeconduct-server", &["gateway", "console", "policy", "model"]), none);
        assert_eq!(findings("safeconduct", &["server", "store", "authn"]), none);
        assert_eq!(findings("safeconduct-bench", &["policy"]), none);
        assert_eq!(findings("safeconduct-policy", &["model", "gateway"]), [WHY_DOWN]);
        assert_eq!(findings("safeconduct-rehearse", &["bench"]), [WHY_DOWN]);
        assert_eq!(findings("safeconduct-model", &["policy"]), [WHY_DOWN]);
        assert_eq!(findings("safeconduct-console", &["server"]), [WHY_DOWN]);
        assert_eq!(findings("safeconduct-gateway", &["store"]), [WHY_SHELLS]);
    }

    #[test]
    fn core_crates_know_each_other_only_where_it_was_decided() {
        assert_eq!(findings("safeconduct-rehearse", &["policy", "flows", "model"]), [""; 0]);
        assert_eq!(findings("safeconduct-policy", &["rehearse"]), [WHY_CORE]);
        assert_eq!(findings("safeconduct-flows", &["ledger"]), [WHY_CORE]);
    }

    #[test]
    fn tools_build_on_nothing_of_ours() {
        assert_eq!(findings("safeconduct-e2e", &["model"]), [WHY_TOOL]);
        assert_eq!(findings("xtask", &[]), [""; 0]);
        assert_eq!(findings("safeconduct-negative", &["e2e"]), [""; 0]);
        assert_eq!(findings("safeconduct-symcc", &["rehearse", "policy", "server"]), [WHY_TOOL]);
    }

    #[test]
    fn a_crate_without_a_class_is_found() {
        assert_eq!(findings("safeconduct-surprise", &["model"]), [WHY_CLASS]);
    }

    #[test]
    fn every_core_edge_is_between_core_crates_and_says_why() {
        for (from, to, reason) in CORE_EDGES {
            assert_eq!((class(from), class(to)), (Some(Class::Core), Some(Class::Core)));
            assert!(!reason.is_empty());
        }
    }

    #[test]
    fn metadata_is_read() {
        let metadata = json!({ "packages": [{
            "name": "safeconduct-flows",
            "manifest_path": "/somewhere/crates/flows/Cargo.toml",
            "dependencies": [{ "name": "serde" }, { "name": "safeconduct-model", "path": "/somewhere/crates/model" }],
        }] });
        let package = read(&metadata, "/somewhere").expect("it is metadata").remove(0);
        assert_eq!(package.name, "safeconduct-flows");
        assert_eq!(package.manifest, "crates/flows/Cargo.toml");
        assert_eq!(package.ours, ["safeconduct-model"]);
    }
}
