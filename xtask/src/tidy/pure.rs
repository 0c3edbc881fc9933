//! What may not be in a dependency tree: input and output below core crates, banned crates anywhere.

use super::Finding;
use super::edges::{Class, Package, class};

/// A crate that does input, output, time or chance.
const IMPURE: [&str; 18] = [
    "tokio",
    "async-std",
    "smol",
    "hyper",
    "reqwest",
    "mio",
    "socket2",
    "axum",
    "sqlx",
    "sqlx-core",
    "rusqlite",
    "libsqlite3-sys",
    "getrandom",
    "rand",
    "fastrand",
    "notify",
    "dirs",
    "tempfile",
];

/// A pure dependency that pulls in one of these without using it: core crate, what is pulled in, reason.
const TOLERATED: [(&str, &str, &str); 0] = [];

/// Crates that must not be in the program at all.
const BANNED: [(&str, &str); 4] = [
    ("ring", "rustls has one provider, aws-lc-rs; with two in the tree it panics at the first handshake"),
    ("openssl-sys", "one TLS library, one set of advisories; and the build needs nothing but a C compiler"),
    ("libz-ng-sys", "it needs cmake; the build needs nothing but a C compiler"),
    ("rdkafka-sys", "it needs cmake; Kafka is reached through a bridge over HTTP"),
];

const WHY_PURE: &str = "core crates get `now`, seeds and bytes as arguments, so that every rule is tested in microseconds and replayed from one number";

/// Whether a crate must be pure.
pub(crate) fn applies(name: &str) -> bool {
    matches!(class(name), Some(Class::Words | Class::Core))
}

/// The impure crates in the tree of a core crate.
pub(crate) fn check(package: &Package, tree: &str) -> Vec<Finding> {
    let tolerated =
        |pulled: &str| TOLERATED.iter().any(|(core, name, _)| (*core, *name) == (package.name.as_str(), pulled));
    let found = names(tree).filter(|name| IMPURE.contains(name) && !tolerated(name));
    let told = found.map(|name| {
        let what = format!("{0} reaches {name}; see `cargo tree -p {0} -e normal -i {name}`", package.name);
        Finding::new(&package.manifest, what, WHY_PURE)
    });
    told.collect()
}

/// The banned crates in the tree of the workspace.
pub(crate) fn banned(tree: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in names(tree) {
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            findings.push(Finding::new(
                "Cargo.lock",
                format!("{name} is in the program; see `cargo tree -e normal -i {name}`"),
                why,
            ));
        }
    }
    findings
}

/// The names in the output of `cargo tree --prefix none`.
fn names(tree: &str) -> impl Iterator<Item = &str> {
    tree.lines().filter_map(|line| line.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "safeconduct-policy v0.1.0 (crates/policy)
cedar-policy v4.14.1
hyper-like v1.0.0
tokio v1.54.1 (*)
";

    fn policy() -> Package {
        Package { name: "safeconduct-policy".into(), manifest: "crates/policy/Cargo.toml".into(), ours: vec![] }
    }

    #[test]
    fn a_runtime_below_a_core_crate_is_found_and_a_similar_name_is_not() {
        let found = check(&policy(), TREE);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.starts_with("safeconduct-policy reaches tokio;"), "{}", found[0].what);
        assert_eq!(check(&policy(), "cedar-policy v4.14.1\n"), []);
    }

    #[test]
    fn only_words_and_core_must_be_pure() {
        assert!(applies("safeconduct-model") && applies("safeconduct-ledger"));
        assert!(!applies("safeconduct-store") && !applies("xtask") && !applies("tokio"));
    }

    #[test]
    fn a_second_tls_library_is_found() {
        let found = banned("ring v0.17.0\nopenssl-sys v0.9.0 (*)\nring-like v1.0.0\n");
        let places: Vec<&str> = found.iter().map(|f| f.what.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(places, ["ring", "openssl-sys"]);
    }
}
