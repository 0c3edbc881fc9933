//! Limits that a client or an application meets, each with what it sees then.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{ADA, House, Setup, application, house, identity, listen};
use safeconduct_gateway::{Limits, Signal};
use safeconduct_model::{Class, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MS: Duration = Duration::from_millis(1);

fn with(limits: Limits) -> Setup {
    Setup { limits, ..Setup::default() }
}

/// An application that says the same bytes to every head.
async fn saying(answer: Vec<u8>, after: Duration) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, closed) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let ends = Arc::clone(&closed);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, ends) = (answer.clone(), Arc::clone(&ends));
            tokio::spawn(async move {
                let mut heard = Vec::new();
                while stream.read_buf(&mut heard).await.is_ok_and(|n| n > 0) {
                    if heard.ends_with(b"\r\n\r\n") {
                        heard.clear();
                        tokio::time::sleep(after).await;
                        if stream.write_all(&answer).await.is_err() {
                            break;
                        }
                    }
                }
                ends.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    (at, closed)
}

/// A client over HTTP/2 that writes its frames by hand, and obeys nothing.
struct Raw(TcpStream);

/// What came back: type, flags, stream, payload.
type Frame = (u8, u8, u32, Vec<u8>);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A request by Ada, its fields as literals.
fn head(flags: u8, stream: u32, method: u8, host: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let text = |t: &str| [&[u8::try_from(t.len()).unwrap()][..], t.as_bytes()].concat();
    // `:method` from the table, `:scheme http`, then literals without a place in it.
    let mut block = vec![method, 0x86];
    block.extend([&[0x04][..], &text(path), &[0x01], &text(host), &[0x00], &text("cookie"), &text("sc=ada")].concat());
    for (name, value) in more {
        block.extend([&[0x00][..], &text(name), &text(value)].concat());
    }
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

impl Raw {
    async fn connect(house: &House) -> Self {
        let mut stream = house.connect().await;
        let mut first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        first.extend(frame(SETTINGS, 0, 0, &[]));
        stream.write_all(&first).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, bytes: &[u8]) {
        // Whoever was told to go may find the connection closed.
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame; nothing at the end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        let reading = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            self.0.read_exact(&mut payload).await.ok()?;
            Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
        };
        tokio::time::timeout(Duration::from_secs(5), reading).await.expect("in time")
    }

    /// The error of the GOAWAY that must come, and whether the connection ended behind it.
    async fn goaway(&mut self) -> (u32, bool) {
        let error = loop {
            let (kind, _, _, payload) = self.next().await.expect("a GOAWAY comes before the end");
            if kind == GOAWAY {
                break u32::from_be_bytes(payload[4..8].try_into().unwrap());
            }
        };
        while self.next().await.is_some() {}
        (error, true)
    }
}

/// `ENHANCE_YOUR_CALM` and `REFUSED_STREAM`.
const CALM: u32 = 0xb;
const REFUSED: [u8; 4] = [0, 0, 0, 7];

#[tokio::test]
async fn a_body_that_pauses_too_long_is_a_408_and_the_connection_closes() {
    let house = house(with(Limits { body_idle: 100 * MS, ..Limits::default() })).await;
    for framing in ["content-length: 5\r\n\r\nhel", "transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n"] {
        let mut stream = house.connect().await;
        stream.write_all(format!("POST /echo HTTP/1.1\r\nhost: wiki.test\r\n{ADA}{framing}").as_bytes()).await.unwrap();
        let heard = listen(&mut stream).await;
        assert_eq!((heard.status(), heard.closed), (408, true), "{framing}: {heard:?}");
    }
    assert!(house.control.refusals().iter().all(|r| r.detail == "slow_body"));
    let mut stream = house.connect().await;
    let head = format!("POST /echo HTTP/1.1\r\nhost: wiki.test\r\n{ADA}content-length: 5\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for byte in b"hello" {
        tokio::time::sleep(60 * MS).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert!(listen(&mut stream).await.text.ends_with("hello"), "slow, but it goes on");
}

#[tokio::test]
async fn streams_beyond_the_bound_of_an_http_2_connection_are_refused_one_by_one() {
    let house = house(with(Limits { h2_streams: 2, ..Limits::default() })).await;
    let mut client = Raw::connect(&house).await;
    for stream in [1, 3, 5] {
        client.send(&head(END_STREAM, stream, GET, "wiki.test", "/hang", &[])).await;
    }
    loop {
        let (kind, _, stream, payload) = client.next().await.expect("the connection lives");
        if kind == RST_STREAM {
            assert_eq!((stream, &payload[..]), (5, &REFUSED[..]));
            break;
        }
    }
    house.until(|h| h.gateway.live().len() == 2).await;
    assert_eq!(house.control.verdicts().len(), 2, "what is refused is not decided");
}

#[tokio::test]
async fn an_http_2_client_that_resets_what_it_asks_again_and_again_is_told_to_go() {
    let house = house(with(Limits { h2_pending_resets: 3, ..Limits::default() })).await;
    let mut client = Raw::connect(&house).await;
    let mut all = Vec::new();
    for stream in (1..200).step_by(2) {
        all.extend(head(END_STREAM, stream, GET, "wiki.test", "/hang", &[]));
        all.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    client.send(&all).await;
    assert_eq!(client.goaway().await, (CALM, true));
    house.until(|h| h.gateway.live().is_empty()).await;
}

#[tokio::test]
async fn an_http_2_client_whose_streams_are_wrong_again_and_again_is_told_to_go() {
    let house = house(with(Limits { h2_error_resets: 3, ..Limits::default() })).await;
    let mut client = Raw::connect(&house).await;
    let mut all = Vec::new();
    for stream in (1..40).step_by(2) {
        all.extend(head(0, stream, POST, "wiki.test", "/echo", &[("content-length", "1")]));
        all.extend(frame(DATA, END_STREAM, stream, b"too much"));
    }
    client.send(&all).await;
    assert_eq!(client.goaway().await, (CALM, true));
    assert!(!house.upstream.log().contains("too much"));
}

#[tokio::test]
async fn an_http_2_connection_that_does_not_answer_is_closed() {
    let house = house(with(Limits { h2_ping: 100 * MS, ..Limits::default() })).await;
    let mut client = Raw::connect(&house).await;
    client.send(&head(END_STREAM, 1, GET, "wiki.test", "/hang", &[])).await;
    house.until(|h| h.gateway.live().len() == 1).await;
    let since = Instant::now();
    // It reads, and never answers a ping.
    while client.next().await.is_some() {}
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    house.until(|h| h.gateway.live().is_empty()).await;
}

#[tokio::test]
async fn an_application_that_takes_too_long_to_connect_is_a_504() {
    // It takes the connection and never shakes hands.
    let (silent, _) = saying(Vec::new(), Duration::ZERO).await;
    let tls =
        rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let limits = Limits { connect: 100 * MS, ..Limits::default() };
    let more = vec![application("safe", &format!("https://localhost:{}", silent.port()), Class::Moderate)];
    let house = house(Setup { limits, more, upstream_tls: Some(Arc::new(tls)), ..Setup::default() }).await;
    let since = Instant::now();
    let heard = house.raw(format!("GET /a HTTP/1.1\r\nhost: safe.test\r\n{ADA}connection: close\r\n\r\n")).await;
    assert_eq!((heard.status(), heard.reason()), (504, Some(Reason::UpstreamTimeout)), "{heard:?}");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[tokio::test]
async fn an_answer_with_too_many_fields_is_a_502() {
    let answer =
        |n: usize| format!("HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok", "x: 1\r\n".repeat(n)).into_bytes();
    let (few, many) = (saying(answer(15), Duration::ZERO).await.0, saying(answer(16), Duration::ZERO).await.0);
    let more = [("few", few), ("many", many)].map(|(id, at)| application(id, &format!("http://{at}"), Class::Moderate));
    let limits = Limits { response_header_count: 16, ..Limits::default() };
    let house = house(Setup { limits, more: more.into(), ..Setup::default() }).await;
    for (host, status) in [("few", 200), ("many", 502)] {
        let ask = format!("GET /a HTTP/1.1\r\nhost: {host}.test\r\n{ADA}connection: close\r\n\r\n");
        assert_eq!(house.raw(ask).await.status(), status, "{host}");
    }
}

#[tokio::test]
async fn only_so_many_connections_to_an_application_rest() {
    let (at, closed) = saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(), 150 * MS).await;
    let more = vec![application("slow", &format!("http://{at}"), Class::Moderate)];
    let limits = Limits { upstream_idle: 2, ..Limits::default() };
    let house = house(Setup { limits, more, ..Setup::default() }).await;
    let ask = || house.raw(format!("GET /a HTTP/1.1\r\nhost: slow.test\r\n{ADA}connection: close\r\n\r\n"));
    let heard = tokio::join!(ask(), ask(), ask(), ask());
    for heard in [heard.0, heard.1, heard.2, heard.3] {
        assert_eq!(heard.status(), 200, "{heard:?}");
    }
    house.until(|_| closed.load(Ordering::SeqCst) == 2).await;
    let slow = house.gateway.metrics().app(&"slow".parse().unwrap());
    assert_eq!(slow.connections(), (2, 2));
}

#[tokio::test]
async fn a_connection_to_an_application_that_rested_too_long_serves_nobody() {
    let house = house(with(Limits { upstream_idle_for: 80 * MS, ..Limits::default() })).await;
    for _ in 0..2 {
        assert_eq!(house.get("/a", "").await.status(), 200);
    }
    assert_eq!(house.upstream.connections.load(Ordering::SeqCst), 1, "at once it is used again");
    tokio::time::sleep(120 * MS).await;
    assert_eq!(house.get("/a", "").await.status(), 200);
    assert_eq!(house.upstream.connections.load(Ordering::SeqCst), 2);
    house.until(|h| h.upstream.closed.load(Ordering::SeqCst) >= 1).await;
}

#[tokio::test]
async fn a_cut_exchange_whose_client_does_not_read_ends_with_its_connection_after_the_grace() {
    let flood = [&b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n"[..], &vec![b'x'; 4_000_000]].concat();
    let (at, closed) = saying(flood, Duration::ZERO).await;
    let more = vec![application("flood", &format!("http://{at}"), Class::Moderate)];
    let limits = Limits { cut_grace: 300 * MS, ..Limits::default() };
    let house = house(Setup { limits, more, ..Setup::default() }).await;
    let mut client = Raw::connect(&house).await;
    client.send(&head(END_STREAM, 1, GET, "flood.test", "/a", &[])).await;
    // The window of the stream is full, and nobody opens it.
    house.until(|h| h.gateway.live().first().is_some_and(|l| l.down > 60_000)).await;
    let since = Instant::now();
    house.control.sessions.lock().unwrap().insert("ada".into(), identity("eve", None));
    house.gateway.signal(&Signal::PersonChanged("ada".parse().unwrap()));
    house.until(|h| h.gateway.live().is_empty()).await;
    house.until(|_| closed.load(Ordering::SeqCst) == 1).await;
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    while client.next().await.is_some_and(|(kind, ..)| kind != GOAWAY) {}
}
