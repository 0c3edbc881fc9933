//! The head of an HTTP/1.1 request, judged byte by byte and without a library.
//!
//! The fast reader ([`Head::read_h1`](crate::Head::read_h1)) asks here what to call a fault that it found. And it is held against
//! these rules in tests: it never accepts what they refuse.

use crate::Refused;
use crate::head::length;
use crate::{Bounds, Framing};

/// What is known of an accepted head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// What follows.
    pub framing: Framing,
    /// Whether what follows is only known after the answer.
    pub upgrade: bool,
}

/// Looks for the end of the head from `from` on. `Ok(Some(n))`: the head is the first `n` bytes.
pub fn end_of_head(bytes: &[u8], from: usize, bounds: &Bounds) -> Result<Option<usize>, Refused> {
    for at in from..bytes.len() {
        match bytes[at] {
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => return Err(Refused::bad("bare_lf")),
            b'\n' if at >= 3 && bytes[at - 3..at] == *b"\r\n\r" => return Ok(Some(at + 1)),
            b'\n' if at == 1 => return Err(Refused::bad("empty_line")),
            b'\n' => {}
            _ if at > 0 && bytes[at - 1] == b'\r' => return Err(Refused::bad("bare_cr")),
            0..=8 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f => return Err(Refused::bad("control_byte")),
            _ => {}
        }
        if at >= bounds.head_bytes {
            return Err(Refused::limit(431, "head_too_long"));
        }
    }
    Ok(None)
}

/// What is wrong with a whole head, if anything is.
#[must_use]
pub fn fault(bytes: &[u8], bounds: &Bounds) -> Option<Refused> {
    end_of_head(bytes, 0, bounds).and_then(|_| head(bytes, bounds)).err()
}

/// Checks a whole head, from the request line to the empty line.
pub fn head(bytes: &[u8], bounds: &Bounds) -> Result<Read, Refused> {
    let text = bytes.strip_suffix(b"\r\n\r\n").ok_or(Refused::bad("no_end"))?;
    let mut lines = text.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let old = request_line(lines.next().unwrap_or_default(), bounds)?;
    let (mut lengths, mut codings, mut hosts, mut count) = (Vec::new(), Vec::new(), 0, 0);
    let mut upgrade = false;
    for line in lines {
        let (name, value) = field_line(line)?;
        count += 1;
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => codings.push(value),
            b"host" => hosts += 1,
            b"upgrade" => upgrade = true,
            _ => {}
        }
    }
    if count > bounds.header_count {
        return Err(Refused::limit(431, "too_many_headers"));
    }
    let framing = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Framing::None,
        ([_, ..], [_, ..]) => return Err(Refused::bad("length_and_encoding")),
        ([one], []) => Framing::Length(length(one)?),
        ([], [_]) if old => return Err(Refused::bad("encoding_in_http_10")),
        ([], [one]) if one.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        ([], [_]) => return Err(Refused::bad("unknown_encoding")),
        ([_, _, ..], []) => return Err(Refused::bad("two_content_lengths")),
        ([], [_, _, ..]) => return Err(Refused::bad("two_encodings")),
    };
    match hosts {
        1 => {}
        0 => return Err(Refused::bad("no_host")),
        _ => return Err(Refused::bad("two_hosts")),
    }
    if let (Some(bound), Framing::Length(n)) = (bounds.body_bytes, framing)
        && n > bound
    {
        return Err(Refused::limit(413, "body_too_long"));
    }
    Ok(Read { framing, upgrade: upgrade && lengths.is_empty() && codings.is_empty() })
}

/// `METHOD SP target SP HTTP/1.x`. Says whether it is HTTP/1.0.
fn request_line(line: &[u8], bounds: &Bounds) -> Result<bool, Refused> {
    let mut words = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refused::bad("request_line"));
    };
    if method.is_empty() || method.len() > crate::head::LONGEST_METHOD || !method.iter().all(|b| is_token(*b)) {
        return Err(Refused::bad("method"));
    }
    if target.len() > bounds.target_bytes {
        return Err(Refused::limit(414, "target_too_long"));
    }
    if target.is_empty() || !target.iter().all(|b| matches!(b, 0x21..=0x7e)) {
        return Err(Refused::bad("target"));
    }
    if target.contains(&b'#') {
        return Err(Refused::bad("target_fragment"));
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(Refused { status: 505, ..Refused::bad("version") }),
    }
}

/// `name: value`, without folding, without a space before the colon.
pub fn field_line(line: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refused::bad("folded_line"));
    }
    let colon = line.iter().position(|b| *b == b':').ok_or(Refused::bad("field_without_colon"))?;
    let (name, value) = (&line[..colon], without_blanks(&line[colon + 1..]));
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Err(Refused::bad("field_name"));
    }
    if !value.iter().all(|b| matches!(b, b'\t' | 0x20..=0x7e | 0x80..)) {
        return Err(Refused::bad("field_value"));
    }
    Ok((name, value))
}

/// Blanks are spaces and tabs; a form feed is none.
fn without_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(raw: &str) -> Result<Read, &'static str> {
        let bounds = Bounds { head_bytes: 400, header_count: 5, target_bytes: 60, ..Bounds::default() };
        match end_of_head(raw.as_bytes(), 0, &bounds).map_err(|r| r.code)? {
            Some(n) if n == raw.len() => head(raw.as_bytes(), &bounds).map_err(|r| r.code),
            _ => Err("incomplete"),
        }
    }

    fn with(lines: &str) -> Result<Read, &'static str> {
        verdict(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
    }

    #[test]
    fn plain_heads_are_understood() {
        let none = Read { framing: Framing::None, upgrade: false };
        assert_eq!(with(""), Ok(none));
        assert_eq!(with("Content-Length: 5\r\n"), Ok(Read { framing: Framing::Length(5), ..none }));
        assert_eq!(with("transfer-encoding: Chunked \r\n"), Ok(Read { framing: Framing::Chunked, ..none }));
        assert_eq!(with("Upgrade: websocket\r\n"), Ok(Read { upgrade: true, ..none }));
        assert_eq!(with("Upgrade: h2c\r\nContent-Length: 0\r\n"), Ok(Read { framing: Framing::Length(0), ..none }));
        assert_eq!(verdict("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), Ok(none));
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        for (lines, code) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "length_and_encoding"),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "length_and_encoding"),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", "two_content_lengths"),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", "two_content_lengths"),
            ("Content-Length: +5\r\n", "bad_content_length"),
            ("Content-Length: 5, 5\r\n", "bad_content_length"),
            ("Content-Length:\r\n", "bad_content_length"),
            ("Transfer-Encoding: xchunked\r\n", "unknown_encoding"),
            ("Transfer-Encoding: chunked, identity\r\n", "unknown_encoding"),
            ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "two_encodings"),
            ("Transfer-Encoding:\r\n chunked\r\n", "folded_line"),
            ("Transfer-Encoding: \u{b}chunked\r\n", "control_byte"),
            ("Transfer-Encoding : chunked\r\n", "field_name"),
            ("Host: a\r\n", "two_hosts"),
            ("hOsT: b\r\n", "two_hosts"),
            ("X: a\rb\r\n", "bare_cr"),
            ("X: a\nY: b\r\n", "bare_lf"),
            ("X: \u{0}\r\n", "control_byte"),
            ("X: \u{c}\r\n", "control_byte"),
            ("X\r\n", "field_without_colon"),
            (": x\r\n", "field_name"),
            ("a: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\ne: 1\r\n", "too_many_headers"),
        ] {
            assert_eq!(with(lines), Err(code), "{lines:?}");
        }
        for (raw, code) in [
            ("GET / HTTP/1.1\r\n\r\n", "no_host"),
            ("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "encoding_in_http_10"),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "empty_line"),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "request_line"),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "request_line"),
            ("GET /\r\nHost: a\r\n\r\n", "request_line"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version"),
            ("G\u{e4}T / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
            ("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "target_fragment"),
        ] {
            assert_eq!(verdict(raw), Err(code), "{raw:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(60));
        assert_eq!(verdict(&long), Err("target_too_long"));
        let huge = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(400));
        assert_eq!(verdict(&huge), Err("head_too_long"));
    }
}
