//! What is written: the request to the application, the answer to the client.

use crate::answer::{Answer, ResponseFraming};
use crate::head::{Field, Head, Span, Version};
use crate::{Encoder, Framing, Upgrade};

/// What the gateway adds to a request, after everything of the kind was taken out.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The address of the client.
    pub client: &'a str,
    /// `https` or `http`.
    pub proto: &'a str,
    /// The id of the request.
    pub request: &'a str,
    /// More lines, whole.
    pub more: &'a [u8],
    /// The trace that the request belongs to, as whole lines.
    pub trace: &'a [u8],
}

/// What the gateway says on its own in the head of an answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerOwn<'a> {
    /// The id of the request.
    pub request: &'a str,
    /// The cookies of the gateway, which no application may set.
    pub cookies: &'a [String],
    /// Whether the connection ends behind this answer.
    pub close: bool,
    /// The version that the client speaks.
    pub version: Version,
}

impl Head {
    /// Writes the canonical request for an application over HTTP/1.1 and says how its body is to be encoded. `host` is the
    /// canonical authority.
    pub fn write_request(&self, host: &str, own: &Own<'_>, out: &mut Vec<u8>) -> Encoder {
        put(out, &[self.method_bytes(), b" ", self.settled.path.of(&self.text)]);
        if let Some(query) = self.settled.query {
            put(out, &[b"?", query.of(&self.text)]);
        }
        put(out, &[b" HTTP/1.1\r\nhost: ", host.as_bytes(), b"\r\n"]);
        match self.written() {
            Some(known) => known.iter().for_each(|span| out.extend_from_slice(span.of(&self.text))),
            None => lines(out, &self.text, self.fields.iter().filter(|f| !f.dropped)),
        }
        if let Some(cookies) = self.settled.cookies {
            put(out, &[b"cookie: ", cookies.of(&self.text), b"\r\n"]);
        }
        let encoder = match self.framing {
            Framing::None => Encoder::Plain,
            Framing::Length(n) => {
                length_line(out, n);
                Encoder::Plain
            }
            Framing::Chunked => {
                out.extend_from_slice(CHUNKED);
                Encoder::Chunked
            }
        };
        if self.upgrade() == Upgrade::WebSocket {
            out.extend_from_slice(WEBSOCKET);
        }
        put(out, &[b"x-forwarded-for: ", own.client.as_bytes(), b"\r\nx-forwarded-proto: ", own.proto.as_bytes()]);
        put(out, &[b"\r\nx-forwarded-host: ", host.as_bytes(), b"\r\nx-request-id: ", own.request.as_bytes(), b"\r\n"]);
        put(out, &[own.more, own.trace, b"\r\n"]);
        encoder
    }

    /// The end-to-end fields of the canonical request, without cookies, in order: for applications over HTTP/2.
    pub fn forwarded(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let kept = self.fields.iter().filter(|f| !f.dropped);
        kept.map(|f| (crate::head::text(f.name.of(&self.text)), f.value.of(&self.text)))
    }
}

impl Answer {
    /// Writes the head for a client over HTTP/1.1 and says how the body is to be encoded; `None` if the body can only end with
    /// the connection, which the head then says.
    pub fn write(&self, own: &AnswerOwn<'_>, out: &mut Vec<u8>) -> Option<Encoder> {
        let mut digits = [0; 3];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b'0' + u8::try_from(self.status / 10_u16.pow(u32::try_from(place).unwrap_or(0)) % 10).unwrap_or(0);
        }
        put(out, &[b"HTTP/1.1 ", &digits, b" ", self.reason.of(&self.text), b"\r\n"]);
        match &self.written {
            Some(known) => known.iter().for_each(|span| out.extend_from_slice(span.of(&self.text))),
            None => lines(out, &self.text, self.kept(own.cookies)),
        }
        put(out, &[b"x-request-id: ", own.request.as_bytes(), b"\r\n"]);
        let old = own.version == Version::Http10;
        let encoder = match self.framing {
            ResponseFraming::None => {
                if let Some(n) = self.told_length() {
                    length_line(out, n);
                }
                Some(Encoder::Plain)
            }
            ResponseFraming::Length(n) => {
                length_line(out, n);
                Some(Encoder::Plain)
            }
            ResponseFraming::Chunked | ResponseFraming::UntilClose if old => None,
            ResponseFraming::Chunked | ResponseFraming::UntilClose => {
                out.extend_from_slice(CHUNKED);
                Some(Encoder::Chunked)
            }
        };
        if self.is_websocket() {
            out.extend_from_slice(WEBSOCKET);
        } else if own.close || encoder.is_none() {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        encoder
    }
}

const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";
const WEBSOCKET: &[u8] = b"connection: upgrade\r\nupgrade: websocket\r\n";

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// What a head is written of.
enum Piece<'f> {
    /// Whole lines that stand in the text as they are written.
    Lines(Span),
    /// A field that came in another spelling.
    Field(&'f Field),
}

/// Writes fields as lines.
fn lines<'f>(out: &mut Vec<u8>, text: &[u8], fields: impl Iterator<Item = &'f Field>) {
    pieces(text, fields, |piece| match piece {
        Piece::Lines(span) => out.extend_from_slice(span.of(text)),
        Piece::Field(field) => put(out, &[field.name.of(text), b": ", field.value.of(text), b"\r\n"]),
    });
}

/// The pieces of these fields, in order. Neighbours that came in canonical spelling are one.
fn pieces<'f>(text: &[u8], fields: impl Iterator<Item = &'f Field>, mut take: impl FnMut(Piece<'f>)) {
    let mut piece = Span::default();
    for field in fields {
        let (name, value) = (field.name, field.value);
        let line = Span { from: name.from, to: value.to + 2 };
        let canonical = Span { from: name.to, to: value.from }.of(text) == b": "
            && Span { from: value.to, to: line.to }.of(text) == b"\r\n";
        if canonical && piece.to == line.from {
            piece.to = line.to;
            continue;
        }
        if piece.from < piece.to {
            take(Piece::Lines(piece));
        }
        piece = if canonical { line } else { Span::default() };
        if !canonical {
            take(Piece::Field(field));
        }
    }
    if piece.from < piece.to {
        take(Piece::Lines(piece));
    }
}

/// The fields as whole lines of the text, in order; `false` if one of them came in another spelling.
pub(crate) fn whole_lines<'f>(text: &[u8], fields: impl Iterator<Item = &'f Field>, into: &mut Vec<Span>) -> bool {
    let mut whole = true;
    into.clear();
    pieces(text, fields, |piece| match piece {
        Piece::Lines(span) => into.push(span),
        Piece::Field(_) => whole = false,
    });
    whole
}

fn length_line(out: &mut Vec<u8>, n: u64) {
    let (mut digits, mut at, mut left) = ([b'0'; 20], 20, n);
    while left > 0 || at == 20 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    put(out, &[b"content-length: ", &digits[at..], b"\r\n"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_written_as_the_library_writes_it() {
        for n in [0, 1, 9, 10, 1_024, 65_536, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            length_line(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), format!("content-length: {n}\r\n"));
        }
    }
}
