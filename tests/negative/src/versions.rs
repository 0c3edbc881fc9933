//! NT-11: a new version of an HTTP library is a new parser. It serves after every row was run with it, and not before.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The libraries that read or write what comes over the network.
    const LIBRARIES: [&str; 16] = [
        "axum",
        "h2",
        "http",
        "http-body",
        "http-body-util",
        "httparse",
        "hyper",
        "hyper-util",
        "rustls",
        "rustls-webpki",
        "tokio",
        "tokio-rustls",
        "tokio-tungstenite",
        "tower",
        "tungstenite",
        "webpki-roots",
    ];

    /// Names and versions in a lock file.
    fn versions(lock: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut name = "";
        for line in lock.lines() {
            let value = |key: &str| line.strip_prefix(key).map(|v| v.trim_matches('"'));
            if let Some(found) = value("name = ") {
                name = found;
            } else if let Some(version) = value("version = ")
                && LIBRARIES.contains(&name)
            {
                lines.push(format!("{name} {version}\n"));
            }
        }
        lines.sort();
        lines.concat()
    }

    #[test]
    fn nt_11_every_row_was_run_with_these_versions_of_http_libraries() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let lock = fs::read_to_string(here.join("../../Cargo.lock")).unwrap();
        let (kept, now) = (here.join("versions.txt"), versions(&lock));
        assert!(now.contains("hyper ") && now.contains("rustls "), "{now}");
        // Set by `cargo xtask conformance negative --accept`, once every other row holds.
        if std::env::var("SAFECONDUCT_ACCEPT_VERSIONS").is_ok_and(|v| v == "1") {
            fs::write(&kept, &now).unwrap();
        }
        let accepted = fs::read_to_string(&kept).unwrap();
        assert_eq!(accepted, now, "run `cargo xtask conformance negative --accept` and commit versions.txt");
    }

    #[test]
    fn versions_are_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"hyper\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\n";
        assert_eq!(versions(lock), "hyper 1.2.3\n");
    }
}
