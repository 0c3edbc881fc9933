//! The head of a request: read once, strictly, into memory that serves the next request again.

use std::mem::MaybeUninit;
use std::sync::LazyLock;

use safeconduct_model::Host;

use crate::before::Before;
use crate::names::{self, Name};
use crate::settle::Settled;
use crate::{Authority, Refused, reference};

/// The most header fields that can be allowed.
pub const MAX_FIELDS: usize = 256;
/// The longest method.
pub(crate) const LONGEST_METHOD: usize = 32;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The bytes of one head, and of one trailer section.
    pub head_bytes: usize,
    /// The header fields of one head; [`MAX_FIELDS`] at most.
    pub header_count: usize,
    /// The bytes of the request target.
    pub target_bytes: usize,
    /// The bytes of one request body; `None` streams without an end.
    pub body_bytes: Option<u64>,
}

/// The end of the last line of a head, and the empty line.
pub(crate) const END: &[u8] = b"\r\n\r\n";

/// Finds [`END`].
pub(crate) fn end_mark() -> &'static memchr::memmem::Finder<'static> {
    static MARK: LazyLock<memchr::memmem::Finder<'static>> = LazyLock::new(|| memchr::memmem::Finder::new(END));
    &MARK
}

impl Default for Bounds {
    fn default() -> Self {
        Self { head_bytes: 32 * 1024, header_count: 100, target_bytes: 8 * 1024, body_bytes: None }
    }
}

/// What follows the head of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    #[default]
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks; in HTTP/2, frames without a declared length.
    Chunked,
}

/// The version that the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: one request, then the connection ends.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

/// A place in the text of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Span {
    pub(crate) fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.from..self.to).unwrap_or_default()
    }

    /// Where `part` lies in `text`; both come from one parse.
    fn within(text: &[u8], part: &[u8]) -> Self {
        let from = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        Self { from, to: from + part.len() }
    }
}

/// A field: its name in lower case, its value without the blanks around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) kind: Name,
    /// Taken out on the way.
    pub(crate) dropped: bool,
}

/// What stands in a request line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) version: Version,
}

impl Line {
    /// The line that `text` begins with, as the library read it.
    pub(crate) fn of(text: &[u8], read: &httparse::Request<'_, '_>, bounds: &Bounds) -> Result<Self, Refused> {
        let (Some(method), Some(target), Some(version)) = (read.method, read.path, read.version) else {
            return Err(Refused::bad("unparsable"));
        };
        if method.len() > LONGEST_METHOD {
            return Err(Refused::bad("method"));
        }
        if target.len() > bounds.target_bytes {
            return Err(Refused::limit(414, "target_too_long"));
        }
        if !all(target.as_bytes(), |b| matches!(b, 0x21..=0x7e) && b != b'#') {
            return Err(Refused::bad("target"));
        }
        Ok(Self {
            method: Span::within(text, method.as_bytes()),
            target: Span::within(text, target.as_bytes()),
            version: if version == 0 { Version::Http10 } else { Version::Http11 },
        })
    }
}

/// The head of one request. Its memory is used again for the next.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub(crate) text: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    pub(crate) version: Version,
    pub(crate) method: Span,
    /// The path and query as they came.
    pub(crate) target: Span,
    /// The authority of an absolute target, or `:authority`.
    pub(crate) in_target: Option<Span>,
    pub(crate) host: Option<Span>,
    pub(crate) framing: Framing,
    /// HTTP/2 extended CONNECT (RFC 8441): `:protocol`.
    pub(crate) protocol: Option<Span>,
    pub(crate) settled: Settled,
    pub(crate) before: Before,
    /// How much of an unfinished head was looked at.
    looked_at: usize,
}

impl Head {
    /// Reads the head of an HTTP/1.1 request from the front of `input`. `None`: more bytes are needed, in the same buffer;
    /// else the head has so many bytes.
    ///
    /// # Errors
    /// If it is malformed, could be read in two ways, or meets a bound. The connection ends then.
    pub fn read_h1(&mut self, input: &[u8], bounds: &Bounds) -> Result<Option<usize>, Refused> {
        // Mostly the input is one head and nothing else: then the empty line need not be looked for.
        let whole = self.looked_at == 0 && input.len() <= bounds.head_bytes && input.ends_with(END);
        if whole && self.take(input, bounds).is_ok() {
            return Ok(Some(input.len()));
        }
        let Some(end) = self.find_end(input, bounds)? else { return Ok(None) };
        self.looked_at = 0;
        let head = &input[..end];
        match self.take(head, bounds) {
            Ok(()) => Ok(Some(end)),
            Err(refused) => Err(reference::fault(head, bounds).unwrap_or(refused)),
        }
    }

    /// Reads a whole head: as the one before, if it has the same lines.
    fn take(&mut self, head: &[u8], bounds: &Bounds) -> Result<(), Refused> {
        if self.is_read_as_before(head, bounds) {
            return self.split_target();
        }
        let first = self.text.is_empty();
        self.parse(head, bounds)?;
        if !first {
            self.remember(head, bounds);
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.before.forget();
        self.text.clear();
        self.fields.clear();
        (self.in_target, self.host, self.protocol) = (None, None, None);
        self.framing = Framing::None;
        self.settled = Settled::default();
    }

    /// Looks for the empty line. What goes on for longer is looked at line by line, so that a fault is told before the end.
    fn find_end(&mut self, input: &[u8], bounds: &Bounds) -> Result<Option<usize>, Refused> {
        let from = self.looked_at.min(input.len());
        let from_mark = from.saturating_sub(END.len() - 1);
        if let Some(at) = end_mark().find(&input[from_mark..]) {
            let end = from_mark + at + END.len();
            if end <= bounds.head_bytes {
                return Ok(Some(end));
            }
        }
        for at in memchr::memchr_iter(b'\n', &input[from..]) {
            let at = from + at;
            if at > bounds.head_bytes {
                break;
            }
            if at == 0 || input[at - 1] != b'\r' {
                return Err(Refused::bad("bare_lf"));
            }
            if at == 1 {
                return Err(Refused::bad("empty_line"));
            }
            if at >= 3 && input[at - 2] == b'\n' {
                return Ok(Some(at + 1));
            }
        }
        if input.len() > bounds.head_bytes {
            return Err(Refused::limit(431, "head_too_long"));
        }
        self.looked_at = input.len();
        Ok(None)
    }

    fn parse(&mut self, head: &[u8], bounds: &Bounds) -> Result<(), Refused> {
        let unparsable = Refused::bad("unparsable");
        self.clear();
        self.text.extend_from_slice(head);
        let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_FIELDS];
        let lines = &mut lines[..bounds.header_count.min(MAX_FIELDS)];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(&self.text, lines) {
            Ok(httparse::Status::Complete(n)) if n == head.len() => {}
            Ok(_) => return Err(unparsable),
            Err(httparse::Error::TooManyHeaders) => return Err(Refused::limit(431, "too_many_headers")),
            Err(_) => return Err(unparsable),
        }
        let line = Line::of(&self.text, &request, bounds)?;
        // The library is content with lines that end in a line feed alone, and with empty lines in front.
        let mut strict = line.method.from == 0;
        for line in request.headers.iter() {
            let name = Span::within(&self.text, line.name.as_bytes());
            let value = Span::within(&self.text, line.value.trim_ascii());
            strict &= self.text[..name.from].ends_with(b"\r\n");
            self.fields.push(Field { name, value, kind: Name::EndToEnd, dropped: false });
        }
        if !strict {
            return Err(unparsable);
        }
        self.take_line(line);
        self.name_fields();
        self.split_target()?;
        self.frame(bounds)
    }

    pub(crate) fn take_line(&mut self, line: Line) {
        (self.method, self.target, self.version) = (line.method, line.target, line.version);
    }

    fn name_fields(&mut self) {
        for field in &mut self.fields {
            field.kind = names::lower(&mut self.text[field.name.from..field.name.to]);
        }
    }

    /// Takes scheme and authority off an absolute target (RFC 9112, 3.2.2).
    pub(crate) fn split_target(&mut self) -> Result<(), Refused> {
        let target = self.target.of(&self.text);
        if target.first() == Some(&b'/') {
            return Ok(());
        }
        let scheme = [&b"http://"[..], b"https://"]
            .into_iter()
            .find(|s| target.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)));
        let Some(scheme) = scheme else { return Ok(()) };
        let rest = &target[scheme.len()..];
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        if end == 0 {
            return Err(Refused::bad("target"));
        }
        let from = self.target.from + scheme.len();
        self.in_target = Some(Span { from, to: from + end });
        self.target.from = from + end;
        if self.target.of(&self.text).first() != Some(&b'/') {
            // `http://host` and `http://host?query` mean the root.
            let query = self.target.of(&self.text).to_vec();
            let at = self.text.len();
            self.text.push(b'/');
            self.text.extend_from_slice(&query);
            self.target = Span { from: at, to: self.text.len() };
        }
        Ok(())
    }

    /// Finds how the body is framed, and the one host.
    fn frame(&mut self, bounds: &Bounds) -> Result<(), Refused> {
        let (mut length, mut coding) = (None, None);
        for field in &self.fields {
            match field.kind {
                Name::ContentLength if length.replace(field.value).is_some() => {
                    return Err(Refused::bad("two_content_lengths"));
                }
                Name::TransferEncoding if coding.replace(field.value).is_some() => {
                    return Err(Refused::bad("two_encodings"));
                }
                Name::Host if self.host.replace(field.value).is_some() => return Err(Refused::bad("two_hosts")),
                _ => {}
            }
        }
        self.framing = match (length, coding) {
            (None, None) => Framing::None,
            (Some(_), Some(_)) => return Err(Refused::bad("length_and_encoding")),
            (Some(value), None) => Framing::Length(self::length(value.of(&self.text))?),
            (None, Some(_)) if self.version == Version::Http10 => return Err(Refused::bad("encoding_in_http_10")),
            (None, Some(value)) if value.of(&self.text).eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (None, Some(_)) => return Err(Refused::bad("unknown_encoding")),
        };
        if self.host.is_none() {
            return Err(Refused::bad("no_host"));
        }
        within_bound(self.framing, bounds)
    }

    /// Reads the parts of an HTTP/2 request, whose framing the library has checked; `ended` says whether no body follows.
    ///
    /// # Errors
    /// If it has what no HTTP/2 request may have, or meets a bound.
    pub fn read_h2(&mut self, parts: &http::request::Parts, ended: bool, bounds: &Bounds) -> Result<(), Refused> {
        let length = self.put_parts(parts, bounds, true)?;
        self.version = Version::Http2;
        self.framing = match length {
            Some(n) => Framing::Length(n),
            None if ended => Framing::None,
            None => Framing::Chunked,
        };
        within_bound(self.framing, bounds)
    }

    /// Takes the parts over; returns the declared length.
    fn put_parts(&mut self, parts: &http::request::Parts, bounds: &Bounds, h2: bool) -> Result<Option<u64>, Refused> {
        self.clear();
        self.method = self.put(parts.method.as_str().as_bytes());
        if parts.method.as_str().len() > LONGEST_METHOD {
            return Err(Refused::bad("method"));
        }
        if parts.uri.scheme_str().is_some_and(|s| s != "https" && s != "http") {
            return Err(Refused::bad("scheme"));
        }
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        if target.len() > bounds.target_bytes {
            return Err(Refused::limit(414, "target_too_long"));
        }
        self.target = self.put(target.as_bytes());
        self.in_target = parts.uri.authority().map(|a| self.put(a.as_str().as_bytes()));
        if parts.headers.len() > bounds.header_count.min(MAX_FIELDS) {
            return Err(Refused::limit(431, "too_many_headers"));
        }
        let (mut length, mut bytes) = (None, 0);
        for (name, value) in &parts.headers {
            bytes += name.as_str().len() + value.len() + 4;
            if bytes > bounds.head_bytes {
                return Err(Refused::limit(431, "head_too_long"));
            }
            let kind = names::name(name.as_str().as_bytes());
            match kind {
                Name::Te if h2 && value != "trailers" => return Err(Refused::bad("h2_te")),
                Name::Connection | Name::TransferEncoding | Name::Upgrade if h2 => {
                    return Err(Refused::bad("h2_connection_field"));
                }
                Name::HopByHop if h2 && matches!(name.as_str(), "keep-alive" | "proxy-connection") => {
                    return Err(Refused::bad("h2_connection_field"));
                }
                _ => {}
            }
            let (name, value) = (self.put(name.as_str().as_bytes()), self.put(value.as_bytes()));
            match kind {
                Name::ContentLength if length.replace(value).is_some() => {
                    return Err(Refused::bad("two_content_lengths"));
                }
                Name::Host if self.host.replace(value).is_some() => return Err(Refused::bad("two_hosts")),
                _ => {}
            }
            self.fields.push(Field { name, value, kind, dropped: false });
        }
        length.map(|value| self::length(value.of(&self.text))).transpose()
    }

    /// Reads a request that stands at another gateway, as that gateway tells it: whatever version the client spoke, it is held
    /// to the rules of HTTP/1.1.
    ///
    /// # Errors
    /// If it has what no request may have, or meets a bound.
    pub fn read_elsewhere(&mut self, parts: &http::request::Parts, bounds: &Bounds) -> Result<(), Refused> {
        self.put_parts(parts, bounds, false)?;
        self.version = Version::Http11;
        if self.host.is_none() {
            return Err(Refused::bad("no_host"));
        }
        Ok(())
    }

    /// Says that the request is an extended CONNECT (RFC 8441) for this protocol.
    pub fn connect_protocol(&mut self, protocol: &str) {
        self.protocol = Some(self.put(protocol.as_bytes()));
    }

    /// Whether it is an extended CONNECT (RFC 8441).
    #[must_use]
    pub fn is_extended_connect(&self) -> bool {
        self.protocol.is_some()
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Span {
        let from = self.text.len();
        self.text.extend_from_slice(bytes);
        Span { from, to: self.text.len() }
    }

    /// The host as it was written; what [`Self::authority`] is made of.
    #[must_use]
    pub fn raw_host(&self) -> &[u8] {
        self.host.or(self.in_target).map(|h| h.of(&self.text)).unwrap_or_default()
    }

    /// Whether the target names an authority too, so that the two must be compared.
    #[must_use]
    pub fn names_host_twice(&self) -> bool {
        self.host.is_some() && self.in_target.is_some()
    }

    /// The one host that the request came for.
    ///
    /// # Errors
    /// If there is none, it is malformed, or two differ.
    pub fn authority(&self) -> Result<Authority, Refused> {
        let read = |span: &Option<Span>| span.map(|s| Authority::parse(s.of(&self.text))).transpose();
        match (read(&self.host)?, read(&self.in_target)?) {
            (Some(host), Some(target)) if host == target => Ok(host),
            (Some(_), Some(_)) => Err(Refused::bad("host_differs")),
            (Some(host), None) => Ok(host),
            // Only HTTP/2 may go without a Host field.
            (None, Some(target)) if self.version == Version::Http2 => Ok(target),
            (None, _) => Err(Refused::bad("no_host")),
        }
    }

    /// The host alone, for callers that need no port.
    ///
    /// # Errors
    /// As [`Self::authority`].
    pub fn host(&self) -> Result<Host, Refused> {
        self.authority().map(|a| a.host)
    }

    /// The version that the client speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What follows the head.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The method, as given.
    #[must_use]
    pub fn method(&self) -> &str {
        match self.method_bytes() {
            b"GET" => "GET",
            b"POST" => "POST",
            other => text(other),
        }
    }

    /// Whether the method is this one.
    #[must_use]
    pub fn is_method(&self, method: &str) -> bool {
        self.method_bytes() == method.as_bytes()
    }

    /// The bytes of the method, as given.
    pub(crate) fn method_bytes(&self) -> &[u8] {
        self.method.of(&self.text)
    }

    /// The first field of this name (lower case) that goes on to the application, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|f| !f.dropped && f.name.of(&self.text) == name.as_bytes())?;
        std::str::from_utf8(found.value.of(&self.text)).ok()
    }

    /// The values of every field of this name (lower case), in order, whether they go on or not.
    pub fn raw<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let of = self.fields.iter().filter(move |f| f.name.of(&self.text) == name.as_bytes());
        of.map(|f| f.value.of(&self.text))
    }

    /// Every field as it came, in order: the name in lower case, the value, and what the name means.
    pub fn raw_fields(&self) -> impl Iterator<Item = (&str, &[u8], Name)> {
        self.fields.iter().map(|f| (text(f.name.of(&self.text)), f.value.of(&self.text), f.kind))
    }
}

/// Whether all bytes are such. Looks at every one, which processors do many at a time.
pub(crate) fn all(bytes: &[u8], such: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, b| all & such(*b))
}

/// Text that was checked to be ASCII before.
pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn within_bound(framing: Framing, bounds: &Bounds) -> Result<(), Refused> {
    match (bounds.body_bytes, framing) {
        (Some(bound), Framing::Length(n)) if n > bound => Err(Refused::limit(413, "body_too_long")),
        _ => Ok(()),
    }
}

/// A length is digits and nothing else.
pub(crate) fn length(value: &[u8]) -> Result<u64, Refused> {
    let bad = Refused::bad("bad_content_length");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(bad);
    }
    text(value).parse().map_err(|_| bad)
}

#[cfg(test)]
mod tests;
