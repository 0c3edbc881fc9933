//! TLS, HTTP/2 and device certificates.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{House, Setup, house};
use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use safeconduct_gateway::ca::{Authority, Issued};
use safeconduct_gateway::*;
use safeconduct_model::{Duration as Span, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Certificates are checked against the clock of the machine: both ends of them must hold for years.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const LONG: Span = Span::from_days(3_600);

struct Fixed(Arc<CertifiedKey>);

impl Certificates for Fixed {
    fn certificate(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        name.is_some_and(|n| n.ends_with(".test")).then(|| Arc::clone(&self.0))
    }
}

struct Secure {
    house: House,
    ca: Authority,
}

async fn secure(setup: Setup) -> Secure {
    let ca = Authority::create("Test", [1; 16], NOW).unwrap();
    let hosts = ["wiki.test", "shop.test", "portal.test"].map(|h| h.parse().unwrap());
    let leaf = ca.issue_host(&hosts, [2; 16], NOW, LONG).unwrap().certified_key().unwrap();
    let settings =
        TlsSettings { certificates: Arc::new(Fixed(leaf)), client_authorities: vec![ca.certificate().clone()] };
    let house = house(Setup { tls: Some(server_config(&settings).unwrap()), ..setup }).await;
    Secure { house, ca }
}

impl Secure {
    async fn dial(
        &self,
        alpn: &str,
        client: Option<(Vec<CertificateDer<'static>>, String)>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match client {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.house.addr).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("wiki.test").unwrap(), stream).await
    }

    async fn h2(&self) -> http2::SendRequest<Body> {
        let stream = self.dial("h2", None).await.unwrap();
        let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(driver);
        sender
    }

    fn device(&self, ca: &Authority) -> Issued {
        ca.issue_device_with_key(&"lt-7".parse().unwrap(), [3; 16], NOW, LONG).unwrap()
    }
}

fn get(url: &str) -> http::request::Builder {
    Request::get(url).header("cookie", "sc=ada")
}

async fn text(response: http::Response<hyper::body::Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn http_2_is_served_like_http_1() {
    let secure = secure(Setup::default()).await;
    let mut client = secure.h2().await;
    let answer = client.send_request(get("https://wiki.test/a?x=1").body(empty()).unwrap()).await.unwrap();
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(text(answer).await, (200, "ok".into()));
    let log = secure.house.upstream.log();
    assert!(
        log.starts_with("GET /a?x=1 HTTP/1.1\r\nhost: wiki.test\r\n") && log.contains("x-forwarded-proto: https\r\n"),
        "{log}"
    );
    // Coalescing: another host of the same certificate on the same connection has its own decision.
    let answer = client.send_request(get("https://shop.test/b").body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(secure.house.control.verdicts()[1].ask.what.app.as_str(), "shop");
    let answer = client.send_request(get("https://wiki.test/admin").body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 403);
    let answer = client.send_request(get("https://other.test/").body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_body_goes_up_and_comes_back_over_http_2() {
    let secure = secure(Setup::default()).await;
    let mut client = secure.h2().await;
    let request =
        Request::post("https://wiki.test/echo").header("cookie", "sc=ada").body(full("x".repeat(100_000))).unwrap();
    let (status, body) = text(client.send_request(request).await.unwrap()).await;
    assert_eq!((status, body.len()), (200, 100_000));
}

#[tokio::test]
async fn http_2_gets_the_same_checks() {
    let secure = secure(Setup::default()).await;
    let mut client = secure.h2().await;
    for (name, value) in [("host", "shop.test"), ("x_user", "eve"), ("expect", "magic")] {
        let request = get("https://wiki.test/a").header(name, value).body(empty()).unwrap();
        let status = client.send_request(request).await.unwrap().status().as_u16();
        assert!(matches!(status, 400 | 417), "{name}: {status}");
    }
    for path in ["/a//b", "/a;b", "/a%2fb", "/a/../b", "/%00"] {
        let request = get(&format!("https://wiki.test{path}")).body(empty()).unwrap();
        assert_eq!(client.send_request(request).await.unwrap().status(), 400, "{path}");
    }
    let forged = get("https://wiki.test/a").header("x-safeconduct-assertion", "evil").header("x-forwarded-for", "evil");
    assert_eq!(client.send_request(forged.body(empty()).unwrap()).await.unwrap().status(), 200);
    let log = secure.house.upstream.log();
    assert!(!log.contains("evil") && log.matches("HTTP/1.1\r\n").count() == 1, "{log}");
}

#[tokio::test]
async fn an_event_stream_over_http_2_is_cut_and_the_connection_lives_on() {
    let secure = secure(Setup::default()).await;
    let mut client = secure.h2().await;
    let mut stream = client.send_request(get("https://wiki.test/events").body(empty()).unwrap()).await.unwrap();
    assert!(stream.frame().await.unwrap().is_ok());
    assert_eq!(secure.house.gateway.live().len(), 1);
    let lease = secure.house.gateway.live()[0].lease;
    let started = Instant::now();
    assert!(secure.house.gateway.cut(lease));
    while stream.frame().await.is_some_and(|f| f.is_ok()) {}
    assert!(started.elapsed() < Duration::from_secs(1));
    let answer = client.send_request(get("https://wiki.test/a").body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_client_of_http_2_that_does_not_read_is_cut_all_the_same() {
    let secure = secure(Setup::default()).await;
    let stream = secure.dial("h2", None).await.unwrap();
    let (mut client, driver) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(40)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(driver);
    let stream = client.send_request(get("https://wiki.test/events").body(empty()).unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let lease = secure.house.gateway.live()[0].lease;
    assert!(secure.house.gateway.cut(lease));
    secure.house.until(|h| h.gateway.live().is_empty() && h.upstream.closed.load(Ordering::SeqCst) == 1).await;
    drop(stream);
}

#[tokio::test]
async fn a_device_certificate_reaches_the_control_and_none_is_needed() {
    let secure = secure(Setup::default()).await;
    let leaf = secure.device(&secure.ca);
    for (client, device) in
        [(Some((vec![leaf.certificate.clone()], leaf.key_pem.clone().unwrap())), true), (None, false)]
    {
        let mut stream = secure.dial("http/1.1", client).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: portal.test\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut heard = String::new();
        let _ = stream.read_to_string(&mut heard).await;
        assert!(heard.contains(&format!("device={device}")), "{heard}");
        let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768, "the post-quantum exchange comes first");
    }
}

#[tokio::test]
async fn nt_31_a_foreign_leaf_is_refused_whatever_stands_behind_it() {
    let secure = secure(Setup::default()).await;
    let attacker = Authority::create("Evil", [9; 16], NOW).unwrap();
    let (evil, victim) = (secure.device(&attacker), secure.device(&secure.ca));
    let key = evil.key_pem.clone().unwrap();
    for chain in [
        vec![evil.certificate.clone()],
        vec![evil.certificate.clone(), victim.certificate.clone()],
        vec![evil.certificate.clone(), attacker.certificate().clone(), secure.ca.certificate().clone()],
    ] {
        let heard = match secure.dial("http/1.1", Some((chain, key.clone()))).await {
            Err(_) => String::new(),
            Ok(mut stream) => {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: portal.test\r\nconnection: close\r\n\r\n").await;
                let mut heard = String::new();
                let _ = stream.read_to_string(&mut heard).await;
                heard
            }
        };
        assert_eq!(heard, "", "no answer at all");
    }
}

#[tokio::test]
async fn nt_12_a_slow_handshake_is_closed_and_recorded() {
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let secure = secure(Setup { limits, ..Setup::default() }).await;
    let mut stream = secure.house.connect().await;
    assert!(common::listen(&mut stream).await.closed);
    assert_eq!(secure.house.control.refusals()[0].detail, "slow_handshake");
}

#[tokio::test]
async fn nt_12_half_open_handshakes_meet_their_bound() {
    let limits = Limits { handshakes_per_address: 2, handshake: Duration::from_secs(30), ..Limits::default() };
    let secure = secure(Setup { limits, ..Setup::default() }).await;
    let (one, two) = (secure.house.connect().await, secure.house.connect().await);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut third = secure.house.connect().await;
    assert!(common::listen(&mut third).await.closed, "a third that only began");
    drop((one, two));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut client = secure.h2().await;
    let answer = client.send_request(get("https://wiki.test/a").body(empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200, "the places are free again");
    let held: Vec<_> = [secure.h2().await, secure.h2().await, secure.h2().await].into();
    assert!(held.iter().all(|c| !c.is_closed()), "a finished handshake holds no place");
}

#[tokio::test]
async fn an_http_2_connection_that_rests_too_long_is_closed() {
    let limits = Limits { idle: Duration::from_millis(80), ..Limits::default() };
    let secure = secure(Setup { limits, ..Setup::default() }).await;
    let mut client = secure.h2().await;
    assert_eq!(client.send_request(get("https://wiki.test/a").body(empty()).unwrap()).await.unwrap().status(), 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(client.is_closed());
}

#[tokio::test]
async fn plain_http_is_only_sent_to_https() {
    let house = house(Setup::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let gateway = house.gateway.clone();
    tokio::spawn(
        async move { gateway.serve_redirect(listener, 8443, tokio_util::sync::CancellationToken::new()).await },
    );
    for (request, status, to) in [
        ("GET /a?b HTTP/1.1\r\nhost: wiki.test:8080\r\n\r\n", "308", Some("https://wiki.test:8443/a?b")),
        ("GET /a HTTP/1.1\r\nhost: evil.test\r\n\r\n", "404", None),
        ("GET /a HTTP/1.1\r\nhost: wiki.test\r\nhost: evil.test\r\n\r\n", "400", None),
        ("GET //evil.test HTTP/1.1\r\nhost: wiki.test\r\n\r\n", "400", None),
    ] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let heard = common::listen(&mut stream).await;
        assert!(heard.text.starts_with(&format!("HTTP/1.1 {status}")), "{heard:?}");
        assert_eq!(heard.field("location").as_deref(), to);
    }
    assert_eq!(house.upstream.log(), "");
}
