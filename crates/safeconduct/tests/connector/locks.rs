//! Locks with the real program: placed, seen, felt and lifted.

use std::fs;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use crate::browser::Browser;
use crate::stage::{Stage, until};

const MESSAGE: &str = "Your laptop was reported stolen. Call 7-300.";

async fn asks(stage: &Stage, browser: &Browser, app: &str) -> (u16, String) {
    let page = browser.fetch(Method::GET, &format!("{}/x", stage.address(app)), &[], "").await.expect("an answer");
    let code = page.code();
    assert!(code != "locked" || page.body.contains("7-300"), "{}", page.body);
    (page.status.as_u16(), code)
}

/// Places a lock on the command line; its id.
fn add(stage: &Stage, on: &[&str]) -> String {
    let (code, told) = stage.safeconduct(&[&["lock", "add", "--message", MESSAGE], on].concat());
    assert_eq!(code, Some(0), "{told}");
    let (_, id) = told.trim().trim_end_matches('`').rsplit_once(' ').expect("it says how to lift it");
    id.to_owned()
}

fn list(stage: &Stage) -> Vec<Value> {
    let (code, told) = stage.safeconduct(&["lock", "list", "--json"]);
    assert_eq!(code, Some(0), "{told}");
    serde_json::from_str(&told).expect("a list")
}

fn locked() -> (u16, String) {
    (403, "locked".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_locked_out_live_and_at_sign_in_and_comes_back_in_the_same_session() {
    let stage = Stage::start().await;
    let _a = stage.connector("a").await;
    let (ada, admin) = (stage.browser("ada").await, stage.browser("admin").await);
    let mut sockets = Vec::new();
    for browser in [&ada, &admin] {
        browser.open(&format!("{}/", stage.address("feed"))).await.expect("the session arrives");
        let mut socket = browser.socket(&format!("{}/live", stage.address("feed"))).await.expect("it opens");
        assert!(socket.next().await.is_some());
        sockets.push(socket);
    }
    let [mut hers, mut theirs]: [_; 2] = sockets.try_into().ok().expect("two");

    let since = Instant::now();
    let id = add(&stage, &["--person", "ada", "--for", "8h"]);
    hers.ended(Duration::from_secs(5)).await.expect("it is cut");
    println!("cut {:?} after the command began", since.elapsed());
    until("the application's socket is closed", || stage.feed.open() == 1).await;
    assert!(theirs.next().await.is_some(), "the other one lives");
    assert_eq!(asks(&stage, &ada, "wiki").await, locked());
    assert_eq!(asks(&stage, &admin, "wiki").await.0, 200);

    // A sign-in is refused, and says why; the link is not used up.
    let (_, page) = stage.signs_in("ada").await;
    assert!(page.body.contains("Sign-in is refused") && page.body.contains("7-300"), "{}", page.body);

    // Neither a new policy nor a reload of the estate frees.
    let rules = stage.config().join("policies/rules.cedar");
    let text = fs::read_to_string(&rules).expect("readable");
    fs::write(&rules, text + "\n@id(\"everyone\") permit(principal, action, resource);\n").expect("written");
    until("the new policy binds", || stage.safeconduct(&["ledger", "export"]).1.contains("policy.publish")).await;
    assert_eq!(asks(&stage, &ada, "wiki").await, locked());

    let listed = list(&stage);
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0]["id"].as_str(), listed[0]["target"]["person"].as_str()), (Some(id.as_str()), Some("ada")));
    let (_, table) = stage.safeconduct(&["lock", "list"]);
    assert!(table.contains("person ada") && table.contains("7-300") && table.contains("cli"), "{table}");

    let (code, told) = stage.safeconduct(&["lock", "lift", &id]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(asks(&stage, &ada, "wiki").await.0, 200, "in the session that she had");
    assert!(list(&stage).is_empty());
    let (code, told) = stage.safeconduct(&["lock", "lift", &id]);
    assert!(code == Some(1) && told.contains("no lock"), "{code:?} {told}");

    let ledger = stage.safeconduct(&["ledger", "export"]).1;
    for word in ["lock.place", "lock.lift", "person ada", "\"cause\":\"locked\"", "\"reason\":\"locked\""] {
        assert!(ledger.contains(word), "{word} is recorded");
    }
    assert_eq!(stage.safeconduct(&["ledger", "verify"]).0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_connector_or_site_carries_nothing_and_comes_back_by_itself() {
    let stage = Stage::start().await;
    let _a = stage.connector("a").await;
    let admin = stage.browser("admin").await;
    assert_eq!(asks(&stage, &admin, "wiki").await.0, 200);
    let linked = || stage.listed("berlin/a").is_some_and(|r| r["links"] != serde_json::json!([]));

    let id = add(&stage, &["--connector", "berlin/a"]);
    until("its link ends", || !linked()).await;
    assert_eq!(asks(&stage, &admin, "wiki").await, (503, "connector_unavailable".to_owned()));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!linked(), "it is not let in again");
    assert_eq!(stage.safeconduct(&["lock", "lift", &id]).0, Some(0));
    until("it comes back", linked).await;
    assert_eq!(asks(&stage, &admin, "wiki").await.0, 200);

    let id = add(&stage, &["--site", "berlin"]);
    assert_eq!(asks(&stage, &admin, "wiki").await, locked());
    until("its link ends", || !linked()).await;
    let token = stage.token("berlin");
    let (code, told) = stage.refused("b", "berlin", &token).await;
    assert!(code == Some(3) && told.contains("locked"), "nobody joins a locked site: {code:?} {told}");
    assert_eq!(stage.safeconduct(&["lock", "lift", &id]).0, Some(0));
    until("it comes back", linked).await;
    let _b = stage.joined("b", "berlin", &token).await;
    assert_eq!(asks(&stage, &admin, "wiki").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_by_mistake_is_refused_with_the_remedy() {
    let stage = Stage::start().await;
    let add = |more: &[&str]| stage.safeconduct(&[&["lock", "add", "--message", "m"], more].concat());
    let (code, told) = add(&["--person", "adda"]);
    assert!(code == Some(1) && told.contains("no person adda") && told.contains("--force"), "{code:?} {told}");
    let (code, told) = add(&["--person", "admin"]);
    assert!(code == Some(1) && told.contains("nobody who can operate"), "{code:?} {told}");
    let (code, told) = add(&["--person", "ada", "--for", "8 weeks"]);
    assert!(code == Some(2) && told.contains("8 weeks"), "{code:?} {told}");
    let (code, told) = add(&[]);
    assert!(code == Some(2) && told.contains("--person"), "{code:?} {told}");
    let (code, _) = add(&["--person", "ada", "--group", "staff"]);
    assert_eq!(code, Some(2), "one target at a time");
    assert!(list(&stage).is_empty());
    let (code, told) = add(&["--person", "admin", "--force"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(list(&stage).len(), 1);
}
