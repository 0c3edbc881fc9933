//! NT-46 to NT-68: raw bytes to the gateway, a byte-exact log behind it. "400 + close" is one 400, the connection closed,
//! nothing forwarded, one refusal with a stable code in the ledger.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;

use common::{ADA, Setup, house};
use safeconduct_model::Hardening;

/// The head up to the fields under test is that of a permitted request.
async fn refused(fields: &str, body: &str, code: &str) {
    let head = format!("POST /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}");
    raw_refused(&format!("{head}{fields}\r\n{body}"), code).await;
}

async fn raw_refused(raw: &str, code: &str) {
    let house = house(Setup::default()).await;
    // A second request behind it must never be taken for one.
    let heard = house.raw(format!("{raw}GET /smuggled HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n")).await;
    assert_eq!((heard.status(), heard.answers(), heard.closed), (400, 1, true), "{raw:?}\n{heard:?}");
    assert_eq!(house.upstream.log(), "", "{raw:?}");
    let codes: Vec<_> = house.control.refusals().into_iter().map(|r| r.detail).collect();
    assert_eq!(codes, [code], "{raw:?}");
}

#[tokio::test]
async fn nt_46_content_length_then_transfer_encoding() {
    refused("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", "length_and_encoding").await;
}

#[tokio::test]
async fn nt_47_transfer_encoding_then_content_length() {
    refused("transfer-encoding: chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n", "length_and_encoding").await;
}

#[tokio::test]
async fn nt_48_two_content_lengths_that_differ() {
    refused("content-length: 5\r\ncontent-length: 6\r\n", "hello", "two_content_lengths").await;
}

#[tokio::test]
async fn nt_49_two_content_lengths_that_agree() {
    refused("content-length: 5\r\ncontent-length: 5\r\n", "hello", "two_content_lengths").await;
}

#[tokio::test]
async fn nt_50_content_length_with_a_sign() {
    refused("content-length: +5\r\n", "hello", "bad_content_length").await;
}

#[tokio::test]
async fn nt_51_content_length_as_a_list() {
    refused("content-length: 5, 5\r\n", "hello", "bad_content_length").await;
}

#[tokio::test]
async fn nt_52_unknown_transfer_encoding() {
    refused("transfer-encoding: xchunked\r\n", "0\r\n\r\n", "unknown_encoding").await;
}

#[tokio::test]
async fn nt_53_transfer_encoding_as_a_list() {
    refused("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n", "unknown_encoding").await;
}

#[tokio::test]
async fn nt_54_folded_transfer_encoding() {
    refused("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n", "folded_line").await;
}

#[tokio::test]
async fn nt_55_transfer_encoding_with_a_vertical_tab() {
    refused("transfer-encoding: \u{b}chunked\r\n", "0\r\n\r\n", "control_byte").await;
}

#[tokio::test]
async fn nt_56_space_before_the_colon() {
    refused("transfer-encoding : chunked\r\n", "0\r\n\r\n", "field_name").await;
}

#[tokio::test]
async fn nt_57_http_10_with_transfer_encoding() {
    let raw = format!("POST /a HTTP/1.0\r\nhost: wiki.test\r\n{ADA}transfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    raw_refused(&raw, "encoding_in_http_10").await;
}

#[tokio::test]
async fn nt_58_two_transfer_encodings() {
    refused("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", "two_encodings").await;
}

/// The head may have been forwarded: then no terminating chunk reaches the upstream, both sides are closed, and the connection
/// serves nobody else.
async fn broken_chunks(body: &str, code: &str) {
    let house = house(Setup::default()).await;
    let heard = house
        .raw(format!(
            "POST /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}transfer-encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n"
        ))
        .await;
    assert!(heard.closed && heard.answers() <= 1 && matches!(heard.status(), 0 | 400), "{heard:?}");
    assert!(
        !house.upstream.log().contains("0\r\n\r\n") && !house.upstream.log().contains("smuggled"),
        "{}",
        house.upstream.log()
    );
    let codes: Vec<_> = house.control.refusals().into_iter().map(|r| r.detail).collect();
    assert_eq!(codes, [code], "{body:?}");
    house
        .until(|h| {
            h.upstream.closed.load(std::sync::atomic::Ordering::SeqCst)
                == h.upstream.connections.load(std::sync::atomic::Ordering::SeqCst)
        })
        .await;
}

#[tokio::test]
async fn nt_59_chunk_extension_with_bare_lf() {
    broken_chunks("5;a\nhello\r\n0\r\n\r\n", "bad_chunk").await;
}

#[tokio::test]
async fn nt_60_chunk_size_ended_by_lf_only() {
    broken_chunks("5\nhello\r\n0\r\n\r\n", "bad_chunk").await;
}

#[tokio::test]
async fn nt_61_chunk_size_overflow() {
    broken_chunks("10000000000000005\r\nhello\r\n0\r\n\r\n", "chunk_size_overflow").await;
}

#[tokio::test]
async fn nt_62_bare_lf_in_the_head() {
    raw_refused("GET /a HTTP/1.1\nhost: wiki.test\ncookie: sc=ada\n\n", "bare_lf").await;
    raw_refused("GET /a HTTP/1.1\r\nhost: wiki.test\ncookie: sc=ada\r\n\r\n", "bare_lf").await;
}

#[tokio::test]
async fn nt_63_two_hosts() {
    refused("host: wiki.test\r\n", "", "two_hosts").await;
    refused("host: shop.test\r\n", "", "two_hosts").await;
}

#[tokio::test]
async fn nt_64_no_host() {
    raw_refused(&format!("GET /a HTTP/1.1\r\n{ADA}\r\n"), "no_host").await;
}

#[tokio::test]
async fn nt_65_absolute_target_with_another_host() {
    raw_refused(&format!("GET http://shop.test/a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\n"), "host_differs").await;
    let house = house(Setup::default()).await;
    let raw = format!("GET http://wiki.test/a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close\r\n\r\n");
    assert_eq!(house.raw(raw).await.status(), 200);
    let log = house.upstream.log();
    assert!(
        log.starts_with("GET /a HTTP/1.1\r\n") && log.matches("host: ").count() == 2,
        "origin form, one Host: {log}"
    );
    assert_eq!(log.matches("\r\nhost: wiki.test\r\n").count(), 1);
}

#[tokio::test]
async fn nt_66_an_unknown_upgrade_is_not_forwarded_and_the_next_request_is_decided_on_its_own() {
    let house = house(Setup::default()).await;
    let heard = house
        .raw(format!(
            "GET /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: upgrade\r\nupgrade: foo\r\n\r\nGET /admin HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close\r\n\r\n"
        ))
        .await;
    assert_eq!(heard.answers(), 2, "{heard:?}");
    assert!(heard.text.starts_with("HTTP/1.1 200") && heard.text.contains("HTTP/1.1 403"));
    assert_eq!(house.control.verdicts().len(), 2);
    assert_eq!(house.upstream.targets(), ["/a"]);
    assert!(!house.upstream.log().contains("upgrade"), "{}", house.upstream.log());
}

#[tokio::test]
async fn nt_66_what_follows_a_refused_upgrade_is_scanned_like_any_head() {
    for token in ["foo", "websocket"] {
        let house = house(Setup::default()).await;
        let upgrade =
            format!("GET /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: upgrade\r\nupgrade: {token}\r\n\r\n");
        let smuggled = format!(
            "POST /b HTTP/1.1\r\nhost: wiki.test\r\n{ADA}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        );
        let heard = house.raw(upgrade + &smuggled).await;
        assert!(heard.text.starts_with("HTTP/1.1 200") && heard.closed, "{heard:?}");
        assert_eq!(heard.text.matches("HTTP/1.1 400").count(), 1, "{heard:?}");
        assert_eq!(house.upstream.targets(), ["/a"]);
    }
}

#[tokio::test]
async fn nt_10_no_byte_is_tunnelled_before_the_upstream_agreed() {
    let house = house(Setup::default()).await;
    // The upstream answers 200 to /a, so what follows is a request, not a stream.
    let heard = house
        .raw(format!(
            "GET /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\nGET /admin HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close\r\n\r\n"
        ))
        .await;
    assert_eq!(heard.answers(), 2, "{heard:?}");
    assert_eq!(house.upstream.targets(), ["/a"]);
}

#[tokio::test]
async fn nt_10_an_upstream_that_changes_the_protocol_unasked_is_a_bad_gateway() {
    let house = house(Setup::default()).await;
    assert_eq!(house.get("/fake-upgrade", "").await.status(), 502);
}

#[tokio::test]
async fn nt_67_connection_may_not_nominate_what_only_we_set() {
    refused("connection: x-forwarded-for\r\nx-forwarded-for: 1\r\n", "", "connection_names_protected_field").await;
    refused("connection: close, X-Safeconduct-Assertion\r\n", "", "connection_names_protected_field").await;
    let house = house(Setup::default()).await;
    let raw = format!(
        "GET /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}connection: close, x-user\r\nx-user: eve\r\nx-kept: 1\r\n\r\n"
    );
    assert_eq!(house.raw(raw).await.status(), 200);
    let log = house.upstream.log();
    assert!(!log.contains("x-user") && !log.contains("connection") && log.contains("x-kept: 1"), "{log}");
}

#[tokio::test]
async fn nt_68_underscores_are_refused_or_dropped_but_never_forwarded() {
    refused("x_user: eve\r\n", "", "underscore_in_name").await;
    let hardening = Hardening { drop_underscore_headers: true, ..Hardening::default() };
    let house = house(Setup { hardening, ..Setup::default() }).await;
    assert_eq!(house.get("/a", "x_user: eve\r\nX_Safeconduct_Assertion: forged\r\n").await.status(), 200);
    assert!(!house.upstream.log().contains("eve") && !house.upstream.log().contains("forged"));
}

#[tokio::test]
async fn bodies_and_pipelined_requests_stay_in_step() {
    let house = house(Setup::default()).await;
    let heard = house
        .raw(format!(
            "POST /echo HTTP/1.1\r\nhost: wiki.test\r\n{ADA}content-length: 5\r\n\r\nhelloPOST /echo HTTP/1.1\r\nhost: wiki.test\r\n{ADA}transfer-encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /last HTTP/1.1\r\nhost: shop.test\r\n{ADA}connection: close\r\n\r\n"
        ))
        .await;
    assert_eq!(heard.answers(), 3, "{heard:?}");
    assert!(heard.text.contains("\r\n\r\nhello") && heard.text.ends_with("\r\n\r\nok"));
    assert_eq!(house.upstream.targets(), ["/echo", "/echo", "/last"]);
    assert_eq!(house.control.verdicts().len(), 3);
}

#[tokio::test]
async fn a_refused_request_behind_a_good_one_is_answered_in_its_turn() {
    let house = house(Setup::default()).await;
    let heard = house
        .raw(format!("GET /a HTTP/1.1\r\nhost: wiki.test\r\n{ADA}\r\nGET /b HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"))
        .await;
    assert!(heard.text.starts_with("HTTP/1.1 200") && heard.closed, "{heard:?}");
    assert_eq!((heard.answers(), heard.text.matches("HTTP/1.1 400").count()), (2, 1));
}
