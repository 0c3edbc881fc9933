//! Every page, in every state, as a browser would get it.

mod sample;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::{Extension, Router};
use sample::{CSRF, Sample, visitor};
use tower::util::ServiceExt;

const PAGES: [&str; 31] = [
    "/",
    "/me/security",
    "/me/devices",
    "/sign-in?return=%2Fme%2Fsecurity",
    "/step-up",
    "/why?app=q3-finance&return=%2F",
    "/setup/good",
    "/device/prove?return=%2F",
    "/signed-out",
    "/activate",
    "/activate?user_code=WDJB-MJHT",
    "/activate?answered=yes",
    "/oauth/authorize?response_type=code&machine=laptop",
    "/console",
    "/console/protect",
    "/console/map",
    "/console/policy",
    "/console/policy/proposals/p-14",
    "/console/watch",
    "/console/verdicts/7",
    "/console/verdicts/8?again=1",
    "/console/assess",
    "/console/apps",
    "/console/apps/wiki",
    "/console/people",
    "/console/people/ada",
    "/console/devices",
    "/console/connectors",
    "/console/locks",
    "/console/locks?kind=person&name=ada",
    "/console/health",
];

const POSTS: [&str; 19] = [
    "/console/locks",
    "/console/locks/0a1b/lift",
    "/console/connectors/berlin/rack-1/revoke",
    "/console/policy/propose",
    "/console/policy/proposals/p-14/publish",
    "/console/policy/proposals/p-14/discard",
    "/console/sessions/s-81/cut",
    "/console/people/ada/end-sessions",
    "/me/password",
    "/me/totp/begin",
    "/me/totp/finish",
    "/me/totp/remove",
    "/me/passkeys/pk-1/remove",
    "/me/sessions/s-77/end",
    "/sign-out",
    "/activate",
    "/oauth/authorize",
    "/why",
    "/setup/good",
];

struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

fn app(sample: Sample, operator: Option<bool>) -> Router {
    let router = safeconduct_console::router(Arc::new(sample));
    match operator {
        Some(o) => router.layer(Extension(visitor(o))),
        None => router,
    }
}

async fn send(app: Router, request: Request<Body>) -> Page {
    let answer = app.oneshot(request).await.expect("the router always answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let bytes = to_bytes(answer.into_body(), 16 << 20).await.expect("a bounded body");
    Page { status, headers, text: String::from_utf8(bytes.to_vec()).expect("UTF-8") }
}

async fn get(sample: Sample, path: &str) -> Page {
    send(app(sample, Some(true)), Request::get(path).body(Body::empty()).expect("a request")).await
}

async fn post(app: Router, path: &str, body: &str, headers: &[(&str, &str)]) -> Page {
    let mut request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    for (k, v) in headers {
        request = request.header(*k, *v);
    }
    send(app, request.body(Body::from(body.to_owned())).expect("a request")).await
}

fn states() -> [Sample; 4] {
    let full = Sample::default();
    [full, Sample { empty: true, ..full }, Sample { hostile: true, ..full }, Sample { big: true, ..full }]
}

/// What every page must be, whatever stands in it.
fn check(name: &str, text: &str) {
    assert!(text.starts_with("<!DOCTYPE html>"), "{name}");
    assert!(!text.contains(" style="), "{name}: the policy forbids inline style");
    assert!(!text.contains("<style"), "{name}");
    assert_eq!(text.matches("<h1").count(), 1, "{name}: one main heading");
    assert_eq!(text.matches("<script").count(), 1, "{name}: our own script alone, nothing from data");
    assert!(text.contains("<script src=\"/assets/console."), "{name}");
    assert!(!text.contains("<img"), "{name}: markup from data");
    let title = text.split("<title>").nth(1).and_then(|t| t.split("</title>").next()).unwrap_or_default();
    assert!(title.ends_with("· Safeconduct") && title.len() > 16, "{name}: {title}");
    for tag in tags(text) {
        let handler = tag.split_whitespace().skip(1).any(|a| a.starts_with("on") && a.contains('='));
        assert!(!handler || tag.starts_with("<meta"), "{name}: inline handler in {tag}");
        assert!(!tag.contains("javascript:"), "{name}: {tag}");
    }
    labelled(name, text);
}

/// The tags outside quoted attribute values.
fn tags(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut inside: Option<String> = None;
    let mut quoted = false;
    for c in text.chars() {
        match &mut inside {
            None if c == '<' => inside = Some("<".into()),
            None => {}
            Some(tag) => {
                quoted ^= c == '"';
                match (c, quoted) {
                    ('>', false) => out.extend(inside.take()),
                    (c, true) => tag.push(if c.is_whitespace() { '_' } else { c }),
                    (c, false) => tag.push(c),
                }
            }
        }
    }
    out
}

/// Every control stands in a label, or a label names it.
fn labelled(name: &str, text: &str) {
    let mut depth = 0_i32;
    for tag in tags(text) {
        if tag.starts_with("<label") {
            depth += 1;
        } else if tag == "</label" {
            depth -= 1;
        }
        let control = (tag.starts_with("<input") && !tag.contains("type=\"hidden\"")) || tag.starts_with("<select");
        assert!(!control || depth > 0 || tag.contains(" id=\"q\""), "{name}: no label for {tag}");
    }
}

#[tokio::test]
async fn every_page_is_well_made_with_data_without_with_hostile_names_and_with_ten_times_as_much() {
    for sample in states() {
        for path in PAGES {
            let page = get(sample, path).await;
            let absent = sample.empty && (path.contains("verdicts") || path.contains("proposals"));
            assert_eq!(page.status, if absent { StatusCode::NOT_FOUND } else { StatusCode::OK }, "{path}");
            check(path, &page.text);
        }
        check("denied", &safeconduct_console::pages::denied(&sample.denied()).into_string());
        for status in [400, 403, 404, 500, 502, 503, 504] {
            check("problem", &safeconduct_console::pages::problem(&sample.problem(status)).into_string());
        }
    }
}

#[tokio::test]
async fn errors_of_forms_are_escaped_and_the_page_comes_again() {
    let hostile = Sample { hostile: true, ..Sample::default() };
    let body = format!("csrf={CSRF}&password=short&app=q3-finance&person=%22%3E%3Cscript%3E&name=%3Cimg%3E");
    for path in ["/me/password", "/why", "/sign-in/password"] {
        let page = post(app(hostile, Some(true)), path, &body, &[]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert!(page.text.contains("role=\"alert\""), "{path}");
        check(path, &page.text);
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers_even_errors_files_and_streams() {
    let paths = PAGES.iter().copied().chain([
        "/nothing",
        "/console/verdicts/x",
        "/console/events",
        "/console/watch?format=csv",
        "/assets/none.css",
    ]);
    for path in paths {
        let page = get(Sample::default(), path).await;
        let csp = page.headers.get("content-security-policy").and_then(|v| v.to_str().ok()).unwrap_or_default();
        assert_eq!(csp, safeconduct_console::CONTENT_SECURITY_POLICY, "{path}");
        for name in ["x-content-type-options", "referrer-policy", "permissions-policy", "cross-origin-opener-policy"] {
            assert!(page.headers.contains_key(name), "{path}: {name}");
        }
    }
    let refused = post(app(Sample::default(), Some(true)), "/sign-out", "", &[("sec-fetch-site", "cross-site")]).await;
    assert!(refused.headers.contains_key("content-security-policy"));
}

#[tokio::test]
async fn a_form_without_the_token_changes_nothing() {
    for path in POSTS {
        for body in ["", "csrf=", "csrf=wrong", &format!("csrf={}", &CSRF[1..])] {
            let page = post(app(Sample::default(), Some(true)), path, body, &[]).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} with {body:?}");
        }
        let page = post(
            app(Sample::default(), Some(true)),
            path,
            &format!("csrf={CSRF}&app=wiki&ticket=F-1&person=a&password=long+enough+it+is"),
            &[],
        )
        .await;
        assert!(page.status.is_success() || page.status.is_redirection(), "{path}: {}", page.status);
        let page = post(
            app(Sample::default(), Some(true)),
            path,
            "app=wiki&ticket=F-1&person=a&password=long+enough+it+is",
            &[("x-csrf-token", CSRF)],
        )
        .await;
        assert!(page.status.is_success() || page.status.is_redirection(), "{path}: {}", page.status);
    }
}

#[tokio::test]
async fn a_visitor_without_a_token_can_change_nothing() {
    let mut nobody = visitor(true);
    nobody.csrf = String::new();
    let router = safeconduct_console::router(Arc::new(Sample::default())).layer(Extension(nobody));
    assert_eq!(post(router, "/sign-out", "csrf=", &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_of_another_site_is_refused_before_sign_in_too() {
    let form = "person=ada&password=right&return=%2F";
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("host", "portal.example")],
        &[("origin", "null"), ("host", "portal.example")],
    ] {
        let page = post(app(Sample::default(), None), "/sign-in/password", form, headers).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    for headers in
        [&[("sec-fetch-site", "same-origin")][..], &[("origin", "https://portal.example"), ("host", "portal.example")]]
    {
        let page = post(app(Sample::default(), None), "/sign-in/password", form, headers).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{headers:?}");
        assert!(page.headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn only_an_operator_sees_the_console_and_a_stranger_is_led_to_sign_in() {
    for path in PAGES.iter().filter(|p| p.starts_with("/console")).chain(&["/console/events"]) {
        let request = || Request::get(*path).body(Body::empty()).expect("a request");
        assert_eq!(send(app(Sample::default(), Some(false)), request()).await.status, StatusCode::FORBIDDEN, "{path}");
        let stranger = send(app(Sample::default(), None), request()).await;
        assert_eq!(stranger.status, StatusCode::SEE_OTHER, "{path}");
        assert!(stranger.headers["location"].to_str().unwrap_or_default().starts_with("/sign-in?return=%2Fconsole"));
    }
    for path in POSTS.iter().filter(|p| p.starts_with("/console")) {
        let page = post(app(Sample::default(), Some(false)), path, &format!("csrf={CSRF}"), &[]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
    }
    let home =
        send(app(Sample::default(), Some(false)), Request::get("/").body(Body::empty()).expect("a request")).await;
    assert!(!home.text.contains("href=\"/console\""), "no link to what stays shut");
}

#[tokio::test]
async fn the_way_on_never_leads_to_a_stranger_and_leaves_a_form_by_a_page() {
    let away = post(
        app(Sample::default(), None),
        "/sign-in/password",
        "person=a&password=right&return=https%3A%2F%2Fevil.example%2F",
        &[],
    )
    .await;
    assert_eq!(away.headers["location"], "/");
    let ours = "person=a&password=right&return=https%3A%2F%2Fq3-finance.halden.example%2Fx";
    let onward = post(app(Sample::default(), None), "/sign-in/password", ours, &[]).await;
    assert_eq!(onward.status, StatusCode::OK, "form-action 'self' forbids a redirect to another host");
    assert!(
        onward.text.contains("content=\"0; url=https://q3-finance.halden.example/x\"")
            && onward.headers.contains_key("set-cookie")
    );
    let prove = get(Sample::default(), "/device/prove?return=https%3A%2F%2Fevil.example").await;
    assert!(!prove.text.contains("evil"));
}

#[tokio::test]
async fn the_same_data_gives_the_same_picture() {
    for path in ["/console/map", "/console/map?big=1", "/console", "/console/assess"] {
        let sample = Sample { big: path.contains("big"), ..Sample::default() };
        assert_eq!(get(sample, path).await.text, get(sample, path).await.text, "{path}");
    }
    let drawn = get(Sample::default(), "/console/map").await.text;
    assert!(drawn.contains("class=\"map\"") && drawn.contains("class=\"stop\""), "a denied thread ends at the gateway");
    assert!(
        get(Sample { big: true, ..Sample::default() }, "/console/map").await.text.contains("map matrix"),
        "many nodes are a matrix"
    );
}

#[tokio::test]
async fn what_is_shown_can_be_taken_along() {
    let csv = get(Sample::default(), "/console/people?format=csv&q=lovelace&sort=id").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert!(csv.text.lines().skip(1).all(|l| l.contains("Lovelace")) && csv.text.lines().count() > 1, "{}", csv.text);
    let json = get(Sample::default(), "/console/devices?format=json&q=tablet").await;
    let rows: serde_json::Value = serde_json::from_str(&json.text).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn live_verdicts_are_rows_of_data() {
    let stream = get(Sample { hostile: true, ..Sample::default() }, "/console/events").await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.text.matches("event: verdict").count(), 3);
    let data = stream.text.lines().find_map(|l| l.strip_prefix("data: ")).expect("a row");
    let row: serde_json::Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(row["who"]["href"], "/console/people/bo");
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_the_name_of_their_hash() {
    for path in [safeconduct_console::css_path("/assets"), safeconduct_console::js_path("/assets")] {
        let file = get(Sample::default(), &path).await;
        assert_eq!(
            (file.status, &file.headers["cache-control"]),
            (StatusCode::OK, &"public, max-age=31536000, immutable".parse().expect("a value"))
        );
        let sinks = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"];
        assert!(sinks.iter().all(|s| !file.text.contains(s)), "trusted types would refuse it");
    }
    assert_eq!(safeconduct_console::asset("console.css"), None);
}

#[tokio::test]
async fn buttons_say_in_numbers_what_they_will_do() {
    let proposal = get(Sample::default(), "/console/policy/proposals/p-14").await.text;
    assert!(proposal.contains("Publish: binds 2 rules, ends 1 connection of 1 person"));
    for words in ["Measured on later use", "3 of 1", "11 of 78", "What this does not show", "from day 16 on"] {
        assert!(proposal.contains(words), "{words}");
    }
    let failing = get(Sample { hostile: true, ..Sample::default() }, "/console/policy/proposals/p-14").await.text;
    assert!(
        !failing.contains("Publish: ") && failing.contains("Discard: "),
        "a proposal that breaks a test cannot be published"
    );
    let watch = get(Sample::default(), "/console/watch").await.text;
    assert!(watch.contains("Cut: ends 1 session and 3 connections"));
    assert!(get(Sample::default(), "/console/people/ada").await.text.contains("End 1 session and 3 connections"));
}

#[test]
fn who_is_locked_out_reads_the_message_and_what_to_do() {
    for sample in states() {
        let page = safeconduct_console::pages::denied(&sample.locked_out()).into_string();
        check("locked", &page);
        assert!(page.contains("This is locked.") && page.contains("Ask whoever runs Safeconduct"), "{page}");
        assert!(!page.contains("Needed:"), "there is nothing that the asker could bring");
        assert!(sample.hostile || page.contains("Your access is locked: Your laptop was reported stolen."), "{page}");
    }
}

#[tokio::test]
async fn a_lock_that_is_not_placed_keeps_what_was_typed_and_says_why() {
    let headers = [("sec-fetch-site", "same-origin")];
    let typed = format!("csrf={CSRF}&kind=device&name=nobody&message=Call+%3C7-300%3E&lasts=8h");
    let page = post(app(Sample::default(), Some(true)), "/console/locks", &typed, &headers).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    check("/console/locks", &page.text);
    assert!(page.text.contains("role=\"alert\"") && page.text.contains("is known here"), "{}", page.text);
    assert!(page.text.contains("value=\"nobody\"") && page.text.contains("value=\"Call &lt;7-300&gt;\""));
    assert!(
        page.text.contains("<option value=\"device\" selected>")
            && page.text.contains("<option value=\"8h\" selected>")
    );
    let filled = get(Sample::default(), "/console/locks?kind=application&name=wiki").await;
    assert!(filled.text.contains("<option value=\"application\" selected>") && filled.text.contains("value=\"wiki\""));
}
