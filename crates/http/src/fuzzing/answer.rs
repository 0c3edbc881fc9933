//! The head of an answer: what is accepted, and what the client gets of it.

use super::{hold, show, small};
use crate::names::{is_hop_by_hop, is_ours};
use crate::{Answer, AnswerOwn, BadAnswer, Bounds, Encoder, MAX_FIELDS, ResponseFraming, Version};

/// The cookie of the gateway.
const COOKIE: &str = "__Host-sc";
/// The inputs whose every prefix is read.
const SHORT: usize = 200;

/// A field as a plain reader sees it: name in lower case, value without blanks.
type Field = (String, Vec<u8>);

/// Reads an answer, to `GET` and to `HEAD`; whether a client would get it.
///
/// # Errors
/// If something differs, in words.
pub fn answer(raw: &[u8]) -> Result<bool, String> {
    let mut accepted = false;
    again(raw)?;
    for to_head in [false, true] {
        in_parts(raw, to_head, &small())?;
        let bounds = Bounds::default();
        in_parts(raw, to_head, &bounds)?;
        let mut answer = Answer::default();
        let Ok(Some(n)) = answer.read(raw, to_head, &bounds) else { continue };
        accepted = true;
        let (status, fields) = plain(&raw[..n])?;
        hold!(status == answer.status(), "another status: {}", show(raw));
        framed_once(&answer, &fields, to_head)?;
        for version in [Version::Http11, Version::Http10] {
            for close in [false, true] {
                as_written(&answer, to_head, version, close)?;
            }
        }
    }
    Ok(accepted)
}

/// Whatever the memory held before, and however often the same comes, it is read as by one that knows nothing.
fn again(raw: &[u8]) -> Result<(), String> {
    let other: &[u8] = b"HTTP/1.1 204 x\r\na: b\r\nSet-Cookie: c=d\r\n\r\n";
    let (default, small) = (Bounds::default(), small());
    let mut known = Answer::default();
    for (raw, to_head, bounds) in [
        (other, false, &default),
        (raw, false, &default),
        (raw, false, &default),
        (raw, true, &default),
        (raw, true, &small),
        (raw, true, &small),
        (raw, false, &small),
        (other, false, &default),
        (raw, false, &default),
    ] {
        let mut fresh = Answer::default();
        let (read, expected) = (known.read(raw, to_head, bounds), fresh.read(raw, to_head, bounds));
        hold!(read == expected, "{read:?} instead of {expected:?}: {}", show(raw));
        if matches!(read, Ok(Some(_))) {
            let [known, fresh] = [&known, &fresh].map(|answer| {
                let own =
                    AnswerOwn { request: "r1", cookies: &[COOKIE.to_owned()], close: false, version: Version::Http11 };
                let mut out = Vec::new();
                let encoder = answer.write(&own, &mut out);
                (out, encoder, answer.framing(), answer.persistent(), answer.binds_connection(), answer.length())
            });
            hold!(known == fresh, "{known:?} instead of {fresh:?}: {}", show(raw));
        }
    }
    Ok(())
}

/// Read in parts it is the same.
fn in_parts(raw: &[u8], to_head: bool, bounds: &Bounds) -> Result<(), String> {
    let whole = Answer::default().read(raw, to_head, bounds);
    let mut parts = Answer::default();
    let step = if raw.len() <= SHORT { 1 } else { raw.len() / 7 };
    for end in (0..raw.len()).step_by(step).chain([raw.len()]) {
        match parts.read(&raw[..end], to_head, bounds) {
            Ok(None) => hold!(end < raw.len() || whole == Ok(None), "in parts it does not end: {}", show(raw)),
            found => {
                let same = found == whole || (found.is_err() && whole.is_err());
                hold!(same, "whole {whole:?}, up to {end} {found:?}: {}", show(raw));
                break;
            }
        }
    }
    Ok(())
}

/// Nothing in the head allows for another framing than the one that was found (RFC 9112, 6.3).
fn framed_once(answer: &Answer, fields: &[Field], to_head: bool) -> Result<(), String> {
    let of = |name: &str| -> Vec<&[u8]> { fields.iter().filter(|f| f.0 == name).map(|f| f.1.as_slice()).collect() };
    let bodiless = to_head || answer.status() < 200 || matches!(answer.status(), 204 | 304);
    let expected = match (of("content-length").as_slice(), of("transfer-encoding").as_slice()) {
        _ if bodiless => ResponseFraming::None,
        ([], []) => ResponseFraming::UntilClose,
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => ResponseFraming::Chunked,
        ([digits], []) if digits.iter().all(u8::is_ascii_digit) => {
            let length = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
            ResponseFraming::Length(length.ok_or("a length that is too long was accepted")?)
        }
        other => return Err(format!("accepted, and has several readings: {other:?}")),
    };
    hold!(answer.framing() == expected, "{:?} instead of {expected:?}", answer.framing());
    hold!(expected != ResponseFraming::UntilClose || !answer.persistent(), "a connection that ends is kept");
    Ok(())
}

/// What the client gets is one answer with the same meaning.
fn as_written(answer: &Answer, to_head: bool, version: Version, close: bool) -> Result<(), String> {
    let bounds = Bounds { head_bytes: usize::MAX, header_count: MAX_FIELDS, ..Bounds::default() };
    let cookies = [COOKIE.to_owned()];
    let own = AnswerOwn { request: "r1", cookies: &cookies, close, version };
    let mut out = Vec::new();
    let encoder = answer.write(&own, &mut out);
    let (status, fields) = plain(&out)?;
    hold!(status == answer.status(), "another status: {}", show(&out));

    let mut again = Answer::default();
    let read = again.read(&out, to_head, &bounds);
    hold!(read == Ok::<_, BadAnswer>(Some(out.len())), "it is not read again, {read:?}: {}", show(&out));
    let (framing, wrapped) = match (answer.framing(), version) {
        (ResponseFraming::Chunked | ResponseFraming::UntilClose, Version::Http10) => {
            (ResponseFraming::UntilClose, None)
        }
        (ResponseFraming::Chunked | ResponseFraming::UntilClose, _) => {
            (ResponseFraming::Chunked, Some(Encoder::Chunked))
        }
        (same, _) => (same, Some(Encoder::Plain)),
    };
    hold!(again.framing() == framing && encoder == wrapped, "{framing:?}, {encoder:?}: {}", show(&out));
    hold!(again.length() == answer.length(), "another length is told: {}", show(&out));
    framed_once(&again, &fields, to_head)?;
    own_fields_only(answer, &fields, close || encoder.is_none())?;

    let mut twice = Vec::new();
    if encoder.is_some() {
        again.write(&own, &mut twice);
        hold!(twice == out, "written twice: {} {}", show(&out), show(&twice));
    }
    Ok(())
}

/// Nothing that only the gateway may say comes from the application, and nothing that is about one connection goes on.
fn own_fields_only(answer: &Answer, fields: &[Field], close: bool) -> Result<(), String> {
    let of = |name: &str| -> Vec<&[u8]> { fields.iter().filter(|f| f.0 == name).map(|f| f.1.as_slice()).collect() };
    hold!(of("x-request-id") == [b"r1"], "the id of the request: {fields:?}");
    hold!(of("content-length").len() + of("transfer-encoding").len() <= 1, "framed twice: {fields:?}");
    let (connection, upgrade): (&[&[u8]], &[&[u8]]) = match (answer.is_websocket(), close) {
        (true, _) => (&[b"upgrade"], &[b"websocket"]),
        (false, true) => (&[b"close"], &[]),
        (false, false) => (&[], &[]),
    };
    hold!(of("connection") == connection && of("upgrade") == upgrade, "the connection: {fields:?}");
    for (name, value) in fields {
        hold!(name == "x-request-id" || !is_ours(name), "{name} is ours");
        let about_connection = is_hop_by_hop(name.as_bytes()) || name == "alt-svc";
        let written = matches!(name.as_str(), "connection" | "upgrade" | "transfer-encoding");
        hold!(!about_connection || written, "{name} goes on");
        let cookie = value.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        hold!(name != "set-cookie" || cookie != COOKIE.as_bytes(), "our cookie is set: {}", show(value));
    }
    Ok(())
}

/// What httparse alone makes of a whole head.
fn plain(raw: &[u8]) -> Result<(u16, Vec<Field>), String> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut lines);
    let read = response.parse(raw);
    hold!(read == Ok(httparse::Status::Complete(raw.len())), "httparse says {read:?}: {}", show(raw));
    let fields =
        response.headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.trim_ascii().to_vec())).collect();
    Ok((response.code.unwrap_or_default(), fields))
}
