//! A chunked body (RFC 9112, 7.1), byte by byte: where its data lies and where it ends. Nothing ambiguous gets by.

use crate::Refused;
use crate::body::Piece;
use crate::names::{is_hop_by_hop, is_ours, is_protected};
use crate::reference::field_line;

/// The longest chunk extension, in bytes.
const EXTENSION_BYTES: usize = 256;
/// The most hexadecimal digits of a chunk size: 60 bits.
const SIZE_DIGITS: usize = 15;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    at: At,
    /// The bytes of data so far.
    total: u64,
    bound: Option<u64>,
    trailer_bytes: usize,
    /// Whether the body comes from an application, whose unfit trailers are taken out and not refused.
    answer: bool,
    /// The trailers that go on, as lines.
    trailers: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    Size { size: u64, digits: usize },
    Extension { size: u64, seen: usize },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { line: Vec<u8>, seen: usize },
    End,
}

impl Chunks {
    /// At the start of a body with at most `bound` bytes of data and so many bytes of trailers.
    pub(crate) fn new(bound: Option<u64>, trailer_bytes: usize, answer: bool) -> Self {
        Self { at: At::Size { size: 0, digits: 0 }, total: 0, bound, trailer_bytes, answer, trailers: Vec::new() }
    }

    /// The next data at the front of `bytes`, behind the framing in front of it.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Piece, Refused> {
        let mut skip = 0;
        loop {
            match &mut self.at {
                At::End => return Ok(Piece { skip, data: 0, ended: true }),
                At::Data { left } => {
                    let available = bytes.len() - skip;
                    let data = usize::try_from(*left).unwrap_or(available).min(available);
                    *left -= data as u64;
                    if *left == 0 {
                        self.at = At::DataCr;
                    }
                    return Ok(Piece { skip, data, ended: false });
                }
                _ => match bytes.get(skip) {
                    Some(byte) => self.step(*byte)?,
                    None => return Ok(Piece { skip, data: 0, ended: false }),
                },
            }
            skip += 1;
        }
    }

    /// The trailers that go on, as lines; empty if there are none.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Whether the body is complete.
    pub(crate) fn ended(&self) -> bool {
        self.at == At::End
    }

    fn step(&mut self, byte: u8) -> Result<(), Refused> {
        let bad = Err(Refused::bad("bad_chunk"));
        self.at = match (std::mem::replace(&mut self.at, At::End), byte) {
            (At::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == SIZE_DIGITS {
                    return Err(Refused::bad("chunk_size_overflow"));
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                At::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (At::Size { digits: 0, .. }, _) => return bad,
            (At::Size { size, .. }, b'\r') | (At::Extension { size, .. }, b'\r') => At::SizeLf { size },
            (At::Size { size, .. }, b';') => At::Extension { size, seen: 0 },
            (At::Extension { size, seen }, b'\t' | 0x20..=0x7e) if seen < EXTENSION_BYTES => {
                At::Extension { size, seen: seen + 1 }
            }
            (At::SizeLf { size: 0 }, b'\n') => At::Trailer { line: Vec::new(), seen: 0 },
            (At::SizeLf { size }, b'\n') => {
                self.total = self.total.saturating_add(size);
                if self.bound.is_some_and(|bound| self.total > bound) {
                    return Err(Refused::limit(413, "body_too_long"));
                }
                At::Data { left: size }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size { size: 0, digits: 0 },
            (At::Trailer { line, seen }, _) => return self.trailer(line, seen, byte),
            _ => return bad,
        };
        Ok(())
    }

    fn trailer(&mut self, mut line: Vec<u8>, seen: usize, byte: u8) -> Result<(), Refused> {
        if seen >= self.trailer_bytes {
            return Err(Refused::limit(431, "trailers_too_long"));
        }
        line.push(byte);
        let after_cr = line.len() >= 2 && line[line.len() - 2] == b'\r';
        if (byte == b'\n') != after_cr {
            return Err(Refused::bad("bad_trailer"));
        }
        self.at = match line.strip_suffix(b"\r\n") {
            Some(b"") => At::End,
            Some(text) => {
                let (name, value) = field_line(text)?;
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                let steers = matches!(
                    name.as_str(),
                    "host" | "content-length" | "cookie" | "authorization" | "trailer" | "expect"
                );
                let unfit = steers || name.contains('_') || is_hop_by_hop(name.as_bytes());
                let theirs = if self.answer { is_ours(&name) } else { is_protected(&name) };
                match unfit || theirs {
                    true if !self.answer => return Err(Refused::bad("forbidden_trailer")),
                    true => {}
                    false => {
                        self.trailers.extend_from_slice(name.as_bytes());
                        self.trailers.extend_from_slice(b": ");
                        self.trailers.extend_from_slice(value);
                        self.trailers.extend_from_slice(b"\r\n");
                    }
                }
                At::Trailer { line: Vec::new(), seen: seen + 1 }
            }
            None => At::Trailer { line, seen: seen + 1 },
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data, how many bytes belong to the body and whether it is whole, or the code of the refusal; whatever the read
    /// sizes are.
    fn follow(raw: &str) -> Result<(String, usize, bool), &'static str> {
        let whole = |step: usize| {
            let mut chunks = Chunks::new(Some(100), 60, false);
            let (mut used, mut data) = (0, String::new());
            for part in raw.as_bytes().chunks(step) {
                let mut rest = part;
                while !rest.is_empty() && !chunks.ended() {
                    let piece = chunks.next(rest).map_err(|r| r.code)?;
                    data.push_str(std::str::from_utf8(&rest[piece.skip..piece.skip + piece.data]).unwrap());
                    used += piece.skip + piece.data;
                    rest = &rest[piece.skip + piece.data..];
                }
            }
            Ok((data, used, chunks.ended()))
        };
        let answer = whole(1);
        assert_eq!(answer, whole(3), "{raw:?}");
        assert_eq!(answer, whole(1_000), "{raw:?}");
        answer
    }

    #[test]
    fn the_end_of_a_body_is_found() {
        for (raw, rest, data) in [
            ("0\r\n\r\n", "", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n", "hello"),
            ("5;ext=1\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "more", "hello"),
            ("a\r\n0\r\n\r\n67890\r\n0\r\n\r\n", "", "0\r\n\r\n67890"),
        ] {
            assert_eq!(follow(&format!("{raw}{rest}")), Ok((data.to_owned(), raw.len(), true)), "{raw:?}");
        }
        assert_eq!(follow("5\r\nhel"), Ok(("hel".to_owned(), 6, false)));
    }

    #[test]
    fn nt_59_nt_60_nt_61_ambiguous_chunks_are_refused() {
        for (raw, code) in [
            ("5;a\nhello\r\n0\r\n\r\n", "bad_chunk"),
            ("5\nhello\r\n0\r\n\r\n", "bad_chunk"),
            ("5\r\nhello\n0\r\n\r\n", "bad_chunk"),
            ("fffffffffffffffff\r\n", "chunk_size_overflow"),
            ("0x5\r\nhello\r\n", "bad_chunk"),
            (" 5\r\nhello\r\n", "bad_chunk"),
            ("5 \r\nhello\r\n", "bad_chunk"),
            ("\r\n", "bad_chunk"),
            ("5\r\nhelloX\r\n", "bad_chunk"),
            ("-1\r\n", "bad_chunk"),
            ("65\r\n", "body_too_long"),
            ("0\r\nX: 1\n\r\n", "bad_trailer"),
            ("0\r\nX: \u{c}1\r\n\r\n", "field_value"),
            ("0\r\nX: 1\u{c}\r\n\r\n", "field_value"),
            ("0\r\n folded\r\n\r\n", "folded_line"),
            ("0\r\nContent-Length: 5\r\n\r\n", "forbidden_trailer"),
            ("0\r\nX_Safeconduct_Assertion: x\r\n\r\n", "forbidden_trailer"),
            ("0\r\nx-forwarded-for: x\r\n\r\n", "forbidden_trailer"),
        ] {
            assert_eq!(follow(raw), Err(code), "{raw:?}");
        }
        let long = format!("0\r\nX: {}\r\n\r\n", "x".repeat(80));
        assert_eq!(follow(&long), Err("trailers_too_long"));
    }
}
