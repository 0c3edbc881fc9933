//! NT-46 to NT-68: where a message begins and ends, and whose it is. Every probe goes to each of the five web servers.

use anyhow::{Context, Result, ensure};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{House, STACKS, host, tests};

use crate::agree::agree;

pub(crate) const TESTS: &[Test] = tests![
    nt_46_nt_47_length_beside_encoding_in_either_order,
    nt_48_nt_49_nt_50_nt_51_one_length_of_digits_alone,
    nt_52_nt_53_nt_54_nt_55_nt_56_nt_58_one_encoding_by_one_name,
    nt_57_old_http_has_no_encoding,
    nt_59_nt_60_nt_61_a_broken_chunk_ends_both_sides_and_no_body_is_completed,
    nt_62_bare_line_feeds_and_bare_returns_end_no_line,
    nt_63_nt_64_nt_65_exactly_one_host_and_one_spelling_of_it,
    nt_65_a_target_that_is_neither_a_path_nor_an_address_is_refused_with_a_record,
    nt_65_an_absolute_target_of_the_same_host_goes_on_in_origin_form,
    nt_66_an_unknown_upgrade_makes_no_tunnel_and_the_next_request_is_decided,
    nt_10_an_upgrade_is_a_tunnel_only_after_the_web_server_agreed,
    nt_10_a_body_that_nobody_reads_is_never_the_next_request,
    nt_10_http_10_is_one_request_and_one_answer,
];

/// Sends a request of these fields and this body to every web server; none may hear of it.
fn refused(house: &House, fields: &str, body: &str, code: &[&str]) -> Result<()> {
    for stack in STACKS {
        let mark = house.mark("framing");
        let (host, cookie) = (host(stack), house.ada(stack));
        let raw = format!("POST /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}{fields}\r\n{body}");
        house.refused(stack, &mark, raw, 400, code)?;
    }
    Ok(())
}

/// Sends whole heads to every web server, with MARK, HOST and COOKIE filled in; none may hear of them.
fn head_refused(house: &House, raw: &str, code: &[&str]) -> Result<()> {
    for stack in STACKS {
        let mark = house.mark("head");
        let raw =
            raw.replace("MARK", &mark).replace("HOST", &host(stack)).replace("COOKIE", house.ada(stack).trim_end());
        house.refused(stack, &mark, raw, 400, code)?;
    }
    Ok(())
}

fn nt_46_nt_47_length_beside_encoding_in_either_order(house: &House) -> Result<()> {
    let (length, chunked) = ("content-length: 5\r\n", "transfer-encoding: chunked\r\n");
    let body = "0\r\n\r\n";
    refused(house, &format!("{length}{chunked}"), body, &["length_and_encoding"])?;
    refused(house, &format!("{chunked}{length}"), body, &["length_and_encoding"])?;
    refused(house, &format!("{chunked}x-nt: 1\r\nContent-LENGTH: 0\r\n"), body, &["length_and_encoding"])?;
    ensure!(!house.ada("nginx").is_empty(), "these requests carried a session");
    Ok(())
}

fn nt_48_nt_49_nt_50_nt_51_one_length_of_digits_alone(house: &House) -> Result<()> {
    refused(house, "content-length: 5\r\ncontent-length: 6\r\n", "hello!", &["two_content_lengths"])?;
    refused(house, "content-length: 5\r\nContent-Length: 5\r\n", "hello", &["two_content_lengths"])?;
    for length in ["+5", "5, 5", "5,6", "-1", "0x5", "5 5", "5;", "", "18446744073709551616", "٥"] {
        refused(house, &format!("content-length: {length}\r\n"), "hello", &[])?;
    }
    Ok(())
}

fn nt_52_nt_53_nt_54_nt_55_nt_56_nt_58_one_encoding_by_one_name(house: &House) -> Result<()> {
    for line in [
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding:\r\n chunked\r\n",
        "transfer-encoding: chunked\r\n\tchunked\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "transfer-encoding: chunked\x0b\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding\t: chunked\r\n",
        " transfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: \"chunked\"\r\n",
        "transfer-encoding: chunked;q=1\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding:\r\n",
        "transfer_encoding: chunked\r\n",
    ] {
        refused(house, line, "0\r\n\r\n", &[]).with_context(|| line.escape_debug().to_string())?;
    }
    Ok(())
}

fn nt_57_old_http_has_no_encoding(house: &House) -> Result<()> {
    let raw = "POST /MARK HTTP/1.0\r\nhost: HOST\r\nCOOKIE\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    head_refused(house, raw, &["encoding_in_http_10"])
}

fn nt_59_nt_60_nt_61_a_broken_chunk_ends_both_sides_and_no_body_is_completed(house: &House) -> Result<()> {
    for stack in STACKS.into_iter().chain(["raw"]) {
        for bad in [
            "2;x\n\r\nok\r\n0\r\n\r\n",
            "2\nok\r\n0\r\n\r\n",
            "2\r\nok\n0\r\n\r\n",
            "2\r\nokX0\r\n\r\n",
            "10000000000000002\r\nok\r\n0\r\n\r\n",
            "+2\r\nok\r\n0\r\n\r\n",
            "0x2\r\nok\r\n0\r\n\r\n",
            "2 \r\nok\r\n0\r\n\r\n",
            "\r\nok\r\n0\r\n\r\n",
            "g\r\nok\r\n0\r\n\r\n",
            "2\r\nok\r\n0\r\nbad trailer\r\n\r\n",
            "2\r\nok\r\n0\r\nx: y\n\r\n",
        ] {
            let (mark, inner) = (house.mark("chunk"), house.mark("inner"));
            let (host, cookie) = (host(stack), house.ada(stack));
            let smuggled = format!("GET /{inner} HTTP/1.1\r\nhost: {host}\r\n{cookie}\r\n");
            let raw = format!(
                "POST /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}transfer-encoding: chunked\r\n\r\n{bad}{smuggled}"
            );
            let shown = || format!("{stack}: {}", bad.escape_debug());
            let (heard, from) = house.say(stack, raw)?;
            // A web server may have answered before it looked at the body.
            let early = heard.statuses() == [200];
            ensure!(heard.statuses() == [400] || early || heard.statuses().is_empty(), "{}: {heard:?}", shown());
            ensure!(heard.closed, "{}: the connection stays open", shown());
            for request in house.tap(stack).requests(&mark)? {
                ensure!(!request.whole, "{}: the body was completed: {request:?}", shown());
            }
            ensure!(!house.ledger.from(from, 1)?.is_empty());
            house.unheard(&inner).with_context(shown)?;
        }
    }
    Ok(())
}

fn nt_62_bare_line_feeds_and_bare_returns_end_no_line(house: &House) -> Result<()> {
    for raw in [
        "GET /MARK HTTP/1.1\nhost: HOST\nCOOKIE\n\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\nx-nt: a\nx-b: c\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\n\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\nx-nt: a\rx-b: c\r\n\r\n",
        "GET /MARK HTTP/1.1\rhost: HOST\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\nx-nt: a\0b\r\n\r\n",
    ] {
        head_refused(house, raw, &[]).with_context(|| raw.escape_debug().to_string())?;
    }
    Ok(())
}

fn nt_63_nt_64_nt_65_exactly_one_host_and_one_spelling_of_it(house: &House) -> Result<()> {
    for raw in [
        "GET /MARK HTTP/1.1\r\nhost: HOST\r\nhost: HOST\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST\r\nHost: other.neg.localhost\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost:\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: user@HOST\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST:0\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST:80:80\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST, HOST\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST/x\r\nCOOKIE\r\n\r\n",
        "GET /MARK HTTP/1.1\r\nhost: HOST\r\n .evil.example\r\nCOOKIE\r\n\r\n",
        "GET http://other.neg.localhost/MARK HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\n\r\n",
        "GET https://evil.example/MARK HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\n\r\n",
        "GET http://HOST@other.neg.localhost/MARK HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\n\r\n",
        "GET ftp://HOST/MARK HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\n\r\n",
    ] {
        head_refused(house, raw, &[]).with_context(|| raw.escape_debug().to_string())?;
    }
    Ok(())
}

fn nt_65_a_target_that_is_neither_a_path_nor_an_address_is_refused_with_a_record(house: &House) -> Result<()> {
    for target in
        ["HOST/MARK", "MARK", "HOST:443/MARK", "//HOST/MARK", "?MARK", "http:/MARK", "http:///MARK", "http://:80/MARK"]
    {
        head_refused(house, &format!("GET {target} HTTP/1.1\r\nhost: HOST\r\nCOOKIE\r\n\r\n"), &[])
            .with_context(|| target.to_owned())?;
    }
    Ok(())
}

fn nt_65_an_absolute_target_of_the_same_host_goes_on_in_origin_form(house: &House) -> Result<()> {
    for stack in STACKS {
        let (mark, host, cookie) = (house.mark("absolute"), host(stack), house.ada(stack));
        let raw = format!("GET http://{host}/{mark}?q=1 HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close\r\n\r\n");
        let (heard, _) = house.say(stack, raw)?;
        ensure!(heard.status() == 200, "{stack}: {heard:?}");
        let views = agree(house, stack, heard.header("x-request-id").context("an id")?, true)?;
        ensure!(views.wire.target == format!("/{mark}?q=1"), "{stack}: {:?}", views.wire);
    }
    Ok(())
}

fn nt_66_an_unknown_upgrade_makes_no_tunnel_and_the_next_request_is_decided(house: &House) -> Result<()> {
    for stack in STACKS {
        for token in ["foo", "h2c", "TLS/1.0", "websocket, foo"] {
            let (mark, inner) = (house.mark("upgrade"), house.mark("inner"));
            let (host, cookie) = (host(stack), house.ada(stack));
            let raw = format!(
                "GET /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: upgrade\r\nupgrade: {token}\r\n\r\n\
                 GET /admin/{inner} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close\r\n\r\n"
            );
            let (heard, from) = house.say(stack, raw)?;
            // The first may be refused as a whole; otherwise it goes on without its upgrade.
            let statuses = heard.statuses();
            ensure!([&[200, 403][..], &[400]].contains(&&statuses[..]), "{stack} {token}: {heard:?}");
            ensure!(
                heard.closed && house.ledger.from(from, statuses.len())?.len() == statuses.len(),
                "{stack} {token}"
            );
            house.unheard(&inner)?;
            for request in house.tap(stack).requests(&mark)? {
                ensure!(request.header("upgrade").is_none(), "{stack} {token}: {request:?}");
            }
        }
    }
    Ok(())
}

fn nt_10_an_upgrade_is_a_tunnel_only_after_the_web_server_agreed(house: &House) -> Result<()> {
    for stack in STACKS {
        let (mark, inner) = (house.mark("tunnel"), house.mark("inner"));
        let (host, cookie) = (host(stack), house.ada(stack));
        let raw = format!(
            "GET /{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\
             GET /admin/{inner} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close\r\n\r\n"
        );
        let (heard, from) = house.say(stack, raw)?;
        ensure!(heard.statuses() == [200, 403], "{stack}: {heard:?}");
        ensure!(house.ledger.from(from, 2)?.len() == 2, "{stack}: two decisions");
        house.unheard(&inner)?;
    }
    Ok(())
}

fn nt_10_a_body_that_nobody_reads_is_never_the_next_request(house: &House) -> Result<()> {
    for stack in STACKS {
        let (host, cookie) = (host(stack), house.ada(stack));
        for framing in ["length", "chunked"] {
            let (mark, inner, last) = (house.mark("unread"), house.mark("inner"), house.mark("last"));
            let body = format!("GET /{inner} HTTP/1.1\r\nhost: {host}\r\n{cookie}\r\n");
            let framed = match framing {
                "length" => format!("content-length: {}\r\n\r\n{body}", body.len()),
                _ => format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
            };
            // Denied, so that nobody reads the body, and permitted, so that the web server does.
            for (path, status) in [("/admin/", 403), ("/", 200)] {
                let raw = format!(
                    "POST {path}{mark} HTTP/1.1\r\nhost: {host}\r\n{cookie}{framed}\
                     GET /{last} HTTP/1.1\r\nhost: {host}\r\n{cookie}connection: close\r\n\r\n"
                );
                let (heard, from) = house.say(stack, raw)?;
                let statuses = heard.statuses();
                let known = statuses == [status, 200] || (status == 403 && statuses == [403]);
                ensure!(known, "{stack} {framing} {path}: {heard:?}");
                ensure!(heard.closed);
                for record in house.ledger.from(from, statuses.len())? {
                    let path = record["ask"]["what"]["path"].as_str().unwrap_or_default();
                    ensure!(!path.contains(&inner), "{stack}: a body was decided on as a request");
                }
                let targets = house.tap(stack).requests(&inner)?;
                ensure!(targets.iter().all(|r| !r.target.contains(&inner)), "{stack}: {targets:?}");
            }
        }
    }
    Ok(())
}

fn nt_10_http_10_is_one_request_and_one_answer(house: &House) -> Result<()> {
    for stack in STACKS {
        for keep in ["", "connection: keep-alive\r\n"] {
            let (mark, host, cookie) = (house.mark("old"), host(stack), house.ada(stack));
            let raw = format!("GET /{mark} HTTP/1.0\r\nhost: {host}\r\n{cookie}{keep}\r\n");
            let mut visit = house.open(stack)?;
            visit.send(raw)?;
            let heard =
                visit.listen_until(std::time::Duration::from_secs(5), |t| !keep.is_empty() && t.contains("\r\n\r\n"));
            let status = heard.text.split(' ').nth(1).unwrap_or_default();
            // Old HTTP may be refused as a whole, with the status of its own.
            ensure!(["200", "505", "400"].contains(&status), "{stack}: {heard:?}");
            ensure!(!heard.text.to_ascii_lowercase().contains("transfer-encoding"), "{stack}: {heard:?}");
            for request in house.tap(stack).requests(&mark)? {
                ensure!(request.whole, "{stack}: {request:?}");
            }
        }
    }
    Ok(())
}
