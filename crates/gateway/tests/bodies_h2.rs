//! Bodies over HTTP/2 that are not what they said: too long, too short, with more behind their end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{House, Setup, application, house};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use safeconduct_gateway::Limits;
use safeconduct_model::{Class, Reason};
use tokio::net::{TcpListener, TcpStream};

/// The bodies that an application took for whole, and how many bytes it saw of all.
#[derive(Clone, Default)]
struct Got {
    whole: Arc<Mutex<Vec<Bytes>>>,
    seen: Arc<Mutex<usize>>,
}

/// An application over HTTP/2 that answers when it has the whole body.
async fn app() -> (SocketAddr, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, got) = (listener.local_addr().unwrap(), Got::default());
    let kept = got.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let got = kept.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let got = got.clone();
                async move {
                    let mut body = request.into_body();
                    let mut whole = Vec::new();
                    while let Some(frame) = body.frame().await {
                        let Ok(frame) = frame else { return Ok(Response::new(Full::new(Bytes::from("broken")))) };
                        if let Some(data) = frame.data_ref() {
                            *got.seen.lock().unwrap() += data.len();
                            whole.extend_from_slice(data);
                        }
                    }
                    got.whole.lock().unwrap().push(whole.clone().into());
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(whole))))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (at, got)
}

async fn with_app(limits: Limits) -> (House, Got) {
    let (at, got) = app().await;
    let rpc = application("rpc", &format!("h2c://{at}"), Class::Moderate);
    (house(Setup { more: vec![rpc], limits, ..Setup::default() }).await, got)
}

/// What a client over HTTP/2 heard: the status and the body, or that its stream was reset.
type Heard = Result<(u16, String), h2::Error>;

/// Sends the pieces of a body, each in a frame, and ends the stream behind the last.
async fn post(house: &House, host: &str, length: Option<usize>, pieces: &[&'static [u8]]) -> Heard {
    let stream = TcpStream::connect(house.addr).await.unwrap();
    let (mut client, driver) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    let mut request = Request::post(format!("http://{host}.test/echo")).header("cookie", "sc=ada");
    if let Some(n) = length {
        request = request.header("content-length", n);
    }
    let (answer, mut send) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let sending = async {
        for (n, piece) in pieces.iter().enumerate() {
            // Each arrives on its own.
            tokio::time::sleep(Duration::from_millis(60)).await;
            if send.send_data(Bytes::from_static(piece), n + 1 == pieces.len()).is_err() {
                break;
            }
        }
    };
    let hearing = async {
        let answer = answer.await?;
        let status = answer.status().as_u16();
        let (mut body, mut text) = (answer.into_body(), Vec::new());
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data?);
        }
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    };
    let both = async { tokio::join!(sending, hearing).1 };
    tokio::time::timeout(Duration::from_secs(5), both).await.expect("in time")
}

#[tokio::test]
async fn a_body_over_the_bound_is_a_413_whatever_both_sides_speak() {
    let (house, got) = with_app(Limits { body_bytes: Some(8), ..Limits::default() }).await;
    for host in ["wiki", "rpc"] {
        let (status, text) = post(&house, host, None, &[b"12345", b"67890", b""]).await.expect("an answer");
        assert_eq!((status, text.contains(Reason::LimitReached.code())), (413, true), "{host}: {text}");
        assert_eq!(post(&house, host, None, &[b"12345", b"678"]).await.unwrap().0, 200, "{host}");
    }
    let chunked = "POST /echo HTTP/1.1\r\nhost: rpc.test\r\ncookie: sc=ada\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\n12345\r\n5\r\n67890\r\n0\r\n\r\n";
    let heard = house.raw(chunked).await;
    assert_eq!(heard.status(), 413, "{heard:?}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(*got.whole.lock().unwrap(), ["12345678"], "nothing that was cut short was taken for whole");
}

#[tokio::test]
async fn data_behind_a_declared_length_reach_no_application_as_a_whole_request() {
    let (house, got) = with_app(Limits::default()).await;
    for host in ["wiki", "rpc"] {
        // The frame that completes the length does not end the stream; more follows.
        let heard = post(&house, host, Some(5), &[b"hello", b"GET /admin HTTP/1.1\r\n\r\n", b""]).await;
        assert!(!matches!(&heard, Ok((200, _))), "{host}: {heard:?}");
        let heard = post(&house, host, Some(5), &[b"hel", b""]).await;
        assert!(!matches!(&heard, Ok((200, _))), "{host}: too short: {heard:?}");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let log = house.upstream.log();
    assert!(log.contains("hell") && !log.contains("hello") && !log.contains("/admin"), "{log}");
    assert!(got.whole.lock().unwrap().is_empty() && *got.seen.lock().unwrap() <= 4 + 3, "{:?}", got.whole);
    for host in ["wiki", "rpc"] {
        for pieces in [&[&b"hello"[..]][..], &[b"hel", b"lo"], &[b"hello", b""], &[b"h", b"ello", b"", b""]] {
            let heard = post(&house, host, Some(5), pieces).await.unwrap();
            assert_eq!(heard, (200, "hello".into()), "{host}: {pieces:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_leaves_no_whole_request_behind() {
    let (house, got) = with_app(Limits::default()).await;
    let mut stream = house.connect().await;
    let half =
        "POST /echo HTTP/1.1\r\nhost: rpc.test\r\ncookie: sc=ada\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, half.as_bytes()).await.unwrap();
    house.until(|_| *got.seen.lock().unwrap() == 5).await;
    drop(stream);
    house.until(|h| h.gateway.live().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(got.whole.lock().unwrap().is_empty(), "{:?}", got.whole.lock().unwrap());
}

#[tokio::test]
async fn a_body_over_http_2_that_pauses_too_long_is_a_408_and_a_slow_one_is_not() {
    let ms = Duration::from_millis;
    let (house, _) = with_app(Limits { body_idle: ms(300), first_byte: ms(200), ..Limits::default() }).await;
    for host in ["wiki", "rpc"] {
        let pieces = [&b"a"[..]; 8];
        assert_eq!(
            post(&house, host, Some(8), &pieces).await.unwrap(),
            (200, "aaaaaaaa".into()),
            "slow, but it goes on"
        );
        let stream = TcpStream::connect(house.addr).await.unwrap();
        let (mut client, driver) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(driver);
        let request = Request::post(format!("http://{host}.test/echo")).header("cookie", "sc=ada").body(()).unwrap();
        let (answer, mut send) = client.send_request(request, false).unwrap();
        send.send_data(Bytes::from_static(b"a"), false).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(2), answer).await.expect("in time").unwrap();
        assert_eq!(answer.status(), 408, "{host}");
    }
}
