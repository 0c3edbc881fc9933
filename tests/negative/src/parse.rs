//! Recorded bytes as requests, read by the letter of RFC 9112: whatever is not exactly that is an error of the recording.

use anyhow::{Context, Result, bail, ensure};

/// One request as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target, as it was.
    pub target: String,
    /// Names and values as they were, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Request {
    /// The one value of a field; nothing if there is none, or more than one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = found.next()?;
        found.next().is_none().then_some(first.1.as_str())
    }

    /// The target without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// Every request in the bytes of one connection.
pub fn requests(mut bytes: &[u8]) -> Result<Vec<Request>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (request, rest) = first(bytes)?;
        bytes = rest;
        found.push(request);
    }
    Ok(found)
}

/// The first request in bytes, and what follows it.
pub(crate) fn first(bytes: &[u8]) -> Result<(Request, &[u8])> {
    let end = position(bytes, b"\r\n\r\n").with_context(|| format!("no whole head: {}", shown(bytes)))?;
    let mut request = head(&bytes[..end]).with_context(|| format!("in {}", shown(bytes)))?;
    let rest = body(&mut request, &bytes[end + 4..])?;
    Ok((request, rest))
}

fn shown(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(300)];
    first.escape_ascii().to_string()
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

fn head(bytes: &[u8]) -> Result<Request> {
    let text = String::from_utf8(bytes.to_vec()).context("a head that is not UTF-8")?;
    let mut lines = text.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1"] = words.as_slice() else { bail!("a request line of {words:?}") };
    let mut headers = Vec::new();
    for line in lines {
        ensure!(!line.contains(['\r', '\n', '\0']), "a control byte in `{}`", line.escape_debug());
        let (name, value) = line.split_once(':').with_context(|| format!("no field: `{line}`"))?;
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&b);
        ensure!(!name.is_empty() && name.bytes().all(token), "a field name `{}`", name.escape_debug());
        headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let (method, target) = ((*method).to_owned(), (*target).to_owned());
    Ok(Request { method, target, headers, body: Vec::new(), whole: false })
}

/// Reads the body that the head announces, and returns what follows it.
fn body<'a>(request: &mut Request, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let of = |name: &str| request.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).collect::<Vec<_>>();
    match (of("content-length").as_slice(), of("transfer-encoding").as_slice()) {
        ([], []) => {
            request.whole = true;
            Ok(bytes)
        }
        ([(_, length)], []) => {
            let length: usize = length.parse().context("the length is no number")?;
            let (body, rest) = bytes.split_at(length.min(bytes.len()));
            request.body = body.to_vec();
            request.whole = body.len() == length;
            Ok(rest)
        }
        ([], [(_, coding)]) if coding == "chunked" => chunks(request, bytes),
        (lengths, codings) => bail!("framing in two ways: {lengths:?} {codings:?}"),
    }
}

fn chunks<'a>(request: &mut Request, mut bytes: &'a [u8]) -> Result<&'a [u8]> {
    loop {
        let Some(end) = position(bytes, b"\r\n") else { return Ok(&[]) };
        let line = std::str::from_utf8(&bytes[..end])?;
        ensure!(line.bytes().all(|b| b.is_ascii_hexdigit()), "a chunk of size `{}`", line.escape_debug());
        let size = usize::from_str_radix(line, 16).context("a chunk without a size")?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            // Trailer fields end with an empty line.
            let end = if bytes.starts_with(b"\r\n") { Some(0) } else { position(bytes, b"\r\n\r\n").map(|n| n + 2) };
            request.whole = end.is_some();
            return Ok(end.map_or(&[][..], |end| &bytes[end + 2..]));
        }
        let (body, rest) = bytes.split_at(size.min(bytes.len()));
        request.body.extend_from_slice(body);
        if rest.is_empty() {
            return Ok(rest);
        }
        bytes = rest.strip_prefix(b"\r\n").context("a chunk that does not end where it should")?;
    }
}

/// Takes back the `\xHH`, `\\`, `\"` and `\t` by which logs of web servers escape.
#[must_use]
pub fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let hex = |at: usize| rest.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match (byte, rest.get(1), hex(2), hex(3)) {
            (b'\\', Some(b'x'), Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = &rest[4..];
            }
            (b'\\', Some(other), _, _) => {
                out.push(match other {
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'r' => b'\r',
                    same => *same,
                });
                rest = &rest[2..];
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_follow_each_other_and_bodies_belong_to_their_head() {
        let bytes = b"POST /a?b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcGET /c HTTP/1.1\r\nhost: y\r\n\r\nPOST /d HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\nGET /e HTTP/1.1\r\n\r\n";
        let found = requests(bytes).unwrap();
        let short: Vec<(&str, &[u8], bool)> = found.iter().map(|r| (r.path(), &r.body[..], r.whole)).collect();
        assert_eq!(short, [("/a", &b"abc"[..], true), ("/c", b"", true), ("/d", b"hi", true), ("/e", b"", true)]);
        assert_eq!(found[1].header("Host"), Some("y"));
    }

    #[test]
    fn what_is_not_by_the_letter_is_an_error() {
        for bad in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nx\r\n\r\n",
            "GET / HTTP/1.1\r\nx_y: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nx : 1\r\n\r\n",
            "GET / HTTP/1.1\r\na: 1\nb: 2\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;x\r\na\r\n",
            "GET / HTTP/1.1\r\n",
        ] {
            assert!(requests(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_that_broke_off_is_not_whole() {
        let broken = requests(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel").unwrap();
        assert!(!broken[0].whole && broken[0].body == b"hel");
        assert!(!requests(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\na").unwrap()[0].whole);
    }

    #[test]
    fn what_a_log_escaped_is_taken_back() {
        assert_eq!(unescape(r#"a\x41\\\"\tb\xc3"#), b"aA\\\"\tb\xc3");
    }
}
