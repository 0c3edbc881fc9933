//! Ends: those that are said, those that are not, and those that are forced.

use std::io::ErrorKind;

use rustls::AlertDescription;

use super::*;

/// The alert that a side was told.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn only_a_client_that_says_so_has_ended() {
    for version in VERSIONS {
        for said in [true, false] {
            let (mut server, mut client) = pair(version, WIDE).await;
            client.write_all(b"all").await.unwrap();
            // Kept, so that the other direction stays open.
            let (mut io, _session) = match said {
                true => {
                    client.shutdown().await.unwrap();
                    client.into_inner()
                }
                false => client.into_inner(),
            };
            io.shutdown().await.unwrap();
            let mut space = [0; 10];
            assert_eq!(server.read(&mut space).await.unwrap(), 3, "what came before is read");
            for _ in 0..2 {
                let end = server.read(&mut space).await;
                match said {
                    true => assert_eq!(end.unwrap(), 0),
                    false => assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof),
                }
            }
            assert_eq!(server.held(), 0);
            server.write_all(b"back").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_record_that_was_cut_off_is_no_end_and_gives_nothing() {
    for version in VERSIONS {
        let (mut server, mut client, mut io) = by_hand(version).await;
        let mut wire = records(&mut client, b"whole");
        let half = records(&mut client, &body(9_000));
        wire.extend_from_slice(&half[..half.len() - 1]);
        io.write_all(&wire).await.unwrap();
        drop(io);
        let mut all = Vec::new();
        assert_eq!(server.read_to_end(&mut all).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(all, b"whole");
    }
}

#[tokio::test]
async fn what_stands_behind_an_end_is_not_read() {
    let (mut server, mut client, mut io) = by_hand(VERSIONS[0]).await;
    client.send_close_notify();
    let mut wire = said(&mut client);
    wire.extend_from_slice(b"and something else");
    io.write_all(&wire).await.unwrap();
    let mut all = Vec::new();
    assert_eq!(server.read_to_end(&mut all).await.unwrap(), 0);
    assert_eq!(server.held(), 0);
    server.write_all(b"back").await.unwrap();
}

#[tokio::test]
async fn our_end_is_said_behind_everything_that_waits_and_only_once() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version, 1_000).await;
        let heard = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.map(|_| all)
        });
        server.write_all(&body(100_000)).await.unwrap();
        server.shutdown().await.unwrap();
        server.shutdown().await.unwrap();
        assert!(heard.await.unwrap().unwrap() == body(100_000), "a clean end behind all of it");
        assert_eq!(server.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(server.held(), 0);
    }
}

#[tokio::test]
async fn a_record_that_was_bent_is_answered_with_an_alert() {
    for version in VERSIONS {
        let (mut server, mut client, mut io) = by_hand(version).await;
        let mut wire = records(&mut client, b"whole");
        let mut bent = records(&mut client, b"bent");
        *bent.last_mut().unwrap() ^= 1;
        wire.extend(bent);
        io.write_all(&wire).await.unwrap();
        let mut all = Vec::new();
        let error = server.read_to_end(&mut all).await.unwrap_err();
        assert_eq!((error.kind(), all.as_slice()), (ErrorKind::InvalidData, &b"whole"[..]));
        assert_eq!(server.read(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::InvalidData, "for ever");
        assert_eq!(server.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(server.held(), 0);
        drop(server);
        let mut told = Vec::new();
        io.read_to_end(&mut told).await.unwrap();
        client.read_tls(&mut &told[..]).unwrap();
        let error = client.process_new_packets().unwrap_err();
        assert_eq!(error, rustls::Error::AlertReceived(AlertDescription::BadRecordMac));
    }
}

#[tokio::test]
async fn what_is_no_hello_gets_an_alert_and_is_an_error() {
    let garbage = b"GET / HTTP/1.1\r\n\r\n";
    for read_before in [false, true] {
        let (ours, mut theirs) = duplex(WIDE);
        let first = if read_before { garbage.to_vec() } else { vec![] };
        if !read_before {
            theirs.write_all(garbage).await.unwrap();
        }
        let error = Stream::accept(ours, pki().server(), first).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        let mut told = Vec::new();
        theirs.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, [21, 3, 3, 0, 2, 2, 50], "a fatal alert: decode_error");
    }
}

#[tokio::test]
async fn a_client_learns_why_there_is_no_handshake() {
    let pki = pki();
    let stranger = Authority::create("Evil", [9; 16], NOW).unwrap();
    let stranger = stranger.issue_device_with_key(&"lt-7".parse().unwrap(), [3; 16], NOW, LONG).unwrap();
    for version in VERSIONS {
        for (config, why) in [
            (pki.client(version, "gopher", None), AlertDescription::NoApplicationProtocol),
            (pki.client(version, "h2", Some(&stranger)), AlertDescription::UnknownCA),
        ] {
            let (ours, theirs) = duplex(WIDE);
            let server = pki.server_for(vec![pki.ca.certificate().clone()]);
            let connecting = async {
                // With TLS 1.3 the client is done before its certificate was looked at.
                TlsConnector::from(Arc::new(config)).connect(name(), theirs).await?.read_u8().await
            };
            let (server, client) = tokio::join!(Stream::accept(ours, server, vec![]), connecting);
            assert_eq!(server.err().unwrap().kind(), ErrorKind::InvalidData);
            assert_eq!(alert(&client.unwrap_err()), Some(why));
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_handshake_is_an_error() {
    for n in [0, 3, 100] {
        let (ours, mut theirs) = duplex(WIDE);
        let mut client = ClientConnection::new(Arc::new(pki().client(VERSIONS[0], "h2", None)), name()).unwrap();
        theirs.write_all(&said(&mut client)[..n]).await.unwrap();
        drop(theirs);
        let error = Stream::accept(ours, pki().server(), vec![]).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
