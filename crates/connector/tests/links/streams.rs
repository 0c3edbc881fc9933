//! Streams: bytes, ends, drops, balance.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use safeconduct_connector::house::DialError;
use safeconduct_connector::words::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{Echo, Gateway, app, until};

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_and_half_an_end_is_half_an_end() {
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let outpost = gateway.connector(&dir, "berlin/a").await;
    let mut stream = gateway.sites.dial(&app(echo.at)).await.unwrap();
    assert_eq!(stream.connector().to_string(), "berlin/a");
    stream.write_all(b"hello").await.unwrap();
    let mut five = [0; 5];
    stream.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"hello");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye", "the application had the last word");
    until(|| echo.open.load(Ordering::SeqCst) == 0).await;
    let view = gateway.sites.views().remove(0);
    assert_eq!((view.about.version.as_str(), view.leaves), ("1.2.3", false));
    drop(stream);
    until(|| gateway.sites.views()[0].streams == 0).await;
    outpost.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_closes_the_socket_to_the_application_at_once() {
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let _outpost = gateway.connector(&dir, "berlin/a").await;
    // More is under way than anybody takes.
    let mut blocked = gateway.sites.dial(&app(echo.at)).await.unwrap();
    let pushing = tokio::spawn(async move {
        let piece = vec![7; 64 * 1024];
        let pushed = tokio::time::timeout(Duration::from_millis(700), async {
            loop {
                blocked.write_all(&piece).await.unwrap();
            }
        });
        assert!(pushed.await.is_err(), "nobody reads the echo, so writing must come to a halt");
        blocked
    });
    let blocked = pushing.await.unwrap();
    assert_eq!(echo.open.load(Ordering::SeqCst), 1);
    let since = Instant::now();
    drop(blocked);
    until(|| echo.open.load(Ordering::SeqCst) == 0).await;
    println!("closed after {:?}, blocked", since.elapsed());
    assert!(since.elapsed() < Duration::from_millis(500), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_at_rest_is_closed_both_ways_though_the_application_goes_on_writing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (gateway, dir) = (Gateway::start(&[at]).await, tempfile::tempdir().unwrap());
    let _outpost = gateway.connector(&dir, "berlin/a").await;
    let stream = gateway.sites.dial(&app(at)).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let since = Instant::now();
    drop(stream);
    let ended = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut [0; 1])).await.unwrap();
    assert!(!matches!(ended, Ok(1..)));
    let heard = since.elapsed();
    let refused = async {
        while socket.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("the socket is closed, not half open");
    println!("the application heard the end after {heard:?}, and could write no more after {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_through_and_one_who_does_not_read_holds_up_nobody_else() {
    const TOTAL: usize = 64 * 1024 * 1024;
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let _outpost = gateway.connector(&dir, "berlin/a").await;
    // Two that ask and never read.
    let mut lazy = Vec::new();
    for _ in 0..2 {
        let mut stream = gateway.sites.dial(&app(echo.at)).await.unwrap();
        let piece = vec![1; 256 * 1024];
        let _ = tokio::time::timeout(Duration::from_millis(300), async {
            for _ in 0..64 {
                stream.write_all(&piece).await.unwrap();
            }
        })
        .await;
        lazy.push(stream);
    }
    let stream = gateway.sites.dial(&app(echo.at)).await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let since = Instant::now();
    let writing = tokio::spawn(async move {
        let piece: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
        for _ in 0..TOTAL / piece.len() {
            write.write_all(&piece).await.unwrap();
        }
        write
    });
    let (mut seen, mut buffer) = (0, vec![0; 64 * 1024]);
    while seen < TOTAL {
        let n = read.read(&mut buffer).await.unwrap();
        assert!(n > 0, "it ended after {seen}");
        assert!(buffer[..n].iter().enumerate().all(|(i, b)| usize::from(*b) == (seen + i) % 256), "at {seen}");
        seen += n;
    }
    println!("{} MiB there and back in {:?}", TOTAL >> 20, since.elapsed());
    drop(writing.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_spread_over_the_connectors_of_the_site() {
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let _a = gateway.connector(&dir, "berlin/a").await;
    let _b = gateway.connector(&dir, "berlin/b").await;
    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(gateway.sites.dial(&app(echo.at)).await.unwrap());
    }
    let loads: Vec<usize> = gateway.sites.views().iter().map(|v| v.streams).collect();
    assert_eq!(loads, [20, 20], "of two the one that carries less");
}

#[tokio::test(flavor = "multi_thread")]
async fn nt_37_no_special_address_is_dialled_that_the_site_does_not_name() {
    let (echo, other) = (Echo::start().await, Echo::start().await);
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let _outpost = gateway.connector(&dir, "berlin/a").await;
    let refused = |e: Result<_, DialError>| match e.map(|_: safeconduct_connector::house::Stream| ()) {
        Err(DialError::Refused(_, why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(gateway.sites.dial(&app(other.at)).await), Refusal::Address);
    let metadata = app("169.254.169.254:80".parse().unwrap());
    assert_eq!(refused(gateway.sites.dial(&metadata).await), Refusal::Address);
    // A name that leads to a special address is held against the list after it was looked up.
    let mut named = app(other.at);
    named.upstream = format!("http://localhost:{}", other.at.port());
    assert_eq!(refused(gateway.sites.dial(&named).await), Refusal::Address);
    named.upstream = format!("http://localhost:{}", echo.at.port());
    assert!(gateway.sites.dial(&named).await.is_ok(), "the one that is named is dialled by name too");
    assert_eq!(other.taken.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_down_is_told_apart_from_a_site_that_is_away() {
    let echo = Echo::start().await;
    let nobody: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
    let (gateway, dir) = (Gateway::start(&[echo.at, nobody]).await, tempfile::tempdir().unwrap());
    let away = gateway.sites.dial(&app(echo.at)).await.unwrap_err();
    assert!(away.is_site_away() && matches!(away, DialError::NoConnector(_)), "{away}");
    let _outpost = gateway.connector(&dir, "berlin/a").await;
    let down = gateway.sites.dial(&app(nobody)).await.unwrap_err();
    assert!(matches!(down, DialError::Refused(_, Refusal::Unreachable)) && !down.is_site_away(), "{down}");
    let mut paris = app(echo.at);
    paris.connector = Some("paris".parse().unwrap());
    assert!(gateway.sites.dial(&paris).await.unwrap_err().is_site_away(), "nt_36: it is not carried by another site's");
    paris.connector = None;
    assert_eq!(gateway.sites.dial(&paris).await.unwrap_err(), DialError::NoSite);
}
