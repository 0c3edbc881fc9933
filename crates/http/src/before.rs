//! A head with the lines of the one before on its connection, as most clients send it: the lines are read and settled once.
//!
//! The same bytes mean the same, so nothing is taken on trust: the request line is read anew each time, and one byte that differs
//! in the lines behind it lets the whole head be read anew.

use crate::head::{Head, Line, Span};
use crate::names::Name;
use crate::settle::Settled;
use crate::write::whole_lines;
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
    found: Option<Found>,
}

/// What settling found in the lines, where neither the route nor the request line has a say in it.
#[derive(Clone, Debug)]
struct Found {
    /// The cookies of the gateway that were taken out.
    ours: Vec<String>,
    /// Which fields are taken out,
    dropped: Vec<bool>,
    /// and the others as whole lines of the text, if they came as they are written.
    written: Option<Vec<Span>>,
    session: Option<Span>,
    cookies: Cookies,
    persistent: bool,
    expects_continue: bool,
}

/// The cookies that go on.
#[derive(Clone, Debug)]
enum Cookies {
    None,
    /// The one field as it came.
    AsTheyCame(Span),
    /// Without ours.
    Others(Vec<u8>),
}

impl Before {
    pub(crate) fn forget(&mut self) {
        self.lines.clear();
        self.found = None;
    }
}

impl Found {
    /// The request line has another length now.
    fn shift(&mut self, moved: impl Fn(Span) -> Span) {
        self.session = self.session.map(&moved);
        self.written.iter_mut().flatten().for_each(|span| *span = moved(*span));
        if let Cookies::AsTheyCame(span) = &mut self.cookies {
            *span = moved(*span);
        }
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
        if let Some(found) = &mut self.before.found
            && old != new
        {
            found.shift(moved);
        }
        self.take_line(read);
        true
    }

    /// Keeps what was just settled, if it is the same behind every request line.
    pub(crate) fn remember_settled(&mut self, ours: &[String]) {
        let steered = |kind| matches!(kind, Name::Underscore | Name::Upgrade);
        if self.before.lines.is_empty() || self.fields.iter().any(|f| steered(f.kind)) {
            return;
        }
        let settled = &self.settled;
        let lines_end = self.before.from + self.before.lines.len();
        let cookies = match settled.cookies {
            None => Cookies::None,
            Some(span) if span.to <= lines_end => Cookies::AsTheyCame(span),
            Some(span) => Cookies::Others(span.of(&self.text).to_vec()),
        };
        let mut written = Vec::new();
        let whole = whole_lines(&self.text, self.fields.iter().filter(|f| !f.dropped), &mut written);
        self.before.found = Some(Found {
            ours: ours.to_vec(),
            dropped: self.fields.iter().map(|f| f.dropped).collect(),
            written: whole.then_some(written),
            session: settled.session,
            cookies,
            persistent: settled.persistent,
            expects_continue: settled.expects_continue,
        });
    }

    /// Settles fields and cookies as those of the head before, if they are the same; else nothing is done.
    pub(crate) fn is_settled_as_before(&mut self, ours: &[String]) -> bool {
        let Some(found) = self.before.found.as_ref().filter(|found| found.ours == ours) else { return false };
        for (field, dropped) in self.fields.iter_mut().zip(&found.dropped) {
            field.dropped = *dropped;
        }
        let settled = &mut self.settled;
        (settled.session, settled.persistent) = (found.session, found.persistent);
        settled.expects_continue = found.expects_continue;
        settled.cookies = match &found.cookies {
            Cookies::None => None,
            Cookies::AsTheyCame(span) => Some(*span),
            Cookies::Others(bytes) => {
                let from = self.text.len();
                self.text.extend_from_slice(bytes);
                Some(Span { from, to: self.text.len() })
            }
        };
        true
    }

    /// The fields that go on, as whole lines of the text, if they are known to stand there so.
    pub(crate) fn written(&self) -> Option<&[Span]> {
        let found = self.before.found.as_ref().filter(|found| found.dropped.len() == self.fields.len())?;
        found.written.as_deref()
    }
}

/// The request line with its end, and what stands behind it.
fn split(head: &[u8]) -> Option<(&[u8], &[u8])> {
    head.split_at_checked(memchr::memchr(b'\n', head)? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Own;

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
    fn what_is_settled_of_the_lines_is_settled_once_where_the_route_has_no_say() {
        let ours = ["a".to_owned()];
        let settle = |head: &mut Head, lines: &str, ours: &[String], line: &str| {
            let raw = format!("{line} HTTP/1.1\r\n{lines}");
            assert_eq!(head.read_h1(raw.as_bytes(), &Bounds::default()), Ok(Some(raw.len())));
            let known = head.clone().is_settled_as_before(ours);
            let opt_outs = safeconduct_model::Hardening { drop_underscore_headers: true, ..Default::default() };
            head.settle(opt_outs, ours, &Bounds::default()).expect("good");
            known
        };
        let mut head = Head::default();
        let seen: Vec<_> =
            ["GET /", "GET /", "PUT /longer", "GET /"].map(|l| settle(&mut head, LINES, &ours, l)).into();
        assert_eq!((seen, head.session()), (vec![false, false, true, true], Some("b")));
        assert!(!settle(&mut head, LINES, &["b".to_owned()], "GET /"), "other cookies are ours");
        assert_eq!((head.session(), head.cookies()), (None, Some("a=b")));
        assert!(settle(&mut head, LINES, &["b".to_owned()], "GET /"));
        // Behind a request line of another length the same is written.
        for cookies in ["a=b", "a=b; c=d", "c=d"] {
            let lines = LINES.replace("a=b", cookies);
            let (mut known, mut outs) = (Head::default(), Vec::new());
            for line in ["GET /", "GET /", "GET /longer", "GET /l"] {
                settle(&mut known, &lines, &ours, line);
                let mut anew = Head::default();
                settle(&mut anew, &lines, &ours, line);
                assert_eq!(known.session(), anew.session());
                outs.push([&known, &anew].map(|head| {
                    let (mut out, own) =
                        (Vec::new(), Own { client: "c", proto: "http", request: "r", more: b"", trace: b"" });
                    head.write_request("a", &own, &mut out);
                    String::from_utf8(out).expect("text")
                }));
            }
            assert!(known.written().is_some() && outs.iter().all(|[known, anew]| known == anew), "{outs:?}");
        }
        for steered in ["X_y: 1\r\n", "Connection: upgrade\r\nUpgrade: websocket\r\n"] {
            let mut head = Head::default();
            assert!((0..4).all(|_| !settle(&mut head, &format!("{steered}{LINES}"), &ours, "GET /")), "{steered}");
        }
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
