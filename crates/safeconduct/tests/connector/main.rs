//! Applications behind connectors, with the real program on both ends: one process for the house, one for each connector.
#![expect(clippy::panic, reason = "a test that cannot go on panics")]

#[allow(dead_code, unused_imports, reason = "the tests use a part of the browser of the demo")]
#[path = "../../src/demo/browser/mod.rs"]
mod browser;
mod locks;
mod publish;
mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use stage::{Stage, until};

/// What a load of requests came to.
#[derive(Default)]
struct Tally {
    done: AtomicUsize,
    reads_failed: AtomicUsize,
    writes_failed: AtomicUsize,
    failed: std::sync::Mutex<Vec<(String, u16)>>,
}

impl Tally {
    fn failures(&self) -> (usize, usize) {
        (self.reads_failed.load(Ordering::SeqCst), self.writes_failed.load(Ordering::SeqCst))
    }
}

/// Asks until told to stop, one request after the other in each browser; every fourth writes.
fn load(
    stage: &Stage,
    browsers: Vec<browser::Browser>,
    stop: &Arc<AtomicBool>,
) -> (Arc<Tally>, Vec<tokio::task::JoinHandle<()>>) {
    let tally = Arc::new(Tally::default());
    let mut workers = Vec::new();
    for (worker, browser) in browsers.into_iter().enumerate() {
        let (tally, stop, wiki) = (Arc::clone(&tally), Arc::clone(stop), stage.address("wiki"));
        let serial = stage.serial();
        workers.push(tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::SeqCst) {
                n += 1;
                let writes = n % 4 == 0;
                let path = format!("/r/{serial}-{worker}-{n}");
                let method = if writes { Method::POST } else { Method::GET };
                let answer = browser.fetch(method, &format!("{wiki}{path}"), &[], "").await;
                let status = answer.map_or(0, |page| page.status.as_u16());
                tally.done.fetch_add(1, Ordering::SeqCst);
                if status != 200 {
                    let count = if writes { &tally.writes_failed } else { &tally.reads_failed };
                    count.fetch_add(1, Ordering::SeqCst);
                    tally.failed.lock().expect("nobody panicked").push((path, status));
                }
            }
        }));
    }
    (tally, workers)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_flow_through_two_connectors_and_survive_a_death_and_a_leave() {
    let stage = Stage::start().await;
    let mut browsers = stage.browsers(6).await;

    // Without a connector there is no way, and never a direct one.
    let page = browsers[0].fetch(Method::GET, &format!("{}/x", stage.address("wiki")), &[], "").await.unwrap();
    assert_eq!((page.status.as_u16(), page.code().as_str()), (503, "connector_unavailable"), "{}", page.body);
    assert!(stage.application.seen().is_empty(), "no direct dial");

    let a = stage.connector("a").await;
    let b = stage.connector("b").await;
    let page = browsers[0].fetch(Method::GET, &format!("{}/x", stage.address("wiki")), &[], "").await.unwrap();
    assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "ok"));

    // One dies under load.
    let stop = Arc::new(AtomicBool::new(false));
    let (tally, workers) = load(&stage, browsers, &stop);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = tally.done.load(Ordering::SeqCst);
    a.kill_now();
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    let (reads, writes) = tally.failures();
    let seen: BTreeSet<String> = stage.application.seen().into_iter().collect();
    let failed = tally.failed.lock().unwrap().clone();
    let unseen = failed.iter().filter(|(path, _)| !seen.contains(path)).count();
    println!(
        "kill -9: {before} requests before, {} after; failed: {reads} reads, {writes} writes, {unseen} of them not seen by the application",
        tally.done.load(Ordering::SeqCst) - before
    );
    assert_eq!(reads, 0, "{failed:?}");
    assert!(writes <= 6, "at most the writes that the dead connector held: {failed:?}");
    assert!(before > 50 && tally.done.load(Ordering::SeqCst) - before > 50, "there was a load");

    // It comes back with the certificate that it has; then the other one leaves in good order.
    let a = stage.again("a").await;
    browsers = stage.browsers(6).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (tally, workers) = load(&stage, browsers, &stop);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let since = Instant::now();
    assert!(b.leave().await, "it ends well");
    let took = since.elapsed();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    println!(
        "leave: {} requests, failed {:?}, gone after {took:?}",
        tally.done.load(Ordering::SeqCst),
        tally.failures()
    );
    assert_eq!(tally.failures(), (0, 0), "{:?}", tally.failed.lock().unwrap());
    drop(a);

    let ledger = stage.safeconduct(&["ledger", "export"]).1;
    for event in ["connector.token", "connector.join", "connector.linked", "connector.lost", "connector.left"] {
        assert!(ledger.contains(event), "{event} is recorded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_through_a_connector_is_cut_with_its_session_and_the_application_sees_it() {
    let stage = Stage::start().await;
    let _a = stage.connector("a").await;
    let browsers = stage.browsers(1).await;
    browsers[0].open(&format!("{}/", stage.address("feed"))).await.unwrap();
    let mut socket = browsers[0].socket(&format!("{}/live", stage.address("feed"))).await.unwrap();
    assert!(socket.next().await.is_some());
    assert_eq!(stage.feed.open(), 1);
    let sessions = stage.safeconduct(&["watch", "sessions", "--json"]).1;
    let sessions: serde_json::Value = serde_json::from_str(&sessions).unwrap();
    let session = sessions.as_array().unwrap().iter().find(|s| s["connections"].as_u64() == Some(1)).unwrap();
    let since = Instant::now();
    stage.safeconduct(&["watch", "cut", session["session"].as_str().unwrap()]);
    let ended = socket.ended(Duration::from_secs(5)).await.expect("it ends");
    let cli = ended.duration_since(since);
    until("the application's socket is closed", || stage.feed.open() == 0).await;
    println!("cut: the client saw it {cli:?} after the command began, the application {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(4), "with the start of the command line");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_and_who_is_not_let_in_any_more() {
    let stage = Stage::start().await;
    let browsers = stage.browsers(1).await;
    let wiki = format!("{}/x", stage.address("wiki"));

    // A token opens once, for its site.
    let token = stage.token("berlin");
    let (code, told) = stage.refused("c", "paris", &token).await;
    assert!(code == Some(3) && told.contains("for another site"), "{code:?} {told}");
    let (code, told) = stage.refused("c", "berlin", "no-token").await;
    assert!(code == Some(2) && told.contains("not a join token"), "{code:?} {told}");
    let a = stage.joined("a", "berlin", &token).await;
    let (code, told) = stage.refused("c", "berlin", &token).await;
    assert!(code == Some(3) && told.contains("the token is unknown, used, too old"), "nt_39: {code:?} {told}");
    let (code, told) = stage.twin("a", &stage.token("berlin")).await;
    assert!(code == Some(3) && told.contains("is there already"), "{code:?} {told}");
    let (code, told) = stage.safeconduct(&["connector", "token", "nowhere"]);
    assert!(code != Some(0) && told.contains("there is no site"), "{told}");

    // nt_36: a connector of another site carries nothing of this one.
    let page = browsers[0].fetch(Method::GET, &wiki, &[], "").await.unwrap();
    assert_eq!(page.status.as_u16(), 200, "{}", page.body);
    let paris = stage.joined("p", "paris", &stage.token("paris")).await;
    a.kill_now();
    until("the loss is noticed", || stage.listed("berlin/a").is_some_and(|r| r["links"] == serde_json::json!([])))
        .await;
    let page = browsers[0].fetch(Method::GET, &wiki, &[], "").await.unwrap();
    assert_eq!((page.status.as_u16(), page.code().as_str()), (503, "connector_unavailable"), "{}", page.body);
    drop(paris);

    // Revoked: cut at once, and not let in again.
    let _a = stage.again("a").await;
    let page = browsers[0].fetch(Method::GET, &wiki, &[], "").await.unwrap();
    assert_eq!(page.status.as_u16(), 200, "{}", page.body);
    let (code, told) = stage.safeconduct(&["connector", "revoke", "berlin/a"]);
    assert!(code == Some(0) && told.contains("links that ended with it: 1"), "{told}");
    let page = browsers[0].fetch(Method::GET, &wiki, &[], "").await.unwrap();
    assert_eq!((page.status.as_u16(), page.code().as_str()), (503, "connector_unavailable"), "{}", page.body);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let row = stage.listed("berlin/a").expect("it is listed");
    assert!(row["links"] == serde_json::json!([]) && !row["revoked"].is_null(), "{row}");
    assert!(stage.safeconduct(&["ledger", "export"]).1.contains("connector.revoke"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_over_tls_and_http_2_is_reached_through_connectors_and_moves_to_the_one_that_stays() {
    let stage = Stage::start().await;
    let browsers = stage.browsers(1).await;
    let a = stage.connector("a").await;
    let get = async |path: &str| {
        let page = browsers[0].fetch(Method::GET, &format!("{}{path}", stage.address("safe")), &[], "").await.unwrap();
        (page.status.as_u16(), page.body)
    };
    browsers[0].open(&format!("{}/", stage.address("safe"))).await.unwrap();
    assert_eq!(get("/one").await, (200, "/one over HTTP/2.0".to_owned()));
    let _b = stage.connector("b").await;
    assert!(a.leave().await, "it ends well");
    assert_eq!(
        get("/two").await,
        (200, "/two over HTTP/2.0".to_owned()),
        "the connection through the other is not used"
    );
}
