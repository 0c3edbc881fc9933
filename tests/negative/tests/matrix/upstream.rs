//! NT-10, NT-66 and the pools: applications that answer wrongly. What one of them says never reaches another request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{Heard, House, Step, host, tests};

pub(crate) const TESTS: &[Test] = tests![
    nt_10_an_answer_with_two_framings_is_none,
    nt_10_what_follows_an_answer_never_reaches_the_next_request,
    nt_10_an_answer_that_breaks_off_is_not_completed,
    nt_10_a_change_of_protocol_that_nobody_asked_for_is_a_bad_gateway,
    nt_66_no_byte_of_the_client_is_tunnelled_before_the_agreement,
    nt_66_bytes_that_came_early_follow_the_agreement,
    nt_10_an_early_answer_leaves_no_body_for_the_next_request,
    nt_10_a_head_without_end_is_a_bad_gateway,
    nt_10_a_connection_that_carries_a_login_belongs_to_one_person,
    nt_10_an_answer_says_nothing_in_our_name,
];

/// One test at a time disturbs the application, so that each finds the pools as it left them.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks as a person for a path that the application answers with these steps.
fn answered(house: &House, person: &str, steps: &[Step]) -> Result<(Heard, String)> {
    let mark = house.mark("wild");
    let path = format!("/{mark}");
    if !steps.is_empty() {
        house.wild.answer(&path, steps.to_vec());
    }
    let (host, cookie) = (host("wild"), house.cookie(person, "wild"));
    let raw = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close\r\n\r\n");
    Ok((house.say("wild", raw)?.0, mark))
}

/// Checks that ordinary requests of somebody else get their own answers.
fn others_get_their_own(house: &House, poison: &str) -> Result<()> {
    for _ in 0..6 {
        let (heard, mark) = answered(house, "bob", &[])?;
        ensure!(heard.statuses() == [200], "{heard:?}");
        ensure!(heard.body().contains(&format!("ok /{mark} ")), "another answer: {heard:?}");
        ensure!(!heard.text.contains(poison), "the answer of another request: {heard:?}");
    }
    Ok(())
}

fn nt_10_an_answer_with_two_framings_is_none(house: &House) -> Result<()> {
    let _alone = alone();
    for head in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        "content-length: 6\r\ncontent-length: 7\r\n",
        "content-length: 6, 7\r\n",
        "content-length: +6\r\n",
        "content-length: -6\r\n",
        "content-length: 0x6\r\n",
        "content-length: six\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding : chunked\r\n",
        "content-length : 6\r\n",
        "x-a: b\r\n content-length: 6\r\n",
    ] {
        let poison = house.mark("poison");
        let body = format!("0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{poison}", poison.len());
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}");
        // Without a framing of its own, an answer goes on until its connection ends.
        let close = if head.contains("gzip") || head.contains("identity") { Step::Close } else { Step::Body };
        let (heard, _) =
            answered(house, "ada", &[Step::Say(answer.into_bytes()), Step::Pause(Duration::from_millis(50)), close])?;
        let told = || format!("{}: {heard:?}", head.escape_debug());
        // Either it is refused, or what the client gets has one framing and ends there.
        ensure!(heard.closed && heard.statuses().len() <= 2, "{}", told());
        let refused = heard.status() == 502 || heard.text.is_empty();
        if !refused {
            let lower = heard.text.to_ascii_lowercase();
            let (head, _) = lower.split_once("\r\n\r\n").with_context(told)?;
            let count =
                |name: &str| head.lines().filter(|l| l.split(':').next().is_some_and(|n| n.trim() == name)).count();
            ensure!(count("content-length") + count("transfer-encoding") <= 1, "{}", told());
        }
        others_get_their_own(house, &poison).with_context(told)?;
    }
    Ok(())
}

fn nt_10_what_follows_an_answer_never_reaches_the_next_request(house: &House) -> Result<()> {
    let _alone = alone();
    for pause in [0, 5, 60] {
        for first in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ] {
            let poison = house.mark("poison");
            let second = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{poison}", poison.len());
            let steps = [Step::say(first), Step::Pause(Duration::from_millis(pause)), Step::Say(second.into_bytes())];
            let (heard, _) = answered(house, "ada", &steps)?;
            ensure!(!heard.text.contains(&poison), "after {pause} ms: {heard:?}");
            // What comes while nothing is asked is no answer. (What comes after the next question cannot be told from one.)
            std::thread::sleep(Duration::from_millis(pause + 40));
            others_get_their_own(house, &poison).with_context(|| format!("after {pause} ms: {first}"))?;
        }
    }
    Ok(())
}

fn nt_10_an_answer_that_breaks_off_is_not_completed(house: &House) -> Result<()> {
    let _alone = alone();
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhalf\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalfX0\r\n\r\n",
    ] {
        let (heard, _) = answered(house, "ada", &[Step::say(answer), Step::Close])?;
        let told = || format!("{}: {heard:?}", answer.escape_debug());
        ensure!(heard.closed, "{}", told());
        let complete = crate::answers::whole(&heard.text);
        ensure!(heard.status() == 502 || !complete, "a broken answer looks whole: {}", told());
        others_get_their_own(house, "half").with_context(told)?;
    }
    Ok(())
}

fn nt_10_a_change_of_protocol_that_nobody_asked_for_is_a_bad_gateway(house: &House) -> Result<()> {
    let _alone = alone();
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\npoisoned tunnel";
    let (heard, _) = answered(house, "ada", &[Step::say(agreed)])?;
    ensure!(heard.status() == 502 && !heard.text.contains("poisoned"), "{heard:?}");
    others_get_their_own(house, "poisoned")?;
    // Asked for a WebSocket, answered with something else.
    for other in ["h2c", "foo", "websocket, foo", ""] {
        let mark = house.mark("other");
        let answer =
            format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {other}\r\n\r\npoisoned");
        house.wild.answer(&format!("/{mark}"), vec![Step::Say(answer.into_bytes())]);
        let mut visit = house.open("wild")?;
        visit.send(websocket(house, &mark, ""))?;
        let heard = visit.listen_until(Duration::from_secs(5), crate::answers::whole);
        ensure!(heard.status() == 502 && !heard.text.contains("poisoned"), "{other}: {heard:?}");
        others_get_their_own(house, "poisoned")?;
    }
    Ok(())
}

/// A request for a WebSocket with bytes behind it.
fn websocket(house: &House, mark: &str, behind: &str) -> String {
    let (host, cookie) = (host("wild"), house.ada("wild"));
    format!(
        "GET /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n{behind}"
    )
}

fn nt_66_no_byte_of_the_client_is_tunnelled_before_the_agreement(house: &House) -> Result<()> {
    let _alone = alone();
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (mark, inner) = (house.mark("before"), house.mark("inner"));
        let steps = vec![Step::Pause(Duration::from_millis(400)), Step::say(answer)];
        house.wild.answer(&format!("/{mark}"), steps);
        let (host, cookie) = (host("wild"), house.ada("wild"));
        let behind = format!("GET /admin/{inner} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close\r\n\r\n");
        let (heard, from) = house.say("wild", websocket(house, &mark, &behind))?;
        ensure!(heard.statuses().last() == Some(&403) && heard.statuses().len() == 2, "{heard:?}");
        house.unheard(&inner)?;
        ensure!(house.ledger.from(from, 2)?.len() == 2, "the request behind it got a decision of its own");
    }
    Ok(())
}

fn nt_66_bytes_that_came_early_follow_the_agreement(house: &House) -> Result<()> {
    let _alone = alone();
    let (mark, inner) = (house.mark("agrees"), house.mark("early"));
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-accept: x\r\n\r\n\x01";
    let steps = vec![
        Step::Pause(Duration::from_millis(300)),
        Step::say(agreed),
        Step::Pause(Duration::from_millis(600)),
        Step::Close,
    ];
    house.wild.answer(&format!("/{mark}"), steps);
    let mut visit = house.open("wild")?;
    visit.send(websocket(house, &mark, &inner))?;
    std::thread::sleep(Duration::from_millis(150));
    ensure!(!house.tap("wild").heard(&inner), "a byte was tunnelled before the agreement");
    let heard = visit.listen();
    ensure!(heard.text.starts_with("HTTP/1.1 101") && heard.text.ends_with('\x01'), "{heard:?}");
    let bytes = house.tap("wild").connections().into_iter().map(|b| String::from_utf8_lossy(&b).into_owned());
    let of = bytes.into_iter().find(|b| b.contains(&mark)).context("the upgrade reached the application")?;
    let behind = of.split_once(&mark).and_then(|(_, rest)| rest.split_once("\r\n\r\n")).map(|(_, b)| b);
    ensure!(behind == Some(&inner), "the early bytes follow the head, and nothing else does: {behind:?}");
    Ok(())
}

fn nt_10_an_early_answer_leaves_no_body_for_the_next_request(house: &House) -> Result<()> {
    let _alone = alone();
    for answer in [
        "HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let (mark, inner) = (house.mark("early"), house.mark("inner"));
        house.wild.answer(&format!("/{mark}"), vec![Step::say(answer)]);
        let (host, cookie) = (host("wild"), house.ada("wild"));
        let smuggled = format!("GET /{inner} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let head =
            format!("POST /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}content-length: {}\r\n\r\n", smuggled.len());
        let mut visit = house.open("wild")?;
        visit.send(head)?;
        let first = visit.listen_until(Duration::from_secs(5), crate::answers::whole);
        ensure!(first.statuses().len() == 1, "{first:?}");
        let _ = visit.send(&smuggled);
        let rest = visit.listen_for(Duration::from_secs(2));
        ensure!(rest.statuses().is_empty(), "the rest of the body was answered: {rest:?}");
        let targets = house.tap("wild").requests(&inner);
        // If the body went on, then as a body; the connection is not used again either way.
        for request in targets.unwrap_or_default() {
            ensure!(!request.target.contains(&inner), "the body became a request: {request:?}");
        }
        ensure!(house.ledger.from(visit.from, 1)?.len() == 1, "the body was decided on");
        others_get_their_own(house, &inner)?;
    }
    Ok(())
}

fn nt_10_a_head_without_end_is_a_bad_gateway(house: &House) -> Result<()> {
    let _alone = alone();
    let long = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: b\r\n".repeat(5_000));
    for answer in [
        &long,
        &many,
        "HTTP/1.1 200 OK\r\nx",
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "",
        "HTTP/1.1 99 X\r\n\r\n",
    ] {
        let (heard, _) = answered(house, "ada", &[Step::say(answer), Step::Close])?;
        ensure!(heard.status() == 502, "{}: {heard:?}", answer[..answer.len().min(40)].escape_debug());
        others_get_their_own(house, "SSH-2.0")?;
    }
    Ok(())
}

fn nt_10_a_connection_that_carries_a_login_belongs_to_one_person(house: &House) -> Result<()> {
    let _alone = alone();
    for scheme in ["NTLM", "Negotiate", "ntlm", "NEGOTIATE"] {
        // The application asks, Ada proves herself on this very connection, and it goes on as hers.
        let asks = format!("HTTP/1.1 401 Unauthorized\r\nwww-authenticate: {scheme}\r\ncontent-length: 0\r\n\r\n");
        let (heard, challenged) = answered(house, "ada", &[Step::Say(asks.into_bytes())])?;
        ensure!(heard.status() == 401, "{heard:?}");
        let proves = house.mark("proves");
        let (host, cookie) = (host("wild"), house.ada("wild"));
        let raw = format!(
            "GET /{proves} HTTP/1.1\r\nhost: {host}\r\n{cookie}authorization: {scheme} TlRMTVNTUAAD\r\nconnection: close\r\n\r\n"
        );
        ensure!(house.say("wild", raw)?.0.status() == 200);
        let mut of_others = Vec::new();
        for person in ["bob", "bob", "ada", "bob"] {
            let (heard, mark) = answered(house, person, &[])?;
            ensure!(heard.status() == 200);
            of_others.push(mark);
        }
        for bytes in house.tap("wild").connections() {
            let text = String::from_utf8_lossy(&bytes);
            let logged_in = text.contains(&challenged) || text.contains(&proves);
            let shared = of_others.iter().find(|mark| text.contains(mark.as_str()));
            ensure!(!logged_in || shared.is_none(), "{scheme}: a connection with a login served {shared:?}");
        }
    }
    Ok(())
}

fn nt_10_an_answer_says_nothing_in_our_name(house: &House) -> Result<()> {
    let _alone = alone();
    let answer = "HTTP/1.1 200 OK\r\nx-request-id: forged\r\nx-safeconduct-assertion: forged\r\nX-Safeconduct-Other: forged\r\n\
                  connection: x-hop, close\r\nx-hop: forged\r\nkeep-alive: timeout=9\r\nproxy-authenticate: Basic\r\n\
                  alt-svc: h3=\":443\"\r\nset-cookie: __Host-safeconduct=forged; Secure; Path=/\r\nset-cookie: own=1\r\n\
                  content-length: 2\r\n\r\nok";
    let (heard, _) = answered(house, "ada", &[Step::say(answer)])?;
    let lower = heard.text.to_ascii_lowercase();
    ensure!(heard.status() == 200 && lower.contains("set-cookie: own=1"), "{heard:?}");
    for bad in ["forged", "x-hop", "alt-svc", "proxy-authenticate", "keep-alive: timeout=9"] {
        ensure!(!lower.contains(bad), "{bad} reached the client: {heard:?}");
    }
    ensure!(heard.ids().len() == 1 && heard.ids()[0].len() >= 16, "{heard:?}");
    Ok(())
}
