//! What connections carried, in the records of their end; and how many of them there are to applications, in the metrics.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::time::Duration;

use common::{ADA, House, Setup, hear, house, identity};
use safeconduct_gateway::{Limits, Signal};
use safeconduct_model::Carried;
use tokio::io::AsyncWriteExt;

fn page(house: &House) -> String {
    let mut text = safeconduct_gateway::metrics::Text::default();
    house.gateway.metrics().write(&mut text);
    text.finish()
}

/// Open, idle and ever opened connections to an application.
fn connections(house: &House, app: &str) -> [u64; 3] {
    let page = page(house);
    let of = |name: &str| {
        let line = page.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|v| v.trim().parse().ok()).unwrap_or(0)
    };
    [
        of(&format!("safeconduct_upstream_connections{{app=\"{app}\",state=\"open\"}}")),
        of(&format!("safeconduct_upstream_connections{{app=\"{app}\",state=\"idle\"}}")),
        of(&format!("safeconduct_upstream_connections_opened_total{{app=\"{app}\"}}")),
    ]
}

#[tokio::test]
async fn the_record_of_an_end_says_how_many_bytes_went_both_ways() {
    let house = house(Setup::default()).await;
    let ask = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: wiki.test\r\n{ADA}{more}\r\n");
    let mut events = house.connect().await;
    events.write_all(ask("/events", "").as_bytes()).await.unwrap();
    hear(&mut events, "data: hi").await;
    let mut socket = house.connect().await;
    socket.write_all(ask("/ws", "connection: upgrade\r\nupgrade: websocket\r\n").as_bytes()).await.unwrap();
    hear(&mut socket, "tick").await;
    socket.write_all(b"\x81\x85\0\0\0\0hello").await.unwrap();
    house.until(|h| h.upstream.log().contains("hello")).await;
    house.control.sessions.lock().unwrap().insert("ada".into(), identity("eve", None));
    house.gateway.signal(&Signal::PersonChanged("ada".parse().unwrap()));
    house.until(|h| h.control.cuts().len() == 2).await;
    let mut carried: Vec<Carried> = house.control.cuts().iter().map(|c| c.bytes.unwrap()).collect();
    carried.sort_by_key(|c| c.up);
    let [of_events, of_socket] = carried.try_into().unwrap();
    assert!(of_events.up == 0 && of_events.down >= 10 && of_events.down % 10 == 0, "{of_events:?}");
    assert!(of_socket.up == 11 && of_socket.down >= 6 && of_socket.down % 6 == 0, "{of_socket:?}");
}

#[tokio::test]
async fn an_upstream_that_fails_in_the_middle_of_a_request_is_recorded_with_what_was_sent() {
    let house = house(Setup::default()).await;
    let post =
        format!("POST /drop HTTP/1.1\r\nhost: wiki.test\r\n{ADA}content-length: 5\r\nconnection: close\r\n\r\nhello");
    assert_eq!(house.raw(post).await.status(), 502);
    assert_eq!(house.control.cuts()[0].bytes, Some(Carried { up: 5, down: 0 }));
}

#[tokio::test]
async fn connections_to_applications_are_counted_open_and_at_rest() {
    let limits = Limits { upstream_idle: 1, ..Limits::default() };
    let house = house(Setup { limits, ..Setup::default() }).await;
    assert_eq!(connections(&house, "wiki"), [0, 0, 0]);
    for _ in 0..3 {
        assert_eq!(house.get("/a", "").await.status(), 200);
    }
    assert_eq!(connections(&house, "wiki"), [1, 1, 1], "one served all three");
    let mut socket = house.connect().await;
    let ask = format!("GET /ws HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: upgrade\r\nupgrade: websocket\r\n\r\n");
    socket.write_all(ask.as_bytes()).await.unwrap();
    hear(&mut socket, "tick").await;
    assert_eq!(connections(&house, "wiki"), [1, 0, 1], "the one that rested carries it");
    assert_eq!(house.get("/a", "").await.status(), 200);
    assert_eq!(connections(&house, "wiki"), [2, 1, 2]);
    drop(socket);
    house.until(|h| connections(h, "wiki") == [1, 1, 2]).await;
    assert_eq!(connections(&house, "shop"), [0, 0, 0]);
    house.stop.cancel();
    house.until(|h| connections(h, "wiki") == [0, 0, 2]).await;
    tokio::time::timeout(Duration::from_secs(2), house.serving).await.unwrap().unwrap();
}
