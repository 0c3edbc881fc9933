//! Applications that speak something else than plain HTTP/1.1, and WebSockets over HTTP/2.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{House, Setup, application, house, identity};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use safeconduct_gateway::Signal;
use safeconduct_model::Class;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Out = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// What an application over HTTP/2 saw.
type Seen = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// An application in the manner of gRPC: it gives the body back and ends with trailers; `/stream` ticks until nobody listens.
async fn grpc(seen: Seen) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let (head, body) = request.into_parts();
                    seen.lock().unwrap().push((head.uri.to_string(), head.headers));
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    trailers.insert("x-safeconduct-user", "forged".parse().unwrap());
                    let body: Out = if head.uri.path() == "/stream" {
                        let ticks = futures_util::stream::unfold((), |()| async {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            Some((Ok(Frame::data(Bytes::from_static(b"tick"))), ()))
                        });
                        StreamBody::new(ticks).boxed()
                    } else {
                        let whole = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                        Full::new(whole).with_trailers(async move { Some(Ok(trailers)) }).boxed()
                    };
                    Ok::<_, Infallible>(Response::builder().header("x-safeconduct-own", "no").body(body).unwrap())
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    addr
}

async fn over_h2(house: &House) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(house.addr).await.unwrap();
    let (sender, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    sender
}

fn ask(path: &str, body: &'static [u8]) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://rpc.test{path}")).header("cookie", "sc=ada").header("te", "trailers");
    request.body(Full::new(Bytes::from_static(body))).unwrap()
}

async fn with_rpc() -> (House, Seen) {
    let seen = Seen::default();
    let rpc = application("rpc", &format!("h2c://{}", grpc(Arc::clone(&seen)).await), Class::Moderate);
    (house(Setup { more: vec![rpc], ..Setup::default() }).await, seen)
}

#[tokio::test]
async fn a_call_in_the_manner_of_grpc_goes_through_with_its_trailers() {
    let (house, seen) = with_rpc().await;
    let mut client = over_h2(&house).await;
    let answer = client.send_request(ask("/echo?x=1", b"hello")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("x-safeconduct-own").is_none() && answer.headers().contains_key("x-request-id"));
    let whole = answer.into_body().collect().await.unwrap();
    let trailers = whole.trailers().cloned().unwrap();
    assert_eq!(trailers.get("grpc-status").unwrap(), "0");
    assert!(!trailers.contains_key("x-safeconduct-user"), "nobody speaks in our name");
    assert_eq!(whole.to_bytes(), "hello");
    let seen = seen.lock().unwrap();
    let (uri, fields) = &seen[0];
    assert_eq!(uri, "http://rpc.test/echo?x=1");
    assert_eq!(fields.get("te").unwrap(), "trailers");
    assert!(fields.contains_key("x-safeconduct-assertion") && !fields.contains_key("cookie"), "{fields:?}");
    assert_eq!(house.control.verdicts().len(), 1);
    assert!(house.gateway.live().is_empty());
}

#[tokio::test]
async fn a_client_over_http_11_reaches_an_application_over_http_2() {
    let (house, seen) = with_rpc().await;
    let raw = "POST /echo HTTP/1.1\r\nhost: rpc.test\r\ncookie: sc=ada\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
               5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
    let heard = house.raw(raw).await;
    assert_eq!(heard.status(), 200, "{heard:?}");
    assert!(heard.text.contains("hello!"), "{heard:?}");
    let two = "GET /a HTTP/1.1\r\nhost: rpc.test\r\ncookie: sc=ada\r\n\r\n".repeat(2);
    assert_eq!(house.raw(two).await.answers(), 2);
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_stream_in_the_manner_of_grpc_is_cut() {
    let (house, _) = with_rpc().await;
    let mut client = over_h2(&house).await;
    let mut body = client.send_request(ask("/stream", b"")).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(house.gateway.live().len(), 1);
    house.control.sessions.lock().unwrap().insert("ada".into(), identity("eve", None));
    house.gateway.signal(&Signal::PersonChanged("ada".parse().unwrap()));
    let ends = async { while let Some(Ok(_)) = body.frame().await {} };
    tokio::time::timeout(Duration::from_secs(1), ends).await.expect("it ends");
    assert_eq!(house.control.cuts().len(), 1);
}

#[tokio::test]
async fn an_application_over_tls_must_show_a_certificate_that_counts() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, der) = (key.cert.der().clone(), key.signing_key.serialize_der());
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], rustls::pki_types::PrivateKeyDer::Pkcs8(der.into()))
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut space = [0; 4096];
                while let Ok(1..) = stream.read(&mut space).await {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await.unwrap();
                }
            });
        }
    });
    for (trusted, status) in [(true, 200), (false, 502)] {
        let mut roots = rustls::RootCertStore::empty();
        if trusted {
            roots.add(cert.clone()).unwrap();
        }
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let safe = application("rpc", &format!("https://localhost:{port}"), Class::Moderate);
        let house = house(Setup { more: vec![safe], upstream_tls: Some(Arc::new(tls)), ..Setup::default() }).await;
        let get = "GET /a HTTP/1.1\r\nhost: rpc.test\r\ncookie: sc=ada\r\nconnection: close\r\n\r\n";
        assert_eq!(house.raw(get).await.status(), status);
    }
}

#[tokio::test]
async fn a_websocket_over_http_2_is_relayed_both_ways_and_cut() {
    let house = house(Setup::default()).await;
    let stream = TcpStream::connect(house.addr).await.unwrap();
    let (mut client, driver) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    let opens = async {
        while !client.is_extended_connect_protocol_enabled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), opens).await.expect("RFC 8441 is offered");
    let mut request = Request::connect("http://wiki.test/ws").header("cookie", "sc=ada").body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (answer, mut send) = client.send_request(request, false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    assert_eq!(body.data().await.unwrap().unwrap().slice(..6), &b"\x81\x04tick"[..]);
    send.send_data(Bytes::from_static(b"\x81\x85\0\0\0\0hello"), false).unwrap();
    house.until(|h| h.upstream.log().contains("hello")).await;
    let log = house.upstream.log();
    assert!(log.starts_with("GET /ws HTTP/1.1\r\n") && log.contains("sec-websocket-key: "), "{log}");
    house.control.sessions.lock().unwrap().clear();
    house.gateway.signal(&Signal::PersonChanged("ada".parse().unwrap()));
    let mut last = Vec::new();
    let ends = async {
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            last.extend_from_slice(&data);
        }
    };
    tokio::time::timeout(Duration::from_secs(1), ends).await.expect("it ends");
    assert!(last.ends_with(b"access ended"), "the last word: {:?}", String::from_utf8_lossy(&last));
    house.until(|h| h.control.cuts().len() == 1).await;
}
