//! Raw HTTP/2: frames made by hand, because no library sends what these tests send.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::Visit;

/// What a client says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The types of frames.
pub const DATA: u8 = 0;
/// The head of a message.
pub const HEADERS: u8 = 1;
/// The end of a stream by force.
pub const RST_STREAM: u8 = 3;
/// Settings.
pub const SETTINGS: u8 = 4;
/// A ping.
pub const PING: u8 = 6;
/// The end of a connection.
pub const GOAWAY: u8 = 7;
/// More of a head.
pub const CONTINUATION: u8 = 9;
/// The last frame of a stream.
pub const END_STREAM: u8 = 1;
/// The last frame of a head.
pub const END_HEADERS: u8 = 4;

/// What came of one stream.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 if there was no head.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// Whether it came to its end.
    pub ended: bool,
    /// The code with which the stream was reset.
    pub reset: Option<u32>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, body, ended, reset } = self;
        let body = body[..body.len().min(120)].escape_ascii();
        write!(f, "{status} ended={ended} reset={reset:?} `{body}`")
    }
}

/// All that came back.
#[derive(Clone, Debug, Default)]
pub struct Came {
    /// By stream.
    pub streams: BTreeMap<u32, Answer>,
    /// The code with which the connection was given up.
    pub goaway: Option<u32>,
    /// Whether the other side closed.
    pub closed: bool,
}

impl Came {
    /// What came of a stream.
    #[must_use]
    pub fn stream(&self, id: u32) -> Answer {
        self.streams.get(&id).cloned().unwrap_or_default()
    }

    /// Whether a stream was refused: by a status of the 400s, a reset, or the end of the connection.
    #[must_use]
    pub fn refuses(&self, id: u32) -> bool {
        let stream = self.stream(id);
        (400..500).contains(&stream.status) || (stream.status == 0 && (stream.reset.is_some() || self.goaway.is_some()))
    }
}

/// One frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A head, each field spelled out in full: literal without indexing, no Huffman code (RFC 7541, 6.2.2).
#[must_use]
pub fn fields(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        string(&mut bytes, name);
        string(&mut bytes, value);
    }
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    // An integer with a prefix of seven bits (RFC 7541, 5.1).
    let mut n = text.len();
    if n < 127 {
        bytes.push(u8::try_from(n).unwrap_or(0));
    } else {
        bytes.push(127);
        n -= 127;
        while n >= 128 {
            bytes.push(u8::try_from(n % 128).unwrap_or(0) | 128);
            n /= 128;
        }
        bytes.push(u8::try_from(n).unwrap_or(0));
    }
    bytes.extend_from_slice(text);
}

/// A conversation over HTTP/2.
pub struct Talk {
    /// The connection.
    pub visit: Visit,
    input: Vec<u8>,
    came: Came,
}

impl Talk {
    /// Begins with the preface and settings.
    pub fn begin(mut visit: Visit) -> Result<Self> {
        let mut first = PREFACE.to_vec();
        // Without a table, every head is spelled out, so that one can be read without the others.
        first.extend(frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]));
        visit.send(first)?;
        Ok(Self { visit, input: Vec::new(), came: Came::default() })
    }

    /// Sends bytes. A connection that was closed meanwhile is no error: what came says so.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.visit.send(bytes).is_err() {
            self.came.closed = true;
        }
    }

    /// Sends a head and perhaps a body.
    pub fn ask(&mut self, stream: u32, head: &[(&[u8], &[u8])], body: Option<&[u8]>) {
        let end = if body.is_none() { END_STREAM } else { 0 };
        let mut bytes = frame(HEADERS, END_HEADERS | end, stream, &fields(head));
        if let Some(body) = body {
            bytes.extend(frame(DATA, END_STREAM, stream, body));
        }
        self.send(&bytes);
    }

    /// Listens until a stream has ended, the connection was given up, or the time is up; returns all that came so far.
    pub fn listen(&mut self, stream: u32, span: Duration) -> Came {
        let began = Instant::now();
        let mut space = vec![0; 16 * 1024];
        while !self.came.closed {
            let answer = self.came.stream(stream);
            if answer.ended || answer.reset.is_some() {
                break;
            }
            let left = span.saturating_sub(began.elapsed());
            if left.is_zero() || self.visit.stream.sock.set_read_timeout(Some(left)).is_err() {
                break;
            }
            match self.visit.stream.read(&mut space) {
                Ok(0) => self.came.closed = true,
                Ok(n) => self.take(&space[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.came.closed = true,
            }
        }
        self.came.clone()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.input.len() >= 9 {
            let length =
                usize::from(self.input[0]) << 16 | usize::from(self.input[1]) << 8 | usize::from(self.input[2]);
            if self.input.len() < 9 + length {
                break;
            }
            let (kind, flags) = (self.input[3], self.input[4]);
            let stream = number(&self.input[5..9]) & 0x7fff_ffff;
            let payload = self.input[9..9 + length].to_vec();
            self.input.drain(..9 + length);
            self.frame(kind, flags, stream, &payload);
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        match kind {
            SETTINGS if flags & 1 == 0 => self.send(&frame(SETTINGS, 1, 0, &[])),
            PING if flags & 1 == 0 => self.send(&frame(PING, 1, 0, payload)),
            GOAWAY => self.came.goaway = payload.get(4..8).map(number),
            RST_STREAM => self.came.streams.entry(stream).or_default().reset = payload.get(..4).map(number),
            HEADERS => {
                let answer = self.came.streams.entry(stream).or_default();
                if answer.status == 0 {
                    answer.status = status(payload).unwrap_or(0);
                }
                answer.ended |= flags & END_STREAM != 0;
            }
            DATA => {
                let answer = self.came.streams.entry(stream).or_default();
                answer.body.extend_from_slice(payload);
                answer.ended |= flags & END_STREAM != 0;
                // What was read may be sent again, so that a long answer does not stall.
                if !payload.is_empty() {
                    let more = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
                    let mut bytes = frame(8, 0, 0, &more);
                    bytes.extend(frame(8, 0, stream, &more));
                    self.send(&bytes);
                }
            }
            _ => {}
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// The status, which is the first field of an answer.
fn status(head: &[u8]) -> Option<u16> {
    // A change of the size of the table may stand in front.
    let head = &head[head.iter().position(|b| b & 0xe0 != 0x20)?..];
    let first = *head.first()?;
    if first & 0x80 != 0 {
        let known = [200, 204, 206, 304, 400, 404, 500];
        return known.get(usize::from((first & 0x7f).checked_sub(8)?)).copied();
    }
    let length = *head.get(1)?;
    let text = head.get(2..2 + usize::from(length & 0x7f))?;
    if length & 0x80 == 0 { std::str::from_utf8(text).ok()?.parse().ok() } else { digits(text) }
}

/// Digits in the Huffman code of RFC 7541, appendix B: five bits for 0, 1 and 2, six for the others.
fn digits(code: &[u8]) -> Option<u16> {
    let bits: Vec<u8> = code.iter().flat_map(|b| (0..8).rev().map(move |n| b >> n & 1)).collect();
    let (mut at, mut n) = (0, 0_u16);
    for _ in 0..3 {
        let value =
            |len: usize| bits.get(at..at + len).map(|b| b.iter().fold(0_u16, |v, bit| v << 1 | u16::from(*bit)));
        let five = value(5)?;
        let digit = if five <= 2 {
            at += 5;
            five
        } else {
            let six = value(6)?;
            at += 6;
            six.checked_sub(0b01_1001)? + 3
        };
        n = n * 10 + digit;
    }
    Some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_in_every_spelling() {
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(&[0x20, 0x8c]), Some(400));
        assert_eq!(status(&[0x48, 3, b'4', b'0', b'3']), Some(403));
        // 421 as 6, 5 and 5 bits, 403 as 6, 5 and 6 bits, padded with ones.
        assert_eq!(status(&[0x48, 0x82, 0b0110_1000, 0b0100_0011]), None);
        assert_eq!(status(&[0x48, 0x82, 0b0110_1000, 0b0100_0001]), Some(421));
        assert_eq!(status(&[0x48, 0x83, 0b0110_1000, 0b0000_1100, 0b1111_1111]), Some(403));
    }

    #[test]
    fn a_long_string_has_its_length_in_front() {
        let head = fields(&[(b"a", &[b'x'; 300])]);
        assert_eq!(head[..6], [0, 1, b'a', 127, 0xad, 1]);
        assert_eq!(head.len(), 6 + 300);
    }
}
