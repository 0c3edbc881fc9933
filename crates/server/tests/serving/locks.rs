//! Locks on the running server: every kind of target, what survives, and how they end.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use safeconduct_access::{Sessions, TokenHash};
use safeconduct_authn::one_time::Token;
use safeconduct_config::{Config, Texts, starter};
use safeconduct_model::{Method, Record};
use safeconduct_server::{Running, SOCKET, clock};
use safeconduct_store::{Control, DocChange, Entries};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::bench::{Client, DOMAIN, application, configured, edit, run};

/// What the gateway says to a connection that is locked out.
const MESSAGE: &str = "Call 7-300.";

/// A folder with two people, a device, a grant, a site; and a session of each person on the wiki.
async fn folder(application: SocketAddr) -> tempfile::TempDir {
    let dir = configured("");
    let upstream = application.to_string();
    edit(dir.path(), "estate/surface.toml", |text| text.replace("127.0.0.1:8080", &upstream));
    edit(dir.path(), "estate/people.toml", |text| {
        text + "\n[[person]]\nid = \"ada\"\ngroups = [\"night\"]\n\n[[group]]\nid = \"night\"\nparents = [\"staff\"]\n"
    });
    fs::write(dir.path().join("estate/more.toml"), MORE.replace("UPSTREAM", &upstream)).expect("written");
    edit(dir.path(), "policies/wiki.cedar", |text| {
        text.replace("when { context.auth.mfa }", "when { !(context.path like \"/books*\") }") + BOOKS
    });
    edit(dir.path(), "estate/surface.toml", |text| text.replace("mode = \"observe\"", "mode = \"enforce\""));
    let config = Config::check(&Texts::from_files(starter(DOMAIN))).expect("the starter holds");
    let mut changes = vec![DocChange {
        kind: "device".to_owned(),
        id: "lt-1".to_owned(),
        body: Some(json!({
            "id": "lt-1", "name": "A laptop", "owner": "ada", "managed": true, "public_key": "none", "proof": "browser",
            "enrolled": clock::system(), "report": null,
        })),
    }];
    let mut sessions = Sessions::new(config.settings.lifetimes);
    for (id, person) in [("s1", "admin"), ("s2", "ada")] {
        let host = format!("wiki.{DOMAIN}").parse().expect("a host");
        let secret = TokenHash::of(token(person).reveal().as_bytes());
        let (methods, ip) = ([Method::Passkey].into(), IpAddr::from([127, 0, 0, 1]));
        let (id, person) = (id.parse().expect("an id"), person.parse().expect("an id"));
        let (session, _) =
            sessions.begin(id, person, methods, host, secret, ip, clock::system()).expect("there is room");
        let mut body = serde_json::to_value(&session).expect("JSON");
        if session.person.as_str() == "ada" {
            body["device"] = json!("lt-1");
        }
        changes.push(DocChange { kind: "session".to_owned(), id: session.id.to_string(), body: Some(body) });
    }
    fs::create_dir_all(dir.path().join("data")).expect("made");
    let control = Control::open(&dir.path().join("data/control.db")).await.expect("opened");
    control.append(None, &changes, clock::system()).await.expect("kept");
    control.close().await;
    dir
}

fn token(person: &str) -> Token {
    Token::from_random([person.len() as u8; 32])
}

/// What somebody gets from the wiki: the status, and the code of a refusal.
async fn asks(running: &Running, person: &str, path: &str) -> (u16, String) {
    let cookie = format!("cookie: {}={}\r\n", safeconduct_api::Cookie::SESSION, token(person).reveal());
    let fields = format!("{cookie}accept: application/json\r\nconnection: close\r\n");
    let plain = running.plain.expect("configured");
    let (status, body) = Client::new(plain).get(&format!("wiki.{DOMAIN}"), path, &fields).await.expect("an answer");
    let told: Value = serde_json::from_str(&body).unwrap_or_default();
    let code = told["error"]["code"].as_str().unwrap_or_default().to_owned();
    assert!(code != "locked" || body.contains(MESSAGE), "{body}");
    (status, code)
}

async fn passes(running: &Running, person: &str, path: &str) -> bool {
    asks(running, person, path).await.0 == 200
}

fn locked() -> (u16, String) {
    (403, "locked".to_owned())
}

/// Asks the local socket: the status and the JSON of the answer.
async fn local(dir: &Path, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let mut stream = UnixStream::connect(dir.join("data").join(SOCKET)).await.expect("the socket is there");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: local\r\nconnection: close\r\ncontent-type: application/json\r\n");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    (status, serde_json::from_str(body).unwrap_or_default())
}

async fn lock(dir: &Path, target: &Value, more: &[(&str, Value)]) -> (u16, Value) {
    let mut body = json!({ "target": target, "message": MESSAGE });
    for (key, value) in more {
        body[*key] = value.clone();
    }
    local(dir, "POST", "/api/v1/locks", &body).await
}

async fn lift(dir: &Path, lock: &Value) {
    let id = lock["id"].as_str().expect("an id");
    let (status, told) = local(dir, "POST", &format!("/api/v1/locks/{id}/lift"), &Value::Null).await;
    assert_eq!(status, 200, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_lock_denies_what_it_is_on_and_nothing_else_and_lifted_all_is_as_before() {
    let dir = folder(application().await).await;
    let running = run(dir.path()).await;
    let everything = [("admin", "/x"), ("ada", "/x"), ("ada", "/books")];
    for (target, denied) in [
        (json!({ "person": "ada" }), vec![1, 2]),
        (json!({ "group": "night" }), vec![1, 2]),
        (json!({ "device": "lt-1" }), vec![1, 2]),
        (json!({ "session": "s2" }), vec![1, 2]),
        (json!({ "grant": "books" }), vec![2]),
        (json!({ "application": "wiki" }), vec![0, 1, 2]),
        (json!({ "workload": "robot" }), vec![]),
        (json!({ "site": "berlin" }), vec![]),
    ] {
        for (who, path) in everything {
            assert!(passes(&running, who, path).await, "before {target}: {who} {path}");
        }
        let (status, placed) = lock(dir.path(), &target, &[]).await;
        assert_eq!((status, &placed["target"], placed["by"].as_str()), (201, &target, Some("cli")), "{placed}");
        for (n, (who, path)) in everything.into_iter().enumerate() {
            let got = asks(&running, who, path).await;
            assert_eq!(got == locked(), denied.contains(&n), "{target}: {who} {path} got {got:?}");
            assert!(got.0 == 200 || got == locked(), "{target}: {who} {path} got {got:?}");
        }
        lift(dir.path(), &placed).await;
    }
    // The application behind the site is not dialled; without the lock it would be.
    let away = (503, "connector_unavailable".to_owned());
    edit(dir.path(), "estate/surface.toml", |text| {
        text.replace("hosts = [\"wiki", "connector = \"berlin\"\nhosts = [\"wiki")
    });
    running.reload().await.unwrap_or_else(|faults| panic!("{}", faults[0]));
    assert_eq!(asks(&running, "ada", "/x").await, away);
    let (_, placed) = lock(dir.path(), &json!({ "site": "berlin" }), &[]).await;
    assert_eq!(asks(&running, "ada", "/x").await, locked());
    lift(dir.path(), &placed).await;
    assert_eq!(asks(&running, "ada", "/x").await, away);
    running.stop().await.expect("stopped");

    let entries = Entries::from_seq(&dir.path().join("data/ledger"), 0).expect("readable");
    let changes: Vec<_> = entries
        .filter_map(|line| match line.expect("whole").entry.record {
            Record::Change(c) if c.verb.starts_with("lock.") => Some(c),
            _ => None,
        })
        .collect();
    assert_eq!(changes.len(), 18, "each placing and each lifting is recorded");
    assert_eq!((changes[0].by.as_str(), changes[0].object.as_str()), ("cli", "person ada"));
    assert!(
        changes[0].detail.contains(MESSAGE) && changes[0].detail.contains("until it is lifted"),
        "{:?}",
        changes[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_survives_reload_publication_and_restart_and_the_session_survives_the_lock() {
    let dir = folder(application().await).await;
    let first = run(dir.path()).await;
    let (_, placed) = lock(dir.path(), &json!({ "person": "ada" }), &[]).await;
    assert_eq!(asks(&first, "ada", "/x").await, locked());
    edit(dir.path(), "policies/wiki.cedar", |text| {
        text + "\n@id(\"all\") permit(principal, action, resource == Application::\"wiki\");\n"
    });
    edit(dir.path(), "estate/people.toml", |text| text + "\n[[person]]\nid = \"eve\"\n");
    first.reload().await.unwrap_or_else(|faults| panic!("{}", faults[0]));
    assert!(first.house.current().snapshot.rules().iter().any(|r| r.id.as_str() == "all"));
    assert_eq!(asks(&first, "ada", "/x").await, locked(), "no rule permits around a lock");
    first.stop().await.expect("stopped");

    let second = run(dir.path()).await;
    assert_eq!(asks(&second, "ada", "/x").await, locked());
    assert!(passes(&second, "admin", "/x").await);
    let (_, all) = local(dir.path(), "GET", "/api/v1/locks", &Value::Null).await;
    assert_eq!(all, json!([placed]));
    lift(dir.path(), &placed).await;
    assert!(passes(&second, "ada", "/x").await, "in the session that she had");
    second.stop().await.expect("stopped");
    let third = run(dir.path()).await;
    assert!(passes(&third, "ada", "/x").await, "lifted is lifted after a restart too");
    third.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_with_its_time_and_two_locks_are_two() {
    let dir = folder(application().await).await;
    let running = run(dir.path()).await;
    let (_, short) = lock(dir.path(), &json!({ "person": "ada" }), &[("seconds", json!(1))]).await;
    let (_, other) = lock(dir.path(), &json!({ "group": "night" }), &[]).await;
    lift(dir.path(), &other).await;
    assert_eq!(asks(&running, "ada", "/x").await, locked(), "the other lock was lifted, this one holds");
    let until = short["until"].as_i64().expect("an end");
    while clock::system().millis() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(passes(&running, "ada", "/x").await);
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_force_is_needed_to_shut_out_the_last_operator() {
    let dir = folder(application().await).await;
    let running = run(dir.path()).await;
    for (target, words) in [
        (json!({ "person": "adda" }), "no person adda is known here"),
        (json!({ "application": "wikki" }), "no application wikki"),
        (json!({ "connector": { "site": "berlin", "name": "rack" } }), "no connector berlin/rack"),
        (json!({ "person": "admin" }), "nobody who can operate the console"),
        (json!({ "group": "operators" }), "nobody who can operate the console"),
        (json!({ "group": "staff" }), "nobody who can operate the console"),
        (json!({ "application": "safeconduct" }), "nobody who can operate the console"),
    ] {
        let (status, told) = lock(dir.path(), &target, &[]).await;
        let told = told["error"]["words"].as_str().unwrap_or_default();
        assert!(status == 422 && told.contains(words) && told.contains("--force"), "{target}: {status} {told}");
    }
    let (status, _) = lock(dir.path(), &json!({ "person": "ada" }), &[("seconds", json!(0))]).await;
    assert_eq!(status, 422);
    let (_, none) = local(dir.path(), "GET", "/api/v1/locks", &Value::Null).await;
    assert_eq!(none, json!([]), "what was refused was not placed");
    let (status, _) = local(dir.path(), "POST", "/api/v1/locks/0a1b/lift", &Value::Null).await;
    assert_eq!(status, 404);
    assert!(passes(&running, "admin", "/x").await);
    let (status, placed) = lock(dir.path(), &json!({ "person": "admin" }), &[("force", json!(true))]).await;
    assert_eq!(status, 201);
    assert_eq!(asks(&running, "admin", "/x").await, locked());
    lift(dir.path(), &placed).await;
    assert!(passes(&running, "admin", "/x").await);
    running.stop().await.expect("stopped");
}

const MORE: &str = r#"[[site]]
id = "berlin"
special = ["UPSTREAM"]

[[grant]]
id = "books"
person = "ada"
application = "wiki"
purpose = "audit"
from = 2020-01-01T00:00:00Z
until = 2090-01-01T00:00:00Z
by = "admin"
"#;

const BOOKS: &str = r#"
@id("wiki-books")
@owner("admin")
@why("Audit")
permit(principal in Group::"staff", action, resource == Application::"wiki")
when { context.path like "/books*" && context.granted };
"#;
