//! Connectors that die, leave, and come back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use safeconduct_connector::house::What;
use safeconduct_connector::site::Connector;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{Echo, Gateway, Outpost, app, until};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_is_noticed_and_the_others_carry_on() {
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let a = gateway.connector(&dir, "berlin/a").await;
    let _b = gateway.connector(&dir, "berlin/b").await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(gateway.sites.dial(&app(echo.at)).await.unwrap());
    }
    // Every dial while it dies succeeds.
    let sites = std::sync::Arc::clone(&gateway.sites);
    let at = echo.at;
    let dialling = tokio::spawn(async move {
        let mut done = 0;
        for _ in 0..200 {
            let mut stream = sites.dial(&app(at)).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            done += usize::from(stream.read(&mut [0; 1]).await.is_ok_and(|n| n == 1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        done
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    a.running.abort();
    let done = dialling.await.unwrap();
    assert!(done >= 199, "{done}: at most the stream that was on it is lost");
    until(|| gateway.sites.views().len() == 1 && gateway.roll.said(What::Lost) == 1).await;
    let mut alive = 0;
    for mut stream in held {
        alive += usize::from(stream.write_all(b"y").await.is_ok() && stream.read_exact(&mut [0; 1]).await.is_ok());
    }
    assert_eq!(alive, 5, "those of the other one");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_ends_its_streams_first_and_takes_no_new_ones() {
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let a = gateway.connector(&dir, "berlin/a").await;
    let mut running = gateway.sites.dial(&app(echo.at)).await.unwrap();
    let leaving = running.leaving();
    // The new one is there before the old one goes.
    let _b = gateway.connector(&dir, "berlin/b").await;
    a.stop.cancel();
    leaving.cancelled().await;
    for _ in 0..20 {
        let stream = gateway.sites.dial(&app(echo.at)).await.unwrap();
        assert_eq!(stream.connector().to_string(), "berlin/b");
    }
    running.write_all(b"still").await.unwrap();
    let mut five = [0; 5];
    running.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"still");
    assert!(!a.running.is_finished(), "it waits for its stream");
    drop(running);
    tokio::time::timeout(Duration::from_secs(10), a.running).await.unwrap().unwrap();
    until(|| gateway.sites.views().len() == 1).await;
    assert_eq!(
        (gateway.roll.said(What::Leaves), gateway.roll.said(What::Left), gateway.roll.said(What::Lost)),
        (1, 1, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_comes_back_by_itself() {
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    let token = gateway.roll.token("once");
    gateway.connector(&dir, "berlin/a").await.leave().await;
    // Without a gateway it waits, and is linked as soon as there is one.
    gateway.open.store(false, Ordering::SeqCst);
    let again = gateway.try_start(gateway.settings(&dir, "berlin/a", None)).await.unwrap();
    let outpost = Outpost::run(again);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(gateway.sites.views().is_empty());
    gateway.open.store(true, Ordering::SeqCst);
    until(|| gateway.sites.views().len() == 1).await;
    assert!(gateway.sites.dial(&app(echo.at)).await.is_ok());
    outpost.leave().await;
    drop(token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_before_its_end_and_no_stream_is_lost_by_it() {
    let echo = Echo::start().await;
    let (gateway, dir) = (Gateway::start(&[echo.at]).await, tempfile::tempdir().unwrap());
    gateway.roll.life_s.store(6, Ordering::SeqCst);
    let token = gateway.roll.token("short");
    let connector = Connector::start(gateway.settings(&dir, "berlin/a", Some(token))).await.unwrap();
    let first_end = connector.until();
    let outpost = Outpost::run(connector);
    until(|| gateway.sites.views().len() == 1).await;
    let mut stream = gateway.sites.dial(&app(echo.at)).await.unwrap();
    until(|| gateway.sites.views().iter().any(|v| v.until > first_end)).await;
    assert!(gateway.roll.renewals.load(Ordering::SeqCst) >= 1);
    assert_eq!(gateway.roll.said(What::Lost), 0, "the new link was there before the old one was left");
    // The stream on the old link still runs, until the certificate that carried it ends.
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    assert!(gateway.sites.dial(&app(echo.at)).await.is_ok());
    drop(stream);
    outpost.leave().await;
}
