//! NT-10, NT-46 to NT-61 with generated input: many requests on one connection, with bodies of every framing, cut into segments
//! at any place. Each gets its own decision; where one is wrong, nothing after it is heard.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{Dice, House, STACKS, host, rounds, tests};

use crate::agree::agree;

pub(crate) const TESTS: &[Test] =
    tests![nt_10_generated_pipelines_stay_in_step, nt_46_nt_61_generated_pipelines_end_where_one_request_is_wrong];

/// The pause between two segments.
const PAUSE: Duration = Duration::from_micros(300);

/// A request that was drawn.
struct Drawn {
    mark: String,
    bytes: Vec<u8>,
    body: Vec<u8>,
    denied: bool,
    /// Whether the head announces a body, be it an empty one.
    framed: bool,
}

/// Draws a request with a right body: none, a length, or chunks.
fn draw(house: &House, label: &str, dice: &mut Dice, last: bool) -> Drawn {
    let mark = house.mark("pipe");
    let denied = dice.below(6) == 0;
    let path = if denied { format!("/admin/{mark}") } else { format!("/{mark}") };
    let method = dice.pick(&["POST", "PUT", "PATCH"]);
    let (host, cookie) = (host(label), house.ada(label));
    // The bodies look like requests, so that whoever loses the place takes them for some.
    let text = format!("GET /admin/{mark} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 3\r\n\r\n0\r\n\r\n");
    let body: String = (0..dice.below(4)).map(|_| text.as_str()).collect();
    let close = if last { "connection: close\r\n" } else { "" };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{cookie}{close}");
    let bytes = match dice.below(3) {
        0 if body.is_empty() => format!("{head}\r\n"),
        0 | 1 => format!("{head}content-length: {}\r\n\r\n{body}", body.len()),
        _ => {
            let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
            for piece in dice.clone().cut(body.as_bytes(), 1 + dice.below(5)).into_iter().filter(|p| !p.is_empty()) {
                let size =
                    if dice.below(2) == 0 { format!("{:x}", piece.len()) } else { format!("{:05X}", piece.len()) };
                let _ = write!(chunked, "{size}\r\n{}\r\n", String::from_utf8_lossy(piece));
            }
            chunked + *dice.pick(&["0\r\n\r\n", "000\r\n\r\n"])
        }
    };
    let framed = bytes.contains("\r\ncontent-length: ") || bytes.contains("\r\ntransfer-encoding: ");
    Drawn { mark, bytes: bytes.into_bytes(), body: body.into_bytes(), denied, framed }
}

fn nt_10_generated_pipelines_stay_in_step(house: &House) -> Result<()> {
    let mut dice = Dice::search(0x91be);
    for round in 0..rounds(60) {
        let label = STACKS.into_iter().chain(["raw"]).nth(usize::try_from(round % 6)?).context("a stack")?;
        let many = 1 + dice.below(6);
        let drawn: Vec<Drawn> = (0..many).map(|n| draw(house, label, &mut dice, n + 1 == many)).collect();
        let bytes: Vec<u8> = drawn.iter().flat_map(|d| d.bytes.clone()).collect();
        let pieces = 1 + dice.below(30);
        let mut visit = house.open(label)?;
        // Whoever is denied with a body on the way may find the connection closed.
        let _ = visit.send_in(&dice.cut(&bytes, pieces), PAUSE);
        let heard = visit.listen();
        let told = || format!("round {round}, {label}: {} | {heard:?}", bytes.escape_ascii());
        let ids = heard.ids();
        // Where nobody reads a body, because the request was denied or the web server answers at once, the connection may end.
        let unread = |d: &Drawn| d.framed && (d.denied || ["nginx", "apache"].contains(&label));
        let least = drawn.iter().position(unread).map_or(drawn.len(), |n| n + 1);
        ensure!(ids.len() == drawn.len() || (heard.closed && ids.len() >= least), "{} answers\n{}", ids.len(), told());
        for (id, one) in ids.iter().zip(&drawn) {
            if one.denied {
                let record = house.ledger.of(id)?;
                ensure!(record["verdict"] == "deny", "{record}\n{}", told());
                ensure!(house.tap(label).requests(id)?.is_empty(), "{}", told());
                continue;
            }
            let views = agree(house, label, id, true).with_context(told)?;
            ensure!(views.wire.path() == format!("/{}", one.mark), "{}", told());
            // What answers at once may get the rest of a body later, or never; nobody gets another body.
            let at_once = unread(one) && one.body.starts_with(&views.wire.body);
            let whole = views.wire.whole && views.wire.body == one.body;
            ensure!(whole || at_once, "another body arrived\n{}", told());
        }
        let records = house.ledger.from(visit.from, ids.len())?;
        ensure!(records.len() == ids.len(), "{} records for {} answers\n{}", records.len(), ids.len(), told());
    }
    Ok(())
}

/// Ways in which a request is wrong, as a change of a right one.
const WRONG: [(&str, &str); 12] = [
    ("\r\n\r\n", "\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
    ("\r\n\r\n", "\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n"),
    ("\r\n\r\n", "\r\ntransfer-encoding: chunked, chunked\r\n\r\n"),
    ("\r\n\r\n", "\r\ncontent-length: +1\r\n\r\n"),
    ("\r\n\r\n", "\r\n\n"),
    ("\r\n\r\n", "\n\n"),
    ("\r\n\r\n", "\r\nhost: other.neg.localhost\r\n\r\n"),
    (" HTTP/1.1", " HTTP/1.1 "),
    (" HTTP/1.1", " HTTP/2.0"),
    (" HTTP/1.1", "\tHTTP/1.1"),
    ("host:", "host :"),
    ("\r\n", "\r\n \r\n"),
];

fn nt_46_nt_61_generated_pipelines_end_where_one_request_is_wrong(house: &House) -> Result<()> {
    let mut dice = Dice::search(0xbad);
    for round in 0..rounds(72) {
        let label = STACKS.into_iter().chain(["raw"]).nth(usize::try_from(round % 6)?).context("a stack")?;
        let before = dice.below(3);
        let good: Vec<Drawn> = (0..before).map(|_| draw(house, label, &mut dice, false)).collect();
        // Those that are read to their end, so that all of them are answered before the wrong one.
        let at_once = ["nginx", "apache"].contains(&label);
        let good: Vec<Drawn> = good.into_iter().filter(|d| !d.denied && (!d.framed || !at_once)).collect();
        let (bad_mark, after_mark) = (house.mark("wrong"), house.mark("after"));
        let (from, to) = *dice.pick(&WRONG);
        let (host, cookie) = (host(label), house.ada(label));
        let plain = |mark: &str| format!("GET /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}\r\n");
        let wrong = plain(&bad_mark).replacen(from, to, 1);
        let mut bytes: Vec<u8> = good.iter().flat_map(|d| d.bytes.clone()).collect();
        bytes.extend(wrong.as_bytes());
        bytes.extend(plain(&after_mark).as_bytes());
        let mut visit = house.open(label)?;
        let pieces = 1 + dice.below(20);
        let _ = visit.send_in(&dice.cut(&bytes, pieces), PAUSE);
        let heard = visit.listen();
        let told = || format!("round {round}, {label}: {} | {heard:?}", bytes.escape_ascii());
        let statuses = heard.statuses();
        ensure!(heard.closed, "the connection goes on\n{}", told());
        ensure!(statuses.len() == good.len() + 1, "{statuses:?}\n{}", told());
        let (last, first) = statuses.split_last().context("an answer")?;
        ensure!([400, 505].contains(last) && first.iter().all(|s| *s == 200), "{statuses:?}\n{}", told());
        house.unheard(&bad_mark).with_context(told)?;
        house.unheard(&after_mark).with_context(told)?;
        for (id, one) in heard.ids().iter().zip(&good) {
            let views = agree(house, label, id, true).with_context(told)?;
            ensure!(views.wire.body == one.body, "another body arrived\n{}", told());
        }
    }
    Ok(())
}
