//! Health, readiness and metrics.

use std::time::Duration;

use crate::bench::{Client, DOMAIN, application, configured, edit, get, run, session};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_tells_probes_first_and_serves_meanwhile() {
    let dir = configured("\n[limits]\nannounce = \"400ms\"\n");
    let running = run(dir.path()).await;
    let (probes, plain) = (running.health.expect("configured"), running.plain.expect("configured"));
    assert_eq!(get(probes, "/readyz").await, Ok((200, "ready\n".to_owned())));
    assert_eq!(get(probes, "/healthz").await, Ok((200, "ok\n".to_owned())));
    let stopping = tokio::spawn(running.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let told = get(probes, "/readyz").await.expect("it is still there");
    assert_eq!(told, (503, "not ready: it is draining\n".to_owned()));
    assert_eq!(get(probes, "/healthz").await.expect("it is still there").0, 200, "it is well all the same");
    let served = Client::new(plain).get(&format!("wiki.{DOMAIN}"), "/", "").await.expect("it still serves");
    assert_eq!(served.0, 401);
    stopping.await.expect("no panic").expect("stopped");
    assert!(get(probes, "/readyz").await.is_err() && get(plain, "/").await.is_err(), "nobody is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_name_no_person_and_no_path() {
    let dir = configured("");
    let application = application().await;
    edit(dir.path(), "estate/surface.toml", |text| text.replace("127.0.0.1:8080", &application.to_string()));
    let cookie = session(dir.path()).await;
    let running = run(dir.path()).await;
    let (probes, plain) = (running.health.expect("configured"), running.plain.expect("configured"));
    let mut client = Client::new(plain);
    let host = format!("wiki.{DOMAIN}");
    let signed_in = format!("cookie: {cookie}\r\n");
    assert_eq!(client.get(&host, "/secret-page", &signed_in).await, Ok((200, "/secret-page".to_owned())));
    assert_eq!(client.get(&host, "/secret-page", "").await.expect("an answer").0, 401);
    assert_eq!(client.get(&host, "/a", "host: other\r\n").await.expect("an answer").0, 400);
    let (status, page) = get(probes, "/metrics").await.expect("a page");
    assert_eq!(status, 200);
    for line in [
        "safeconduct_ready 1",
        "safeconduct_snapshot_revision 1",
        "safeconduct_clock_reliable 1",
        "safeconduct_ledger_writable 1",
        "safeconduct_ledger_refused_total 0",
    ] {
        assert!(page.lines().any(|l| l == line), "{line}\n{page}");
    }
    let refusals = page.lines().filter(|l| l.starts_with("safeconduct_refusals_total{")).count();
    assert_eq!(refusals, 1, "{page}");
    for secret in ["admin", "secret-page", "127.0.0.1", cookie.split('=').nth(1).expect("a value")] {
        assert!(!page.contains(secret), "{secret}\n{page}");
    }
    let unknown = get(probes, "/debug/pprof").await.expect("an answer");
    assert_eq!(unknown.0, 404, "nt_20: only documented paths answer");
    running.stop().await.expect("stopped");
}
