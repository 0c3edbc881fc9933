//! What does not open, and what is told and recorded then.

use p256::ecdsa::SigningKey;
use serde_json::Value;

use crate::stage::{Page, Proof, Stage, stage};

const DB: &str = "db.harbour.localhost";

/// Asks for a tunnel over a WebSocket, by hand.
fn ask(stage: &Stage, host: &str, authorization: Option<&str>, proof: Option<&str>, cookie: Option<&str>) -> Page {
    let mut fields = vec![
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    fields.extend(authorization.map(|a| ("authorization", a)));
    fields.extend(proof.map(|p| ("dpop", p)));
    fields.extend(cookie.map(|c| ("cookie", c)));
    stage.ask(host, "GET", "/.safeconduct/tunnel", &fields, "")
}

fn uri(stage: &Stage, host: &str) -> String {
    format!("https://{host}:{}/.safeconduct/tunnel", stage.server.port)
}

#[test]
fn nt_17_nt_24_a_token_counts_beside_a_new_proof_of_its_key_for_this_host_alone() {
    let Some(stage) = stage() else { return };
    let (ada, cookie) = stage.signed_in("ada");
    let (mira, _) = stage.signed_in("mira");
    let (key, other) = (ada.key(), SigningKey::from_slice(&[7; 32]).unwrap());
    let token = ada.tokens()["access_token"].as_str().unwrap().to_owned();
    let refresh = ada.tokens()["refresh_token"].as_str().unwrap().to_owned();
    let hers = mira.tokens()["access_token"].as_str().unwrap().to_owned();
    let secret = cookie.split_once('=').unwrap().1.to_owned();
    let good =
        |jti: &'static str| Proof { key: &key, method: "GET", uri: uri(&stage, DB), token: Some(&token), jti, age: 0 };
    let denied = |what: &str, page: &Page, code: &str| {
        assert_eq!(page.status, 401, "{what}: {page:?}");
        assert_eq!(page.json()["error"]["code"], "sign_in_required", "{what}");
        assert!(page.header("www-authenticate").unwrap().starts_with("DPoP "), "{what}");
        assert!(!page.body.contains(&token) && !page.body.contains("proof"), "{what}: {}", page.body);
        let request = page.header("x-request-id").unwrap();
        let records = stage.records(request);
        let details: Vec<&Value> = records.iter().map(|r| &r["detail"]).collect();
        assert!(details.iter().any(|d| **d == code), "{what}: {records:?}");
    };
    let dpop = format!("DPoP {token}");
    let with = |proof: Proof<'_>| ask(&stage, DB, Some(&dpop), Some(&proof.text()), None);
    denied("another key", &with(Proof { key: &other, ..good("a") }), "token_of_another_key");
    denied("an old proof", &with(Proof { age: 61, ..good("b") }), "proof_time");
    denied("a proof from the future", &with(Proof { age: -90, ..good("c") }), "proof_time");
    denied(
        "a proof for another host",
        &with(Proof { uri: uri(&stage, "queue.harbour.localhost"), ..good("d") }),
        "proof_uri",
    );
    denied(
        "a proof for the portal",
        &with(Proof { uri: format!("{}/oauth/token", stage.portal()), ..good("e") }),
        "proof_uri",
    );
    denied("a proof for another method", &with(Proof { method: "CONNECT", ..good("f") }), "proof_method");
    denied("a proof without the token", &with(Proof { token: None, ..good("g") }), "proof_token");
    denied("no proof", &ask(&stage, DB, Some(&dpop), None, None), "no_proof");
    denied("a bearer", &ask(&stage, DB, Some(&format!("Bearer {token}")), Some(&good("h").text()), None), "not_dpop");
    for (what, foreign) in
        [("the token of another person", &hers), ("a refresh token", &refresh), ("a cookie", &secret)]
    {
        let code = if foreign == &hers { "token_of_another_key" } else { "token_unknown" };
        let proof = Proof { token: Some(foreign), ..good(what) }.text();
        denied(what, &ask(&stage, DB, Some(&format!("DPoP {foreign}")), Some(&proof), None), code);
    }
    // A cookie opens no tunnel, whoever sends it: a page in a browser could.
    let page = ask(&stage, DB, None, None, Some(&cookie));
    assert_eq!((page.status, page.json()["error"]["code"].as_str()), (401, Some("sign_in_required")), "{page:?}");
    let records = stage.records(page.header("x-request-id").unwrap());
    assert_eq!(records[0]["kind"], "access", "{records:?}");
    // The good one opens, once.
    let proof = good("the-good-one").text();
    let mut stream = stage.tls(DB);
    let head = format!(
        "GET /.safeconduct/tunnel HTTP/1.1\r\nhost: {DB}:{}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: {dpop}\r\ndpop: {proof}\r\n\r\n",
        stage.server.port
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 101");
    denied("a replay", &ask(&stage, DB, Some(&dpop), Some(&proof), None), "proof_replayed");
    // An ended session ends what rests on it, and its token counts no more.
    let id = ada.tokens()["session"].as_str().unwrap().to_owned();
    stage.server.command(&["watch", "cut", &id]).unwrap();
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
    assert!(rest.windows(12).any(|w| w == b"access ended"), "{rest:?}");
    denied("the token of an ended session", &with(good("z")), "token_unknown");
    drop(stream);
    stage.server.ends_well().unwrap();
}

#[test]
fn over_http_there_is_nothing_and_what_is_no_tunnel_is_nowhere() {
    let Some(stage) = stage() else { return };
    let bare = |page: &Page| {
        let mut told = page.json();
        told["error"]["request"] = Value::Null;
        (page.status, told)
    };
    // The portal's host with an unknown path tells what is there; the host of a tunnel tells what an unknown host tells.
    for path in ["/", "/anything", "/.safeconduct/arrive?to=/", "/.safeconduct/assets/console.css"] {
        let page = stage.ask(DB, "GET", path, &[("accept", "text/html")], "");
        let (status, told) = bare(&page);
        assert_eq!((status, told["error"]["code"].as_str()), (404, Some("unknown_application")), "{path}: {page:?}");
        // Without the number of the request, which has these letters every now and then.
        let words = told.to_string();
        assert!(!words.contains("Database") && !words.contains("db"), "{}", page.body);
    }
    // An application over HTTP has no tunnel.
    let page = ask(&stage, "board.harbour.localhost", None, None, None);
    assert_eq!(page.status, 404, "{page:?}");
    stage.server.ends_well().unwrap();
}

#[test]
fn a_denial_is_told_in_words_with_its_number_and_a_purpose_opens() {
    let Some(stage) = stage() else { return };
    let (ada, _) = stage.signed_in("ada");
    for carrier in ["auto", "websocket"] {
        let output = ada.run(&["connect", "vault", "--carrier", carrier], b"hello");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{told}");
        assert!(told.contains("would help: say what it is for, with --purpose audit"), "{told}");
        let request = told.lines().find_map(|l| l.trim().strip_prefix("request ")).unwrap();
        let records = stage.records(request);
        assert_eq!(
            (records[0]["verdict"].as_str(), records[0]["ask"]["what"]["method"].as_str()),
            (Some("deny"), Some("CONNECT"))
        );
        assert_eq!(records[0]["ask"]["who"]["principal"]["person"], "ada", "{records:?}");
    }
    let wrong = ada.run(&["connect", "vault", "--purpose", "curiosity"], b"");
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("audit, support"), "{wrong:?}");
    let output = ada.run(&["connect", "vault", "--purpose", "audit"], b"hello");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\nthat was 5\n", "{output:?}");
    let unknown = ada.run(&["connect", "nothing"], b"");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("db, queue, vault"), "{unknown:?}");
    let nobody = stage.terminal("nobody").run(&["connect", "db"], b"");
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("safeconduct login --portal"), "{nobody:?}");
    stage.server.ends_well().unwrap();
}
