//! Requests that stand at another gateway, as Traefik and Caddy ask about them.

use safeconduct_model::Reason;

use crate::stage::{GATEWAY, PROGRAM, Stage, WIKI, header, status};

/// What Traefik sends about a request, with more fields.
fn asked(token: &str, method: &str, uri: &str, more: &str) -> String {
    format!(
        "GET /forward-auth HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\nx-safeconduct-token: {token}\r\n\
         x-forwarded-method: {method}\r\nx-forwarded-proto: https\r\nx-forwarded-host: {WIKI}\r\nx-forwarded-uri: {uri}\r\n\
         x-forwarded-for: 203.0.113.9, 10.0.0.7\r\n{more}\r\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_opens_what_policy_permits_and_nothing_else() {
    let stage = Stage::put_up().await;
    let cookie = format!("cookie: a=1; {}; b=2\r\n", stage.cookie().await);

    let yes = stage.ask(&asked(GATEWAY, "GET", "/page?x=1", &cookie)).await;
    assert_eq!(status(&yes), 200, "{yes}");
    assert_eq!(header(&yes, "x-safeconduct-assertion").map(|a| a.split('.').count()), Some(3), "{yes}");
    assert_eq!(header(&yes, "cookie").as_deref(), Some("a=1; b=2"), "the secret stays with the gateway");
    let no = stage.ask(&asked(GATEWAY, "GET", "/secret/plan", &cookie)).await;
    assert_eq!(status(&no), 403, "{no}");
    assert!(header(&no, "x-safeconduct-assertion").is_none());

    let [access] = &stage.accesses("/page")[..] else { panic!("one record") };
    assert!(access.permitted() && access.rules.iter().any(|r| r.as_str() == "wiki-staff"));
    assert_eq!(access.ask.place.ip.to_string(), "10.0.0.7", "the last address is what the gateway saw itself");
    assert!(!stage.accesses("/secret/plan")[0].permitted());
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_carries_a_session_only_into_the_browser_that_asked_for_it() {
    let stage = Stage::put_up().await;
    let (arrive, arrival) = stage.code().await;
    // Somebody else's browser, led there by a link: no session, and a way to begin again with a word of its own.
    let victim = stage.at_wiki(&arrive, "a=1").await;
    assert!(status(&victim) == 303 && !victim.contains("__Host-safeconduct="), "{victim}");
    assert!(
        header(&victim, "location").is_some_and(|to| to.contains("&browser=") && to.ends_with("&retry=1")),
        "{victim}"
    );
    // The code is gone with the attempt; a second failure ends it.
    let late = stage.at_wiki(&format!("{arrive}&retry=1"), &arrival).await;
    assert!(status(&late) == 400 && !late.contains("__Host-safeconduct="), "{late}");
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_signed_in_is_sent_to_sign_in_if_it_is_a_person() {
    let stage = Stage::put_up().await;
    let person = stage.ask(&asked(GATEWAY, "GET", "/page", "accept: text/html\r\n")).await;
    assert_eq!(status(&person), 302);
    let to = header(&person, "location").expect("a way to sign in");
    let back = format!("/sign-in?return=https%3A//{WIKI}/page");
    assert!(to.starts_with(&stage.running.house.origin) && to.ends_with(&back), "{to}");
    let program = stage.ask(&asked(GATEWAY, "GET", "/page", "accept: application/json\r\n")).await;
    assert_eq!((status(&program), header(&program, "location")), (401, None));
    assert_eq!(header(&program, "x-safeconduct-reason").as_deref(), Some("sign_in_required"));
    assert!(stage.accesses("/page").iter().all(|a| a.reason() == Some(Reason::SignInRequired)));
    assert_eq!(stage.accesses("/page").len(), 2);
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_fields_are_believed_from_known_gateways_only() {
    let stage = Stage::put_up().await;
    let cookie = format!("cookie: {}\r\n", stage.cookie().await);
    for (token, wanted) in [("", 401), ("guess", 401), (PROGRAM, 403), (GATEWAY, 200)] {
        let answer = stage.ask(&asked(token, "GET", "/page", &cookie)).await;
        assert_eq!(status(&answer), wanted, "{token}: {answer}");
    }
    assert_eq!(stage.accesses("/page").len(), 1, "who is not believed is not decided about");
    stage.take_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_forwarded_is_what_was_decided_on_or_nothing() {
    let stage = Stage::put_up().await;
    let cookie = format!("cookie: {}\r\n", stage.cookie().await);
    for uri in ["/a/../secret/plan", "/%73ecret/plan", "//secret/plan", "/.safeconduct/arrive", "*", "http://x/"] {
        let answer = stage.ask(&asked(GATEWAY, "GET", uri, &cookie)).await;
        assert!(matches!(status(&answer), 400 | 404), "{uri}: {answer}");
    }
    let twice = asked(GATEWAY, "GET", "/page", &format!("{cookie}x-forwarded-uri: /other\r\n"));
    assert_eq!(status(&stage.ask(&twice).await), 400);
    let nameless = asked(GATEWAY, "GET", "/page", &cookie).replace(WIKI, "unknown.test");
    assert_eq!(status(&stage.ask(&nameless).await), 404);
    assert!(stage.accesses("/secret/plan").is_empty());
    stage.take_down().await;
}
