//! A lock cuts what rests on its target, with its own cause, and nothing else; and the next request is told.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::time::{Duration, Instant};

use common::{House, Setup, hear, house};
use safeconduct_gateway::{LiveKind, Signal};
use safeconduct_model::{CutCause, DeviceFacts, GrantFacts, Lock, LockTarget, Reason, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a cut may take from the signal to the end of the stream.
const SOON: Duration = Duration::from_millis(1_000);

fn lock(kind: &str, name: &str) -> Lock {
    Lock {
        id: "l1".parse().unwrap(),
        target: LockTarget::of(kind, name).unwrap(),
        message: "Call 7-300.".parse().unwrap(),
        by: "cli".into(),
        placed: Timestamp::default(),
        until: None,
    }
}

async fn stream(house: &House, who: &str, path: &str) -> TcpStream {
    let mut stream = house.connect().await;
    let upgrade = match path {
        "/ws" => "connection: Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: x\r\nsec-websocket-version: 13\r\n",
        _ => "",
    };
    let head = format!("GET {path} HTTP/1.1\r\nhost: wiki.test\r\ncookie: sc={who}\r\n{upgrade}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    hear(&mut stream, if path == "/ws" { "tick" } else { "data: hi" }).await;
    stream
}

async fn ends(stream: &mut TcpStream) -> bool {
    let mut space = [0; 4096];
    let end = async {
        loop {
            match stream.read(&mut space).await {
                Ok(0) | Err(_) => return true,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(SOON, end).await.unwrap_or(false)
}

/// What each target of the test is called, and what of Ada it is.
const TARGETS: [(&str, &str); 5] =
    [("person", "ada"), ("session", "s-ada"), ("device", "lt-7"), ("group", "night"), ("grant", "g1")];

/// Ada has a device, a group and a grant that Bob has not.
async fn stage() -> House {
    let house = house(Setup {
        rules: r#"@id("all") permit(principal in Group::"staff", action, resource);
                  @id("night") permit(principal in Group::"night", action, resource);"#
            .into(),
        ..Setup::default()
    })
    .await;
    let mut sessions = house.control.sessions.lock().unwrap();
    let ada = sessions.get_mut("ada").unwrap();
    ada.who.groups.insert("night".parse().unwrap());
    ada.device = Some(DeviceFacts {
        id: "lt-7".parse().unwrap(),
        managed: true,
        reported: None,
        max_age: safeconduct_model::Duration::from_hours(1),
        passed: [].into(),
        required: [].into(),
    });
    ada.why.grant = Some(GrantFacts {
        id: "g1".parse().unwrap(),
        purpose: "repair".into(),
        ticket: None,
        from: Timestamp::default(),
        until: Timestamp::MAX,
    });
    drop(sessions);
    house
}

#[tokio::test]
async fn a_lock_cuts_streams_and_websockets_that_rest_on_its_target_and_no_other() {
    for (kind, name) in TARGETS {
        let house = stage().await;
        let mut hers = [stream(&house, "ada", "/events").await, stream(&house, "ada", "/ws").await];
        let mut his = [stream(&house, "bob", "/events").await, stream(&house, "bob", "/ws").await];
        assert_eq!(house.gateway.live().len(), 4);
        let lock = lock(kind, name);
        house.control.sessions.lock().unwrap().get_mut("ada").unwrap().lock = Some(Box::new(lock.facts(None)));
        let started = Instant::now();
        house.gateway.signal(&Signal::Locked(lock.target));
        for stream in &mut hers {
            assert!(ends(stream).await, "{kind}");
        }
        assert!(started.elapsed() < SOON, "{kind}: {:?}", started.elapsed());
        house.until(|h| h.gateway.live().len() == 2).await;
        hear(&mut his[1], "tick").await;
        let live = house.gateway.live();
        assert!(live.iter().all(|l| l.principal.to_string() == "bob"), "{kind}: {live:?}");
        let cuts = house.control.cuts();
        assert_eq!(cuts.len(), 2, "{kind}");
        assert!(cuts.iter().all(|c| c.cause == CutCause::Locked && c.principal.to_string() == "ada"), "{cuts:?}");
        let again = house.control.verdicts().into_iter().filter(|v| v.again).collect::<Vec<_>>();
        assert!(again.iter().all(|v| v.reason() == Some(Reason::Locked)), "only hers were decided again: {again:?}");
    }
}

#[tokio::test]
async fn a_lock_on_an_application_cuts_everybody_on_it() {
    let house = stage().await;
    let mut all = [stream(&house, "ada", "/events").await, stream(&house, "bob", "/ws").await];
    let lock = lock("application", "wiki");
    for who in house.control.sessions.lock().unwrap().values_mut() {
        who.lock = Some(Box::new(lock.facts(None)));
    }
    house.gateway.signal(&Signal::Locked(lock.target));
    for stream in &mut all {
        assert!(ends(stream).await);
    }
    house.until(|h| h.gateway.live().is_empty()).await;
}

#[tokio::test]
async fn the_next_request_is_denied_with_the_lock_and_after_it_is_lifted_it_passes() {
    let house = stage().await;
    let ask = "GET / HTTP/1.1\r\nhost: wiki.test\r\ncookie: sc=ada\r\naccept: application/json\r\n\r\n";
    assert_eq!(house.raw(ask).await.status(), 200, "a permit is remembered from here on");
    let lock = lock("person", "ada");
    house.control.sessions.lock().unwrap().get_mut("ada").unwrap().lock = Some(Box::new(lock.facts(None)));
    house.gateway.signal(&Signal::Locked(lock.target));
    let heard = house.raw(ask).await;
    assert_eq!((heard.status(), heard.reason()), (403, Some(Reason::Locked)));
    assert!(heard.text.contains("Call 7-300."), "{}", heard.text);
    house.control.sessions.lock().unwrap().get_mut("ada").unwrap().lock = None;
    assert_eq!(house.raw(ask).await.status(), 200, "without a signal, at once");
    assert!(house.gateway.live().iter().all(|l| l.kind == LiveKind::Exchange));
}
