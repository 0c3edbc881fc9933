//! What a connection holds: nothing at rest, and never much.

use std::future::poll_fn;

use super::*;
use crate::tls::edge::{HANDSHAKE_BYTES, WIRE_BYTES};
use crate::tls::turn::{SEALED_BYTES, WRITE_BYTES};

#[tokio::test]
async fn a_connection_that_rests_after_traffic_holds_no_buffer() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version, 3_000).await;
        assert_eq!(server.held(), 0, "after the handshake");
        let asking = async {
            client.write_all(&body(50_000)).await.unwrap();
            client.flush().await.unwrap();
            let mut heard = vec![0; 50_000];
            client.read_exact(&mut heard).await.unwrap();
            client
        };
        let answering = async {
            let mut heard = vec![0; 50_000];
            for part in heard.chunks_mut(777) {
                server.read_exact(part).await.unwrap();
            }
            server.write_all(&heard).await.unwrap();
            server.flush().await.unwrap();
            server
        };
        let (_client, server) = tokio::join!(asking, answering);
        assert_eq!(server.held(), 0);
    }
}

#[tokio::test]
async fn a_reader_of_little_holds_no_more_than_a_record() {
    let (mut server, mut client, mut io) = by_hand(VERSIONS[0]).await;
    let wire = records(&mut client, &body(60_000));
    io.write_all(&wire).await.unwrap();
    let mut all = Vec::new();
    while all.len() < 60_000 {
        let mut space = [0; 1_000];
        let n = server.read(&mut space).await.unwrap();
        all.extend_from_slice(&space[..n]);
        assert!(server.held() <= 2 * WIRE_BYTES && server.opened.capacity() <= WIRE_BYTES, "{}", server.held());
    }
    assert!(all == body(60_000));
    assert_eq!(server.held(), 0);
}

#[tokio::test]
async fn a_record_that_comes_bit_by_bit_is_kept_once() {
    let (mut server, mut client, mut io) = by_hand(VERSIONS[0]).await;
    let wire = records(&mut client, &body(16_384));
    let mut space = vec![0; 20_000];
    for part in wire[..wire.len() - 1].chunks(100) {
        io.write_all(part).await.unwrap();
        let read = |cx: &mut Context<'_>| {
            Poll::Ready(Pin::new(&mut server).poll_read(cx, &mut ReadBuf::new(&mut space)).is_pending())
        };
        assert!(poll_fn(read).await);
        assert!(server.held() <= wire.len(), "{}", server.held());
    }
    io.write_all(&wire[wire.len() - 1..]).await.unwrap();
    assert_eq!(server.read(&mut space).await.unwrap(), 16_384);
    assert!(space[..16_384] == body(16_384));
    assert_eq!(server.held(), 0);
}

#[tokio::test]
async fn a_client_that_never_reads_makes_us_hold_one_write_and_no_more() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version, 1_000).await;
        let all = body(500_000);
        let mut taken = 0;
        for round in 0..3 {
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut server).poll_write(cx, &all[taken..]))).await;
            match (round, polled) {
                (0, Poll::Ready(Ok(n))) => taken += n,
                (1.., Poll::Pending) => {}
                (_, other) => panic!("{round}: {other:?}"),
            }
        }
        assert_eq!(taken, WRITE_BYTES);
        assert!((1..=SEALED_BYTES).contains(&server.held()), "{}", server.held());
        let flushed = poll_fn(|cx| Poll::Ready(Pin::new(&mut server).poll_flush(cx))).await;
        assert!(flushed.is_pending(), "it is not gone");
        let mut heard = vec![0; taken];
        let (flushed, read) = tokio::join!(server.flush(), client.read_exact(&mut heard));
        flushed.unwrap();
        read.unwrap();
        assert!(heard == all[..taken]);
        assert_eq!(server.held(), 0);
    }
}

#[tokio::test]
async fn a_message_of_the_handshake_without_end_meets_the_bound() {
    let (ours, mut theirs) = duplex(1);
    let accepting = tokio::spawn(Stream::accept(Wire::new(ours), pki().server(), vec![]));
    // A hello of 65 535 bytes, in records of 256.
    let mut sent = 0;
    let mut first = vec![1, 0, 0xff, 0xff];
    while sent < 4 * HANDSHAKE_BYTES {
        first.resize(256, 0);
        let record = [&[22, 3, 1, 1, 0][..], &first].concat();
        if theirs.write_all(&record).await.is_err() {
            break;
        }
        sent += record.len();
        first.clear();
    }
    drop(theirs);
    let error = accepting.await.unwrap().err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    assert!((HANDSHAKE_BYTES - 300..HANDSHAKE_BYTES + 300).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_record_that_says_it_is_too_long_is_refused() {
    let (mut server, _client, mut io) = by_hand(VERSIONS[0]).await;
    io.write_all(&[23, 3, 3, 0xff, 0xff, 0]).await.unwrap();
    assert_eq!(server.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(server.held(), 0);
}
