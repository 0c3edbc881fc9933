//! What is sent arrives.

use std::io::IoSlice;

use proptest::prelude::*;
use rustls::HandshakeKind;
use rustls::NamedGroup::X25519MLKEM768;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::tls::hello::Replayed;
use crate::tls::turn::RECORD_BYTES;

#[tokio::test]
async fn bodies_of_every_size_arrive_both_ways_and_end_cleanly() {
    for version in VERSIONS {
        for n in [0, 1, 16_384, 16_385, 1_000_000] {
            let pki = pki();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let config = pki.server();
            let echo = async move {
                let mut stream = Stream::accept(listener.accept().await.unwrap().0, config, vec![]).await.unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                stream.write_all(&all).await.unwrap();
                stream.shutdown().await.unwrap();
                stream.held()
            };
            let ask = async {
                let stream = TcpStream::connect(addr).await.unwrap();
                let connector = TlsConnector::from(Arc::new(pki.client(version, "h2", None)));
                let mut stream = connector.connect(name(), stream).await.unwrap();
                stream.write_all(&body(n)).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                all
            };
            let (held, all) = tokio::join!(echo, ask);
            assert!(all == body(n), "{n} bytes");
            assert_eq!(held, 0, "nothing waits");
        }
    }
}

/// How long a case may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The narrowest wire: neither side reads while a part of its handshake waits, so it holds the shortest part, as a socket does.
const NARROW: usize = 6;

fn sizes(most: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![1..40usize, 1..most], 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn both_directions_carry_the_same_bytes_in_whatever_steps(
        version in 0..2usize,
        room in prop_oneof![NARROW..100usize, 100..100_000usize],
        up in sizes(40_000), down in sizes(40_000), reads in sizes(30_000), flushes in any::<bool>()
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (sent, heard) = runtime.block_on(both_ways(VERSIONS[version], room, &up, &down, &reads, flushes));
        let total = |sizes: &[usize]| body(sizes.iter().sum());
        prop_assert!(sent == total(&up), "up");
        prop_assert!(heard == total(&down), "down");
    }
}

/// The client writes in the steps `up`, the server in the steps `down` of several slices each, and reads `reads` at a time; what
/// the server heard and what the client heard.
async fn both_ways(
    version: &'static SupportedProtocolVersion,
    room: usize,
    up: &[usize],
    down: &[usize],
    reads: &[usize],
    flushes: bool,
) -> (Vec<u8>, Vec<u8>) {
    let pki = pki();
    let (ours, theirs) = duplex(room);
    let (all_up, all_down) = (body(up.iter().sum()), body(down.iter().sum()));
    let client = async {
        let connector = TlsConnector::from(Arc::new(pki.client(version, "h2", None)));
        let (mut input, mut output) = tokio::io::split(connector.connect(name(), theirs).await.unwrap());
        let writing = async {
            let mut rest = &all_up[..];
            for n in up {
                output.write_all(&rest[..*n]).await.unwrap();
                rest = &rest[*n..];
                if flushes {
                    output.flush().await.unwrap();
                }
            }
            output.shutdown().await.unwrap();
        };
        let mut all = Vec::new();
        let ((), read) = tokio::join!(writing, input.read_to_end(&mut all));
        read.unwrap();
        all
    };
    let server = async {
        let (mut input, mut output) = tokio::io::split(Stream::accept(ours, pki.server(), vec![]).await.unwrap());
        let writing = async {
            let mut at = 0;
            for n in down {
                let end = at + n;
                while at < end {
                    let (a, b) = all_down[at..end].split_at((end - at) / 3);
                    at += output.write_vectored(&[IoSlice::new(a), IoSlice::new(&[]), IoSlice::new(b)]).await.unwrap();
                }
                if flushes {
                    output.flush().await.unwrap();
                }
            }
            output.shutdown().await.unwrap();
        };
        let reading = async {
            let (mut all, mut space) = (Vec::new(), vec![0; 40_000]);
            for n in reads.iter().cycle() {
                match input.read(&mut space[..*n]).await.unwrap() {
                    0 => break,
                    n => all.extend_from_slice(&space[..n]),
                }
            }
            all
        };
        tokio::join!(writing, reading).1
    };
    let both = tokio::time::timeout(PATIENCE, async { tokio::join!(server, client) });
    both.await.expect("nobody waits for ever")
}

#[tokio::test]
async fn slices_become_one_write_of_as_few_records_as_there_can_be() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version, WIDE).await;
        let (head, data, tail) = (body(100), body(40_000), body(5));
        server.io.written.clear();
        let slices = [IoSlice::new(&head), IoSlice::new(&data), IoSlice::new(&tail)];
        let all = [head.as_slice(), &data, &tail].concat();
        assert_eq!(server.write_vectored(&slices).await.unwrap(), all.len());
        assert_eq!(server.io.written.len(), 1, "one call");
        let mut wire = &server.io.written[0][..];
        let mut kinds = Vec::new();
        while let [kind, _, _, high, low, rest @ ..] = wire {
            kinds.push(*kind);
            wire = &rest[usize::from(*high) * 256 + usize::from(*low)..];
        }
        assert_eq!(kinds, vec![23; all.len().div_ceil(RECORD_BYTES)]);
        let mut heard = vec![0; all.len()];
        client.read_exact(&mut heard).await.unwrap();
        assert!(heard == all);
    }
}

#[tokio::test]
async fn many_records_are_read_at_once() {
    let (mut server, mut client, mut io) = by_hand(VERSIONS[0]).await;
    let mut wire = Vec::new();
    for n in [3, 16_000, 1, 20_000] {
        wire.extend(records(&mut client, &vec![7; n]));
    }
    io.write_all(&wire).await.unwrap();
    let mut space = vec![0; 64 * 1024];
    assert_eq!(server.read(&mut space).await.unwrap(), 36_004);
    assert_eq!(server.held(), 0);
}

#[tokio::test]
async fn what_was_agreed_upon_is_known_after_the_handshake() {
    let pki = pki();
    let device = pki.ca.issue_device_with_key(&"lt-7".parse().unwrap(), [3; 16], NOW, LONG).unwrap();
    for version in VERSIONS {
        for shown in [Some(&device), None] {
            let server = pki.server_for(vec![pki.ca.certificate().clone()]);
            let (server, _client) = shaken(server, Arc::new(pki.client(version, "h2", shown)), WIDE).await;
            let session = server.session();
            assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
            assert_eq!(session.peer_certificates().map(|c| &c[0]), shown.map(|d| &d.certificate));
            let group = session.negotiated_key_exchange_group().unwrap().name();
            assert!(session.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_2) || group == X25519MLKEM768);
        }
    }
}

#[tokio::test]
async fn a_session_is_resumed() {
    for version in VERSIONS {
        let pki = pki();
        let (server, client) = (pki.server(), Arc::new(pki.client(version, "h2", None)));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut server, mut client) = shaken(Arc::clone(&server), Arc::clone(&client), 1_000).await;
            assert_eq!(server.session().handshake_kind(), Some(kind));
            // The tickets come in front of the first data.
            let (wrote, heard) = tokio::join!(server.write_all(b"x"), client.read_u8());
            assert_eq!((wrote.unwrap(), heard.unwrap()), ((), b'x'));
        }
    }
}

#[tokio::test]
async fn a_client_may_change_its_keys_and_ask_for_new_ones_of_ours() {
    let (mut server, mut client, mut io) = by_hand(VERSIONS[0]).await;
    for round in 0..3u8 {
        let mut wire = records(&mut client, &[round; 10]);
        client.refresh_traffic_keys().unwrap();
        wire.extend(records(&mut client, &[round + 100; 10]));
        io.write_all(&wire).await.unwrap();
        let mut heard = [0; 20];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, *[[round; 10], [round + 100; 10]].concat());
        server.write_all(&[round; 70_000]).await.unwrap();
        let mut back = Vec::new();
        while back.len() < 70_000 {
            let mut some = vec![0; 20_000];
            let n = io.read(&mut some).await.unwrap();
            let mut wire = &some[..n];
            while !wire.is_empty() {
                client.read_tls(&mut wire).unwrap();
                client.process_new_packets().unwrap();
                let mut opened = [0; 20_000];
                while let Ok(n @ 1..) = client.reader().read(&mut opened) {
                    back.extend_from_slice(&opened[..n]);
                }
            }
        }
        assert!(back == [round; 70_000]);
        assert_eq!(server.held(), 0);
    }
}

#[tokio::test]
async fn data_right_behind_the_handshake_are_not_lost() {
    for version in VERSIONS {
        let pki = pki();
        let (ours, theirs) = duplex(WIDE);
        let connector = TlsConnector::from(Arc::new(pki.client(version, "h2", None)));
        let hasty = async {
            let mut client = connector.connect(name(), theirs).await.unwrap();
            client.write_all(&body(10_000)).await.unwrap();
            client.shutdown().await.unwrap();
            client
        };
        let (server, _client) = tokio::join!(Stream::accept(Wire::new(ours), pki.server(), vec![]), hasty);
        let (mut server, mut all) = (server.unwrap(), Vec::new());
        server.read_to_end(&mut all).await.unwrap();
        assert!(all == body(10_000));
        assert_eq!(server.held(), 0);
    }
}

#[tokio::test]
async fn what_was_read_of_the_hello_before_is_part_of_the_handshake() {
    let pki = pki();
    for n in [1, 5, 200, usize::MAX] {
        let (mut ours, theirs) = duplex(WIDE);
        let connector = TlsConnector::from(Arc::new(pki.client(VERSIONS[0], "h2", None)));
        let accepting = async {
            let mut first = vec![0; 16_384];
            let there = ours.read(&mut first).await.unwrap();
            first.truncate(there);
            let rest = first.split_off(there.min(n));
            Stream::accept(Replayed::new(rest, ours), pki.server(), first).await.unwrap()
        };
        let (mut server, client) = tokio::join!(accepting, connector.connect(name(), theirs));
        client.unwrap().write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }
}
