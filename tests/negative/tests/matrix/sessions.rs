//! NT-12 to NT-18, NT-22 to NT-25, NT-38 to NT-40: who somebody is, and what that is worth elsewhere or later.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use safeconduct_e2e::wait::until;
use safeconduct_negative::runner::Test;
use safeconduct_negative::{Browser, House, PEOPLE, STACKS, host, tests};

use crate::doors::{API, PORTAL_POSTS};

pub(crate) const TESTS: &[Test] = tests![
    nt_16_nt_24_a_cookie_of_one_host_opens_no_other,
    nt_16_nt_18_an_assertion_opens_nothing_anywhere,
    nt_18_nt_38_no_interface_takes_what_was_given_out_for_something_else,
    nt_14_nt_13_who_leaves_a_group_or_the_company_is_denied_within_seconds,
    nt_22_no_changed_byte_of_a_secret_opens_anything,
    nt_22_nt_24_a_session_arrives_only_in_the_browser_that_asked_for_it,
    nt_23_a_session_that_was_signed_out_is_gone_on_every_host,
    nt_24_a_secret_is_never_the_one_that_a_browser_brought,
    nt_25_nt_12_whatever_is_not_a_session_is_nobody,
    nt_38_nobody_ends_or_changes_what_is_anothers,
    nt_39_of_a_hundred_who_use_one_link_at_once_exactly_one_is_signed_in,
    nt_40_no_password_is_there_by_default,
];

/// Asks for a path of an application with a `Cookie` line; the status.
fn status(house: &House, label: &str, cookie: &str, mark: &str) -> Result<u16> {
    let host = host(label);
    let raw = format!("GET /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close\r\n\r\n");
    Ok(house.say(label, raw)?.0.status())
}

/// Whether the portal knows somebody behind a `Cookie` line.
fn known(house: &House, cookie: &str) -> Result<bool> {
    let host = host("portal");
    let raw = format!("GET /api/v1/whoami HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close\r\n\r\n");
    let heard = house.say("portal", raw)?.0;
    ensure!([200, 400, 401, 431].contains(&heard.status()), "{heard:?}");
    Ok(heard.status() == 200)
}

fn nt_16_nt_24_a_cookie_of_one_host_opens_no_other(house: &House) -> Result<()> {
    let labels: Vec<&str> = STACKS.into_iter().chain(["raw", "other"]).collect();
    for of in &labels {
        for at in &labels {
            let mark = house.mark("cross");
            let came = status(house, at, house.ada(of), &mark)?;
            ensure!(came == if of == at { 200 } else { 401 }, "the cookie of {of} at {at}: {came}");
            if of != at {
                house.unheard(&mark)?;
            }
        }
        ensure!(!known(house, house.ada(of))?, "the cookie of {of} at the portal");
    }
    let browser = house.sign_in("bob")?;
    let portal = browser.cookie_line(&host("portal"));
    ensure!(known(house, &portal)?);
    for at in labels {
        ensure!(status(house, at, &portal, &house.mark("cross"))? == 401, "the cookie of the portal at {at}");
    }
    Ok(())
}

/// The assertion that an application got about Ada.
pub(crate) fn assertion(house: &House, label: &str) -> Result<String> {
    let (heard, _) = house.say(label, house.get(label, &format!("/{}", house.mark("assertion")), ""))?;
    let text = heard.body().rsplit(' ').next().unwrap_or_default().to_owned();
    ensure!(text.split('.').count() == 3, "no assertion: {heard:?}");
    Ok(text)
}

fn nt_16_nt_18_an_assertion_opens_nothing_anywhere(house: &House) -> Result<()> {
    let token = assertion(house, "raw")?;
    for label in STACKS.into_iter().chain(["raw", "other"]) {
        for fields in [
            format!("authorization: Bearer {token}\r\n"),
            format!("authorization: Safeconduct {token}\r\n"),
            format!("x-safeconduct-assertion: {token}\r\n"),
            format!("cookie: __Host-safeconduct={token}\r\n"),
            format!("cookie: {token}\r\n"),
            format!("proxy-authorization: Bearer {token}\r\n"),
        ] {
            let mark = house.mark("asserts");
            let came = status(house, label, &fields, &mark)?;
            ensure!([400, 401].contains(&came), "{label}: {came} for {fields}");
            house.unheard(&mark)?;
        }
    }
    Ok(())
}

fn nt_18_nt_38_no_interface_takes_what_was_given_out_for_something_else(house: &House) -> Result<()> {
    let token = assertion(house, "raw")?;
    let link = house.server.setup_link("kim")?;
    let one_time = link.rsplit('/').next().context("a link has a token")?;
    let bob = house.sign_in("bob")?.cookie_line(&host("portal"));
    let credentials = [
        String::new(),
        format!("authorization: Bearer {token}\r\n"),
        format!("authorization: Bearer {one_time}\r\n"),
        format!("cookie: __Host-safeconduct={token}\r\n"),
        format!("cookie: __Host-safeconduct={one_time}\r\n"),
        format!("x-safeconduct-client: {token}\r\n"),
        house.ada("raw").to_owned(),
        // A person of the portal, but no operator.
        bob,
    ];
    let host = host("portal");
    let ours = format!("origin: https://{host}:{}\r\nsec-fetch-site: same-origin\r\n", house.door.port);
    for (method, path) in API {
        for (n, credential) in credentials.iter().enumerate() {
            let body = if method == "GET" { "" } else { "{}" };
            let raw = format!(
                "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{credential}{ours}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let heard = house.say("portal", raw)?.0;
            ensure!([401, 403].contains(&heard.status()), "{method} {path} with credential {n}: {heard:?}");
        }
    }
    Ok(())
}

fn nt_14_nt_13_who_leaves_a_group_or_the_company_is_denied_within_seconds(house: &House) -> Result<()> {
    let mut cookies = Vec::new();
    for person in ["dora", "carl"] {
        let mut browser = house.sign_in(person)?;
        house.enter(&mut browser, &host("raw"))?;
        cookies.push((browser.cookie_line(&host("raw")), browser.cookie_line(&host("portal"))));
        ensure!(status(house, "raw", &cookies[cookies.len() - 1].0, "member")? == 200, "{person} may");
    }
    let of = |id: &str, from: &str, to: &str, text: String| -> Result<String> {
        let (before, after) = text.split_once(&format!("id = \"{id}\"")).context("the person is there")?;
        Ok(format!("{before}id = \"{id}\"{}", after.replacen(from, to, 1)))
    };
    let text = of("dora", "groups = [\"staff\"]", "groups = []", PEOPLE.to_owned())?;
    let text = of("carl", "groups = [\"staff\"]", "groups = [\"staff\"]\nactive = false", text)?;
    std::fs::write(house.server.folder().join("estate/people.toml"), text)?;
    let began = Instant::now();
    let ((dora, _), (carl, carl_at_portal)) = (&cookies[0], &cookies[1]);
    let denied = |cookie: &str, expected: u16| -> Result<()> {
        until(&format!("a denial with {expected}"), Duration::from_secs(10), || {
            Ok((status(house, "raw", cookie, "member")? == expected).then_some(()))
        })
    };
    denied(dora, 403)?;
    denied(carl, 401)?;
    ensure!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    ensure!(!known(house, carl_at_portal)?, "the portal still knows who left");
    // Nobody else was touched.
    ensure!(status(house, "raw", house.ada("raw"), "member")? == 200);
    Ok(())
}

/// Every text that differs from a secret in one place.
fn changed(secret: &str) -> Vec<String> {
    let mut all: Vec<String> = (0..secret.len())
        .step_by(3)
        .map(|at| {
            let other = if secret.as_bytes()[at] == b'A' { "B" } else { "A" };
            format!("{}{other}{}", &secret[..at], &secret[at + 1..])
        })
        .collect();
    all.extend([secret[1..].to_owned(), format!("{secret}A"), secret.to_ascii_uppercase(), format!("{secret}=")]);
    all.retain(|text| text != secret);
    all
}

fn nt_22_no_changed_byte_of_a_secret_opens_anything(house: &House) -> Result<()> {
    let mut browser = house.sign_in("gina")?;
    let portal = host("portal");
    house.enter(&mut browser, &host("raw"))?;
    let (at_portal, at_raw) = (browser.secret(&portal)?.to_owned(), browser.secret(&host("raw"))?.to_owned());
    for text in changed(&at_raw) {
        let mark = house.mark("changed");
        let came = status(house, "raw", &format!("cookie: __Host-safeconduct={text}\r\n"), &mark)?;
        ensure!([400, 401].contains(&came), "{came} for a changed cookie");
        house.unheard(&mark)?;
    }
    for text in changed(&at_portal) {
        ensure!(!known(house, &format!("cookie: __Host-safeconduct={text}\r\n"))?, "a changed cookie of the portal");
    }
    // The forgery token of a page, changed, changes nothing.
    let page = browser.get(&portal, "/me/security")?;
    let token = page.token().to_owned();
    ensure!(token.len() >= 16, "the page has a token: {page:?}");
    for text in changed(&token).into_iter().chain([String::new()]) {
        let page = browser.submit(&portal, "/me/password", &format!("csrf={text}&password=correct-horse-battery"))?;
        ensure!(page.heard.status() == 403, "a changed token of a form: {page:?}");
    }
    // A one-time link, changed, opens nothing, and still works afterwards.
    let link = house.server.setup_link("ines")?;
    let (front, one_time) = link.rsplit_once('/').context("a link has a token")?;
    for text in changed(one_time) {
        let mut other = house.browser();
        ensure!(other.use_link(&format!("{front}/{text}")).is_err(), "a changed link opened a session");
    }
    house.browser().use_link(&link)?;
    Ok(())
}

fn nt_22_nt_24_a_session_arrives_only_in_the_browser_that_asked_for_it(house: &House) -> Result<()> {
    let (portal, raw) = (host("portal"), host("raw"));
    let mut browser = house.sign_in("gina")?;
    // The way to the application, up to the code.
    let asks = browser.get(
        &raw,
        "/.safeconduct/arrive?to=https%3A%2F%2Fraw.neg.localhost%3APORT%2F"
            .replace("PORT", &house.door.port.to_string())
            .as_str(),
    )?;
    let (_, sign_in) = asks.leads_to().context("the application sends to the portal")?;
    let sent = browser.get(&portal, &sign_in)?;
    let (to, arrive) = sent.leads_to().context("the portal sends back with a code")?;
    ensure!(to == raw && arrive.contains("code="), "{sent:?}");
    let code = arrive.split_once("code=").and_then(|(_, rest)| rest.split('&').next()).context("a code")?.to_owned();
    house.keep_secret(&code);
    // Somebody else, with no word or a word of his own, gets no session from it.
    let mut thief = house.browser();
    let page = thief.get(&raw, &arrive)?;
    ensure!(thief.secret(&raw).is_err(), "the code opened a session in another browser: {page:?}");
    let page = thief.get(&raw, &arrive)?;
    ensure!(thief.secret(&raw).is_err(), "{page:?}");
    // Another host gets none either.
    let at_other = arrive.replace("raw.neg", "other.neg");
    let mut elsewhere = house.browser();
    elsewhere.get(&host("other"), &at_other)?;
    ensure!(elsewhere.secret(&host("other")).is_err(), "the code opened a session on another host");
    // And a changed code opens none in the right browser.
    for text in changed(&code).into_iter().take(6) {
        let mut copy = Browser::new(std::sync::Arc::clone(&house.door));
        copy.jar.clone_from(&browser.jar);
        copy.get(&raw, &arrive.replace(&code, &text))?;
        ensure!(copy.secret(&raw).is_err(), "a changed code opened a session");
    }
    Ok(())
}

fn nt_23_a_session_that_was_signed_out_is_gone_on_every_host(house: &House) -> Result<()> {
    let portal = host("portal");
    let mut browser = house.sign_in("gina")?;
    let labels = ["nginx", "apache", "raw", "other"];
    for label in labels {
        house.enter(&mut browser, &host(label))?;
        ensure!(status(house, label, &browser.cookie_line(&host(label)), "before")? == 200);
    }
    let kept = browser.jar.clone();
    let token = browser.get(&portal, "/me/security")?.token().to_owned();
    let out = browser.submit(&portal, "/sign-out", &format!("csrf={token}"))?;
    ensure!((300..400).contains(&out.heard.status()), "{out:?}");
    ensure!(browser.secret(&portal).is_err(), "the cookie of the portal is still there");
    browser.jar = kept;
    for label in labels {
        let mark = house.mark("replay");
        let came = status(house, label, &browser.cookie_line(&host(label)), &mark)?;
        ensure!(came == 401, "{label}: a cookie of a session that ended: {came}");
        house.unheard(&mark)?;
    }
    ensure!(!known(house, &browser.cookie_line(&portal))?);
    let page = browser.get(&portal, "/me/security")?;
    ensure!(page.leads_to().is_some_and(|(_, to)| to.starts_with("/sign-in")), "{page:?}");
    Ok(())
}

fn nt_24_a_secret_is_never_the_one_that_a_browser_brought(house: &House) -> Result<()> {
    let (portal, planted) = (host("portal"), "A".repeat(43));
    let mut browser = house.browser();
    for host in [&portal, &host("raw")] {
        browser.jar.entry(host.clone()).or_default().insert(Browser::SESSION.to_owned(), planted.clone());
    }
    let page = browser.use_link(&house.server.setup_link("jan")?)?;
    let set = page.heard.header("set-cookie").context("a cookie is set")?.to_owned();
    let attributes = set.to_ascii_lowercase();
    for needed in ["secure", "httponly", "path=/", "samesite=lax"] {
        ensure!(attributes.contains(needed), "{needed} is missing from the cookie");
    }
    ensure!(!attributes.contains("domain="), "the cookie is for one host");
    let first = browser.secret(&portal)?.to_owned();
    house.enter(&mut browser, &host("raw"))?;
    house.enter(&mut browser, &host("other"))?;
    let all = [first, browser.secret(&host("raw"))?.to_owned(), browser.secret(&host("other"))?.to_owned()];
    ensure!(!all.contains(&planted) && all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "secrets are shared");
    all.iter().for_each(|secret| house.keep_secret(secret));
    // The planted one opens nothing, neither alone nor beside the right one.
    let line = |value: &str| format!("cookie: __Host-safeconduct={value}\r\n");
    ensure!(status(house, "raw", &line(&planted), "planted")? == 401);
    for both in
        [format!("{planted}; __Host-safeconduct={}", all[1]), format!("{}; __Host-safeconduct={planted}", all[1])]
    {
        let came = status(house, "raw", &line(&both), "planted")?;
        ensure!([400, 401].contains(&came), "two sessions at once: {came}");
    }
    Ok(())
}

fn nt_25_nt_12_whatever_is_not_a_session_is_nobody(house: &House) -> Result<()> {
    let many: String = (0..2_000).map(|n| format!("c{n}=v; ")).collect();
    let long = "A".repeat(60_000);
    let good = house.ada("raw").trim_start_matches("cookie: ").trim_end().to_owned();
    for value in [
        "",
        "__Host-safeconduct",
        "__Host-safeconduct=",
        "__Host-safeconduct=null",
        "__Host-safeconduct=\"\"",
        "__Host-safeconduct=..%2f",
        "__Host-safeconduct=' OR 1=1 --",
        "__Host-safeconduct=\u{e4}\u{f6}",
        "__host-safeconduct=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &good.replace("__Host-safeconduct", "safeconduct"),
        &good.replace("__Host-safeconduct", "__Host-Safeconduct"),
        &good.replace("__Host-safeconduct", "__Secure-safeconduct"),
        &good.replace('=', "==").replacen("==", "= =", 1),
        &format!("x={good}"),
        &format!("__Host-safeconduct={long}"),
        &many,
    ] {
        let mark = house.mark("nobody");
        let came = status(house, "raw", &format!("cookie: {value}\r\n"), &mark)?;
        let shown = &value[..value.len().min(60)];
        ensure!([400, 401, 431].contains(&came), "{came} for the cookie `{shown}`");
        house.unheard(&mark)?;
    }
    // Many fields are refused before anyone is asked who it is, with the status of their own.
    let mark = house.mark("bound");
    let fields: String = (0..200).map(|n| format!("x-f{n}: v\r\n")).collect();
    house.refused("raw", &mark, house.get("raw", &format!("/{mark}"), &fields), 431, &[])?;
    let head = format!("x-long: {}\r\n", "x".repeat(100_000));
    house.refused("raw", &mark, house.get("raw", &format!("/{mark}"), &head), 431, &[])?;
    house.refused("raw", &mark, house.get("raw", &format!("/{mark}{}", "x".repeat(20_000)), ""), 414, &[])?;
    Ok(())
}

fn nt_38_nobody_ends_or_changes_what_is_anothers(house: &House) -> Result<()> {
    let portal = host("portal");
    let (heard, _) = house.say("raw", house.get("raw", "/whose", ""))?;
    let record = house.ledger.of(heard.header("x-request-id").context("an id")?)?;
    let adas = record["ask"]["who"]["auth"]["session"].as_str().context("Ada has a session")?.to_owned();
    let mut bob = house.sign_in("bob")?;
    let token = bob.get(&portal, "/me/security")?.token().to_owned();
    for path in PORTAL_POSTS {
        let path = path.replace("{session}", &adas).replace("{person}", "ada");
        let page = bob.submit(&portal, &path, &format!("csrf={token}&person=ada&confirm=yes"))?;
        let away = [400, 401, 403, 404, 405, 409, 415, 422].contains(&page.heard.status());
        let back = page.leads_to().is_some_and(|(_, to)| to.contains("error") || to.starts_with("/me"));
        ensure!(away || back, "{path}: {page:?}");
    }
    ensure!(status(house, "raw", house.ada("raw"), "still")? == 200, "Ada's session was ended by Bob");
    for path in ["/me/devices", "/me/security", "/", "/why?app=raw"] {
        let page = bob.get(&portal, path)?;
        ensure!(!page.heard.text.contains(&adas), "{path} tells Bob of Ada's session");
    }
    Ok(())
}

fn nt_39_of_a_hundred_who_use_one_link_at_once_exactly_one_is_signed_in(house: &House) -> Result<()> {
    const AT_ONCE: usize = 100;
    let link = house.server.setup_link("hugo")?;
    let (won, other) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut browser = house.browser();
                match browser.use_link(&link) {
                    Ok(_) => won.fetch_add(1, Ordering::SeqCst),
                    Err(error) if format!("{error:#}").contains("HTTP/1.1 404") => 0,
                    Err(_) => other.fetch_add(1, Ordering::SeqCst),
                }
            });
        }
    });
    let (won, other) = (won.into_inner(), other.into_inner());
    ensure!(won == 1 && other == 0, "{won} were signed in, {other} got another answer");
    Ok(())
}

fn nt_40_no_password_is_there_by_default(house: &House) -> Result<()> {
    let portal = host("portal");
    for person in ["admin", "root", "mira", "ada", "safeconduct", "operator"] {
        for password in ["", "admin", "password", "safeconduct", "changeme", person] {
            let mut browser = house.browser();
            let page = browser.submit(&portal, "/sign-in/password", &format!("person={person}&password={password}"))?;
            ensure!(browser.secret(&portal).is_err(), "{person} with `{password}` is signed in");
            ensure!([400, 401, 422, 429].contains(&page.heard.status()), "{page:?}");
        }
    }
    Ok(())
}
