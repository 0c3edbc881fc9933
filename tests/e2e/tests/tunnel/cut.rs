//! Letting go: what lost its permit is cut, at once and alone.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::stage::{DB, PATIENCE, Stage, Terminal, stage};

/// How long a cut may take from its trigger to the last byte.
const AT_MOST: Duration = Duration::from_secs(1);

fn open(at: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    alive(&mut stream);
    stream
}

fn alive(stream: &mut TcpStream) {
    stream.write_all(b"alive?").unwrap();
    let mut back = [0; 6];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"alive?");
}

/// Until the stream ended; whether by a reset, as a cut must.
fn ended(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 64];
    match stream.read(&mut rest) {
        Ok(0) => false,
        Ok(_) => panic!("bytes after the cut"),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::ConnectionReset), "{error}");
            true
        }
    }
}

/// The delays of the cuts in the ledger, in milliseconds.
fn delays(stage: &Stage, cause: &str) -> Vec<u64> {
    for _ in 0..100 {
        let text = stage.server.command(&["ledger", "export"]).unwrap();
        let records = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
        let cuts = records.filter(|r| r["kind"] == "cut" && r["cause"] == cause && r["app"] == "db");
        let found: Vec<u64> = cuts.filter_map(|r| r["delay"].as_u64()).collect();
        if !found.is_empty() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Vec::new()
}

fn listening(ada: &Terminal, app: &str, carrier: &str) -> (crate::stage::Running, SocketAddr) {
    let mut running = ada.start(&["connect", app, "--listen", "127.0.0.1:0", "--carrier", carrier]);
    let at = running.listens();
    (running, at)
}

#[test]
fn a_change_of_policy_cuts_the_tunnels_that_lost_their_permit_and_no_other() {
    let Some(stage) = stage() else { return };
    let (ada, _) = stage.signed_in("ada");
    for carrier in ["auto", "websocket"] {
        let ((db, db_at), (_queue, queue_at)) = (listening(&ada, "db", carrier), listening(&ada, "queue", carrier));
        let (mut cut, mut kept) = (open(db_at), open(queue_at));
        let file = stage.server.config().join("policies/db.cedar");
        fs::write(&file, DB.replace("Group::\"staff\"", "Group::\"operators\"")).unwrap();
        assert!(ended(&mut cut), "{carrier}: a cut must not look like an end");
        alive(&mut kept);
        // What was cut does not open again, and the program says why.
        let mut again = TcpStream::connect(db_at).unwrap();
        again.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(ended(&mut again));
        let told = String::from_utf8_lossy(&db.stop().stderr).into_owned();
        assert!(told.contains("the gateway ended the tunnel"), "{carrier}: {told}");
        // Both the tunnel that was cut and the one that was denied say their number and where they are explained.
        assert!(told.matches("\n  request ").count() >= 2, "{carrier}: {told}");
        assert!(told.matches("/why?request=").count() >= 2, "{carrier}: {told}");
        alive(&mut kept);
        fs::write(&file, DB).unwrap();
        // The old rule binds again within a second or so.
        let until = Instant::now() + PATIENCE;
        while !ada.run(&["connect", "db"], b"").status.success() {
            assert!(Instant::now() < until, "the rule does not bind again");
        }
    }
    let delays = delays(&stage, "policy_published");
    assert!(delays.len() >= 2 && delays.iter().all(|d| *d <= 100), "from the signal to the end, in ms: {delays:?}");
    stage.server.ends_well().unwrap();
}

#[test]
fn an_ended_session_cuts_its_tunnels_within_a_second() {
    let Some(stage) = stage() else { return };
    let (ada, cookie) = stage.signed_in("ada");
    let (_running, at) = listening(&ada, "db", "auto");
    let mut streams = [open(at), open(at), open(at)];
    let home = stage.ask("portal.harbour.localhost", "GET", "/", &[("cookie", &cookie)], "");
    assert!(home.body.contains("End: closes 3 connections"), "{}", home.body);
    let id = ada.tokens()["session"].as_str().unwrap().to_owned();
    let (path, body) = (format!("/me/sessions/{id}/end"), format!("csrf={}", home.csrf()));
    let since = Instant::now();
    let done = stage.ask("portal.harbour.localhost", "POST", &path, &[("cookie", &cookie)], &body);
    assert_eq!(done.status, 303);
    for stream in &mut streams {
        assert!(ended(stream));
    }
    assert!(since.elapsed() < AT_MOST, "{:?}", since.elapsed());
    stage.server.ends_well().unwrap();
}
