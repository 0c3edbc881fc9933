//! What every crate says: the lints of the workspace, and what it is.

use super::Finding;
use super::edges::Package;
use crate::tree::Source;

const WHY_LINTS: &str = "one table of lints holds for all; a crate without it may use `unsafe` and `unwrap` unseen";
const WHY_README: &str = "lib.rs opens as the crate's README: what, what not, the main type, an example that runs";

/// Manifests without the lints of the workspace, libraries that do not say what they are.
pub(crate) fn check(packages: &[Package], sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let text = |path: &str| sources.iter().find(|s| s.path == path).map(|s| s.text.as_str());
    for package in packages {
        if !text(&package.manifest).is_some_and(takes_lints) {
            findings.push(Finding::new(&package.manifest, "`[lints] workspace = true` is missing", WHY_LINTS));
        }
        let library = package.manifest.replace("Cargo.toml", "src/lib.rs");
        if text(&library).is_some_and(|t| !t.starts_with("//!")) {
            findings.push(Finding::new(library, "it does not open with `//!`", WHY_README));
        }
    }
    findings
}

fn takes_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|l| *l != "[lints]").skip(1);
    lines.by_ref().take_while(|l| !l.starts_with('[')).any(|l| l.replace(' ', "") == "workspace=true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lints_are_taken_from_the_workspace_in_their_own_section() {
        assert!(takes_lints("[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n"));
        assert!(!takes_lints("[package]\nname = \"x\"\n"));
        assert!(!takes_lints("[lints]\n[dependencies]\nworkspace = true\n"));
        assert!(!takes_lints("[lints]\nworkspace = false\n"));
    }

    #[test]
    fn a_crate_without_lints_or_words_is_found() {
        let package = Package { name: "safeconduct-x".into(), manifest: "crates/x/Cargo.toml".into(), ours: vec![] };
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let sources = [source("crates/x/Cargo.toml", "[package]\n"), source("crates/x/src/lib.rs", "pub mod y;\n")];
        let whys: Vec<&str> = check(&[package], &sources).iter().map(|f| f.why).collect();
        assert_eq!(whys, [WHY_LINTS, WHY_README]);
    }
}
