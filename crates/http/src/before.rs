//! A head with the lines of the one before on its connection, as most clients send it: the lines are read once.
//!
//! The same bytes mean the same, so nothing is taken on trust: the request line is read anew each time, and one byte that differs
//! in the lines behind it lets the whole head be read anew.

use crate::head::{Head, Line, Span};
use crate::settle::Settled;
use crate::{Bounds, Framing, Version};

/// Longer lines are read anew each time, so that a connection that rests holds little.
const LONGEST: usize = 4 * 1024;

/// The lines of the head before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    /// As they came, from behind the request line to the empty line; nothing if there are none to go by.
    lines: Vec<u8>,
    /// What was read from them; the text of the head still has them, in lower case.
    fields: usize,
    host: Option<Span>,
    framing: Framing,
    /// How the request line ended up in front of them, and under which bounds they were read.
    from: usize,
    version: Version,
    bounds: Bounds,
}

impl Before {
    pub(crate) fn forget(&mut self) {
        self.lines.clear();
    }
}

impl Head {
    /// Keeps the lines of a head that was just read.
    pub(crate) fn remember(&mut self, head: &[u8], bounds: &Bounds) {
        let Some((line, lines)) = split(head).filter(|(_, lines)| lines.len() <= LONGEST) else { return };
        let before = &mut self.before;
        before.lines.extend_from_slice(lines);
        (before.from, before.fields, before.version) = (line.len(), self.fields.len(), self.version);
        (before.host, before.framing, before.bounds) = (self.host, self.framing, *bounds);
    }

    /// Reads a head that has the lines of the one before. If it does not, or its request line is not plainly good, nothing is done.
    pub(crate) fn is_read_as_before(&mut self, head: &[u8], bounds: &Bounds) -> bool {
        let before = &self.before;
        let Some((line, lines)) = split(head) else { return false };
        if before.lines.is_empty() || before.lines != lines || before.bounds != *bounds {
            return false;
        }
        let mut request = httparse::Request::new(&mut []);
        let read = request.parse(line).is_ok().then(|| Line::of(line, &request, bounds));
        let Some(Ok(read)) = read else { return false };
        if read.version != before.version || read.method.from != 0 || !line.ends_with(b"\r\n") {
            return false;
        }
        let (old, new) = (before.from, line.len());
        self.text.truncate(old + lines.len());
        if old == new {
            self.text[..new].copy_from_slice(line);
        } else {
            self.text.splice(..old, line.iter().copied());
        }
        let moved = |span: Span| Span { from: span.from - old + new, to: span.to - old + new };
        self.fields.truncate(before.fields);
        for field in &mut self.fields {
            (field.name, field.value, field.dropped) = (moved(field.name), moved(field.value), false);
        }
        (self.in_target, self.host, self.protocol) = (None, before.host.map(moved), None);
        (self.framing, self.settled) = (before.framing, Settled::default());
        (self.before.from, self.before.host) = (new, self.host);
        self.take_line(read);
        true
    }
}

/// The request line with its end, and what stands behind it.
fn split(head: &[u8]) -> Option<(&[u8], &[u8])> {
    head.split_at_checked(memchr::memchr(b'\n', head)? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "Host: a\r\nAccept: */*\r\nCookie: a=b\r\n\r\n";

    fn read(head: &mut Head, line: &str, lines: &str) -> bool {
        let raw = format!("{line}\r\n{lines}");
        let known = head.clone().is_read_as_before(raw.as_bytes(), &Bounds::default());
        assert_eq!(head.read_h1(raw.as_bytes(), &Bounds::default()), Ok(Some(raw.len())));
        assert_eq!((head.header("accept"), head.raw_host()), (Some("*/*"), &b"a"[..]));
        known
    }

    #[test]
    fn the_lines_of_a_connection_are_read_once() {
        let mut head = Head::default();
        assert!(!read(&mut head, "GET / HTTP/1.1", LINES));
        assert!(!read(&mut head, "GET / HTTP/1.1", LINES), "one request alone keeps nothing");
        for line in [
            "GET / HTTP/1.1",
            "GET /longer?q HTTP/1.1",
            "DELETE /x HTTP/1.1",
            "GET http://a HTTP/1.1",
            "GET / HTTP/1.1",
        ] {
            assert!(read(&mut head, line, LINES), "{line}");
        }
        assert!(!read(&mut head, "GET / HTTP/1.0", LINES), "another version reads other lines");
        assert!(!read(&mut head, "GET / HTTP/1.1", &LINES.replace("a=b", "a=c")), "one byte differs");
        assert!(!read(&mut head, "GET / HTTP/1.1", LINES));
        assert!(read(&mut head, "GET / HTTP/1.1", LINES));
    }

    #[test]
    fn what_was_settled_of_one_request_does_not_stay_for_the_next() {
        let (mut head, bounds) = (Head::default(), Bounds::default());
        let mut sizes = Vec::new();
        for _ in 0..4 {
            read(&mut head, "GET /%61 HTTP/1.1", LINES);
            head.settle(safeconduct_model::OptOuts::default(), &["a".to_owned()], &bounds).expect("good");
            assert_eq!((head.session(), head.cookies(), head.path()), (Some("b"), None, "/a"));
            sizes.push(head.text.len());
        }
        assert!(sizes.windows(2).all(|pair| pair[0] == pair[1]), "{sizes:?}");
    }

    #[test]
    fn other_bounds_read_anew() {
        let (mut head, bounds) = (Head::default(), Bounds::default());
        let raw = format!("GET / HTTP/1.1\r\n{LINES}");
        (0..3).for_each(|_| assert!(head.read_h1(raw.as_bytes(), &bounds).is_ok()));
        let few = Bounds { header_count: 2, ..bounds };
        assert_eq!(head.read_h1(raw.as_bytes(), &few).map_err(|r| r.code), Err("too_many_headers"));
    }
}
