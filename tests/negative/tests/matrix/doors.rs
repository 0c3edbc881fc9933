//! NT-19 to NT-21, NT-26, NT-29, NT-37, NT-41 to NT-45: pages, redirects, routes, listeners and the configuration.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use safeconduct_e2e::Server;
use safeconduct_negative::runner::Test;
use safeconduct_negative::{DOMAIN, Dice, Door, House, STACKS, host, rounds, tests};

pub(crate) const TESTS: &[Test] = tests![
    nt_19_no_page_tells_a_secret,
    nt_20_public_listeners_answer_documented_paths_only,
    nt_20_health_tells_nothing_else,
    nt_21_no_return_address_leads_elsewhere,
    nt_26_generated_requests_get_the_action_of_a_plain_reading_of_the_routes,
    nt_29_an_unknown_key_anywhere_is_an_error_at_the_start,
    nt_29_who_is_inactive_gets_in_nowhere,
    nt_37_nobody_makes_us_ask_metadata_or_plain_addresses,
    nt_41_no_other_origin_or_host_is_let_in,
    nt_42_nt_43_every_page_forbids_frames_and_inline_scripts,
    nt_43_no_word_of_a_query_becomes_markup,
    nt_44_nt_25_noise_is_refused_and_everybody_else_is_served,
    nt_12_half_open_connections_do_not_keep_others_out,
    nt_45_no_rules_deny_everybody,
];

/// The interface for operators, which nobody else may use.
pub(crate) const API: [(&str, &str); 9] = [
    ("GET", "/api/v1/sessions"),
    ("POST", "/api/v1/sessions/0123456789abcdef/cut"),
    ("POST", "/api/v1/people/ada/end-sessions"),
    ("POST", "/api/v1/people/ada/setup-link"),
    ("GET", "/api/v1/verdicts"),
    ("GET", "/api/v1/events"),
    ("POST", "/api/v1/policy/publish"),
    ("POST", "/api/v1/devices"),
    ("GET", "/api/v1/health"),
];

/// Forms that change something, with the place of what is somebody else's.
pub(crate) const PORTAL_POSTS: [&str; 10] = [
    "/me/sessions/{session}/end",
    "/me/passkeys/{person}/remove",
    "/me/sessions/none/end",
    "/console/sessions/{session}/cut",
    "/console/people/{person}/end-sessions",
    "/console/policy/propose",
    "/console/policy/proposals/1/publish",
    "/console/policy/proposals/1/discard",
    "/api/v1/sessions/{session}/cut",
    "/api/v1/people/{person}/end-sessions",
];

/// Pages of the portal.
const PAGES: [&str; 12] = [
    "/",
    "/sign-in",
    "/sign-in?again=1",
    "/signed-out",
    "/step-up",
    "/me/security",
    "/me/devices",
    "/why?app=raw",
    "/console",
    "/console/people",
    "/api/v1/whoami",
    "/.well-known/jwks.json",
];

/// A request of nobody.
fn plain(host: &str, method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{fields}content-length: 0\r\nconnection: close\r\n\r\n")
}

fn nt_19_no_page_tells_a_secret(house: &House) -> Result<()> {
    let portal = host("portal");
    let mut browser = house.sign_in("bob")?;
    house.enter(&mut browser, &host("raw"))?;
    for path in PAGES {
        let page = browser.get(&portal, path)?;
        let told = house.secrets().into_iter().find(|secret| page.heard.text.contains(secret.as_str()));
        ensure!(told.is_none(), "{path} tells a secret");
        ensure!(!page.heard.text.contains("eyJ"), "{path} tells a token");
    }
    // Denials, refusals and failures do not either.
    for target in ["/admin", "/a/../b", "/.safeconduct/arrive?code=x", "/.safeconduct/assets/x"] {
        let raw = format!("{}accept: text/html\r\nsec-fetch-mode: navigate\r\n", house.ada("raw"));
        let heard = house.say("raw", plain(&host("raw"), "GET", target, &raw))?.0;
        let told = house.secrets().into_iter().find(|secret| heard.text.contains(secret.as_str()));
        ensure!(told.is_none() && !heard.text.contains("eyJ"), "{target} tells a secret");
    }
    Ok(())
}

/// What scanners ask for.
const DEBUG: [&str; 32] = [
    "/metrics",
    "/debug/pprof/",
    "/debug/vars",
    "/debug/requests",
    "/actuator",
    "/actuator/env",
    "/server-status",
    "/status",
    "/stats",
    "/health",
    "/healthz",
    "/ready",
    "/readyz",
    "/livez",
    "/version",
    "/config",
    "/config_dump",
    "/admin",
    "/.git/config",
    "/.env",
    "/api",
    "/api/v2/sessions",
    "/swagger.json",
    "/openapi.json",
    "/graphql",
    "/console.log",
    "/assets/../safeconduct.toml",
    "/data/ca.key",
    "/safeconduct.toml",
    "/oauth2/userinfo",
    "/.pomerium/jwt",
    "/robots.txt",
];

fn nt_20_public_listeners_answer_documented_paths_only(house: &House) -> Result<()> {
    for path in DEBUG {
        for method in ["GET", "POST", "OPTIONS", "PUT", "DELETE"] {
            let heard = house.say("portal", plain(&host("portal"), method, path, ""))?.0;
            ensure!([400, 401, 403, 404, 405].contains(&heard.status()), "portal {method} {path}: {heard:?}");
            let heard = house.say("raw", plain(&host("raw"), method, path, ""))?.0;
            ensure!([400, 401].contains(&heard.status()), "application {method} {path}: {heard:?}");
        }
        // A host that nobody published says nothing about itself, whatever is asked.
        let heard = house.say("portal", plain("unknown.example", "GET", path, ""))?.0;
        ensure!([400, 404, 421].contains(&heard.status()), "unknown host {path}: {heard:?}");
        ensure!(!heard.text.contains("Harbour") && !heard.text.contains(DOMAIN), "it tells who we are: {heard:?}");
    }
    for path in [
        "/.safeconduct/",
        "/.safeconduct/config",
        "/.safeconduct/assets/../../safeconduct.toml",
        "/.safeconduct/metrics",
    ] {
        let heard = house.say("raw", plain(&host("raw"), "GET", path, house.ada("raw")))?.0;
        ensure!([400, 404].contains(&heard.status()), "{path}: {heard:?}");
    }
    for method in ["TRACE", "CONNECT", "PRI", "DEBUG"] {
        let heard = house.say("raw", plain(&host("raw"), method, "/", ""))?.0;
        ensure!((400..=501).contains(&heard.status()), "{method}: {heard:?}");
    }
    Ok(())
}

/// Says something to a plain port and returns all that comes back.
fn say_plain(port: u16, text: &str) -> Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_read_timeout(Some(Duration::from_secs(8)))?;
    stream.write_all(text.as_bytes())?;
    let mut heard = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut heard);
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn nt_20_health_tells_nothing_else(house: &House) -> Result<()> {
    let heard = say_plain(house.health, &plain("127.0.0.1", "GET", "/healthz", ""))?;
    ensure!(heard.starts_with("HTTP/1.1 200") && heard.ends_with("ok\n"), "{heard}");
    for path in DEBUG.into_iter().filter(|p| !["/healthz", "/metrics", "/readyz", "/ready"].contains(p)) {
        let heard = say_plain(house.health, &plain("127.0.0.1", "GET", path, ""))?;
        ensure!(heard.starts_with("HTTP/1.1 404"), "{path}: {heard}");
    }
    // Nobody passes this way, with or without a session.
    let heard = say_plain(house.health, &plain(&host("raw"), "GET", "/x", house.ada("raw")))?;
    ensure!(heard.starts_with("HTTP/1.1 404"), "{heard}");
    Ok(())
}

fn nt_21_no_return_address_leads_elsewhere(house: &House) -> Result<()> {
    let portal = host("portal");
    let port = house.door.port;
    let mut browser = house.sign_in("bob")?;
    for bad in [
        "//evil.example".to_owned(),
        "/\\evil.example".to_owned(),
        "\\\\evil.example".to_owned(),
        "/\t/evil.example".to_owned(),
        "/\r\nlocation: https://evil.example".to_owned(),
        "https://evil.example/".to_owned(),
        "HTTPS://EVIL.EXAMPLE/".to_owned(),
        "http://raw.neg.localhost/".to_owned(),
        format!("https://raw.neg.localhost:{port}@evil.example/"),
        format!("https://raw.neg.localhost:{port}.evil.example/"),
        "https://raw.neg.localhost.evil.example/".to_owned(),
        "https://evil-neg.localhost/".to_owned(),
        "https://evilraw.neg.localhost/".to_owned(),
        format!("https://raw.neg.localhost:{}/", port.wrapping_add(1)),
        "https://xn--rw-yja.neg.localhost/".to_owned(),
        "https:evil.example".to_owned(),
        "https:///evil.example".to_owned(),
        "javascript:alert(1)".to_owned(),
        "data:text/html,x".to_owned(),
        "///evil.example".to_owned(),
        "/%2f%2fevil.example".to_owned(),
        "/%5cevil.example".to_owned(),
        "/.//evil.example".to_owned(),
        "/..//evil.example".to_owned(),
        "?//evil.example".to_owned(),
        "\u{2044}\u{2044}evil.example".to_owned(),
    ] {
        let spelled: String = bad.bytes().map(|b| format!("%{b:02X}")).collect();
        for (signed_in, target) in [
            (true, format!("/continue?return={spelled}")),
            (true, format!("/sign-in?return={spelled}")),
            (false, format!("/sign-in?return={spelled}")),
            (false, format!("/step-up?return={spelled}")),
            (true, format!("/step-up?return={spelled}")),
            (true, format!("/why?app=raw&return={spelled}")),
            (true, format!("/device/prove?return={spelled}")),
        ] {
            let page =
                if signed_in { browser.get(&portal, &target)? } else { house.browser().get(&portal, &target)? };
            if let Some((to, path)) = page.leads_to() {
                ensure!(to == portal || to == host("raw"), "{bad:?} leads to {to}{path}");
                ensure!(
                    path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\"),
                    "{bad:?} leads to {path}"
                );
            }
            let shown = page.heard.text.to_ascii_lowercase();
            let links = [
                "href=\"//evil",
                "href=\"https://evil",
                "href=\"javascript",
                "url=https://evil",
                "location: https://evil",
            ];
            ensure!(!links.iter().any(|l| shown.contains(l)), "{target}: {page:?}");
        }
        // An application's own door, too.
        let page = house.browser().get(&host("raw"), &format!("/.safeconduct/arrive?to={spelled}"))?;
        let elsewhere = page.leads_to().is_some_and(|(to, _)| to != portal && to != host("raw"));
        ensure!(!elsewhere, "{bad:?}: {page:?}");
    }
    Ok(())
}

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
fn command(house: &House, folder: &std::path::Path, arguments: &[&str]) -> Result<(i32, String)> {
    let _ = house;
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
    std::fs::write(folder.path().join("estate/people.toml"), safeconduct_negative::PEOPLE)?;
    std::fs::create_dir_all(folder.path().join("policies/tests"))?;
    let path = folder.path().join(file);
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, change(text))?;
    command(house, folder.path(), &["config", "check"])
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

fn nt_41_no_other_origin_or_host_is_let_in(house: &House) -> Result<()> {
    let portal = host("portal");
    let mut browser = house.sign_in("bob")?;
    let token = browser.get(&portal, "/me/security")?.token().to_owned();
    for (fields, form) in [
        ("origin: https://evil.example\r\nsec-fetch-site: cross-site\r\n", format!("csrf={token}")),
        ("origin: https://evil.example\r\n", format!("csrf={token}")),
        ("origin: null\r\n", format!("csrf={token}")),
        ("sec-fetch-site: same-site\r\n", format!("csrf={token}")),
        ("sec-fetch-site: cross-site\r\n", format!("csrf={token}")),
        ("sec-fetch-site: same-origin\r\n", String::new()),
        ("sec-fetch-site: same-origin\r\n", "csrf=".to_owned()),
        ("", String::new()),
    ] {
        let kind = "content-type: application/x-www-form-urlencoded\r\n";
        let page = browser.send(&portal, "POST", "/sign-out", &format!("{fields}{kind}"), &form)?;
        ensure!(page.heard.status() == 403, "{fields:?}: {page:?}");
    }
    ensure!(browser.get(&portal, "/api/v1/whoami")?.heard.status() == 200, "the session was ended from elsewhere");
    // No answer opens itself to another origin.
    for (label, target) in
        [("portal", "/api/v1/whoami"), ("portal", "/"), ("raw", "/x"), ("raw", "/.safeconduct/assets/x")]
    {
        for method in ["GET", "OPTIONS"] {
            let fields = "origin: https://evil.example\r\naccess-control-request-method: POST\r\n";
            let heard = house.say(label, plain(&host(label), method, target, fields))?.0;
            ensure!(!heard.text.to_ascii_lowercase().contains("access-control-allow"), "{label}{target}: {heard:?}");
        }
    }
    // A name that was pointed at us is not one of ours.
    for name in ["evil.example", "127.0.0.1", "localhost", "portal.neg.localhost.evil.example"] {
        let heard = house.say("portal", plain(name, "GET", "/api/v1/sessions", ""))?.0;
        ensure!([400, 404, 421].contains(&heard.status()), "{name}: {heard:?}");
    }
    // The local interface is a socket that only its owner opens.
    let sockets: Vec<_> = std::fs::read_dir(house.server.folder().join("data"))?
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_ok_and(|t| std::os::unix::fs::FileTypeExt::is_socket(&t)))
        .collect();
    ensure!(!sockets.is_empty());
    for socket in sockets {
        let mode = std::os::unix::fs::PermissionsExt::mode(&socket.metadata()?.permissions());
        ensure!(mode & 0o077 == 0, "{} is open to others: {mode:o}", socket.path().display());
    }
    Ok(())
}

fn nt_42_nt_43_every_page_forbids_frames_and_inline_scripts(house: &House) -> Result<()> {
    let (portal, raw) = (host("portal"), host("raw"));
    let mut browser = house.sign_in("bob")?;
    let mut pages = Vec::new();
    for path in PAGES {
        pages.push(browser.get(&portal, path)?);
        pages.push(house.browser().get(&portal, path)?);
    }
    pages.push(house.browser().get(&portal, "/no-such-page")?);
    let cookie = house.ada("raw").to_owned();
    let html = format!("{cookie}accept: text/html\r\nsec-fetch-mode: navigate\r\n");
    for target in ["/admin", "/.safeconduct/nothing", "/.safeconduct/arrive?to=x"] {
        let heard = house.say("raw", plain(&raw, "GET", target, &html))?.0;
        pages.push(safeconduct_negative::Page { host: raw.clone(), target: target.to_owned(), heard });
    }
    for page in pages {
        let kind = page.heard.header("content-type").unwrap_or_default();
        if !kind.starts_with("text/html") {
            continue;
        }
        let at = format!("{}{}", page.host, page.target);
        let policy = page.heard.header("content-security-policy").with_context(|| format!("{at} has no policy"))?;
        ensure!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"), "{at}: {policy}");
        ensure!(!policy.contains("unsafe") && !policy.contains('*'), "{at}: {policy}");
        ensure!(page.heard.header("x-content-type-options") == Some("nosniff"), "{at}");
        ensure!(page.heard.header("cache-control").is_some_and(|c| c.contains("no-store")), "{at}");
        let body = page.heard.body().to_ascii_lowercase();
        for inline in ["<script>", " onclick=", " onload=", " style=\"", "javascript:"] {
            ensure!(!body.contains(inline), "{at} has {inline}");
        }
    }
    Ok(())
}

fn nt_43_no_word_of_a_query_becomes_markup(house: &House) -> Result<()> {
    let portal = host("portal");
    let script = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E%3Cimg%20src=x%20onerror=alert(1)%3E";
    let mut browser = house.sign_in("bob")?;
    for target in [
        "/sign-in?error=X",
        "/sign-in?return=X",
        "/sign-in?message=X&error_description=X",
        "/step-up?return=X",
        "/why?app=X",
        "/why?app=raw&return=X&purpose=X",
        "/signed-out?x=X",
        "/device/prove?return=X",
        "/setup/X",
        "/console/people/X",
        "/sign-in/oidc/X",
        "/sign-in/oidc/corp/callback?error=X&error_description=X",
        "/sign-in/oidc/corp/callback?code=X&state=X",
        "/continue?return=X",
        "/X",
        "/me/sessions/X/end",
        "/assets/X",
    ] {
        let target = target.replace('X', script);
        for page in [browser.get(&portal, &target)?, house.browser().get(&portal, &target)?] {
            let text = &page.heard.text;
            ensure!(!text.contains("<script>alert") && !text.contains("<img src=x"), "{target}: {page:?}");
            ensure!(page.heard.status() < 500 || target.contains("/oidc/"), "{target}: {page:?}");
        }
    }
    // What a provider calls an error is never shown as ours.
    let told = house
        .browser()
        .get(&portal, "/sign-in/oidc/corp/callback?error=access_denied&error_description=Call-0800-evil&state=s")?;
    ensure!(!told.heard.text.contains("Call-0800-evil"), "{told:?}");
    // The page of a denial shows the path that was asked for, as text.
    let html = format!("{}accept: text/html\r\nsec-fetch-mode: navigate\r\n", house.ada("raw"));
    for target in ["/admin/%3Cscript%3Ealert(1)%3C/script%3E", "/admin?%3Cscript%3Ealert(1)", "/admin/\"><img"] {
        let heard = house.say("raw", plain(&host("raw"), "GET", target, &html))?.0;
        let shown = heard.text.contains("<script>alert") || heard.text.contains("<img");
        ensure!([400, 403].contains(&heard.status()) && !shown, "{target}: {heard:?}");
    }
    Ok(())
}

fn nt_44_nt_25_noise_is_refused_and_everybody_else_is_served(house: &House) -> Result<()> {
    let mut dice = Dice::search(44);
    for round in 0..rounds(120) {
        let many = 1 + dice.below(600);
        let noise: Vec<u8> = (0..many).map(|_| u8::try_from(dice.below(256)).unwrap_or(0)).collect();
        let bytes = match round % 4 {
            // Noise alone, noise behind a right beginning, noise in a field, noise in a body.
            0 => noise,
            1 => [b"GET /".to_vec(), noise].concat(),
            2 => [house.get("raw", "/noise", "").trim_end().as_bytes().to_vec(), b"\r\nx-noise: ".to_vec(), noise]
                .concat(),
            _ => {
                let head = format!(
                    "POST /noise HTTP/1.1\r\nhost: {}\r\n{}transfer-encoding: chunked\r\n\r\n",
                    host("raw"),
                    house.ada("raw")
                );
                [head.into_bytes(), noise].concat()
            }
        };
        let mut visit = house.open("raw")?;
        let _ = visit.send([&bytes[..], b"\r\n\r\n"].concat());
        let heard = visit.listen_for(Duration::from_millis(250));
        ensure!(heard.statuses().iter().all(|s| *s != 200 && *s < 500), "{}: {heard:?}", bytes.escape_ascii());
    }
    // Documents for machines, ill-formed.
    for (target, kind) in [
        ("/api/v1/posture", "application/jwt"),
        ("/sign-in/passkey/begin", "application/json"),
        ("/sign-in/passkey/finish", "application/json"),
        ("/device/challenge", "application/json"),
        ("/device/prove", "application/json"),
    ] {
        for body in [
            "",
            "null",
            "{",
            "[]",
            "{\"a\":",
            "\"\"",
            "{\"ceremony\":null}",
            "{\"ceremony\":\"x\",\"ceremony\":\"y\",\"credential\":{}}",
            "eyJhbGciOiJub25lIn0..",
            "a.b.c",
            "{\"name\":1e999}",
            "\u{0}",
        ] {
            let portal = host("portal");
            let raw = format!(
                "POST {target} HTTP/1.1\r\nhost: {portal}\r\norigin: https://{portal}:{}\r\nsec-fetch-site: same-origin\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                house.door.port,
                body.len()
            );
            let heard = house.say("portal", raw)?.0;
            ensure!((400..500).contains(&heard.status()), "{target} with {body:?}: {heard:?}");
        }
    }
    // Noise where a handshake should be.
    for _ in 0..20 {
        let mut stream = house.door.tcp(house.door.address())?;
        let noise: Vec<u8> = (0..200).map(|_| u8::try_from(dice.below(256)).unwrap_or(0)).collect();
        let _ = stream.write_all(&noise);
    }
    let (heard, _) = house.say("raw", house.get("raw", "/after-noise", ""))?;
    ensure!(heard.status() == 200, "{heard:?}");
    Ok(())
}

fn nt_12_half_open_connections_do_not_keep_others_out(house: &House) -> Result<()> {
    let mut open = Vec::new();
    for n in 0..400_u16 {
        let mut stream = house.door.tcp(house.door.address())?;
        // Some say nothing, some half of a greeting.
        if n % 2 == 0 {
            let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]);
        }
        open.push(stream);
    }
    for stack in STACKS {
        let (heard, _) = house.say(stack, house.get(stack, "/beside-half-open", ""))?;
        ensure!(heard.status() == 200, "{stack}: {heard:?}");
    }
    // Each of them is closed by its clock (ten seconds) and not by us.
    let first = open.first_mut().context("there are some")?;
    first.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut space = [0; 64];
    let ended = loop {
        match first.read(&mut space) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    ensure!(ended, "a handshake may take for ever");
    Ok(())
}

fn nt_45_no_rules_deny_everybody(house: &House) -> Result<()> {
    for rules in ["", "// no rules\n"] {
        let server = Server::up(|config| {
            for (file, text) in [
                ("safeconduct.toml", "organisation = \"Empty\"\nzone = \"Etc/UTC\"\noperators = \"operators\"\n\n[portal]\nhost = \"portal.neg.localhost\"\n\n[listen]\nhttps = \"127.0.0.1:0\"\n".to_owned()),
                ("estate/people.toml", safeconduct_negative::PEOPLE.to_owned()),
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
        let mut browser = safeconduct_negative::Browser::new(door);
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
