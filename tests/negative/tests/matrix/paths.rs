//! NT-01 to NT-03: the path that policy saw is the path on which the web server acts, whatever the client spelled.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{Dice, House, STACKS, Visit, host, rounds, tests};

use crate::agree::agree;
use crate::answers::whole;

pub(crate) const TESTS: &[Test] = tests![
    nt_01_no_spelling_of_a_denied_path_reaches_a_web_server,
    nt_01_generated_paths_are_seen_alike_by_policy_and_five_web_servers,
    nt_01_generated_paths_are_seen_alike_with_every_opt_out,
    nt_01_an_opt_out_of_a_route_opens_that_route_alone,
    nt_02_no_query_changes_the_decision,
    nt_03_fragments_and_control_bytes_are_refused_by_all,
    nt_01_characters_that_no_path_holds_are_encoded_or_refused_with_a_record,
];

/// Spellings of `/admin` that some parser would read as that, or as a way there.
const CLIMBS: [&str; 34] = [
    "/public/../admin",
    "/public/./../admin",
    "/./admin",
    "/public/%2e%2e/admin",
    "/public/.%2e/admin",
    "/public/%2E./admin",
    "/public%2f..%2fadmin",
    "/public%2F%2e%2e%2Fadmin",
    "/public/..%2fadmin",
    "//admin",
    "/public//../admin",
    "/%2fadmin",
    "/\\admin",
    "/public\\..\\admin",
    "/public%5c..%5cadmin",
    "/public/..;/admin",
    "/public;/../admin",
    "/;x/admin",
    "/public/..;x=1/admin",
    "/public/%2e%2e%3b/admin",
    "/public/%252e%252e/admin",
    "/public/%252e%252e%252fadmin",
    "/%c0%ae%c0%ae/admin",
    "/public/%c0%ae%c0%ae%c0%afadmin",
    "/%e0%80%afadmin",
    "/public%00/../admin",
    "/admin%00",
    "/admin%0a",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/admin%2f",
    "/public/%u002e%u002e/admin",
    "/public/..\u{ff0f}admin",
    "/public/../../../admin",
];

fn nt_01_no_spelling_of_a_denied_path_reaches_a_web_server(house: &House) -> Result<()> {
    for label in STACKS.iter().map(|s| (*s).to_owned()).chain(STACKS.iter().map(|s| format!("open-{s}"))) {
        for climb in CLIMBS {
            let mark = house.mark("climb");
            let (heard, from) = house.say(&label, house.get(&label, climb, &format!("x-nt: {mark}\r\n")))?;
            let status = heard.status();
            if status == 200 {
                // With every opt-out, some of them are paths of their own: whoever opts out vouches for his web server.
                let id = heard.header("x-request-id").context("an id")?;
                let strict = !label.starts_with("open-");
                let views = agree(house, &label, id, strict).with_context(|| format!("{label} {climb}"))?;
                ensure!(!views.wire.path().starts_with("/admin"), "{label}: {climb} got to {}", views.wire.path());
                continue;
            }
            ensure!([400, 403].contains(&status), "{label} {climb}: {heard:?}");
            ensure!(house.ledger.from(from, 1)?.len() == 1, "{label} {climb}: one record");
            house.unheard(&mark).with_context(|| format!("{label} {climb}"))?;
        }
    }
    Ok(())
}

/// Pieces from which paths are drawn: what web servers read in different ways, and plain letters between.
const PIECES: [&str; 40] = [
    "/",
    "/",
    "/",
    "a",
    "b",
    "Z",
    "0",
    "-",
    "_",
    "~",
    ".",
    "..",
    "...",
    ".hidden",
    "%2e",
    "%2E%2e",
    "%2f",
    "%5C",
    "\\",
    ";",
    ";x=1",
    "%3b",
    "//",
    "%25",
    "%252e",
    "%252f",
    "%20",
    "+",
    "%c3%a4",
    "%C3%A4",
    "%e2%82%ac",
    "%00",
    "%7f",
    "%41",
    "@",
    ":",
    "!$&'()*,=",
    "|",
    "%7e",
    "index.html",
];

fn nt_01_generated_paths_are_seen_alike_by_policy_and_five_web_servers(house: &House) -> Result<()> {
    generated(house, "", 120, true)
}

fn nt_01_generated_paths_are_seen_alike_with_every_opt_out(house: &House) -> Result<()> {
    generated(house, "open-", 80, false)
}

/// Draws paths and sends them one after the other over kept connections.
fn generated(house: &House, prefix: &str, many: u64, strict: bool) -> Result<()> {
    for (n, stack) in STACKS.iter().enumerate() {
        let label = format!("{prefix}{stack}");
        let mut dice = Dice::search(0x5afe + n as u64);
        let mut permitted = 0;
        let mut kept: Option<Visit> = None;
        for _ in 0..rounds(many) {
            let pieces: String = (0..=dice.below(9)).map(|_| *dice.pick(&PIECES)).collect();
            let query = *dice.pick(&["", "", "?q=1", "?/../admin", "?a=%2f&b=;"]);
            let (mark, target) = (house.mark("path"), format!("/{pieces}{query}"));
            let what = || format!("{label}: {target}");
            let mut visit = match kept.take() {
                Some(visit) => visit,
                None => house.open(&label)?,
            };
            let (host, cookie) = (host(&label), house.ada(&label));
            visit.send(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{cookie}x-nt: {mark}\r\n\r\n"))?;
            let heard = visit.listen_until(Duration::from_secs(8), whole);
            let id = heard.header("x-request-id").with_context(what)?;
            match heard.status() {
                200 => {
                    permitted += 1;
                    let views = agree(house, &label, id, strict).with_context(what)?;
                    let record = views.record["ask"]["what"]["path"].as_str().unwrap_or_default().to_owned();
                    ensure!(strict || !record.contains("//"), "{}: decided as {record}", what());
                    // The query goes on as it came, whatever the path became.
                    let sent = target.split_once('?').map(|(_, q)| q);
                    ensure!(views.wire.target.split_once('?').map(|(_, q)| q) == sent, "{}: {:?}", what(), views.wire);
                }
                status @ (400 | 403) => {
                    house.unheard(&mark).with_context(what)?;
                    let record = house.ledger.of(id)?;
                    if status == 400 {
                        house.is_refusal(&record, &[]).with_context(what)?;
                        let rest = visit.listen_for(Duration::from_secs(5));
                        ensure!(rest.closed && rest.text.is_empty(), "{}: the connection goes on: {rest:?}", what());
                        continue;
                    }
                }
                other => anyhow::bail!("{}: {other}", what()),
            }
            kept = Some(visit);
        }
        ensure!(permitted >= 10, "{label}: only {permitted} of {many} paths got through, which shows little");
    }
    Ok(())
}

/// pomerium#6638: a safe default without a way out breaks applications; the way out is one route wide.
fn nt_01_an_opt_out_of_a_route_opens_that_route_alone(house: &House) -> Result<()> {
    let (heard, _) = house.say("routes", house.get("routes", "/files/group%2fname", ""))?;
    ensure!(heard.status() == 200, "{heard:?}");
    let views = agree(house, "routes", heard.header("x-request-id").context("an id")?, true)?;
    ensure!(views.wire.path() == "/files/group%2Fname", "forwarded as {}", views.wire.path());
    for path in
        ["/public/a%2fb", "/files%2fa", "/files/a;b", "/files//a", "/files/secret%2fplan", "/files/a%2f..%2fsecret"]
    {
        let mark = house.mark("route");
        let (heard, from) = house.say("routes", house.get("routes", path, &format!("x-nt: {mark}\r\n")))?;
        ensure!(heard.status() == 400, "{path}: {heard:?}");
        ensure!(house.ledger.from(from, 1)?.len() == 1, "{path}: one record");
        house.unheard(&mark).with_context(|| path.to_owned())?;
    }
    Ok(())
}

fn nt_02_no_query_changes_the_decision(house: &House) -> Result<()> {
    for query in ["?x=/public", "?/public", "?path=/public&x-original-url=/public", "?%2e%2e/public", "??", "?a=b?c=/d"]
    {
        for stack in STACKS {
            let mark = house.mark("query");
            let fields = format!("x-nt: {mark}\r\n");
            let (denied, _) = house.say(stack, house.get(stack, &format!("/admin{query}"), &fields))?;
            ensure!(denied.status() == 403, "{stack} {query}: {denied:?}");
            house.unheard(&mark)?;
            let (permitted, _) = house.say(stack, house.get(stack, &format!("/public{query}"), ""))?;
            ensure!(permitted.status() == 200, "{stack} {query}: {permitted:?}");
            agree(house, stack, permitted.header("x-request-id").context("an id")?, true)?;
        }
    }
    Ok(())
}

fn nt_03_fragments_and_control_bytes_are_refused_by_all(house: &House) -> Result<()> {
    for target in [
        "/a#b",
        "/a?q#b",
        "/#",
        "/a\tb",
        "/a\x01b",
        "/a\x7fb",
        "/a?b\x0bc",
        "/a\0b",
        "/a?\u{e4}",
        "/\u{e4}",
        "/a b",
        "*",
        "a",
    ] {
        for stack in STACKS {
            let mark = house.mark("control");
            let raw = house.get(stack, target, &format!("x-nt: {mark}\r\n"));
            house.refused(stack, &mark, raw, 400, &[]).with_context(|| target.escape_debug().to_string())?;
        }
    }
    Ok(())
}

fn nt_01_characters_that_no_path_holds_are_encoded_or_refused_with_a_record(house: &House) -> Result<()> {
    for character in ["\"", "<", ">", "^", "`", "{", "|", "}", "[", "]", "'", "%5b"] {
        for stack in STACKS {
            let mark = house.mark("rare");
            let (heard, from) = house.say(stack, house.get(stack, &format!("/{mark}{character}b"), ""))?;
            let told = || format!("{stack} {character}: {heard:?}");
            let record = house.ledger.from(from, 1).with_context(told)?.remove(0);
            if heard.status() == 200 {
                let id = record["ask"]["request"].as_str().context("an id")?;
                agree(house, stack, id, true).with_context(told)?;
            } else {
                ensure!(heard.status() == 400 && heard.closed, "{}", told());
                house.is_refusal(&record, &[]).with_context(told)?;
                house.unheard(&mark)?;
            }
        }
    }
    Ok(())
}
