//! Tunnels: who gets one, what is recorded before it is dialled, and how it ends.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{House, Setup, application, house, snapshot};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use safeconduct_gateway::ca::Authority;
use safeconduct_gateway::*;
use safeconduct_model::{Class, CutCause, Duration as Span, Reason as Why, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const LONG: Span = Span::from_days(3_600);
const SOON: Duration = Duration::from_secs(2);

struct Fixed(Arc<CertifiedKey>);

impl Certificates for Fixed {
    fn certificate(&self, _: Option<&str>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// What the application behind the tunnel saw.
#[derive(Default)]
struct Seen {
    dialled: AtomicU64,
    ended: AtomicU64,
    reset: AtomicU64,
}

/// An application that sends back what it gets, and `bye` at the end of it. `flood` makes it send without an end.
async fn echo(order: Arc<std::sync::Mutex<Vec<String>>>) -> (String, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let seen = Arc::<Seen>::default();
    let of_all = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            order.lock().unwrap().push("dialled".into());
            let seen = Arc::clone(&of_all);
            seen.dialled.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) => {
                            seen.ended.fetch_add(1, Ordering::SeqCst);
                            let _ = stream.write_all(b"bye").await;
                            return;
                        }
                        Ok(n) if &buffer[..n] == b"flood" => {
                            while stream.write_all(&[7; 4096]).await.is_ok() {}
                            seen.reset.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                        Ok(n) => stream.write_all(&buffer[..n]).await.unwrap(),
                        Err(_) => {
                            seen.reset.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, seen)
}

struct Stage {
    house: House,
    ca: Authority,
    seen: Arc<Seen>,
}

async fn stage(setup: Setup) -> Stage {
    let ca = Authority::create("Test", [1; 16], NOW).unwrap();
    let hosts = ["wiki.test", "db.test", "down.test"].map(|h| h.parse().unwrap());
    let leaf = ca.issue_host(&hosts, [2; 16], NOW, LONG).unwrap().certified_key().unwrap();
    let settings = TlsSettings { certificates: Arc::new(Fixed(leaf)), client_authorities: vec![] };
    let (rules, class) = (setup.rules.clone(), setup.class);
    let house = house(Setup { tls: Some(server_config(&settings).unwrap()), ..setup }).await;
    let (address, seen) = echo(Arc::clone(&house.control.order)).await;
    let apps = vec![
        application("wiki", &house.upstream.url(), class),
        application("db", &address, class),
        application("down", "tcp://127.0.0.1:1", class),
    ];
    house.control.snapshot.store(Arc::new(snapshot(2, &rules, apps)));
    Stage { house, ca, seen }
}

impl Stage {
    async fn dial(&self, alpn: &str) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.house.addr).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("db.test").unwrap(), stream).await.unwrap()
    }

    async fn h2(&self) -> h2::client::SendRequest<Bytes> {
        let (sender, connection) = h2::client::handshake(self.dial("h2").await).await.unwrap();
        tokio::spawn(connection);
        sender.ready().await.unwrap()
    }

    /// Asks for a tunnel to a host, with these fields.
    async fn ask(
        &self,
        sender: &mut h2::client::SendRequest<Bytes>,
        host: &str,
        fields: &[(&str, &str)],
    ) -> (http::response::Parts, SendStream<Bytes>, RecvStream) {
        let mut request = Request::connect(format!("{host}:443"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (response, send) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        let (head, body) = tokio::time::timeout(SOON, response).await.expect("in time").unwrap().into_parts();
        (head, send, body)
    }

    async fn open(&self, sender: &mut h2::client::SendRequest<Bytes>) -> (SendStream<Bytes>, RecvStream) {
        let (head, send, body) = self.ask(sender, "db.test", &ADA).await;
        assert_eq!(head.status, 200);
        (send, body)
    }

    async fn refused(&self, host: &str, fields: &[(&str, &str)]) -> (u16, serde_json::Value) {
        let mut sender = self.h2().await;
        let (head, _send, mut body) = self.ask(&mut sender, host, fields).await;
        let mut all = Vec::new();
        while let Some(Ok(data)) = body.data().await {
            all.extend_from_slice(&data);
        }
        (head.status.as_u16(), serde_json::from_slice(&all).unwrap())
    }
}

const ADA: [(&str, &str); 2] = [("authorization", "DPoP ada"), ("dpop", "good")];

/// The next bytes. A frame without one, as the end may come in, is passed over.
async fn hear(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    loop {
        let heard = tokio::time::timeout(SOON, body.data()).await.expect("in time");
        match &heard {
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => {
                body.flow_control().release_capacity(data.len()).unwrap();
                return heard;
            }
            _ => return heard,
        }
    }
}

#[tokio::test]
async fn bytes_go_both_ways_are_counted_and_each_direction_ends_by_itself() {
    let stage = stage(Setup::default()).await;
    let mut sender = stage.h2().await;
    let (mut send, mut body) = stage.open(&mut sender).await;
    send.send_data("hello".into(), false).unwrap();
    assert_eq!(hear(&mut body).await.unwrap().unwrap(), "hello");
    let live = stage.house.gateway.live();
    let one = &live[0];
    assert_eq!((live.len(), one.kind, one.method.as_str(), one.path.as_str()), (1, LiveKind::Tunnel, "CONNECT", "/"));
    assert_eq!((one.up, one.down, one.app.as_str()), (5, 5, "db"));
    send.send_data(Bytes::new(), true).unwrap();
    assert_eq!(hear(&mut body).await.unwrap().unwrap(), "bye", "the other direction goes on");
    assert!(hear(&mut body).await.is_none(), "and ends cleanly");
    stage.house.until(|h| h.gateway.live().is_empty()).await;
    stage.house.until(|h| !h.control.cuts().is_empty()).await;
    assert_eq!(stage.house.control.cuts()[0].cause, CutCause::Closed);
    let verdict = &stage.house.control.verdicts()[0];
    assert_eq!((verdict.ask.what.action.name(), verdict.permitted()), ("write", true));
    let order = stage.house.control.order.lock().unwrap().clone();
    assert_eq!(order[0], "prove CONNECT https://db.test:443/.safeconduct/tunnel");
}

#[tokio::test]
async fn a_cut_resets_both_sides_and_is_no_end() {
    let stage = stage(Setup::default()).await;
    let mut sender = stage.h2().await;
    let (mut send, mut body) = stage.open(&mut sender).await;
    let (mut kept_send, mut kept) = {
        let (head, send, body) =
            stage.ask(&mut sender, "db.test", &[("authorization", "DPoP bob"), ("dpop", "good")]).await;
        assert_eq!(head.status, 200);
        (send, body)
    };
    send.send_data("hello".into(), false).unwrap();
    hear(&mut body).await.unwrap().unwrap();
    stage.house.control.sessions.lock().unwrap().remove("ada");
    let started = Instant::now();
    stage.house.gateway.signal(&Signal::SessionEnded("s-ada".parse().unwrap()));
    let error = hear(&mut body).await.expect("no clean end").expect_err("a reset");
    println!("a tunnel cut after {} us", started.elapsed().as_micros());
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    assert!(started.elapsed() < Duration::from_millis(500));
    stage.house.until(|_| stage.seen.reset.load(Ordering::SeqCst) == 1).await;
    assert_eq!(stage.seen.ended.load(Ordering::SeqCst), 0, "the application saw no end");
    stage.house.until(|h| !h.control.cuts().is_empty()).await;
    let cut = &stage.house.control.cuts()[0];
    assert!(cut.cause == CutCause::SessionEnded && cut.delay.is_some_and(|d| d.millis() <= 200), "{cut:?}");
    // The other tunnel shares the connection, and lives.
    kept_send.send_data("still".into(), false).unwrap();
    assert_eq!(hear(&mut kept).await.unwrap().unwrap(), "still");
    assert_eq!(stage.house.gateway.live().len(), 1);
}

#[tokio::test]
async fn a_lock_cuts_the_tunnels_of_its_target_and_no_other() {
    let stage = stage(Setup::default()).await;
    let mut sender = stage.h2().await;
    let (mut send, mut body) = stage.open(&mut sender).await;
    let (head, mut kept_send, mut kept) =
        stage.ask(&mut sender, "db.test", &[("authorization", "DPoP bob"), ("dpop", "good")]).await;
    assert_eq!(head.status, 200);
    send.send_data("hello".into(), false).unwrap();
    hear(&mut body).await.unwrap().unwrap();
    let target = safeconduct_model::LockTarget::of("person", "ada").unwrap();
    let lock = safeconduct_model::Lock {
        id: "l1".parse().unwrap(),
        target: target.clone(),
        message: "Call 7-300.".parse().unwrap(),
        by: "cli".into(),
        placed: Timestamp::default(),
        until: None,
    };
    let facts = Some(Box::new(lock.facts(None)));
    stage.house.control.sessions.lock().unwrap().get_mut("ada").unwrap().lock = facts;
    let started = Instant::now();
    stage.house.gateway.signal(&Signal::Locked(target));
    let error = hear(&mut body).await.expect("no clean end").expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    assert!(started.elapsed() < Duration::from_millis(500));
    stage.house.until(|h| h.control.cuts().iter().any(|c| c.cause == CutCause::Locked)).await;
    kept_send.send_data("still".into(), false).unwrap();
    assert_eq!(hear(&mut kept).await.unwrap().unwrap(), "still");
    assert_eq!(stage.house.gateway.live().len(), 1);
    let (head, _, _) = stage.ask(&mut sender, "db.test", &[("authorization", "DPoP ada"), ("dpop", "good")]).await;
    assert_eq!(head.status, 403, "and no new one opens");
    assert_eq!(stage.house.control.verdicts().pop().unwrap().reason(), Some(Why::Locked));
}

#[tokio::test]
async fn a_cut_ends_a_tunnel_that_is_stuck_on_a_client_that_does_not_read() {
    let stage = stage(Setup::default()).await;
    let mut sender = stage.h2().await;
    let (mut send, mut body) = stage.open(&mut sender).await;
    send.send_data("flood".into(), false).unwrap();
    // Nothing is released: the windows fill, and the application waits.
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = stage.house.gateway.live()[0].down;
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    assert!(before < 8 * 1024 * 1024, "what waits is bounded: {before}");
    stage.house.control.sessions.lock().unwrap().remove("ada");
    stage.house.gateway.signal(&Signal::SessionEnded("s-ada".parse().unwrap()));
    stage.house.until(|h| h.gateway.live().is_empty()).await;
    stage.house.until(|_| stage.seen.reset.load(Ordering::SeqCst) == 1).await;
    loop {
        match tokio::time::timeout(SOON, body.data()).await.expect("in time") {
            Some(Ok(_)) => {}
            Some(Err(error)) => break assert_eq!(error.reason(), Some(Reason::CANCEL)),
            None => panic!("a cut must not look like an end"),
        }
    }
}

#[tokio::test]
async fn nothing_is_dialled_before_the_record_is_kept() {
    let stage = stage(Setup { class: Class::Critical, ..Setup::default() }).await;
    stage.house.control.durable_ms.store(50, Ordering::SeqCst);
    let mut sender = stage.h2().await;
    let _open = stage.open(&mut sender).await;
    stage.house.until(|_| stage.seen.dialled.load(Ordering::SeqCst) == 1).await;
    let order: Vec<String> = stage.house.control.order.lock().unwrap()[1..].to_vec();
    assert_eq!(order, ["durable", "dialled"]);
    stage.house.control.refuse_receipts.store(true, Ordering::SeqCst);
    let (status, told) = stage.refused("db.test", &ADA).await;
    assert_eq!((status, told["error"]["code"].as_str()), (503, Some("record_unavailable")));
    stage.house.control.refuse_receipts.store(false, Ordering::SeqCst);
    stage.house.control.refuse_records.store(true, Ordering::SeqCst);
    assert_eq!(stage.refused("db.test", &ADA).await.0, 503);
    assert_eq!(stage.seen.dialled.load(Ordering::SeqCst), 1, "no record, no access");
    assert_eq!(stage.house.gateway.live().len(), 1);
}

#[tokio::test]
async fn whoever_has_no_tunnel_is_told_and_recorded() {
    let stage = stage(Setup {
        rules: common::RULES.replace("action, resource)", "action == Action::\"write\", resource)"),
        ..Setup::default()
    })
    .await;
    let bad = [("authorization", "DPoP ada"), ("dpop", "bad")];
    let eve = [("authorization", "DPoP eve"), ("dpop", "good")];
    let bearer = [("authorization", "Bearer ada"), ("dpop", "good")];
    for (what, host, fields, status, code) in [
        ("a proof that does not hold", "db.test", &bad[..], 401, "sign_in_required"),
        ("a bearer", "db.test", &bearer, 401, "sign_in_required"),
        ("nobody", "db.test", &[], 401, "sign_in_required"),
        ("a cookie", "db.test", &[("cookie", "sc=ada")], 401, "sign_in_required"),
        ("someone whom no rule lets in", "db.test", &eve, 403, "no_rule"),
        ("an application over HTTP", "wiki.test", &ADA, 404, "unknown_application"),
        ("a host that nobody has", "other.test", &ADA, 404, "unknown_application"),
        ("the portal", "portal.test", &ADA, 404, "unknown_application"),
        ("an application that does not listen", "down.test", &ADA, 502, "upstream_unavailable"),
    ] {
        let before = stage.house.control.records().len();
        let (got, told) = stage.refused(host, fields).await;
        assert_eq!((got, told["error"]["code"].as_str()), (status, Some(code)), "{what}: {told}");
        let id = told["error"]["request"].as_str().unwrap();
        let records = stage.house.control.records();
        assert!(
            records.len() > before && format!("{:?}", records[before]).contains(id),
            "{what}: {:?}",
            &records[before..]
        );
    }
    assert_eq!(stage.seen.dialled.load(Ordering::SeqCst), 0);
    assert!(stage.house.gateway.live().is_empty());
    let refusals = stage.house.control.refusals();
    let detail = |code: &str| refusals.iter().any(|r| r.detail == code);
    assert!(detail("proof_time") && detail("not_dpop") && detail("unknown_host"), "{refusals:?}");
    assert_eq!(stage.house.control.cuts().iter().filter(|c| c.cause == CutCause::UpstreamFailed).count(), 1);
    let nobody = stage.house.control.verdicts();
    assert!(nobody.iter().filter(|v| v.reason() == Some(Why::SignInRequired)).count() >= 2);
}

#[tokio::test]
async fn over_http_an_application_with_tunnels_is_nowhere() {
    let stage = stage(Setup::default()).await;
    let mut texts = Vec::new();
    for (host, path) in [("db.test", "/"), ("db.test", "/.safeconduct/arrive"), ("other.test", "/")] {
        let mut stream = stage.dial("http/1.1").await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: sc=ada\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        assert!(text.starts_with("HTTP/1.1 404"), "{text}");
        let id = text.split("x-request-id: ").nth(1).unwrap()[..32].to_owned();
        let date = text.split("date: ").nth(1).unwrap()[..29].to_owned();
        texts.push(text.replace(&id, "").replace(&date, ""));
    }
    assert!(texts.iter().all(|t| *t == texts[0]), "whoever looks learns nothing: {texts:?}");
    assert_eq!(stage.seen.dialled.load(Ordering::SeqCst), 0);
    // Without TLS there is no tunnel.
    let plain = house(Setup::default()).await;
    let (address, seen) = echo(Arc::clone(&plain.control.order)).await;
    plain.control.snapshot.store(Arc::new(snapshot(2, common::RULES, vec![application("db", &address, Class::Low)])));
    let heard = plain
        .raw("GET /.safeconduct/tunnel HTTP/1.1\r\nhost: db.test\r\nauthorization: DPoP ada\r\ndpop: good\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .await;
    assert_eq!((heard.status(), seen.dialled.load(Ordering::SeqCst)), (404, 0), "{heard:?}");
}

#[tokio::test]
async fn a_tunnel_that_rests_too_long_ends_and_there_are_only_so_many() {
    let limits = Limits { tunnels: 1, tunnel_idle: Duration::from_millis(300), ..Limits::default() };
    let stage = stage(Setup { limits, ..Setup::default() }).await;
    let mut sender = stage.h2().await;
    let (mut send, mut body) = stage.open(&mut sender).await;
    let (status, told) = stage.refused("db.test", &ADA).await;
    assert_eq!((status, told["error"]["code"].as_str()), (503, Some("limit_reached")));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        send.send_data("alive".into(), false).unwrap();
        assert_eq!(hear(&mut body).await.unwrap().unwrap(), "alive", "what moves does not rest");
    }
    let error = hear(&mut body).await.expect("no clean end").expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    stage.house.until(|h| h.gateway.live().is_empty()).await;
    let (_send, _body) = stage.open(&mut sender).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_breaks_the_application_off() {
    let stage = stage(Setup::default()).await;
    let mut sender = stage.h2().await;
    let (mut send, mut body) = stage.open(&mut sender).await;
    send.send_data("hello".into(), false).unwrap();
    hear(&mut body).await.unwrap().unwrap();
    send.send_reset(Reason::CONNECT_ERROR);
    stage.house.until(|_| stage.seen.reset.load(Ordering::SeqCst) == 1).await;
    assert_eq!(stage.seen.ended.load(Ordering::SeqCst), 0);
    stage.house.until(|h| h.gateway.live().is_empty()).await;
}

#[tokio::test]
async fn a_decision_that_a_signal_overtook_does_not_count_and_the_proof_is_asked_for_once() {
    let stage = stage(Setup::default()).await;
    let (gateway, control) = (stage.house.gateway.clone(), Arc::clone(&stage.house.control));
    *stage.house.control.meanwhile.lock().unwrap() = Some(Box::new(move || {
        control.sessions.lock().unwrap().remove("ada");
        gateway.signal(&Signal::SessionEnded("s-ada".parse().unwrap()));
    }));
    let (status, _) = stage.refused("db.test", &ADA).await;
    assert_eq!(status, 401);
    let order = stage.house.control.order.lock().unwrap().clone();
    assert_eq!(order.iter().filter(|o| o.starts_with("prove")).count(), 1, "{order:?}");
    assert_eq!(stage.seen.dialled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_end_of_the_gateway_cuts_what_is_left() {
    let limits = Limits { drain: Duration::from_millis(100), ..Limits::default() };
    let stage = stage(Setup { limits, ..Setup::default() }).await;
    let mut sender = stage.h2().await;
    let (mut send, mut body) = stage.open(&mut sender).await;
    send.send_data("hello".into(), false).unwrap();
    hear(&mut body).await.unwrap().unwrap();
    stage.house.stop.cancel();
    assert!(!matches!(hear(&mut body).await, Some(Ok(_)) | None), "a cut");
    tokio::time::timeout(SOON, stage.house.serving).await.expect("it ends").unwrap();
    assert_eq!(stage.house.control.cuts()[0].cause, CutCause::Shutdown);
}

#[tokio::test]
async fn the_places_for_tunnels_follow_the_limit() {
    let limits = Limits { tunnels: 1, lease_tick: Duration::from_millis(10), ..Limits::default() };
    let stage = stage(Setup { limits: limits.clone(), ..Setup::default() }).await;
    let settle = || tokio::time::sleep(Duration::from_millis(60));
    let mut sender = stage.h2().await;
    let one = stage.open(&mut sender).await;
    assert_eq!(stage.refused("db.test", &ADA).await.0, 503);
    assert_eq!(stage.house.gateway.set_limits(Limits { tunnels: 2, ..limits.clone() }), Ok(true));
    settle().await;
    let two = stage.open(&mut sender).await;
    assert_eq!(stage.refused("db.test", &ADA).await.0, 503);
    // Fewer than are open: none is closed, and the places go with those that end.
    assert_eq!(stage.house.gateway.set_limits(limits), Ok(true));
    settle().await;
    assert_eq!(stage.house.gateway.live().len(), 2);
    drop(one);
    stage.house.until(|h| h.gateway.live().len() == 1).await;
    settle().await;
    assert_eq!(stage.refused("db.test", &ADA).await.0, 503, "the second still holds the only place");
    drop(two);
    stage.house.until(|h| h.gateway.live().is_empty()).await;
    let _three = stage.open(&mut sender).await;
}
