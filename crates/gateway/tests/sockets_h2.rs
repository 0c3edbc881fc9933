//! WebSockets to applications over HTTP/2 (RFC 8441), from clients over both versions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{ADA, House, Setup, application, hear, house};
use http::{HeaderMap, Request, Response, StatusCode};
use safeconduct_gateway::Signal;
use safeconduct_model::{Class, Reason};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// What an application got: the request for a WebSocket, and the bytes behind it.
#[derive(Clone, Default)]
struct Got {
    asked: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    gone: Arc<Mutex<usize>>,
}

/// An application over HTTP/2 that takes WebSockets if `offers`, ticks on each, and answers 418 below `/tea`.
async fn app(offers: bool) -> (SocketAddr, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, got) = (listener.local_addr().unwrap(), Got::default());
    let kept = got.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let got = kept.clone();
            tokio::spawn(async move {
                let mut builder = h2::server::Builder::new();
                if offers {
                    builder.enable_connect_protocol();
                }
                let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
                while let Some(Ok((request, mut answer))) = connection.accept().await {
                    assert_eq!(request.method(), "CONNECT");
                    assert_eq!(request.extensions().get::<h2::ext::Protocol>().unwrap().as_str(), "websocket");
                    let (head, mut body) = request.into_parts();
                    let tea = head.uri.path() == "/tea";
                    got.asked.lock().unwrap().push((head.uri.to_string(), head.headers));
                    let mut response = Response::builder();
                    response = response.status(if tea { StatusCode::IM_A_TEAPOT } else { StatusCode::OK });
                    response = response.header("sec-websocket-protocol", "chat").header("set-cookie", "sc=stolen");
                    let mut send = answer.send_response(response.body(()).unwrap(), tea).unwrap();
                    if tea {
                        continue;
                    }
                    let got = got.clone();
                    tokio::spawn(async move {
                        let ticking = async {
                            while send.send_data(Bytes::from_static(b"\x81\x04tick"), false).is_ok() {
                                tokio::time::sleep(Duration::from_millis(10)).await;
                            }
                        };
                        let reading = async {
                            while let Some(Ok(data)) = body.data().await {
                                let _ = body.flow_control().release_capacity(data.len());
                                got.bytes.lock().unwrap().extend(&data);
                            }
                        };
                        tokio::select! { () = ticking => {}, () = reading => {} }
                        *got.gone.lock().unwrap() += 1;
                    });
                }
            });
        }
    });
    (at, got)
}

async fn with_app(offers: bool) -> (House, Got) {
    let (at, got) = app(offers).await;
    let rpc = application("rpc", &format!("h2c://{at}"), Class::Moderate);
    (house(Setup { more: vec![rpc], ..Setup::default() }).await, got)
}

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: rpc.test\r\n{ADA}connection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: chat\r\n\r\n"
    )
}

/// Asks for a WebSocket over HTTP/2.
async fn extended(
    house: &House,
    path: &str,
) -> (Response<h2::RecvStream>, h2::SendStream<Bytes>, h2::client::SendRequest<Bytes>) {
    let stream = TcpStream::connect(house.addr).await.unwrap();
    let (mut client, driver) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(driver);
    while !client.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut request = Request::connect(format!("http://rpc.test{path}")).header("cookie", "sc=ada").body(()).unwrap();
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (answer, send) = client.send_request(request, false).unwrap();
    (answer.await.unwrap(), send, client)
}

fn sign_out(house: &House) {
    house.control.sessions.lock().unwrap().clear();
    house.gateway.signal(&Signal::PersonChanged("ada".parse().unwrap()));
}

#[tokio::test]
async fn a_client_over_http_11_gets_a_websocket_to_an_application_over_http_2_and_it_is_cut() {
    let (house, got) = with_app(true).await;
    let mut stream = house.connect().await;
    stream.write_all(upgrade("/live?room=1").as_bytes()).await.unwrap();
    let heard = hear(&mut stream, "tick").await;
    assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
    assert!(heard.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{heard}");
    assert!(heard.contains("sec-websocket-protocol: chat\r\n") && !heard.contains("stolen"), "{heard}");
    stream.write_all(b"\x81\x85\0\0\0\0hello").await.unwrap();
    house.until(|_| got.bytes.lock().unwrap().ends_with(b"hello")).await;
    {
        let asked = got.asked.lock().unwrap();
        let (uri, fields) = &asked[0];
        assert_eq!(uri, "http://rpc.test/live?room=1");
        assert!(fields.contains_key("x-safeconduct-assertion") && fields.contains_key("x-request-id"), "{fields:?}");
        assert_eq!(fields.get("sec-websocket-version").unwrap(), "13");
        for gone in ["cookie", "sec-websocket-key", "upgrade", "connection"] {
            assert!(!fields.contains_key(gone), "{gone}: {fields:?}");
        }
    }
    assert_eq!(house.gateway.live().len(), 1);
    sign_out(&house);
    let last = hear(&mut stream, "access ended").await;
    assert!(last.ends_with("access ended"), "{last}");
    house.until(|h| *got.gone.lock().unwrap() == 1 && h.control.cuts().len() == 1).await;
    assert!(house.gateway.live().is_empty());
}

#[tokio::test]
async fn a_client_over_http_2_gets_a_websocket_to_an_application_over_http_2_and_it_is_cut() {
    let (house, got) = with_app(true).await;
    let (answer, mut send, _client) = extended(&house, "/live").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    let mut body = answer.into_body();
    assert_eq!(body.data().await.unwrap().unwrap().slice(..6), &b"\x81\x04tick"[..]);
    send.send_data(Bytes::from_static(b"\x81\x85\0\0\0\0hello"), false).unwrap();
    house.until(|_| got.bytes.lock().unwrap().ends_with(b"hello")).await;
    sign_out(&house);
    let ends = async {
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
        }
    };
    tokio::time::timeout(Duration::from_secs(1), ends).await.expect("it ends");
    house.until(|h| *got.gone.lock().unwrap() == 1 && h.control.cuts().len() == 1).await;
}

#[tokio::test]
async fn an_application_that_offers_no_websockets_over_http_2_is_a_502_that_says_so() {
    let (house, got) = with_app(false).await;
    let heard = house.raw(upgrade("/live")).await;
    assert_eq!((heard.status(), heard.reason()), (502, Some(Reason::UpstreamNoWebsocket)), "{heard:?}");
    let (answer, ..) = extended(&house, "/live").await;
    assert_eq!(answer.status(), 502);
    let said = answer.into_body().data().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&said).contains("upstream_no_websocket"));
    assert!(got.asked.lock().unwrap().is_empty(), "nothing was asked of it");
    assert!(house.gateway.live().is_empty());
}

#[tokio::test]
async fn an_application_that_refuses_a_websocket_is_heard_and_a_bad_key_is_refused_here() {
    let (house, got) = with_app(true).await;
    assert_eq!(house.raw(upgrade("/tea")).await.status(), 418);
    assert_eq!(extended(&house, "/tea").await.0.status(), 418);
    assert_eq!(got.asked.lock().unwrap().len(), 2);
    let bad = upgrade("/live").replace("dGhlIHNhbXBsZSBub25jZQ==", "short");
    assert_eq!(house.raw(bad).await.status(), 400);
    let old = upgrade("/live").replace("version: 13", "version: 8");
    assert_eq!(house.raw(old).await.status(), 400);
    assert_eq!(got.asked.lock().unwrap().len(), 2);
    assert!(house.gateway.live().is_empty());
}
