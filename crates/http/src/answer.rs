//! The head of an answer of an application over HTTP/1.1. An application is not believed more than a client: what could be
//! read in two ways is refused.

use std::mem::MaybeUninit;

use bytes::Bytes;

use crate::head::{END, Field, Span, end_mark, length, text};
use crate::names::{self, Name};
use crate::write::whole_lines;
use crate::{Bounds, MAX_FIELDS};

/// What follows the head of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFraming {
    /// Nothing.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Whatever comes until the connection ends.
    UntilClose,
}

/// A longer head is read anew each time, so that a connection that rests holds little.
const LONGEST: usize = 2 * 1024;

/// Why the head of an answer was not accepted: a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAnswer(pub &'static str);

/// The head of one answer. Its memory is used again for the next.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub(crate) text: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    pub(crate) reason: Span,
    pub(crate) status: u16,
    pub(crate) framing: ResponseFraming,
    persistent: bool,
    websocket: bool,
    /// The length that a bodiless answer tells of.
    told: Option<u64>,
    bound: bool,
    /// The fields that go on as whole lines of the text, if they came as they are written and none is left to be looked at.
    pub(crate) written: Option<Vec<Span>>,
    /// The head as it came, and under what it was read; nothing if there is none to go by.
    came: Vec<u8>,
    came_to_head: bool,
    came_under: Bounds,
}

impl Answer {
    /// Reads the head of an answer from the front of `input`. `to_head` says whether the request was `HEAD`. `None`: more bytes
    /// are needed; else the head has so many bytes.
    ///
    /// # Errors
    /// If it is malformed, could be read in two ways, or meets a bound. The connection must be closed.
    pub fn read(&mut self, input: &[u8], to_head: bool, bounds: &Bounds) -> Result<Option<usize>, BadAnswer> {
        if self.came_before(input, to_head, bounds) {
            return Ok(Some(self.came.len()));
        }
        // Mostly the head is whole and good: then its end need not be looked for.
        if let Ok(end) = self.take(&input[..input.len().min(bounds.head_bytes)], to_head, bounds) {
            return Ok(Some(end));
        }
        let Some(end) = end_mark().find(input).map(|at| at + 4) else {
            let bare = memchr::memmem::find(input, b"\n\n").is_some();
            return match input.len() > bounds.head_bytes {
                true => Err(BadAnswer("answer_head_too_long")),
                false if bare => Err(BadAnswer("answer_bare_lf")),
                false => Ok(None),
            };
        };
        if end > bounds.head_bytes {
            return Err(BadAnswer("answer_head_too_long"));
        }
        self.take(&input[..end], to_head, bounds).map(Some)
    }

    /// Whether the input begins with the head that was read last. The same bytes mean the same, and nothing that was read of them
    /// changes before the next head, so all of it stands.
    fn came_before(&self, input: &[u8], to_head: bool, bounds: &Bounds) -> bool {
        !self.came.is_empty()
            && input.starts_with(&self.came)
            && self.came_to_head == to_head
            && self.came_under == *bounds
    }

    /// Reads a head from the front of `input`; returns where it ends.
    fn take(&mut self, input: &[u8], to_head: bool, bounds: &Bounds) -> Result<usize, BadAnswer> {
        self.came.clear();
        let end = self.parse(input, to_head, bounds)?;
        // Whether a cookie goes on is for whoever writes to say.
        let cookies = self.fields.iter().any(|f| f.name.of(&self.text) == b"set-cookie");
        let kept = self.fields.iter().filter(|f| !f.dropped);
        let mut written = self.written.take().unwrap_or_default();
        self.written = (!cookies && whole_lines(&self.text, kept, &mut written)).then_some(written);
        if end <= LONGEST {
            self.came.extend_from_slice(&input[..end]);
            (self.came_to_head, self.came_under) = (to_head, *bounds);
        }
        Ok(end)
    }

    fn parse(&mut self, input: &[u8], to_head: bool, bounds: &Bounds) -> Result<usize, BadAnswer> {
        let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_FIELDS];
        let lines = &mut lines[..bounds.header_count.min(MAX_FIELDS)];
        let mut answer = httparse::Response::new(&mut []);
        let read = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, input, lines);
        let end = match read {
            Ok(httparse::Status::Complete(n)) if input[..n].ends_with(END) => n,
            Ok(_) => return Err(BadAnswer("answer_unparsable")),
            Err(httparse::Error::TooManyHeaders) => return Err(BadAnswer("answer_too_many_headers")),
            Err(_) => return Err(BadAnswer("answer_unparsable")),
        };
        self.text.clear();
        self.fields.clear();
        self.text.extend_from_slice(&input[..end]);
        let (Some(status), Some(version)) = (answer.code, answer.version) else {
            return Err(BadAnswer("answer_unparsable"));
        };
        if !(100..=599).contains(&status) {
            return Err(BadAnswer("answer_status"));
        }
        self.status = status;
        let place = |part: &[u8]| {
            let from = (part.as_ptr() as usize).saturating_sub(input.as_ptr() as usize);
            Span { from, to: from + part.len() }
        };
        self.reason = answer.reason.map(|r| place(r.as_bytes())).unwrap_or_default();
        // The library is content with lines that end in a line feed alone, and with empty lines in front.
        let mut strict = self.text.starts_with(b"HTTP/");
        for line in answer.headers.iter() {
            let (name, value) = (place(line.name.as_bytes()), place(line.value.trim_ascii()));
            strict &= self.text[..name.from].ends_with(b"\r\n");
            self.fields.push(Field { name, value, kind: Name::EndToEnd, dropped: false });
        }
        if !strict {
            return Err(BadAnswer("answer_bare_lf"));
        }
        for field in &mut self.fields {
            field.kind = names::lower(&mut self.text[field.name.from..field.name.to]);
        }
        self.weigh(version == 0, to_head)?;
        Ok(end)
    }

    /// Finds the framing and what the fields say about the connection.
    fn weigh(&mut self, old: bool, to_head: bool) -> Result<(), BadAnswer> {
        let (mut length_at, mut coding) = (None, None);
        (self.persistent, self.websocket, self.bound, self.told) = (!old, false, false, None);
        let mut nominated = Vec::new();
        for at in 0..self.fields.len() {
            let field = self.fields[at];
            let value = field.value.of(&self.text);
            match field.kind {
                Name::ContentLength if length_at.replace(field.value).is_some() => {
                    return Err(BadAnswer("answer_two_lengths"));
                }
                Name::TransferEncoding if coding.replace(field.value).is_some() => {
                    return Err(BadAnswer("answer_two_encodings"));
                }
                Name::Connection => {
                    for name in value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|n| !n.is_empty()) {
                        match name {
                            n if n.eq_ignore_ascii_case(b"close") => self.persistent = false,
                            n if n.eq_ignore_ascii_case(b"keep-alive") || n.eq_ignore_ascii_case(b"upgrade") => {}
                            other => nominated.push(other.to_ascii_lowercase()),
                        }
                    }
                }
                Name::Upgrade => self.websocket = value.eq_ignore_ascii_case(b"websocket"),
                _ => {}
            }
            let name = field.name.of(&self.text);
            self.bound |= name == b"www-authenticate" && value.split(|b| *b == b',').any(binds_connection);
            self.fields[at].dropped = match field.kind {
                Name::ContentLength | Name::TransferEncoding | Name::Connection | Name::Upgrade | Name::Te => true,
                Name::HopByHop => true,
                _ => name == b"alt-svc" || (name.first() == Some(&b'x') && names::is_ours(text(name))),
            };
        }
        for field in &mut self.fields {
            field.dropped |= nominated.iter().any(|n| n == field.name.of(&self.text));
        }
        let bodiless = to_head || self.status < 200 || matches!(self.status, 204 | 304);
        let declared = length_at.map(|at| length(at.of(&self.text)).map_err(|_| BadAnswer("answer_bad_length")));
        self.framing = match (declared.transpose()?, coding) {
            (Some(_), Some(_)) => return Err(BadAnswer("answer_length_and_encoding")),
            (_, Some(_)) if old => return Err(BadAnswer("answer_encoding_in_http_10")),
            (_, Some(coding)) if !coding.of(&self.text).eq_ignore_ascii_case(b"chunked") => {
                return Err(BadAnswer("answer_unknown_encoding"));
            }
            (Some(n), None) if bodiless => {
                // What a GET would have brought is told, and nothing of it comes.
                self.told = Some(n).filter(|_| to_head || self.status == 304);
                ResponseFraming::None
            }
            (_, _) if bodiless => ResponseFraming::None,
            (None, Some(_)) => ResponseFraming::Chunked,
            (Some(n), None) => ResponseFraming::Length(n),
            (None, None) => ResponseFraming::UntilClose,
        };
        if self.framing == ResponseFraming::UntilClose {
            self.persistent = false;
        }
        Ok(())
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What follows the head.
    #[must_use]
    pub fn framing(&self) -> ResponseFraming {
        self.framing
    }

    /// Whether the application keeps the connection.
    #[must_use]
    pub fn persistent(&self) -> bool {
        self.persistent
    }

    /// Whether it agrees to become a WebSocket.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        self.status == 101 && self.websocket
    }

    /// Whether the connection may carry a login of its own from now on (NTLM, Negotiate).
    #[must_use]
    pub fn binds_connection(&self) -> bool {
        self.bound
    }

    /// The fields that go on to the client, in order; `cookies` are those of the gateway, which no application may set.
    pub fn fields<'a>(&'a self, cookies: &'a [String]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.kept(cookies).map(|f| (text(f.name.of(&self.text)), f.value.of(&self.text)))
    }

    /// The same, the values as parts of one copy of the text: for answers over HTTP/2, which outlive this memory.
    pub fn shared_fields<'a>(&'a self, cookies: &'a [String]) -> impl Iterator<Item = (&'a str, Bytes)> {
        let shared = Bytes::copy_from_slice(&self.text);
        self.kept(cookies).map(move |f| (text(f.name.of(&self.text)), shared.slice(f.value.from..f.value.to)))
    }

    /// How many fields there are, those included that do not go on.
    #[must_use]
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The same, as they stand in the text.
    pub(crate) fn kept<'a>(&'a self, cookies: &'a [String]) -> impl Iterator<Item = &'a Field> {
        let foreign =
            |f: &Field| f.name.of(&self.text) != b"set-cookie" || !sets_one_of(f.value.of(&self.text), cookies);
        self.fields.iter().filter(move |f| !f.dropped && foreign(f))
    }

    /// The length that the head tells of.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self.framing {
            ResponseFraming::Length(n) => Some(n),
            _ => self.told_length(),
        }
    }

    /// The length that a bodiless answer tells of.
    pub(crate) fn told_length(&self) -> Option<u64> {
        self.told.filter(|_| self.framing == ResponseFraming::None)
    }
}

/// Whether an authentication scheme logs in a connection and not a request.
pub fn binds_connection(challenge: &[u8]) -> bool {
    let scheme = challenge.trim_ascii().split(|b| *b == b' ').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
}

fn sets_one_of(value: &[u8], cookies: &[String]) -> bool {
    let name = value.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
    cookies.iter().any(|c| c.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_feed_is_refused_wherever_it_stands() {
        let read = |wire: &str| Answer::default().read(wire.as_bytes(), false, &Bounds::default());
        let good = "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(good), Ok(Some(good.len())));
        for (at, _) in good.match_indices("\r\n") {
            let mut bent = good.to_owned();
            bent.remove(at);
            // Bent at its very end, the head has none yet.
            assert_ne!(read(&bent), Ok(Some(bent.len())), "{bent:?}");
            assert!(read(&format!("{bent}\r\n\r\n")).is_err(), "{bent:?}");
        }
        for front in ["\n", "\r\n", "\r\n\n"] {
            assert!(read(&format!("{front}{good}")).is_err(), "{front:?}");
        }
    }

    #[test]
    fn the_head_that_came_before_is_not_read_again() {
        let (mut answer, bounds) = (Answer::default(), Bounds::default());
        let head = "HTTP/1.1 200 OK\r\nDate: 1\r\nX: y\r\nContent-Length: 3\r\n\r\n";
        let mut read = |raw: &str, to_head: bool, bounds: &Bounds| {
            let known = answer.came_before(raw.as_bytes(), to_head, bounds);
            let read = answer.read(raw.as_bytes(), to_head, bounds);
            let mut out = Vec::new();
            let own = crate::AnswerOwn { request: "r", cookies: &[], close: false, version: crate::Version::Http11 };
            answer.write(&own, &mut out);
            (known, read, answer.framing(), String::from_utf8(out).unwrap())
        };
        let out = "HTTP/1.1 200 OK\r\ndate: 1\r\nx: y\r\nx-request-id: r\r\ncontent-length: 3\r\n\r\n".to_owned();
        let whole = |known, from: &str, to: &str| {
            (known, Ok(Some(head.len())), ResponseFraming::Length(3), out.replace(from, to))
        };
        assert_eq!(read(head, false, &bounds), whole(false, "", ""));
        assert_eq!(read(&format!("{head}abcHTTP"), false, &bounds), whole(true, "", ""));
        assert_eq!(read(head, true, &bounds).2, ResponseFraming::None, "there is no body behind an answer to HEAD");
        assert_eq!(read(head, false, &bounds), whole(false, "", ""));
        assert_eq!(read(&head.replace("1\r", "2\r"), false, &bounds), whole(false, ": 1", ": 2"));
        assert_eq!(read(&head[..20], false, &bounds).1, Ok(None));
        assert!(!read(head, false, &bounds).0, "a part of another came between");
        let few = Bounds { header_count: 2, ..bounds };
        assert_eq!(read(head, false, &few).1, Err(BadAnswer("answer_too_many_headers")));
        let long = head.replace("X: y", &format!("X: {}", "y".repeat(LONGEST)));
        assert!((0..2).all(|_| !read(&long, false, &bounds).0), "a connection that rests holds little");
    }
}
