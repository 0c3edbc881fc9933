//! NT-19 to NT-21, NT-41 to NT-43: pages, redirects, listeners, origins.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{DOMAIN, House, Page, host, tests};

pub(crate) const TESTS: &[Test] = tests![
    nt_19_no_page_tells_a_secret,
    nt_20_public_listeners_answer_documented_paths_only,
    nt_20_health_tells_nothing_else,
    nt_21_no_return_address_leads_elsewhere,
    nt_41_no_other_origin_or_host_is_let_in,
    nt_42_nt_43_every_page_forbids_frames_and_inline_scripts,
    nt_43_no_word_of_a_query_becomes_markup,
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
pub(crate) fn plain(host: &str, method: &str, target: &str, fields: &str) -> String {
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
        pages.push(Page { host: raw.clone(), target: target.to_owned(), heard });
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
