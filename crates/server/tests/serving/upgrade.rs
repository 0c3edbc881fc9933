//! A new process takes over: no request is lost, no verdict is lost, and two never write.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use safeconduct_model::Record;
use safeconduct_server::clock::Clock;
use safeconduct_server::{Start, take_over};
use safeconduct_store::Entries;

use crate::bench::{Client, DOMAIN, application, configured, edit, run, session};

/// How many clients ask at the same time.
const CLIENTS: usize = 8;
/// How often the process is replaced.
const UPGRADES: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_takes_over_under_load_without_a_lost_request() {
    let dir = configured("");
    let application = application().await;
    edit(dir.path(), "estate/surface.toml", |text| text.replace("127.0.0.1:8080", &application.to_string()));
    let cookie = session(dir.path()).await;
    let mut running = run(dir.path()).await;
    let (plain, over) = (running.plain.expect("configured"), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (cookie, over) = (format!("cookie: {cookie}\r\n"), Arc::clone(&over));
            tokio::spawn(async move {
                let (mut client, mut asked, host) = (Client::new(plain), 0_u32, format!("wiki.{DOMAIN}"));
                while !over.load(Ordering::Relaxed) {
                    let path = format!("/{n}/{asked}");
                    let mut answer = client.get(&host, &path, &cookie).await;
                    // A connection that rested may be closed at any time; what no byte came back for is asked once more.
                    if matches!(&answer, Err(why) if why == "no answer" || why.starts_with("not sent")) {
                        answer = client.get(&host, &path, &cookie).await;
                    }
                    assert_eq!(answer, Ok((200, path)), "client {n}, request {asked}");
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    for _ in 0..UPGRADES {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let old = tokio::spawn(async move {
            running.taken_over().await;
            running.stop().await
        });
        let https = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let start = Start { dir: dir.path().to_owned(), clock: Clock::system(), https };
        running = take_over(start).await.unwrap_or_else(|error| panic!("{error}"));
        old.await.expect("no panic").expect("it stopped in order");
        assert_eq!(running.plain, Some(plain), "the very socket");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    over.store(true, Ordering::Relaxed);
    let mut asked = 0;
    for client in clients {
        asked += client.await.expect("no request failed");
    }
    running.stop().await.expect("stopped");
    let (mut recorded, mut starts) = (0, 0);
    for line in Entries::from_seq(&dir.path().join("data/ledger"), 0).expect("readable") {
        match line.expect("the chain is whole").entry.record {
            Record::Access(_) => recorded += 1,
            Record::System(s) if s.event == "start" => starts += 1,
            Record::System(s) => assert!(!["repair", "alarm"].contains(&s.event.as_str()), "{}: {}", s.event, s.detail),
            _ => {}
        }
    }
    assert_eq!(starts, 1 + UPGRADES);
    assert!(recorded >= asked && asked > 0, "{asked} answers, {recorded} verdicts");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_and_recorded_and_holds_nobody_up() {
    let dir = configured("\n[limits]\nhand_over = \"200ms\"\ndrain = \"1h\"\n");
    let application = application().await;
    edit(dir.path(), "estate/surface.toml", |text| text.replace("127.0.0.1:8080", &application.to_string()));
    let cookie = format!("cookie: {}\r\n", session(dir.path()).await);
    let running = run(dir.path()).await;
    let (plain, host) = (running.plain.expect("configured"), format!("wiki.{DOMAIN}"));
    let hanging = {
        let (host, cookie) = (host.clone(), cookie.clone());
        tokio::spawn(async move { Client::new(plain).get(&host, "/hang", &cookie).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    let old = tokio::spawn(async move {
        running.taken_over().await;
        running.stop().await
    });
    let https = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let start = Start { dir: dir.path().to_owned(), clock: Clock::system(), https };
    let asked = std::time::Instant::now();
    let running = take_over(start).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(asked.elapsed() < Duration::from_secs(20), "an hour of drain does not count: {:?}", asked.elapsed());
    old.await.expect("no panic").expect("it stopped in order");
    let answer = hanging.await.expect("no panic");
    assert!(!matches!(answer, Ok((200, _))), "it was cut: {answer:?}");
    assert_eq!(Client::new(plain).get(&host, "/a", &cookie).await, Ok((200, "/a".to_owned())), "the session goes on");
    running.stop().await.expect("stopped");
    let entries = Entries::from_seq(&dir.path().join("data/ledger"), 0).expect("readable");
    let cut = |r: &Record| matches!(r, Record::Cut(c) if c.cause == safeconduct_model::CutCause::Shutdown);
    assert!(entries.filter_map(Result::ok).any(|l| cut(&l.entry.record)), "and its end is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_asks_nobody_to_go_and_without_an_old_process_it_just_starts() {
    let dir = configured("");
    let https = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let asked = || Start { dir: dir.path().to_owned(), clock: Clock::system(), https };
    let running = take_over(asked()).await.unwrap_or_else(|error| panic!("{error}"));
    edit(dir.path(), "estate/people.toml", |text| text + "\n[[person]]\nid = \"A\"\n");
    assert!(take_over(asked()).await.is_err());
    let left = tokio::time::timeout(Duration::from_millis(200), running.taken_over()).await;
    assert!(left.is_err(), "the old one serves on");
    running.stop().await.expect("stopped");
}
