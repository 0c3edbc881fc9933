//! Ordinary requests: what goes on, what is denied, what is told.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{ADA, House, Setup, hear, house, identity, listen};
use proptest::prelude::*;
use safeconduct_gateway::{Limits, Signal};
use safeconduct_model::{Class, CutCause, Outcome, Reason, Record};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_permitted_request_is_forwarded_and_recorded() {
    let house = house(Setup::default()).await;
    let heard = house.get("/a?x=%41", "x-own: 1\r\n").await;
    assert_eq!(heard.status(), 200);
    assert!(heard.text.ends_with("\r\n\r\nok"));
    let verdicts = house.control.verdicts();
    assert_eq!(verdicts.len(), 1);
    assert!(verdicts[0].permitted() && verdicts[0].ask.what.path == "/a");
    assert_eq!(heard.field("x-request-id").as_deref(), Some(verdicts[0].ask.request.as_str()));
    let log = house.upstream.log();
    assert!(log.starts_with("GET /a?x=%41 HTTP/1.1\r\nhost: wiki.test\r\n") && log.contains("x-own: 1"), "{log}");
    assert!(house.gateway.live().is_empty(), "the lease ends with the answer");
}

#[tokio::test]
async fn nt_01_a_denied_request_never_reaches_the_upstream() {
    let house = house(Setup::default()).await;
    for path in ["/admin", "/%61dmin", "/admin?x=/public"] {
        assert_eq!(house.get(path, "").await.status(), 403, "{path}");
    }
    for path in
        ["/public/../admin", "/public/%2e%2e/admin", "//admin", "/a;/../admin", "/a%2f..%2fadmin", "/a\\admin", "/%00"]
    {
        assert_eq!(house.get(path, "").await.status(), 400, "{path}");
    }
    assert_eq!(house.upstream.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nt_02_the_query_never_changes_the_decision() {
    let house = house(Setup::default()).await;
    assert_eq!(house.get("/admin?/public", "").await.status(), 403);
    assert_eq!(house.get("/public?/../admin", "").await.status(), 200);
    assert_eq!(house.upstream.targets(), ["/public?/../admin"]);
}

#[tokio::test]
async fn nt_03_fragments_and_control_bytes_are_refused() {
    let house = house(Setup::default()).await;
    for target in ["/a#b", "/a?x#b", "/a%0a", "/a\u{1}"] {
        assert_eq!(house.get(target, "").await.status(), 400, "{target:?}");
    }
    assert_eq!(house.upstream.log(), "");
}

#[tokio::test]
async fn nt_04_nt_05_nt_06_nt_09_a_client_cannot_speak_in_our_name() {
    let house = house(Setup::default()).await;
    let forged = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: gopher\r\nX-Forwarded-Host: evil\r\nx-forwarded-uri: /evil\r\n\
                  x-forwarded-method: EVIL\r\nx-forwarded-prefix: /evil\r\nForwarded: for=evil\r\nX-Real-IP: 6.6.6.6\r\n\
                  X-SAFECONDUCT-ASSERTION: evil\r\nx-safeconduct-user: evil\r\nx-request-id: evil\r\nx-http-method-override: DELETE\r\n";
    assert_eq!(house.get("/a", forged).await.status(), 200);
    let log = house.upstream.log();
    assert!(
        !log.contains("evil") && !log.contains("6.6.6.6") && !log.contains("DELETE") && !log.contains("gopher"),
        "{log}"
    );
    for ours in ["x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: http\r\n", "x-forwarded-host: wiki.test\r\n"] {
        assert_eq!(log.matches(ours).count(), 1, "{log}");
    }
    assert_eq!(log.matches("x-safeconduct-").count(), 1);
}

#[tokio::test]
async fn nt_08_the_user_agent_decides_nothing() {
    let house = house(Setup::default()).await;
    assert_eq!(house.get("/admin", "user-agent: kube-probe/1.0\r\n").await.status(), 403);
}

#[tokio::test]
async fn nt_09_the_assertion_is_signed_for_this_application_and_short_lived() {
    use base64::Engine;
    let house = house(Setup::default()).await;
    house.get("/a", "").await;
    let log = house.upstream.log();
    let token = log.lines().find_map(|l| l.strip_prefix("x-safeconduct-assertion: ")).unwrap();
    let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&house.gateway.jwks()).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(jwks.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&["wiki"]);
    rules.set_issuer(&["https://portal.test"]);
    rules.validate_exp = false;
    let claims = jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).unwrap().claims;
    assert_eq!((claims["sub"].as_str(), claims["sid"].as_str()), (Some("ada"), Some("s-ada")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    rules.set_audience(&["shop"]);
    assert!(jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).is_err(), "not for another application");
    let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    assert!(!String::from_utf8(payload).unwrap().contains("sc="), "no secret in it");
}

#[tokio::test]
async fn our_cookies_stay_with_us_in_both_directions() {
    let house = house(Setup::default()).await;
    let raw = "GET /loud HTTP/1.1\r\nhost: wiki.test\r\ncookie: a=1; sc=ada; b=2\r\ncookie: sc-state=x; c=3\r\nconnection: close\r\n\r\n";
    let heard = house.raw(raw).await;
    assert!(house.upstream.log().contains("cookie: a=1; b=2; c=3\r\n"), "{}", house.upstream.log());
    assert_eq!(heard.status(), 200);
    for gone in ["stolen", "forged", "x-hop", "alt-svc"] {
        assert!(!heard.text.contains(gone), "{gone}: {heard:?}");
    }
    assert!(heard.text.contains("set-cookie: own=1"));
}

#[tokio::test]
async fn a_page_load_is_sent_to_sign_in_and_everything_else_gets_401() {
    let house = house(Setup::default()).await;
    let get = |fields: &str| {
        house.raw(format!("GET /a?b=1 HTTP/1.1\r\nhost: wiki.test\r\nconnection: close\r\n{fields}\r\n"))
    };
    for page in ["sec-fetch-mode: navigate\r\n", "accept: text/html,*/*\r\n"] {
        let heard = get(page).await;
        let to = "https://portal.test/sign-in?app=wiki&to=http://wiki.test/a?b=1";
        assert_eq!((heard.status(), heard.field("location").as_deref()), (303, Some(to)), "{page}");
    }
    for other in [
        "",
        "accept: application/json\r\n",
        "accept: text/html\r\nx-requested-with: x\r\n",
        "sec-fetch-mode: cors\r\naccept: text/html\r\n",
    ] {
        let heard = get(other).await;
        assert_eq!((heard.status(), heard.reason()), (401, Some(Reason::SignInRequired)), "{other}");
        assert!(heard.field("www-authenticate").is_some());
    }
    let heard = house.raw("POST /a HTTP/1.1\r\nhost: wiki.test\r\naccept: text/html\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    assert_eq!(heard.status(), 401);
    let heard = house.raw("OPTIONS /a HTTP/1.1\r\nhost: wiki.test\r\norigin: https://x\r\naccess-control-request-method: PUT\r\nconnection: close\r\n\r\n").await;
    assert_eq!(heard.status(), 401, "a preflight is decided like any other request");
    assert_eq!(house.upstream.log(), "");
}

#[tokio::test]
async fn a_denial_explains_itself_to_people_and_to_programs() {
    let house = house(Setup::default()).await;
    let page = house.get("/admin", "accept: text/html\r\n").await;
    assert_eq!(page.status(), 403);
    assert!(page.text.contains("<h1>denied ") && page.field("content-security-policy").is_some(), "{page:?}");
    let json = house.get("/admin", "").await;
    assert!(json.status() == 403 && json.reason().is_some() && json.text.contains("\"remedies\""), "{json:?}");
}

#[tokio::test]
async fn a_denial_arrives_although_the_body_was_not_read() {
    let house = house(Setup::default()).await;
    let body = "x".repeat(200_000);
    let heard = house
        .raw(format!("POST /admin HTTP/1.1\r\nhost: wiki.test\r\n{ADA}content-length: {}\r\n\r\n{body}", body.len()))
        .await;
    assert_eq!((heard.status(), heard.answers()), (403, 1), "{heard:?}");
    assert_eq!(house.upstream.log(), "");
}

#[tokio::test]
async fn trailers_go_up_without_those_that_only_we_set() {
    let house = house(Setup::default()).await;
    let ask = |trailer: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close\r\ntrailer: x-sum, x-forwarded-for\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{trailer}\r\n"
        )
    };
    assert_eq!(house.raw(ask("x-sum: 7\r\n")).await.status(), 200);
    assert!(house.upstream.log().contains("0\r\nx-sum: 7\r\n\r\n"), "{}", house.upstream.log());
    let heard = house.raw(ask("x-forwarded-for: evil\r\n")).await;
    assert!(matches!(heard.status(), 0 | 400) && !house.upstream.log().contains("evil"), "{heard:?}");
}

#[tokio::test]
async fn an_unknown_host_learns_nothing() {
    let house = house(Setup::default()).await;
    let heard = house.raw(format!("GET /a HTTP/1.1\r\nhost: other.test\r\n{ADA}\r\n")).await;
    assert_eq!((heard.status(), heard.reason()), (404, Some(Reason::UnknownApplication)));
    assert_eq!(house.control.refusals()[0].detail, "unknown_host");
}

#[tokio::test]
async fn two_applications_are_told_apart_by_host() {
    let house = house(Setup::default()).await;
    for (host, app) in [("wiki.test", "wiki"), ("SHOP.test:80", "shop")] {
        let heard = house.raw(format!("GET / HTTP/1.1\r\nhost: {host}\r\n{ADA}connection: close\r\n\r\n")).await;
        assert_eq!(heard.status(), 200);
        assert_eq!(house.control.verdicts().last().unwrap().ask.what.app.as_str(), app);
    }
}

#[tokio::test]
async fn the_portal_and_the_reserved_paths_are_answered_in_process() {
    let house = house(Setup::default()).await;
    let heard = house.raw(format!("GET /x?y HTTP/1.1\r\nhost: portal.test\r\n{ADA}connection: close\r\n\r\n")).await;
    assert!(heard.text.contains("portal GET /x?y app=None cookie=Some(\"sc=ada\")"), "{heard:?}");
    let heard = house.get("/.safeconduct/arrive", "").await;
    assert!(heard.text.contains("app=Some(\"wiki\")"), "{heard:?}");
    assert!(house.get("/%2esafeconduct/arrive", "").await.text.contains("app=Some"), "one spelling for all");
    assert_eq!(house.upstream.log(), "");
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_recorded_502_with_a_request_id() {
    let house = house(Setup::default()).await;
    let raw = format!("GET /a HTTP/1.1\r\nhost: down.test\r\n{ADA}accept: text/html\r\nconnection: close\r\n\r\n");
    let heard = house.raw(raw).await;
    assert_eq!(heard.status(), 502);
    let cut = &house.control.cuts()[0];
    assert_eq!(cut.cause, CutCause::UpstreamFailed);
    assert!(heard.text.contains(&format!("problem 502 {}", cut.request)), "{heard:?}");
    assert_eq!(house.get("/drop", "").await.status(), 502);
    assert!(house.gateway.live().is_empty());
}

#[tokio::test]
async fn an_upstream_that_is_slow_is_a_504() {
    let limits = Limits { first_byte: Duration::from_millis(80), ..Limits::default() };
    let house = house(Setup { limits, ..Setup::default() }).await;
    let heard = house.get("/hang", "").await;
    assert_eq!((heard.status(), heard.reason()), (504, Some(Reason::UpstreamTimeout)));
}

#[tokio::test]
async fn a_critical_application_sees_no_byte_before_the_record_is_durable() {
    let house = house(Setup { class: Class::Critical, ..Setup::default() }).await;
    house.control.durable_ms.store(50, Ordering::SeqCst);
    assert_eq!(house.get("/a", "").await.status(), 200);
    assert_eq!(house.control.order.lock().unwrap()[..2], ["durable", "byte"]);
    house.control.refuse_receipts.store(true, Ordering::SeqCst);
    let heard = house.get("/b", "").await;
    assert_eq!((heard.status(), heard.reason()), (503, Some(Reason::RecordUnavailable)));
    assert_eq!(house.upstream.targets(), ["/a"]);
}

#[tokio::test]
async fn no_record_no_access() {
    let house = house(Setup::default()).await;
    house.control.refuse_receipts.store(true, Ordering::SeqCst);
    let heard = house.get("/a", "").await;
    assert_eq!(
        (heard.status(), heard.reason()),
        (503, Some(Reason::RecordUnavailable)),
        "what the upstream said stays here"
    );
    house.control.refuse_records.store(true, Ordering::SeqCst);
    assert_eq!(house.get("/b", "").await.status(), 503);
    assert!(!house.upstream.log().contains("/b"));
    assert!(house.gateway.live().is_empty());
}

#[tokio::test]
async fn an_unreliable_clock_denies() {
    let house = house(Setup::default()).await;
    house.control.clock_ok.store(false, Ordering::SeqCst);
    let heard = house.get("/a", "").await;
    assert_eq!((heard.status(), heard.reason()), (503, Some(Reason::ClockUnreliable)));
    assert_eq!(house.control.verdicts()[0].reason(), Some(Reason::ClockUnreliable));
    assert_eq!(house.upstream.log(), "");
}

#[tokio::test]
async fn nt_25_nt_44_a_panic_denies_and_leaves_no_lease() {
    let house = house(Setup::default()).await;
    house.control.panics.store(true, Ordering::SeqCst);
    let heard = house.get("/a", "").await;
    assert_eq!((heard.status(), heard.reason()), (500, Some(Reason::InternalError)));
    assert!(house.gateway.live().is_empty());
    assert!(house.control.records().iter().any(|r| matches!(r, Record::System(e) if e.event == "alarm")));
    house.control.panics.store(false, Ordering::SeqCst);
    assert_eq!(house.get("/a", "").await.status(), 200, "the gateway lives on");
}

#[tokio::test]
async fn nt_12_a_slow_head_and_too_many_connections_are_closed() {
    let limits = Limits { head_read: Duration::from_millis(60), connections_per_address: 2, ..Limits::default() };
    let house = house(Setup { limits, ..Setup::default() }).await;
    let started = Instant::now();
    let heard = house.raw("GET / HTTP/1.1\r\nhost: wi").await;
    assert!(heard.closed && heard.status() == 408 && started.elapsed() < Duration::from_secs(2), "{heard:?}");
    house.until(|h| h.control.refusals().iter().any(|r| r.detail == "slow_head")).await;
    let (_one, _two) = (house.connect().await, house.connect().await);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut third = house.connect().await;
    assert!(listen(&mut third).await.closed, "the third connection of one address");
}

#[tokio::test]
async fn nt_12_bounds_hold_before_anyone_is_identified() {
    let limits =
        Limits { head_bytes: 1_000, header_count: 10, target_bytes: 100, body_bytes: Some(10), ..Limits::default() };
    let house = house(Setup { limits, ..Setup::default() }).await;
    assert_eq!(house.get("/a", &format!("x: {}\r\n", "x".repeat(1_000))).await.status(), 431);
    assert_eq!(house.get("/a", &"x: 1\r\n".repeat(10)).await.status(), 431);
    assert_eq!(house.get(&format!("/{}", "a".repeat(100)), "").await.status(), 414);
    assert_eq!(house.get("/a", "content-length: 11\r\n").await.status(), 413);
    let long = format!(
        "POST /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}transfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n"
    );
    assert_eq!(house.raw(long).await.status(), 413);
    assert!(house.control.refusals().iter().all(|r| r.reason == Reason::LimitReached));
}

#[tokio::test]
async fn a_connection_that_rests_too_long_is_closed_but_not_one_that_is_served() {
    let limits = Limits { idle: Duration::from_millis(80), ..Limits::default() };
    let house = house(Setup { limits, ..Setup::default() }).await;
    let mut stream = house.connect().await;
    assert!(listen(&mut stream).await.closed);
    let mut stream = house.connect().await;
    stream.write_all(format!("GET /events HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n").as_bytes()).await.unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(300) {
        hear(&mut stream, "data: hi").await;
    }
}

#[tokio::test]
async fn expect_100_continue_is_answered_only_to_the_permitted() {
    let house = house(Setup::default()).await;
    let ask = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: wiki.test\r\n{ADA}expect: 100-continue\r\ncontent-length: 5\r\n\r\n")
    };
    let mut stream = house.connect().await;
    stream.write_all(ask("/echo").as_bytes()).await.unwrap();
    hear(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"hello").await.unwrap();
    hear(&mut stream, "\r\n\r\nhello").await;
    let heard = house.raw(ask("/admin")).await;
    assert!(heard.text.starts_with("HTTP/1.1 403"), "{heard:?}");
    assert_eq!(house.get("/a", "expect: other\r\n").await.status(), 417);
}

#[tokio::test]
async fn upstream_connections_are_used_again_unless_they_carry_a_login() {
    let house = house(Setup::default()).await;
    for _ in 0..4 {
        assert_eq!(house.get("/a", "").await.status(), 200);
    }
    assert_eq!(house.upstream.connections.load(Ordering::SeqCst), 1, "one connection for four requests");
    for _ in 0..2 {
        assert_eq!(house.get("/negotiate", "").await.status(), 401);
    }
    assert_eq!(house.get("/a", "authorization: NTLM x\r\n").await.status(), 200);
    assert_eq!(house.get("/a", "").await.status(), 200);
    assert_eq!(house.upstream.connections.load(Ordering::SeqCst), 4, "none of those three was kept");
}

#[tokio::test]
async fn answers_without_a_body_keep_the_connections_in_step() {
    let house = house(Setup::default()).await;
    let head = house.raw(format!("HEAD /head HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close\r\n\r\n")).await;
    assert_eq!((head.status(), head.field("content-length").as_deref()), (200, Some("7")), "{head:?}");
    assert!(head.text.ends_with("\r\n\r\n"));
    assert_eq!(house.get("/none", "").await.status(), 204);
    assert!(house.get("/a", "").await.text.ends_with("\r\n\r\nok"));
    assert_eq!(house.upstream.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_resting_connection_that_the_upstream_closed_does_no_harm() {
    let house = house(Setup::default()).await;
    for n in 0..6 {
        assert_eq!(house.get("/once", "").await.status(), 200);
        if n % 2 == 0 {
            house.until(|h| h.upstream.closed.load(Ordering::SeqCst) == n + 1).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_any_more_ends_at_the_upstream() {
    let house = house(Setup::default()).await;
    let mut stream = house.connect().await;
    stream.write_all(format!("GET /events HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n").as_bytes()).await.unwrap();
    hear(&mut stream, "data: hi").await;
    drop(stream);
    house.until(|h| h.gateway.live().is_empty() && h.upstream.closed.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn an_answer_with_a_head_over_the_bound_is_a_502() {
    let limits = Limits { response_head_bytes: 10_000, ..Limits::default() };
    let house = house(Setup { limits, ..Setup::default() }).await;
    assert_eq!(house.get("/big-head", "").await.status(), 502);
}

#[tokio::test]
async fn what_only_the_library_refuses_is_recorded_too() {
    let house = house(Setup::default()).await;
    let heard = house.get("/a<b>", "").await;
    assert!(heard.closed && matches!(heard.status(), 200 | 400), "{heard:?}");
    house.until(|h| h.control.refusals().len() + h.control.verdicts().len() == 1).await;
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_lease_back() {
    let house = house(Setup::default()).await;
    let mut stream = house.connect().await;
    stream.write_all(format!("GET /hang HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n").as_bytes()).await.unwrap();
    house.until(|h| h.gateway.live().len() == 1).await;
    drop(stream);
    house.until(|h| h.gateway.live().is_empty()).await;
}

#[tokio::test]
async fn a_new_snapshot_holds_for_the_next_request_on_the_same_connection() {
    let house = house(Setup::default()).await;
    let mut stream = house.connect().await;
    let ask = format!("GET /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    hear(&mut stream, "\r\n\r\nok").await;
    house.publish(r#"@id("none") permit(principal in Group::"nobody", action, resource);"#);
    house.gateway.signal(&Signal::PolicyPublished);
    stream.write_all(ask.as_bytes()).await.unwrap();
    hear(&mut stream, "HTTP/1.1 403").await;
    house.publish(common::RULES);
    stream.write_all(ask.as_bytes()).await.unwrap();
    hear(&mut stream, "\r\n\r\nok").await;
}

#[tokio::test]
async fn nt_13_a_changed_group_counts_for_the_next_request() {
    let house = house(Setup::default()).await;
    assert_eq!(house.get("/a", "").await.status(), 200);
    house.control.sessions.lock().unwrap().insert("ada".into(), identity("eve", None));
    house.gateway.signal(&Signal::PersonChanged("ada".parse().unwrap()));
    assert_eq!(house.get("/a", "").await.status(), 403);
}

#[tokio::test]
async fn a_fact_that_changed_without_a_signal_counts_a_second_later() {
    let house = house(Setup::default()).await;
    assert_eq!(house.get("/a", "").await.status(), 200);
    house.control.sessions.lock().unwrap().insert("ada".into(), identity("eve", None));
    house.control.now.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(house.get("/a", "").await.status(), 403);
}

#[tokio::test]
async fn nt_15_an_answer_of_policy_is_used_again_only_for_the_very_same_facts() {
    let house = house(Setup::default()).await;
    for _ in 0..3 {
        assert_eq!(house.get("/a", "").await.status(), 200);
        assert_eq!(house.get("/admin/x", "").await.status(), 403, "the rule reads the path");
        assert_eq!(
            house
                .raw("GET /a HTTP/1.1\r\nhost: wiki.test\r\ncookie: sc=eve\r\nconnection: close\r\n\r\n")
                .await
                .status(),
            403
        );
        assert_eq!(house.raw("GET /a HTTP/1.1\r\nhost: wiki.test\r\nconnection: close\r\n\r\n").await.status(), 401);
    }
    let permitted = house.control.verdicts().iter().filter(|v| v.permitted()).count();
    assert_eq!((house.control.verdicts().len(), permitted), (12, 3), "each has a record of its own");
}

#[tokio::test]
async fn stopping_lets_an_answer_end() {
    let house = house(Setup::default()).await;
    let mut idle = house.connect().await;
    house.get("/a", "").await;
    house.stop.cancel();
    assert!(listen(&mut idle).await.closed);
    tokio::time::timeout(Duration::from_secs(2), house.serving).await.expect("in time").unwrap();
}

/// One house for all cases: what policy saw is what the upstream received.
#[test]
fn nt_01_the_path_that_policy_saw_is_the_one_that_the_upstream_received() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house: Arc<House> = Arc::new(runtime.block_on(house(Setup::default())));
    let path = r"/([a-zA-Z0-9._~!$&'()*+,=:@-]|%[0-9a-fA-F]{2}|%c3%a4|/|\.\.|;|\\|\||\{){0,16}";
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(path in path)| {
        runtime.block_on(async {
            let (before, seen) = (house.upstream.targets().len(), house.control.verdicts().len());
            if path.contains("/ws") || path.contains("/hang") {
                return Ok(());
            }
            let status = house.get(&path, "").await.status();
            let (targets, verdicts) = (house.upstream.targets(), house.control.verdicts());
            prop_assert!(targets.len() - before <= 1 && verdicts.len() - seen <= 1);
            match verdicts.get(seen) {
                Some(verdict) if matches!(verdict.outcome, Outcome::Permit { .. }) => {
                    prop_assert_eq!(status, 200);
                    prop_assert_eq!(&targets[before], &verdict.ask.what.path);
                }
                _ => {
                    prop_assert!(matches!(status, 400 | 403), "{} -> {}", path, status);
                    prop_assert_eq!(targets.len(), before);
                }
            }
            Ok(())
        })?;
    });
}
