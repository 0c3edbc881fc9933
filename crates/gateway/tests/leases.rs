//! Live connections end when the facts end.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{ADA, House, Setup, hear, house, identity};
use safeconduct_gateway::{Limits, LiveKind, Signal};
use safeconduct_model::{CutCause, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a cut may take from the signal to the end of the stream.
const SOON: Duration = Duration::from_millis(1_000);

async fn websocket(house: &House) -> TcpStream {
    let mut stream = house.connect().await;
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let heard = hear(&mut stream, "tick").await;
    assert!(heard.starts_with("HTTP/1.1 101"), "{heard}");
    stream
}

async fn events(house: &House) -> TcpStream {
    let mut stream = house.connect().await;
    stream.write_all(format!("GET /events HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n").as_bytes()).await.unwrap();
    hear(&mut stream, "data: hi").await;
    stream
}

/// Reads until the stream ends: how long that took and the last bytes.
async fn end(stream: &mut TcpStream) -> (Duration, Vec<u8>) {
    let (started, mut all, mut space) = (Instant::now(), Vec::new(), [0; 4096]);
    loop {
        match tokio::time::timeout(Duration::from_secs(3), stream.read(&mut space)).await.expect("it ends") {
            Ok(0) | Err(_) => return (started.elapsed(), all),
            Ok(n) => all.extend(&space[..n]),
        }
    }
}

fn sign_out(house: &House) {
    house.control.sessions.lock().unwrap().remove("ada");
}

#[tokio::test]
async fn a_websocket_is_relayed_both_ways_and_listed() {
    let house = house(Setup::default()).await;
    let mut stream = websocket(&house).await;
    stream.write_all(b"\x81\x85\x00\x00\x00\x00hello").await.unwrap();
    house.until(|h| h.upstream.log().contains("hello")).await;
    let live = house.gateway.live();
    assert_eq!((live.len(), live[0].kind, live[0].path.as_str()), (1, LiveKind::WebSocket, "/ws"));
    assert!(live[0].up == 11 && live[0].down >= 6, "{live:?}");
    drop(stream);
    house.until(|h| h.gateway.live().is_empty()).await;
    let cut = &house.control.cuts()[0];
    assert_eq!((cut.cause, cut.delay), (CutCause::Closed, None));
}

#[tokio::test]
async fn a_websocket_ends_within_a_second_of_sign_out_with_a_close_frame() {
    let house = house(Setup::default()).await;
    let mut stream = websocket(&house).await;
    sign_out(&house);
    let started = Instant::now();
    house.gateway.signal(&Signal::SessionEnded("s-ada".parse().unwrap()));
    let (_, last) = end(&mut stream).await;
    let took = started.elapsed();
    println!("websocket cut after {} ms", took.as_millis());
    assert!(took < SOON, "{took:?}");
    assert!(last.ends_with(b"\x88\x0e\x03\xf0access ended"), "status 1008: {:?}", String::from_utf8_lossy(&last));
    house.until(|h| h.gateway.live().is_empty()).await;
    let cut = &house.control.cuts()[0];
    assert_eq!(cut.cause, CutCause::SessionEnded);
    assert!(cut.delay.unwrap().millis() < 1_000);
    let again = house.control.verdicts().pop().unwrap();
    assert!(again.again && !again.permitted(), "the second verdict is recorded");
    house.until(|h| h.upstream.closed.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_real_websocket_client_is_told_why_it_was_cut() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
    use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
    let house = house(Setup::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut apps = house.control.snapshot.load().sources().applications.clone();
    apps[0].upstream = format!("http://{}", listener.local_addr().unwrap());
    house.control.snapshot.store(std::sync::Arc::new(common::snapshot(2, common::RULES, apps)));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let request = ClientRequestBuilder::new("ws://wiki.test/chat".parse().unwrap()).with_header("cookie", "sc=ada");
    let (mut socket, answer) = tokio_tungstenite::client_async(request, house.connect().await).await.unwrap();
    assert_eq!(answer.status(), 101);
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    sign_out(&house);
    house.gateway.signal(&Signal::SessionEnded("s-ada".parse().unwrap()));
    let Some(Ok(Message::Close(Some(close)))) = socket.next().await else { panic!("no close frame") };
    assert_eq!((close.code, close.reason.as_str()), (CloseCode::Policy, "access ended"));
}

#[tokio::test]
async fn an_event_stream_ends_within_a_second_of_a_new_policy() {
    let house = house(Setup::default()).await;
    let (mut stream, mut other) = (events(&house).await, websocket(&house).await);
    house.publish(r#"@id("ws") permit(principal in Group::"staff", action, resource) when { context.path == "/ws" };"#);
    let started = Instant::now();
    house.gateway.signal(&Signal::PolicyPublished);
    let (_, last) = end(&mut stream).await;
    assert!(started.elapsed() < SOON);
    assert!(!last.ends_with(b"0\r\n\r\n"), "a cut answer does not look whole");
    hear(&mut other, "tick").await;
    house.until(|h| h.gateway.live().len() == 1).await;
    let cuts = house.control.cuts();
    assert_eq!((cuts.len(), cuts[0].cause), (1, CutCause::PolicyPublished), "those that are still permitted go on");
    house.until(|h| h.upstream.closed.load(Ordering::SeqCst) == 1).await;
}

/// Rules that read neither method nor path: requests of one client rest on one permit, whatever their paths are.
const WHATEVER_THE_PATH: &str = r#"@id("all") permit(principal in Group::"staff", action, resource);"#;

#[tokio::test]
async fn what_rests_on_one_permit_is_told_apart_where_a_new_rule_reads_the_path() {
    let house = house(Setup::default()).await;
    house.publish(WHATEVER_THE_PATH);
    house.gateway.signal(&Signal::PolicyPublished);
    let (mut stream, mut waiting) = (events(&house).await, house.connect().await);
    waiting.write_all(format!("GET /hang HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n").as_bytes()).await.unwrap();
    house.until(|h| h.upstream.log().contains("/hang")).await;
    house.publish(r#"@id("one") permit(principal, action, resource) when { context.path == "/hang" };"#);
    house.gateway.signal(&Signal::PolicyPublished);
    end(&mut stream).await;
    house.until(|h| h.gateway.live().len() == 1).await;
    assert_eq!(house.gateway.live()[0].path, "/hang");
    let again = house.control.verdicts().into_iter().filter(|v| v.again);
    let mut told: Vec<_> = again.map(|v| (v.ask.what.path.clone(), v.permitted())).collect();
    told.sort();
    assert_eq!(told, [("/events".to_owned(), false), ("/hang".to_owned(), true)]);
}

#[tokio::test]
async fn many_that_rest_on_one_permit_end_together_and_each_is_recorded() {
    const MANY: usize = 40;
    let house = house(Setup::default()).await;
    house.publish(WHATEVER_THE_PATH);
    house.gateway.signal(&Signal::PolicyPublished);
    let mut streams = Vec::new();
    for _ in 0..MANY {
        streams.push(events(&house).await);
    }
    sign_out(&house);
    house.gateway.signal(&Signal::PersonChanged("ada".parse().unwrap()));
    for stream in &mut streams {
        assert!(end(stream).await.0 < SOON);
    }
    house.until(|h| h.control.cuts().len() == MANY).await;
    let distinct = |all: Vec<String>| all.into_iter().collect::<std::collections::BTreeSet<_>>().len();
    let again = house.control.verdicts().into_iter().filter(|v| v.again && !v.permitted());
    assert_eq!(distinct(again.map(|v| v.ask.request.to_string()).collect()), MANY, "a verdict for each");
    assert_eq!(distinct(house.control.cuts().iter().map(|c| c.request.to_string()).collect()), MANY);
    house.until(|h| h.gateway.live().is_empty() && h.upstream.closed.load(Ordering::SeqCst) as usize == MANY).await;
}

#[tokio::test]
async fn what_still_holds_waits_a_moment_for_room_in_the_ledger_and_no_longer() {
    let house = house(Setup::default()).await;
    let mut stream = websocket(&house).await;
    let recorded = house.control.verdicts().len();
    house.control.refuse_records.store(true, Ordering::SeqCst);
    let control = std::sync::Arc::clone(&house.control);
    let makes_room = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        control.refuse_records.store(false, Ordering::SeqCst);
    });
    house.gateway.signal(&Signal::PolicyPublished);
    makes_room.join().unwrap();
    assert_eq!((house.gateway.live().len(), house.control.verdicts().len()), (1, recorded + 1));
    // No record, no access: without room it goes.
    house.control.refuse_records.store(true, Ordering::SeqCst);
    house.gateway.signal(&Signal::PolicyPublished);
    assert!(end(&mut stream).await.0 < SOON);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_all_the_same() {
    let house = house(Setup::default()).await;
    let stream = events(&house).await;
    sign_out(&house);
    house.gateway.signal(&Signal::PersonChanged("ada".parse().unwrap()));
    house.until(|h| h.gateway.live().is_empty() && h.upstream.closed.load(Ordering::SeqCst) == 1).await;
    assert_eq!(house.control.cuts()[0].cause, CutCause::PersonChanged);
    drop(stream);
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_is_cut_too() {
    let house = house(Setup::default()).await;
    let mut stream = house.connect().await;
    stream.write_all(format!("GET /hang HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n").as_bytes()).await.unwrap();
    house.until(|h| h.upstream.log().contains("/hang")).await;
    sign_out(&house);
    house.gateway.signal(&Signal::SessionEnded("s-ada".parse().unwrap()));
    let (took, heard) = end(&mut stream).await;
    assert!(took < SOON && heard.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&heard));
}

#[tokio::test]
async fn a_decision_that_a_signal_overtakes_does_not_count() {
    let house = house(Setup::default()).await;
    let (control, gateway) = (std::sync::Arc::clone(&house.control), house.gateway.clone());
    let meanwhile = move || {
        control.sessions.lock().unwrap().remove("ada");
        gateway.signal(&Signal::SessionEnded("s-ada".parse().unwrap()));
    };
    *house.control.meanwhile.lock().unwrap() = Some(Box::new(meanwhile));
    assert_eq!(house.get("/a", "").await.status(), 401, "the session ended while the request was decided");
    assert_eq!(house.upstream.log(), "");
    assert!(house.gateway.live().is_empty() && house.control.cuts().is_empty());
}

#[tokio::test]
async fn another_persons_change_touches_nothing() {
    let house = house(Setup::default()).await;
    let mut stream = websocket(&house).await;
    house.gateway.signal(&Signal::PersonChanged("bob".parse().unwrap()));
    house.gateway.signal(&Signal::SessionEnded("s-bob".parse().unwrap()));
    hear(&mut stream, "tick").await;
    assert_eq!(house.control.verdicts().len(), 1, "not even decided again");
}

#[tokio::test]
async fn a_session_that_became_another_persons_is_cut() {
    let house = house(Setup::default()).await;
    let mut stream = websocket(&house).await;
    house.control.sessions.lock().unwrap().insert("ada".into(), identity("bob", None));
    house.gateway.signal(&Signal::SessionEnded("s-ada".parse().unwrap()));
    assert!(end(&mut stream).await.0 < SOON);
}

#[tokio::test]
async fn a_lease_ends_by_itself_when_its_time_is_up() {
    let limits = Limits { lease_tick: Duration::from_millis(20), ..Limits::default() };
    let house = house(Setup { limits, ..Setup::default() }).await;
    let now = house.control.now.load(Ordering::SeqCst);
    let mut short = identity("ada", None);
    short.who.auth.as_mut().unwrap().until = Timestamp::from_millis(now + 1_000);
    house.control.sessions.lock().unwrap().insert("ada".into(), short);
    let mut stream = websocket(&house).await;
    house.control.now.store(now + 999, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(60)).await;
    hear(&mut stream, "tick").await;
    house.control.now.store(now + 1_000, Ordering::SeqCst);
    assert!(end(&mut stream).await.0 < SOON);
    house.until(|h| h.control.cuts().iter().any(|c| c.cause == CutCause::TimePassed)).await;
}

#[tokio::test]
async fn an_operator_cuts_one_connection() {
    let house = house(Setup::default()).await;
    let (mut one, mut two) = (websocket(&house).await, websocket(&house).await);
    let live = house.gateway.live();
    assert!(house.gateway.cut(live[0].lease));
    assert!(end(&mut one).await.0 < SOON);
    hear(&mut two, "tick").await;
    house.until(|h| h.gateway.live().len() == 1).await;
    assert!(!house.gateway.cut(live[0].lease), "gone");
}

#[tokio::test]
async fn an_application_that_moved_loses_its_connections() {
    let house = house(Setup::default()).await;
    let mut stream = websocket(&house).await;
    let old = house.control.snapshot.load_full();
    let mut apps = old.sources().applications.clone();
    apps[0].upstream = "http://127.0.0.1:2".into();
    house.control.snapshot.store(std::sync::Arc::new(common::snapshot(2, common::RULES, apps)));
    house.gateway.signal(&Signal::AppChanged("wiki".parse().unwrap()));
    assert!(end(&mut stream).await.0 < SOON);
}

#[tokio::test]
async fn a_panic_while_deciding_again_cuts() {
    let house = house(Setup::default()).await;
    let mut stream = websocket(&house).await;
    house.control.panics.store(true, Ordering::SeqCst);
    house.gateway.signal(&Signal::Everything);
    assert!(end(&mut stream).await.0 < SOON);
    house.until(|h| h.gateway.live().is_empty()).await;
}

#[tokio::test]
async fn stopping_cuts_what_does_not_end() {
    let limits = Limits { drain: Duration::from_millis(100), ..Limits::default() };
    let house = house(Setup { limits, ..Setup::default() }).await;
    let (mut stream, mut events) = (websocket(&house).await, events(&house).await);
    house.stop.cancel();
    assert!(end(&mut stream).await.0 < SOON && end(&mut events).await.0 < SOON);
    tokio::time::timeout(Duration::from_secs(2), house.serving).await.expect("in time").unwrap();
    assert!(house.control.cuts().iter().filter(|c| c.cause == CutCause::Shutdown).count() == 2);
}
