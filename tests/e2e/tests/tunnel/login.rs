//! Signing in: by a code, through a browser on the same machine, and out again.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::stage::{Stage, stage};

const PORTAL: &str = "portal.harbour.localhost";

#[test]
fn the_page_says_which_machine_asks_and_no_is_no() {
    let Some(stage) = stage() else { return };
    let (cookie, terminal) = (stage.sign_in("ada"), stage.terminal("ada's laptop"));
    let mut login = stage.login(&terminal);
    let code = login.line(|l| Some(l.trim().to_owned()).filter(|c| c.len() == 9 && c.contains('-')));
    let nobody = stage.ask(PORTAL, "GET", &format!("/activate?user_code={code}"), &[], "");
    assert!(nobody.status == 303 && nobody.header("location").unwrap().starts_with("/sign-in?return="), "{nobody:?}");
    let (asked, done) = stage.answer_code(&cookie, &code.to_lowercase().replace('-', ""), "no");
    assert!(asked.body.contains("ada&#39;s laptop") || asked.body.contains("ada's laptop"), "{}", asked.body);
    assert!(asked.body.contains("127.0.0.1") && asked.body.contains("the address of this browser"), "{}", asked.body);
    assert_eq!(done.header("location"), Some("/activate?answered=no"));
    let output = login.end();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("The person said no"), "{output:?}");
    // The code is gone, and so is one that nobody made.
    for code in [code.as_str(), "BCDF-GHJK"] {
        let page = stage.ask(PORTAL, "GET", &format!("/activate?user_code={code}"), &[("cookie", &cookie)], "");
        assert_eq!(page.status, 422, "{}", page.body);
    }
    // A form without the token of the session changes nothing.
    let forged = stage.ask(PORTAL, "POST", "/activate", &[("cookie", &cookie)], "user_code=BCDF-GHJK&answer=yes");
    assert_eq!(forged.status, 403);
    stage.server.ends_well().unwrap();
}

#[test]
fn the_code_may_be_guessed_only_a_few_times() {
    let Some(stage) = stage() else { return };
    let cookie = stage.sign_in("ada");
    let statuses: Vec<u16> = (0..25)
        .map(|_| stage.ask(PORTAL, "GET", "/activate?user_code=BCDF-GHJK", &[("cookie", &cookie)], "").status)
        .collect();
    assert_eq!(statuses.iter().filter(|s| **s == 422).count(), 20, "{statuses:?}");
    assert!(statuses.ends_with(&[429, 429, 429, 429, 429]), "{statuses:?}");
    stage.server.ends_well().unwrap();
}

/// A stand-in for a browser: it keeps the address that it is to open.
fn browser(stage: &Stage) -> (std::path::PathBuf, std::path::PathBuf) {
    let folder = stage.server.config().join("data");
    let (script, kept) = (folder.join("browser.sh"), folder.join("opened"));
    fs::write(&script, format!("#!/bin/sh\necho \"$1\" > '{0}.part' && mv '{0}.part' '{0}'\n", kept.display()))
        .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    (script, kept)
}

fn opened(kept: &std::path::Path) -> String {
    for _ in 0..300 {
        if let Ok(text) = fs::read_to_string(kept) {
            return text.trim().to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("no browser was opened");
}

#[test]
fn the_browser_of_the_same_machine_brings_the_code_back() {
    let Some(stage) = stage() else { return };
    let (cookie, terminal) = (stage.sign_in("ada"), stage.terminal("laptop"));
    let (script, kept) = browser(&stage);
    let (portal, ca) = (stage.portal(), stage.ca());
    let arguments = ["login", "--portal", &portal, "--ca", ca.to_str().unwrap(), "--name", "laptop"];
    let child = terminal.command(&arguments).env("BROWSER", &script).spawn().unwrap();
    let address = opened(&kept);
    let path = address.strip_prefix(&portal).unwrap();
    let asked = stage.ask(PORTAL, "GET", path, &[("cookie", &cookie)], "");
    assert!(asked.status == 200 && asked.body.contains("laptop"), "{asked:?}");
    let query = path.split_once('?').unwrap().1;
    let body = format!("{query}&csrf={}&answer=yes", asked.csrf());
    let done = stage.ask(PORTAL, "POST", "/oauth/authorize", &[("cookie", &cookie)], &body);
    let back =
        done.body.split_once("href=\"http://127.0.0.1:").map(|(_, rest)| rest).unwrap_or_else(|| panic!("{done:?}"));
    let back = back.split_once('"').unwrap().0.replace("&amp;", "&");
    let (port, path) = back.split_once('/').unwrap();
    // A page that guesses the port, without the state, is told nothing and changes nothing.
    for (target, status) in [("/?code=x&state=y".to_owned(), "404"), (format!("/{path}"), "200")] {
        let mut stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Ada Lindqvist at https://portal."), "{output:?}");
    // A program that wants the code somewhere else gets a page, and no code.
    let elsewhere = address.replace("http%3A%2F%2F127.0.0.1%3A", "https%3A%2F%2Fevil.example%3A");
    let page = stage.ask(PORTAL, "GET", elsewhere.strip_prefix(&portal).unwrap(), &[("cookie", &cookie)], "");
    assert!(page.status == 403 && page.body.contains("asked wrongly"), "{page:?}");
    stage.server.ends_well().unwrap();
}

#[test]
fn tokens_are_refreshed_shown_among_my_sessions_and_ended_there() {
    let Some(stage) = stage() else { return };
    let (ada, cookie) = stage.signed_in("ada");
    let first = ada.tokens();
    let mut old = first.clone();
    old["access_until"] = serde_json::json!(0);
    ada.keep_tokens(&old);
    let status = ada.run(&["login", "--status"], b"");
    assert!(status.status.success() && String::from_utf8_lossy(&status.stdout).contains("db"), "{status:?}");
    let second = ada.tokens();
    assert!(second["access_token"] != first["access_token"] && second["refresh_token"] != first["refresh_token"]);
    assert_eq!(second["session"], first["session"]);
    // The person sees the command line among the sessions, and ends it.
    let home = stage.ask(PORTAL, "GET", "/", &[("cookie", &cookie)], "");
    assert!(home.body.contains("The command line on ada"), "{}", home.body);
    let path = format!("/me/sessions/{}/end", second["session"].as_str().unwrap());
    let ended = stage.ask(PORTAL, "POST", &path, &[("cookie", &cookie)], &format!("csrf={}", home.csrf()));
    assert_eq!(ended.status, 303, "{ended:?}");
    for arguments in [&["login", "--status"][..], &["connect", "db"]] {
        let output = ada.run(arguments, b"");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("not signed in") && told.contains("safeconduct login --portal https://portal."),
            "{told}"
        );
    }
    stage.server.ends_well().unwrap();
}

#[test]
fn signing_out_ends_the_session_and_forgets_the_key() {
    let Some(stage) = stage() else { return };
    let (ada, _) = stage.signed_in("ada");
    let sessions = stage.server.command(&["watch", "sessions", "--json"]).unwrap();
    let id = ada.tokens()["session"].as_str().unwrap().to_owned();
    assert!(sessions.contains(&id));
    for entry in fs::read_dir(ada.home().join("safeconduct")).unwrap().flatten().filter(|e| e.path().is_dir()) {
        for file in fs::read_dir(entry.path()).unwrap().flatten() {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
        }
    }
    let out = ada.run(&["login", "--out"], b"");
    assert!(out.status.success(), "{out:?}");
    assert!(!stage.server.command(&["watch", "sessions", "--json"]).unwrap().contains(&id));
    assert_eq!(ada.run(&["login", "--status"], b"").status.code(), Some(1));
    stage.server.ends_well().unwrap();
}
