//! HTTP/2 as a client that sends one prepared request again and again on a few streams, and checks each answer. Its headers
//! enter the dynamic table with the first request, as a browser's do; after that a request is a frame of a few bytes.

/// What the other side may send before it must wait: enough to never matter.
const WINDOW: u32 = 0x7fff_ffff;
/// The window of the connection is opened again after so many bytes.
const REPLENISH: u32 = 1 << 26;
const MAX_FRAME: usize = 1 << 20;
/// Dynamic table entries begin after the static ones.
const FIRST_DYNAMIC: usize = 62;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// One connection.
pub(crate) struct Http2 {
    expected: u64,
    first: Vec<u8>,
    next: Vec<u8>,
    sent_one: bool,
    stream: u32,
    /// Which stream each place has now, and how many bytes of its answer came.
    places: Vec<(u32, u64, bool)>,
    read: Vec<u8>,
    /// The data frame that is being read: its stream, its flags, and how much of it is to come.
    data: Option<(u32, u8, usize)>,
    taken: u32,
}

impl Http2 {
    /// A connection of so many places, and what it sends first.
    pub(crate) fn new(
        path: &str,
        authority: &str,
        tls: bool,
        headers: &[(String, String)],
        places: usize,
        expected: u64,
    ) -> (Self, Vec<u8>) {
        let (first, next) = blocks(path, authority, tls, headers);
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut settings = Vec::new();
        for (id, value) in [(2u16, 0u32), (4, WINDOW)] {
            settings.extend_from_slice(&id.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        frame(&mut out, SETTINGS, 0, 0, &settings);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
        let places = vec![(0, 0, false); places];
        (
            Self { expected, first, next, sent_one: false, stream: 1, places, read: Vec::new(), data: None, taken: 0 },
            out,
        )
    }

    /// Puts the next request of a place behind `out`.
    pub(crate) fn ask(&mut self, place: usize, out: &mut Vec<u8>) {
        let block = if self.sent_one { &self.next } else { &self.first };
        self.sent_one = true;
        frame(out, HEADERS, END_STREAM | END_HEADERS, self.stream, block);
        self.places[place] = (self.stream, 0, false);
        self.stream += 2;
    }

    /// Takes bytes; tells each place whose answer ended. What must be sent back goes behind `out`.
    pub(crate) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, mut ended: impl FnMut(usize)) -> Result<(), String> {
        let kept = std::mem::take(&mut self.read);
        let whole: Vec<u8>;
        let mut rest: &[u8] = if kept.is_empty() {
            bytes
        } else {
            whole = [&kept, bytes].concat();
            &whole
        };
        loop {
            if let Some((stream, flags, left)) = self.data.take() {
                let now = left.min(rest.len());
                self.bytes(stream, now, out);
                rest = &rest[now..];
                if now < left {
                    self.data = Some((stream, flags, left - now));
                    return Ok(());
                }
                if let Some(at) = self.place(stream)
                    && let Some(place) = self.end(at, flags)?
                {
                    ended(place);
                }
            }
            let Some(head) = rest.first_chunk::<9>() else { break };
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            if length > MAX_FRAME {
                return Err(format!("a frame of {length} bytes"));
            }
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let (kind, flags) = (head[3], head[4]);
            // Data are counted as they come; everything else waits until it is whole.
            if kind == DATA {
                if flags & PADDED != 0 {
                    return Err("a padded answer".to_owned());
                }
                self.data = Some((stream, flags, length));
                rest = &rest[9..];
                continue;
            }
            let Some(payload) = rest.get(9..9 + length) else { break };
            if let Some(place) = self.frame(kind, flags, stream, payload, out)? {
                ended(place);
            }
            rest = &rest[9 + length..];
        }
        self.read = rest.to_vec();
        Ok(())
    }

    /// So many bytes of an answer came.
    fn bytes(&mut self, stream: u32, count: usize, out: &mut Vec<u8>) {
        self.taken += u32::try_from(count).unwrap_or(0);
        if self.taken >= REPLENISH {
            frame(out, WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
            self.taken = 0;
        }
        if let Some(at) = self.place(stream) {
            self.places[at].1 += count as u64;
        }
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, String> {
        match kind {
            HEADERS => {
                let Some(at) = self.place(stream) else { return Ok(None) };
                if !self.places[at].2 {
                    status(payload, flags)?;
                    self.places[at].2 = true;
                }
                self.end(at, flags)
            }
            SETTINGS if flags & ACK == 0 => {
                frame(out, SETTINGS, ACK, 0, &[]);
                Ok(None)
            }
            PING if flags & ACK == 0 => {
                frame(out, PING, ACK, 0, payload);
                Ok(None)
            }
            RST_STREAM => Err(format!("a stream was reset with {}", code(payload))),
            GOAWAY => Err(format!("the connection was ended with {}", code(payload.get(4..).unwrap_or_default()))),
            CONTINUATION => Err("a head in several frames".to_owned()),
            _ => Ok(None),
        }
    }

    fn place(&self, stream: u32) -> Option<usize> {
        self.places.iter().position(|(s, ..)| *s == stream)
    }

    fn end(&mut self, at: usize, flags: u8) -> Result<Option<usize>, String> {
        if flags & END_STREAM == 0 {
            return Ok(None);
        }
        let (_, length, _) = std::mem::take(&mut self.places[at]);
        if length == self.expected {
            Ok(Some(at))
        } else {
            Err(format!("{length} bytes where {} were expected", self.expected))
        }
    }
}

fn code(payload: &[u8]) -> u32 {
    payload.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b))
}

/// Whether a head begins with the status 200. It is in the static table, so that every encoder writes it as one byte.
fn status(payload: &[u8], flags: u8) -> Result<(), String> {
    let padded = usize::from(flags & PADDED != 0);
    let priority = if flags & PRIORITY == 0 { 0 } else { 5 };
    let mut block = payload.get(padded + priority..).unwrap_or_default();
    // Changes of the size of the table come before the first field.
    while let Some(first) = block.first().filter(|b| **b & 0xe0 == 0x20) {
        let long = first & 0x1f == 0x1f;
        let end = if long { 1 + block[1..].iter().position(|b| b & 0x80 == 0).unwrap_or(0) } else { 0 };
        block = block.get(end + 1..).unwrap_or_default();
    }
    match block.first() {
        Some(0x88) => Ok(()),
        first => Err(format!("an answer that is not 200 (its head begins with {first:02x?})")),
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The block of the first request, which fills the dynamic table, and of all others, which point into it.
fn blocks(path: &str, authority: &str, tls: bool, headers: &[(String, String)]) -> (Vec<u8>, Vec<u8>) {
    let scheme: u8 = if tls { 0x87 } else { 0x86 };
    // :method GET and the scheme are in the static table, and so are the names :path and :authority.
    let (mut first, mut next) = (vec![0x82, scheme], vec![0x82, scheme]);
    first.push(0x40 | 4);
    string(&mut first, path);
    first.push(0x40 | 1);
    string(&mut first, authority);
    for (name, value) in headers {
        first.push(0x40);
        string(&mut first, &name.to_ascii_lowercase());
        string(&mut first, value);
    }
    // The newest entry has the lowest number.
    let fields = headers.len() + 2;
    for at in 0..fields {
        integer(&mut next, 0x80, 7, FIRST_DYNAMIC + fields - 1 - at);
    }
    (first, next)
}

fn string(out: &mut Vec<u8>, text: &str) {
    integer(out, 0, 7, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn integer(out: &mut Vec<u8>, mark: u8, bits: u32, value: usize) {
    let most = (1usize << bits) - 1;
    if value < most {
        out.push(mark | u8::try_from(value).unwrap_or(0));
        return;
    }
    out.push(mark | u8::try_from(most).unwrap_or(0));
    let mut rest = value - most;
    while rest >= 128 {
        out.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or(0));
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(expected: u64) -> Http2 {
        let headers = [("accept".to_owned(), "x".repeat(200))];
        let (mut talk, _) = Http2::new("/1k", "a:1", true, &headers, 2, expected);
        let mut out = Vec::new();
        talk.ask(0, &mut out);
        let first = out.len();
        talk.ask(1, &mut out);
        assert_eq!(out.len() - first, 9 + 5, "the second request points into the table");
        talk
    }

    fn answer(stream: u32, status: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out, HEADERS, END_HEADERS, stream, &[0x20, 0x3f, 0xe1, 0x1f, status, 0x01]);
        frame(&mut out, DATA, END_STREAM, stream, body);
        out
    }

    #[test]
    fn answers_end_their_places_however_they_are_cut() {
        let both = [answer(3, 0x88, b"body"), answer(1, 0x88, b"body")].concat();
        for cut in 0..both.len() {
            let (mut talk, mut ended) = (fresh(4), Vec::new());
            let mut out = Vec::new();
            talk.take(&both[..cut], &mut out, |place| ended.push(place)).expect("good");
            talk.take(&both[cut..], &mut out, |place| ended.push(place)).expect("good");
            assert_eq!(ended, [1, 0], "{cut}");
        }
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        let told = |bytes: Vec<u8>| fresh(4).take(&bytes, &mut Vec::new(), |_| {}).expect_err("wrong");
        assert_eq!(told(answer(1, 0x88, b"bod")), "3 bytes where 4 were expected");
        assert!(told(answer(1, 0x8d, b"body")).contains("not 200"));
        let mut reset = Vec::new();
        frame(&mut reset, RST_STREAM, 0, 1, &8u32.to_be_bytes());
        assert_eq!(told(reset), "a stream was reset with 8");
    }

    #[test]
    fn what_asks_is_answered() {
        let (mut talk, mut out, mut asks) = (fresh(4), Vec::new(), Vec::new());
        frame(&mut asks, PING, 0, 0, b"12345678");
        frame(&mut asks, SETTINGS, 0, 0, &[]);
        talk.take(&asks, &mut out, |_| {}).expect("good");
        let mut wanted = Vec::new();
        frame(&mut wanted, PING, ACK, 0, b"12345678");
        frame(&mut wanted, SETTINGS, ACK, 0, &[]);
        assert_eq!(out, wanted);
    }

    #[test]
    fn integers_are_those_of_the_standard() {
        // RFC 7541, C.1.
        let mut out = Vec::new();
        integer(&mut out, 0, 5, 10);
        integer(&mut out, 0, 5, 1_337);
        integer(&mut out, 0, 8, 42);
        assert_eq!(out, [10, 31, 154, 10, 42]);
    }
}
