//! A reload loses no request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::bench::{Client, DOMAIN, application, configured, edit, run, session};

/// How many clients ask at the same time.
const CLIENTS: usize = 8;
/// How often the files change meanwhile.
const EDITS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_reloads_under_load_lose_no_request_and_no_connection() {
    let dir = configured("");
    let application = application().await;
    edit(dir.path(), "estate/surface.toml", |text| text.replace("127.0.0.1:8080", &application.to_string()));
    let cookie = session(dir.path()).await;
    let running = run(dir.path()).await;
    let (plain, over) = (running.plain.expect("configured"), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (cookie, over) = (format!("cookie: {cookie}\r\n"), Arc::clone(&over));
            tokio::spawn(async move {
                let (mut client, mut asked) = (Client::new(plain), 0_u32);
                while !over.load(Ordering::Relaxed) {
                    let path = format!("/{n}/{asked}");
                    let answer = client.get(&format!("wiki.{DOMAIN}"), &path, &cookie).await;
                    assert_eq!(answer, Ok((200, path)), "client {n}, request {asked}");
                    asked += 1;
                }
                (asked, client.opened)
            })
        })
        .collect();
    for n in 0..EDITS {
        // One file of each kind in turn: policies, estate, and the main file.
        match n % 3 {
            0 => edit(dir.path(), "policies/wiki.cedar", |text| text + &format!("// edit {n}\n")),
            1 => edit(dir.path(), "estate/people.toml", |text| {
                text + &format!("\n[[person]]\nid = \"person{n}\"\ngroups = [\"staff\"]\n")
            }),
            _ => edit(dir.path(), "safeconduct.toml", |text| {
                text.replace("purposes = [", &format!("purposes = [\"p{n}\", "))
            }),
        }
        let revision = running.reload().await.unwrap_or_else(|faults| panic!("{}", faults[0]));
        assert!(revision.is_some() || running.house.current().snapshot.revision() > n as u64, "edit {n} was taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut asked = 0;
    for client in clients {
        let (requests, opened) = client.await.expect("no request failed");
        assert_eq!(opened, 1, "the connection was kept");
        asked += requests;
    }
    assert_eq!(running.house.current().snapshot.revision(), 1 + EDITS as u64);
    assert!(asked as usize > CLIENTS * EDITS, "there was load: {asked} requests");
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_limits_count_without_a_restart_and_on_connections_that_are_open() {
    let dir = configured("\n[limits]\ntarget_bytes = 64\nlease_tick = \"1s\"\n");
    let application = application().await;
    edit(dir.path(), "estate/surface.toml", |text| text.replace("127.0.0.1:8080", &application.to_string()));
    let cookie = format!("cookie: {}\r\n", session(dir.path()).await);
    let running = run(dir.path()).await;
    let (plain, host) = (running.plain.expect("configured"), format!("wiki.{DOMAIN}"));
    let long = format!("/{}", "a".repeat(100));
    let refused = Client::new(plain).get(&host, &long, &cookie).await;
    assert!(matches!(refused, Ok((414, _))), "{refused:?}");
    let mut kept = Client::new(plain);
    assert_eq!(kept.get(&host, "/a", &cookie).await, Ok((200, "/a".to_owned())));
    edit(dir.path(), "safeconduct.toml", |text| text.replace("target_bytes = 64", "target_bytes = 4096"));
    running.reload().await.unwrap_or_else(|faults| panic!("{}", faults[0]));
    assert_eq!(kept.get(&host, &long, &cookie).await, Ok((200, long.clone())), "on the connection that is open");
    edit(dir.path(), "safeconduct.toml", |text| {
        text.replace("target_bytes = 4096", "target_bytes = 64\nbacklog = 512")
    });
    running.reload().await.unwrap_or_else(|faults| panic!("{}", faults[0]));
    assert!(matches!(kept.get(&host, &long, &cookie).await, Ok((414, _))));
    running.stop().await.expect("stopped");
}
