//! Trusted hops: whose word about the address of a client counts, on the wire.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;

use common::{ADA, Heard, House, Setup, house, listen};
use safeconduct_gateway::{Hops, Limits};
use safeconduct_model::{Reason, Record};
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

fn hops(trusted: &[&str], proxy_protocol: bool) -> Setup {
    let trusted = trusted.iter().map(|n| n.parse().unwrap()).collect();
    Setup { hops: Hops { trusted, proxy_protocol }, ..Setup::default() }
}

/// A header of version 2 for a client over TCP on IPv4.
fn header(client: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(client);
    bytes.extend([10, 0, 0, 1, 0x30, 0x39, 1, 187]);
    bytes
}

async fn say(house: &House, before: &[u8], fields: &str) -> Heard {
    let request = format!("GET /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close\r\n{fields}\r\n");
    house.raw([before, request.as_bytes()].concat()).await
}

/// The addresses that policy saw.
fn seen(house: &House) -> Vec<String> {
    let place = |r: &Record| match r {
        Record::Access(a) => Some(a.ask.place.ip.to_string()),
        _ => None,
    };
    house.control.records().iter().filter_map(place).collect()
}

#[tokio::test]
async fn nt_04_what_a_stranger_says_about_addresses_does_not_count() {
    for trusted in [&[][..], &["10.0.0.0/8"]] {
        let house = house(hops(trusted, false)).await;
        assert_eq!(say(&house, b"", "x-forwarded-for: 10.1.2.3\r\n").await.status(), 200);
        assert_eq!(seen(&house), ["127.0.0.1"]);
        assert!(house.upstream.log().contains("x-forwarded-for: 127.0.0.1\r\n"));
    }
}

#[tokio::test]
async fn nt_05_a_trusted_hop_is_believed_about_the_address_and_about_nothing_else() {
    let house = house(hops(&["127.0.0.1/32"], false)).await;
    let fields = "x-forwarded-for: 6.6.6.6, 192.0.2.7\r\nx-forwarded-proto: gopher\r\nx-forwarded-host: evil\r\n\
                  x-forwarded-port: 1\r\nx-forwarded-method: EVIL\r\nx-forwarded-prefix: /evil\r\nforwarded: for=evil\r\n";
    assert_eq!(say(&house, b"", fields).await.status(), 200);
    assert_eq!(seen(&house), ["192.0.2.7"]);
    let log = house.upstream.log();
    assert!(log.contains("x-forwarded-for: 192.0.2.7\r\n") && log.contains("x-forwarded-proto: http\r\n"), "{log}");
    assert!(!log.contains("evil") && !log.contains("gopher") && !log.contains("6.6.6.6"), "{log}");
    let heard = say(&house, b"", "x-forwarded-for: unknown\r\n").await;
    assert_eq!((heard.status(), heard.closed), (400, true), "an address is never guessed");
    assert_eq!(house.control.refusals()[0].detail, "forwarded_for");
}

#[tokio::test]
async fn a_proxy_header_of_a_trusted_hop_names_the_client_and_ends_the_chain_of_trust() {
    let house = house(hops(&["127.0.0.1/32"], true)).await;
    assert_eq!(say(&house, &header([192, 0, 2, 7]), "x-forwarded-for: 6.6.6.6\r\n").await.status(), 200);
    assert_eq!(seen(&house), ["192.0.2.7"], "the client is no trusted hop");
}

#[tokio::test]
async fn nt_04_a_proxy_header_of_a_stranger_and_a_connection_without_one_are_refused() {
    let stranger = house(hops(&["10.0.0.0/8"], true)).await;
    let heard = say(&stranger, &header([10, 9, 9, 9]), "").await;
    assert!(heard.closed && heard.text.is_empty(), "{heard:?}");
    let trusted = house(hops(&["127.0.0.1/32"], true)).await;
    for before in [&b""[..], b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n", &header([0, 0, 0, 0])] {
        let heard = say(&trusted, before, "").await;
        assert!(heard.closed && heard.text.is_empty(), "{heard:?}");
    }
    for house in [stranger, trusted] {
        assert!(house.upstream.log().is_empty() && seen(&house).is_empty());
        let refusals = house.control.refusals();
        assert!(refusals.iter().all(|r| r.reason == Reason::BadRequest && r.detail == "proxy_header"));
        assert!(refusals.iter().all(|r| r.ip == IpAddr::from([127, 0, 0, 1])), "the hop is named, not the forgery");
    }
}

#[tokio::test]
async fn nt_12_a_hop_that_says_nothing_meets_the_handshake_limit() {
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let house = house(Setup { limits, ..hops(&["127.0.0.1/32"], true) }).await;
    let mut stream = house.connect().await;
    stream.write_all(b"\r\n\r\n").await.unwrap();
    assert!(listen(&mut stream).await.closed);
}

#[tokio::test]
async fn clients_behind_a_hop_are_counted_by_their_own_addresses() {
    let limits = Limits { connections_per_address: 1, ..Limits::default() };
    let house = house(Setup { limits, ..hops(&["127.0.0.1/32"], true) }).await;
    let mut held = house.connect().await;
    held.write_all(&header([192, 0, 2, 7])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(say(&house, &header([192, 0, 2, 8]), "").await.status(), 200, "another client of the same hop");
    let heard = say(&house, &header([192, 0, 2, 7]), "").await;
    assert!(heard.closed && heard.text.is_empty(), "the second connection of one client: {heard:?}");
}
