//! The same matrix over HTTP/2, by raw frames: nothing that a frame can say becomes another request behind the gateway.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use safeconduct_negative::h2::{self, Answer, Talk};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{House, STACKS, host, tests};

use crate::agree::agree;

pub(crate) const TESTS: &[Test] = tests![
    nt_63_nt_65_over_http2_the_host_is_the_authority,
    nt_10_over_http2_connection_fields_and_te_are_refused,
    nt_46_nt_48_nt_49_nt_50_over_http2_the_length_is_that_of_the_data,
    nt_03_nt_62_over_http2_no_name_or_value_ends_a_line,
    nt_03_over_http2_a_fragment_is_refused_or_seen_by_nobody,
    nt_63_over_http2_pseudo_fields_stand_once_in_front_and_are_known,
    nt_01_over_http2_paths_have_one_spelling,
    nt_06_nt_68_over_http2_nobody_speaks_in_our_name,
    nt_10_over_http2_no_stream_is_an_answer_to_another,
    nt_12_over_http2_floods_end_the_connection_and_not_the_gateway,
];

const PATIENCE: Duration = Duration::from_secs(8);
type Field<'a> = (&'a [u8], &'a [u8]);

/// The cookie of Ada, without the name of its field.
fn cookie<'a>(house: &'a House, label: &str) -> &'a str {
    house.ada(label).trim_start_matches("cookie: ").trim_end()
}

/// Sends one request and tells what came of it.
fn ask(house: &House, label: &str, head: &[Field<'_>], body: Option<&[u8]>) -> Result<(Answer, bool, Talk)> {
    let mut talk = Talk::begin(house.door.open_h2(&host(label))?)?;
    talk.ask(1, head, body);
    let came = talk.listen(1, PATIENCE);
    let refused = came.refuses(1);
    Ok((came.stream(1), refused, talk))
}

/// Sends one request that must be refused and reach no web server. MARK stands for a word of its own in every value.
fn refused(house: &House, label: &str, head: &[Field<'_>], body: Option<&[u8]>) -> Result<()> {
    let mark = house.mark("frame");
    let marked: Vec<(Vec<u8>, Vec<u8>)> = head
        .iter()
        .map(|(n, v)| (n.to_vec(), String::from_utf8_lossy(v).replace("MARK", &mark).into_bytes()))
        .collect();
    let shown = || {
        let pairs: Vec<String> =
            head.iter().map(|(n, v)| format!("{}: {}", n.escape_ascii(), v.escape_ascii())).collect();
        format!("{label}: {}", pairs.join(" | "))
    };
    let all: Vec<Field<'_>> = marked.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    let (answer, refused, talk) = ask(house, label, &all, body)?;
    ensure!(refused, "{}: {answer:?}", shown());
    house.unheard(&mark).with_context(shown)?;
    if answer.status != 0 {
        let records = house.ledger.from(talk.visit.from, 1).with_context(shown)?;
        ensure!(records.len() == 1, "{}: {records:?}", shown());
        let denied = records[0]["verdict"] == "deny";
        ensure!(denied || house.is_refusal(&records[0], &[]).is_ok(), "{}: {records:?}", shown());
    }
    Ok(())
}

/// An ordinary head, to be changed.
fn ordinary<'a>(host: &'a str, cookie: &'a str, path: &'a str) -> Vec<Field<'a>> {
    vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", host.as_bytes()),
        (b":path", path.as_bytes()),
        (b"cookie", cookie.as_bytes()),
    ]
}

/// The same head with more fields.
fn with<'a>(head: &[Field<'a>], more: &[Field<'a>]) -> Vec<Field<'a>> {
    head.iter().chain(more).copied().collect()
}

/// The same head with another value of one field.
fn instead<'a>(head: &[Field<'a>], name: &[u8], value: &'a [u8]) -> Vec<Field<'a>> {
    head.iter().map(|(n, v)| if *n == name { (*n, value) } else { (*n, *v) }).collect()
}

fn nt_63_nt_65_over_http2_the_host_is_the_authority(house: &House) -> Result<()> {
    for label in STACKS {
        let (host, cookie) = (host(label), cookie(house, label));
        let good = ordinary(&host, cookie, "/MARK");
        for (name, value) in
            [("host", "other.neg.localhost"), ("host", ""), ("host", "evil.example"), ("host", "x@raw.neg.localhost")]
        {
            refused(house, label, &with(&good, &[(name.as_bytes(), value.as_bytes())]), None)?;
        }
        let two = [(&b"host"[..], host.as_bytes()), (&b"host"[..], host.as_bytes())];
        refused(house, label, &with(&good, &two), None)?;
        for authority in ["other.neg.localhost", "", "user@other.neg.localhost", "a b", "[::1]", "evil.example"] {
            refused(house, label, &instead(&good, b":authority", authority.as_bytes()), None)?;
        }
        let without: Vec<Field<'_>> = good.iter().copied().filter(|(n, _)| *n != b":authority").collect();
        refused(house, label, &without, None)?;
        // The same host, told twice, is one host.
        let mark = house.mark("both");
        let path = format!("/{mark}");
        let both = with(&ordinary(&host, cookie, &path), &[(b"host", host.as_bytes())]);
        let (answer, ..) = ask(house, label, &both, None)?;
        ensure!(answer.status == 200, "{label}: {answer:?}");
        ensure!(house.tap(label).requests(&mark)?[0].header("host") == Some(&host), "{label}: not exactly one host");
    }
    Ok(())
}

fn nt_10_over_http2_connection_fields_and_te_are_refused(house: &House) -> Result<()> {
    for label in STACKS {
        let (host, cookie) = (host(label), cookie(house, label));
        let good = ordinary(&host, cookie, "/MARK");
        for (name, value) in [
            ("connection", "close"),
            ("connection", "x-user"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "identity"),
            ("upgrade", "websocket"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("te", "trailers, chunked"),
        ] {
            refused(house, label, &with(&good, &[(name.as_bytes(), value.as_bytes())]), None)?;
        }
        let mark = house.mark("te");
        let path = format!("/{mark}");
        let (answer, ..) = ask(house, label, &with(&ordinary(&host, cookie, &path), &[(b"te", b"trailers")]), None)?;
        ensure!(answer.status == 200, "{label}: {answer:?}");
        let wire = house.tap(label).requests(&mark)?.remove(0);
        let hop = ["connection", "transfer-encoding", "upgrade"];
        ensure!(hop.iter().all(|n| wire.header(n).is_none()), "{label}: {wire:?}");
    }
    Ok(())
}

fn nt_46_nt_48_nt_49_nt_50_over_http2_the_length_is_that_of_the_data(house: &House) -> Result<()> {
    for label in STACKS.into_iter().chain(["raw"]) {
        let (host, cookie) = (host(label), cookie(house, label));
        for lengths in
            [&["4"][..], &["6"], &["0"], &["+5"], &["5, 5"], &["5", "5"], &["5", "6"], &["-1"], &[""], &["0x5"]]
        {
            let (mark, inner) = (house.mark("data"), house.mark("inner"));
            let path = format!("/{mark}");
            let post = instead(&ordinary(&host, cookie, &path), b":method", b"POST");
            let more: Vec<Field<'_>> = lengths.iter().map(|l| (&b"content-length"[..], l.as_bytes())).collect();
            // The data of a length that is too short would be the next request behind a careless gateway.
            let mut body = format!("GET /{inner} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes();
            if lengths != ["4"] {
                body = b"hello".to_vec();
            }
            let (answer, ..) = ask(house, label, &with(&post, &more), Some(&body))?;
            let told = || format!("{label} {lengths:?}: {answer:?}");
            // A web server may answer before the data turns out to be wrong; the body may not be completed for it.
            for request in house.tap(label).requests(&mark).with_context(told)? {
                ensure!(!request.whole, "{}: {request:?}", told());
            }
            if ["raw", "node", "python", "hyper"].contains(&label) {
                ensure!(answer.status != 200, "{}", told());
            }
            ensure!(house.tap(label).requests(&inner)?.iter().all(|r| !r.target.contains(&inner)), "{}", told());
        }
        // And the right length is taken.
        let mark = house.mark("right");
        let path = format!("/{mark}");
        let post = instead(&ordinary(&host, cookie, &path), b":method", b"POST");
        let (answer, ..) = ask(house, label, &with(&post, &[(b"content-length", b"5")]), Some(b"hello"))?;
        ensure!(answer.status == 200, "{label}: {answer:?}");
        let wire = house.tap(label).requests(&mark)?.remove(0);
        ensure!(wire.whole && wire.body == b"hello", "{label}: {wire:?}");
    }
    Ok(())
}

fn nt_03_nt_62_over_http2_no_name_or_value_ends_a_line(house: &House) -> Result<()> {
    for label in STACKS {
        let (host, cookie) = (host(label), cookie(house, label));
        let good = ordinary(&host, cookie, "/MARK");
        for (name, value) in [
            (&b"x-nt"[..], &b"MARK\r\nx-user: eve"[..]),
            (b"x-nt", b"MARK\nx-user: eve"),
            (b"x-nt", b"MARK\rx-user: eve"),
            (b"x-nt", b"MARK\0"),
            (b"x-nt", b"MARK\x0b"),
            (b"x-nt\r\nx-user", b"MARK"),
            (b"x-nt: y\r\nx-user", b"MARK"),
            (b"x nt", b"MARK"),
            (b"x-nt:", b"MARK"),
            (b"X-Nt", b"MARK"),
            (b"", b"MARK"),
            (b"x-nt\0", b"MARK"),
        ] {
            refused(house, label, &with(&good, &[(name, value)]), None)?;
        }
        for (name, value) in [
            (&b":path"[..], &b"/MARK HTTP/1.1\r\nhost: evil.example\r\n\r\nGET /"[..]),
            (b":path", b"/MARK\r\n"),
            (b":path", b"/MARK b"),
            (b":path", b"/MARK\0"),
            (b":path", b""),
            (b":path", b"MARK"),
            (b":path", b"*"),
            (b":method", b"GET /MARK HTTP/1.1\r\nx: y"),
            (b":method", b"GET MARK"),
            (b":method", b""),
            (b":authority", b"nginx.neg.localhost\r\nx-user: MARK"),
            (b":scheme", b"https://evil.example/MARK?"),
        ] {
            refused(house, label, &instead(&good, name, value), None)?;
        }
    }
    Ok(())
}

fn nt_03_over_http2_a_fragment_is_refused_or_seen_by_nobody(house: &House) -> Result<()> {
    for label in STACKS {
        for (target, path) in [("/MARK#/../admin", "/MARK"), ("/MARK?q=1#x", "/MARK")] {
            let mark = house.mark("fragment");
            let (target, path) = (target.replace("MARK", &mark), path.replace("MARK", &mark));
            let (host, cookie) = (host(label), cookie(house, label));
            let (answer, refused, talk) = ask(house, label, &ordinary(&host, cookie, &target), None)?;
            if refused {
                house.unheard(&mark)?;
                continue;
            }
            // The library under HTTP/2 cuts a fragment off before anyone else sees the path: then neither policy nor the web
            // server may see a trace of it.
            ensure!(answer.status == 200, "{label} {target}: {answer:?}");
            let record = house.ledger.from(talk.visit.from, 1)?.remove(0);
            let views = agree(house, label, record["ask"]["request"].as_str().context("an id")?, true)?;
            ensure!(record["ask"]["what"]["path"] == *path && !views.wire.target.contains('#'), "{label}: {record}");
        }
    }
    Ok(())
}

fn nt_63_over_http2_pseudo_fields_stand_once_in_front_and_are_known(house: &House) -> Result<()> {
    for label in STACKS {
        let (host, cookie) = (host(label), cookie(house, label));
        let good = ordinary(&host, cookie, "/MARK");
        for (name, value) in
            [(":method", "GET"), (":path", "/admin"), (":scheme", "https"), (":authority", host.as_str())]
        {
            let extra = (name.as_bytes(), value.as_bytes());
            // Twice in front, and once more behind the other fields.
            let mut twice = vec![extra];
            twice.extend(&good);
            refused(house, label, &twice, None)?;
            refused(house, label, &with(&good, &[extra]), None)?;
            if name != ":authority" {
                let without: Vec<Field<'_>> = good.iter().copied().filter(|(n, _)| *n != name.as_bytes()).collect();
                refused(house, label, &without, None)?;
            }
        }
        for unknown in [":status", ":x", ":protocol"] {
            let mut head = vec![(unknown.as_bytes(), &b"200"[..])];
            head.extend(&good);
            refused(house, label, &head, None)?;
        }
        refused(house, label, &instead(&good, b":method", b"CONNECT"), None)?;
        refused(house, label, &instead(&good, b":method", b"TRACE"), None)?;
    }
    Ok(())
}

fn nt_01_over_http2_paths_have_one_spelling(house: &House) -> Result<()> {
    for label in STACKS {
        let (host, cookie) = (host(label), cookie(house, label));
        for path in [
            "/MARK/../admin",
            "/MARK/%2e%2e/admin",
            "/MARK%2fadmin",
            "//MARK",
            "/MARK\\admin",
            "/MARK;/x",
            "/MARK/%252e",
            "/MARK/%c0%ae",
            "/MARK%00",
            "/MARK/.",
            "/MARK%",
            "/MARK%zz",
        ] {
            refused(house, label, &ordinary(&host, cookie, path), None)?;
        }
        refused(house, label, &with(&ordinary(&host, cookie, "/%61dmin"), &[(b"x-nt", b"MARK")]), None)?;
        let mark = house.mark("spelled");
        let path = format!("/%7e{mark}/%c3%a4?x=/admin");
        let (answer, .., talk) = ask(house, label, &ordinary(&host, cookie, &path), None)?;
        ensure!(answer.status == 200, "{label}: {answer:?}");
        let record = house.ledger.from(talk.visit.from, 1)?.remove(0);
        let id = record["ask"]["request"].as_str().context("an id")?.to_owned();
        let views = agree(house, label, &id, true)?;
        ensure!(views.wire.target == format!("/~{mark}/%C3%A4?x=/admin"), "{label}: {:?}", views.wire);
    }
    Ok(())
}

fn nt_06_nt_68_over_http2_nobody_speaks_in_our_name(house: &House) -> Result<()> {
    for label in STACKS {
        let (host, cookie) = (host(label), cookie(house, label));
        let good = ordinary(&host, cookie, "/MARK");
        refused(house, label, &with(&good, &[(b"x_user", b"eve")]), None)?;
        refused(house, label, &with(&good, &[(b"x_safeconduct_assertion", b"forged")]), None)?;
        let mark = house.mark("forged");
        let path = format!("/{mark}");
        let forged = [
            (&b"x-safeconduct-assertion"[..], &b"forged"[..]),
            (b"x-forwarded-for", b"203.0.113.9"),
            (b"x-forwarded-host", b"evil.example"),
            (b"x-forwarded-user", b"eve"),
            (b"forwarded", b"for=203.0.113.9"),
            (b"x-request-id", b"forged"),
        ];
        let (answer, .., talk) = ask(house, label, &with(&ordinary(&host, cookie, &path), &forged), None)?;
        ensure!(answer.status == 200, "{label}: {answer:?}");
        let record = house.ledger.from(talk.visit.from, 1)?.remove(0);
        let views = agree(house, label, record["ask"]["request"].as_str().context("an id")?, true)?;
        let told = format!("{:?}", views.wire);
        for word in ["forged\"", "203.0.113.9", "evil.example", "eve"] {
            ensure!(!told.replace(&mark, "").contains(word), "{label}: {told}");
        }
        ensure!(views.wire.header("x-forwarded-for") == Some(&talk.visit.from.to_string()), "{told}");
    }
    Ok(())
}

fn nt_10_over_http2_no_stream_is_an_answer_to_another(house: &House) -> Result<()> {
    for label in STACKS {
        let (host, cookie) = (host(label), cookie(house, label));
        let mut talk = Talk::begin(house.door.open_h2(&host)?)?;
        // Refused, denied and permitted streams at once: each gets its own answer.
        let bad = ordinary(&host, cookie, "/a/../b");
        let denied = ordinary(&host, cookie, "/admin");
        let good = ordinary(&host, cookie, "/good");
        for (n, head) in [&bad, &good, &denied, &good, &bad, &denied].into_iter().enumerate() {
            talk.ask(u32::try_from(n)? * 2 + 1, head, None);
        }
        for (n, status) in [400, 200, 403, 200, 400, 403].into_iter().enumerate() {
            let stream = u32::try_from(n)? * 2 + 1;
            let came = talk.listen(stream, PATIENCE);
            ensure!(came.stream(stream).status == status, "{label}: stream {stream}: {came:?}");
        }
        ensure!(house.ledger.from(talk.visit.from, 6)?.len() == 6, "{label}: a record for each");
    }
    Ok(())
}

fn nt_12_over_http2_floods_end_the_connection_and_not_the_gateway(house: &House) -> Result<()> {
    let (host, cookie) = (host("raw"), cookie(house, "raw"));
    let head = h2::fields(&ordinary(&host, cookie, "/flood"));
    let flooded = |name: &str, bytes: &dyn Fn(u32) -> Vec<u8>, rounds: u32| -> Result<()> {
        let mut talk = Talk::begin(house.door.open_h2(&host)?)?;
        for n in 0..rounds {
            talk.send(&bytes(n));
        }
        let came = talk.listen(u32::MAX >> 1, PATIENCE);
        ensure!(came.goaway.is_some_and(|code| code != 0) || came.closed, "{name}: it goes on: {:?}", came.goaway);
        Ok(())
    };
    // Heads that are taken back at once (CVE-2023-44487).
    let reset = |n: u32| {
        let stream = 2 * n + 1;
        let mut bytes = h2::frame(h2::HEADERS, h2::END_HEADERS | h2::END_STREAM, stream, &head);
        bytes.extend(h2::frame(h2::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    };
    flooded("resets", &reset, 20_000)?;
    // A head without an end (CVE-2024-27316).
    let filler = h2::fields(&[(b"x-filler", &[b'x'; 8_000])]);
    let endless = |n: u32| match n {
        0 => h2::frame(h2::HEADERS, 0, 1, &head),
        _ => h2::frame(h2::CONTINUATION, 0, 1, &filler),
    };
    flooded("continuations", &endless, 2_000)?;
    // Data frames that say nothing (RUSTSEC-2026-0258).
    let empty = |n: u32| match n {
        0 => h2::frame(
            h2::HEADERS,
            h2::END_HEADERS,
            1,
            &h2::fields(&instead(&ordinary(&host, cookie, "/flood"), b":method", b"POST")),
        ),
        _ => h2::frame(h2::DATA, 0, 1, &[]).repeat(50),
    };
    flooded("empty data", &empty, 2_000)?;
    // A frame for a stream that was never opened, one that is too long, and a window that overflows.
    flooded("a stream of nobody", &|_| h2::frame(h2::DATA, 0, 99, b"x"), 1)?;
    flooded("a frame that is too long", &|_| h2::frame(h2::DATA, 0, 1, &[0; 20_000]), 1)?;
    flooded("a window that overflows", &|_| h2::frame(8, 0, 0, &0x7fff_ffff_u32.to_be_bytes()), 2)?;
    // Everybody else is still served.
    let (heard, _) = house.say("raw", house.get("raw", "/after-floods", ""))?;
    ensure!(heard.status() == 200, "{heard:?}");
    Ok(())
}
