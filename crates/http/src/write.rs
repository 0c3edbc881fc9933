//! What is written: the request to the application, the answer to the client.

use std::io::Write;

use crate::answer::{Answer, ResponseFraming};
use crate::head::{Head, Version};
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
        for part in [self.method(), " ", self.path()] {
            out.extend_from_slice(part.as_bytes());
        }
        if let Some(query) = self.query() {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        line(out, "host", host.as_bytes());
        for field in self.fields.iter().filter(|f| !f.dropped) {
            raw_line(out, field.name.of(&self.text), field.value.of(&self.text));
        }
        if let Some(cookies) = self.cookies() {
            line(out, "cookie", cookies.as_bytes());
        }
        let encoder = match self.framing {
            Framing::None => Encoder::Plain,
            Framing::Length(n) => {
                number_line(out, "content-length", n);
                Encoder::Plain
            }
            Framing::Chunked => {
                line(out, "transfer-encoding", b"chunked");
                Encoder::Chunked
            }
        };
        if self.upgrade() == Upgrade::WebSocket {
            line(out, "connection", b"upgrade");
            line(out, "upgrade", b"websocket");
        }
        line(out, "x-forwarded-for", own.client.as_bytes());
        line(out, "x-forwarded-proto", own.proto.as_bytes());
        line(out, "x-forwarded-host", host.as_bytes());
        line(out, "x-request-id", own.request.as_bytes());
        out.extend_from_slice(own.more);
        out.extend_from_slice(own.trace);
        out.extend_from_slice(b"\r\n");
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
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(&digits);
        out.push(b' ');
        out.extend_from_slice(self.reason.of(&self.text));
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.fields(own.cookies) {
            raw_line(out, name.as_bytes(), value);
        }
        line(out, "x-request-id", own.request.as_bytes());
        let old = own.version == Version::Http10;
        let encoder = match self.framing {
            ResponseFraming::None => {
                if let Some(n) = self.told_length() {
                    number_line(out, "content-length", n);
                }
                Some(Encoder::Plain)
            }
            ResponseFraming::Length(n) => {
                number_line(out, "content-length", n);
                Some(Encoder::Plain)
            }
            ResponseFraming::Chunked | ResponseFraming::UntilClose if old => None,
            ResponseFraming::Chunked | ResponseFraming::UntilClose => {
                line(out, "transfer-encoding", b"chunked");
                Some(Encoder::Chunked)
            }
        };
        if self.is_websocket() {
            line(out, "connection", b"upgrade");
            line(out, "upgrade", b"websocket");
        } else if own.close || encoder.is_none() {
            line(out, "connection", b"close");
        }
        out.extend_from_slice(b"\r\n");
        encoder
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    raw_line(out, name.as_bytes(), value);
}

fn raw_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn number_line(out: &mut Vec<u8>, name: &str, n: u64) {
    // Writing to memory does not fail.
    let _ = write!(out, "{name}: {n}\r\n");
}
