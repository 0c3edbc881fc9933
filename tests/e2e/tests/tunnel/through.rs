//! Bytes through tunnels, over both carriers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::stage::{PATIENCE, stage};

#[test]
fn a_line_goes_through_both_carriers_and_each_direction_ends_by_itself() {
    let Some(stage) = stage() else { return };
    let (ada, _) = stage.signed_in("ada");
    for carrier in ["auto", "websocket"] {
        let output = ada.run(&["connect", "db", "--carrier", carrier], b"hello");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\nthat was 5\n", "{carrier}: {told}");
        assert!(output.status.success(), "{carrier}: {told}");
    }
    // Much more than all windows and buffers on the way.
    let much: Vec<u8> = (0..6_000_000_u32).map(|n| (n % 251) as u8).collect();
    for carrier in ["auto", "websocket"] {
        let output = ada.run(&["connect", "queue", "--carrier", carrier], &much);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{carrier}: {told}");
        assert!(output.stdout.starts_with(&much), "{carrier}: the bytes are the same");
        assert_eq!(&output.stdout[much.len()..], b"\nthat was 6000000\n", "{carrier}");
    }
    stage.server.ends_well().unwrap();
}

#[test]
fn a_port_carries_many_connections_each_on_its_own() {
    let Some(stage) = stage() else { return };
    let (ada, _) = stage.signed_in("ada");
    for carrier in ["auto", "websocket"] {
        let mut listening = ada.start(&["connect", "db", "--listen", "127.0.0.1:0", "--carrier", carrier]);
        let at = listening.listens();
        assert!(at.ip().is_loopback());
        let many: Vec<_> = (0..8)
            .map(|n| {
                std::thread::spawn(move || {
                    let mut stream = TcpStream::connect(at).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.write_all(format!("number {n}").as_bytes()).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    let mut all = String::new();
                    stream.read_to_string(&mut all).unwrap();
                    assert_eq!(all, format!("number {n}\nthat was 8\n"));
                })
            })
            .collect();
        for one in many {
            one.join().unwrap();
        }
        let output = listening.stop();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    stage.server.ends_well().unwrap();
}

#[test]
fn a_port_carries_more_at_a_time_than_one_connection_to_the_gateway_has_room_for() {
    /// The gateway takes 128 streams on a connection.
    const MANY: usize = 140;
    let Some(stage) = stage() else { return };
    let (ada, _) = stage.signed_in("ada");
    let mut listening = ada.start(&["connect", "db", "--listen", "127.0.0.1:0"]);
    let at = listening.listens();
    let mut all = Vec::new();
    for n in 0..MANY {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"alive?").unwrap();
        let mut back = [0; 6];
        stream.read_exact(&mut back).unwrap_or_else(|error| panic!("number {n}: {error}"));
        all.push(stream);
    }
    drop(all);
    listening.stop();
    stage.server.ends_well().unwrap();
}

#[test]
fn others_are_let_in_only_where_it_is_said() {
    let Some(stage) = stage() else { return };
    let (ada, _) = stage.signed_in("ada");
    let output = ada.run(&["connect", "db", "--listen", "0.0.0.0:0"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--let-others-in"), "{output:?}");
    stage.server.ends_well().unwrap();
}
