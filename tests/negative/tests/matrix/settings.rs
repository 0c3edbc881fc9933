//! NT-26, NT-29, NT-37, NT-45: what the configuration says binds, and what it cannot say is an error.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use safeconduct_e2e::Server;
use safeconduct_negative::runner::Test;
use safeconduct_negative::{Browser, DOMAIN, Dice, Door, House, PEOPLE, host, rounds, tests};

use crate::doors::plain;

pub(crate) const TESTS: &[Test] = tests![
    nt_26_generated_requests_get_the_action_of_a_plain_reading_of_the_routes,
    nt_29_an_unknown_key_anywhere_is_an_error_at_the_start,
    nt_29_who_is_inactive_gets_in_nowhere,
    nt_37_nobody_makes_us_ask_metadata_or_plain_addresses,
    nt_45_no_rules_deny_everybody,
];

/// What the routes of the application say, read one after the other.
fn plain_reading(method: &str, path: &str) -> &'static str {
    if method == "GET" && path == "/reports/export" {
        "admin"
    } else if path.starts_with("/reports/") || (["POST", "PUT"].contains(&method) && path.starts_with("/search")) {
        "read"
    } else if path.starts_with("/admin") {
        "admin"
    } else if ["GET", "HEAD", "OPTIONS"].contains(&method) {
        "read"
    } else {
        "write"
    }
}

fn nt_26_generated_requests_get_the_action_of_a_plain_reading_of_the_routes(house: &House) -> Result<()> {
    const SEGMENTS: [&str; 12] = [
        "reports",
        "export",
        "search",
        "admin",
        "adminx",
        "x",
        "Reports",
        "searching",
        "%61dmin",
        "repor%74s",
        "reports*",
        "",
    ];
    let mut dice = Dice::search(26);
    let mut decided = 0;
    for _ in 0..rounds(150) {
        let method = *dice.pick(&["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE", "get"]);
        let path: String = (0..=dice.below(3)).map(|_| format!("/{}", dice.pick(&SEGMENTS))).collect();
        let (host, cookie) = (host("routes"), house.ada("routes"));
        let raw = plain(&host, method, &path, cookie);
        let (heard, from) = house.say("routes", raw)?;
        let record = house.ledger.from(from, 1)?.remove(0);
        if record["kind"] == "refusal" {
            ensure!(heard.status() == 400, "{method} {path}: {heard:?}");
            continue;
        }
        decided += 1;
        let what = &record["ask"]["what"];
        let canonical = what["path"].as_str().unwrap_or_default();
        let expected = plain_reading(method, canonical);
        ensure!(what["action"] == expected, "{method} {path}: {what}, not {expected}");
        let denied = canonical.starts_with("/admin");
        ensure!((record["verdict"] == "deny") == denied, "{method} {path}: {record}");
    }
    ensure!(decided > 60, "only {decided} were decided");
    Ok(())
}

/// Runs a command of the program on a configuration: exit code, and all that it printed.
fn command(folder: &Path, arguments: &[&str]) -> Result<(i32, String)> {
    let program = safeconduct_e2e::program()?;
    let output = Command::new(program).args(arguments).arg("--config").arg(folder).output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().unwrap_or(-1), told))
}

/// A copy of the configuration in which a file was changed, checked.
fn checked(house: &House, file: &str, change: impl FnOnce(String) -> String) -> Result<(i32, String)> {
    let folder = tempfile::tempdir()?;
    let from = house.server.folder();
    for name in ["safeconduct.toml", "oidc-secret", "estate/surface.toml", "policies/rules.cedar"] {
        let to = folder.path().join(name);
        std::fs::create_dir_all(to.parent().context("a folder")?)?;
        std::fs::copy(from.join(name), to)?;
    }
    std::fs::write(folder.path().join("estate/people.toml"), PEOPLE)?;
    std::fs::create_dir_all(folder.path().join("policies/tests"))?;
    let path = folder.path().join(file);
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, change(text))?;
    command(folder.path(), &["config", "check"])
}

fn nt_29_an_unknown_key_anywhere_is_an_error_at_the_start(house: &House) -> Result<()> {
    let (code, told) = checked(house, "safeconduct.toml", |text| text)?;
    ensure!(code == 0, "the configuration itself is right: {told}");
    let mut tried = 0;
    for (file, sections) in [
        ("safeconduct.toml", &["[portal]", "[listen]", "[[oidc]]", "organisation"][..]),
        ("estate/people.toml", &["[[group]]", "[[person]]"]),
        ("estate/surface.toml", &["[[application]]", "[application.hardening]", "[[application.route]]"]),
    ] {
        for section in sections {
            let (code, told) = checked(house, file, |text| match section.starts_with('[') {
                true => text.replacen(section, &format!("{section}\ndeny_evrything = true"), 1),
                false => format!("deny_evrything = true\n{text}"),
            })?;
            ensure!(code == 2 && told.contains("deny_evrything"), "{file} {section}: {code}: {told}");
            tried += 1;
        }
    }
    ensure!(tried == 9);
    // Restrictions that could be spelled wrongly without being one.
    for (file, from, to) in [
        ("estate/surface.toml", "mode = \"enforce\"", "mode = \"enfroce\""),
        ("estate/surface.toml", "merge_slashes = true", "merge_slashes = \"no\""),
        ("estate/surface.toml", "action = \"admin\"", "action = \"amdin\""),
        ("safeconduct.toml", "link = \"claim:sub\"", "link = \"anyone\""),
        ("estate/people.toml", "active = false", "active = \"no\""),
        ("policies/rules.cedar", "context.path like", "context.pahth like"),
        ("policies/rules.cedar", "Group::\"staff\"", "Gruop::\"staff\""),
    ] {
        let (code, told) = checked(house, file, |text| text.replacen(from, to, 1))?;
        ensure!(code == 2, "{file}: {to}: {code}: {told}");
    }
    Ok(())
}

fn nt_29_who_is_inactive_gets_in_nowhere(house: &House) -> Result<()> {
    let link = house.server.setup_link("fred");
    let entered = link.is_ok_and(|link| house.browser().use_link(&link).is_ok());
    ensure!(!entered, "an inactive person was signed in");
    Ok(())
}

fn nt_37_nobody_makes_us_ask_metadata_or_plain_addresses(house: &House) -> Result<()> {
    for issuer in [
        "http://169.254.169.254",
        "http://metadata.google.internal",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1@evil.example",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
    ] {
        let (code, told) = checked(house, "safeconduct.toml", |text| text.replace("http://127.0.0.1:9", issuer))?;
        ensure!(code == 2 && told.contains("issuer"), "{issuer}: {code}: {told}");
    }
    // A target that a client writes is never where we connect to.
    for target in ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:22/"] {
        let mark = house.mark("metadata");
        let raw = format!("GET {target}?{mark} HTTP/1.1\r\nhost: raw.neg.localhost\r\n{}\r\n", house.ada("raw"));
        house.refused("raw", &mark, raw, 400, &[])?;
    }
    Ok(())
}

fn nt_45_no_rules_deny_everybody(house: &House) -> Result<()> {
    for rules in ["", "// no rules\n"] {
        let server = Server::up(|config| {
            for (file, text) in [
                ("safeconduct.toml", "organisation = \"Empty\"\nzone = \"Etc/UTC\"\noperators = \"operators\"\n\n[portal]\nhost = \"portal.neg.localhost\"\n\n[listen]\nhttps = \"127.0.0.1:0\"\n".to_owned()),
                ("estate/people.toml", PEOPLE.to_owned()),
                ("estate/surface.toml", format!("[[application]]\nid = \"raw\"\nhosts = [\"raw.{DOMAIN}\"]\nupstream = \"http://127.0.0.1:{}\"\nmode = \"enforce\"\n", house.scripted.port)),
                ("policies/rules.cedar", rules.to_owned()),
            ] {
                let path = config.join(file);
                std::fs::create_dir_all(path.parent().context("a folder")?)?;
                std::fs::write(path, text)?;
            }
            std::fs::create_dir_all(config.join("policies/tests"))?;
            Ok(())
        });
        // Not to start without rules is a denial too, if it is said aloud.
        let Ok(server) = server else { continue };
        let door = std::sync::Arc::new(Door::new(server.port, &server.folder().join("data/ca.pem"))?);
        let mut browser = Browser::new(door);
        browser.use_link(&server.setup_link("mira")?)?;
        browser.open(&host("raw"), "/")?;
        for (label, path) in [("raw", "/"), ("portal", "/console"), ("portal", "/api/v1/sessions")] {
            let page = browser.get(&host(label), path)?;
            ensure!(page.heard.status() == 403, "without rules {label}{path} answers {:?}", page.heard);
        }
        server.ends_well()?;
    }
    Ok(())
}
