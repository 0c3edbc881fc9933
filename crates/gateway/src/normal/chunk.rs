//! Follows a chunked body byte by byte, so that the scanner knows where the next head begins and nothing ambiguous gets by.

use super::Refused;
use super::headers::{is_hop_by_hop, is_protected};
use super::scan::field_line;

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
    pub(crate) fn new(bound: Option<u64>, trailer_bytes: usize) -> Self {
        Self { at: At::Size { size: 0, digits: 0 }, total: 0, bound, trailer_bytes }
    }

    /// Goes on over `bytes`; returns how many belong to the body. Fewer than given means that the body ended.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let mut used = 0;
        while used < bytes.len() && self.at != At::End {
            if let At::Data { left } = &mut self.at {
                let available = bytes.len() - used;
                let take = usize::try_from(*left).unwrap_or(available).min(available);
                *left -= take as u64;
                used += take;
                if *left == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            self.step(bytes[used])?;
            used += 1;
        }
        Ok(used)
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
                let (name, _) = field_line(text)?;
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                let steers = matches!(
                    name.as_str(),
                    "host" | "content-length" | "cookie" | "authorization" | "trailer" | "expect"
                );
                if steers || name.contains('_') || is_hop_by_hop(&name) || is_protected(&name) {
                    return Err(Refused::bad("forbidden_trailer"));
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

    /// How many bytes belong to the body and whether it is whole, or the code of the refusal; whatever the read sizes are.
    fn follow(raw: &str) -> Result<(usize, bool), &'static str> {
        let whole = |step: usize| {
            let mut chunks = Chunks::new(Some(100), 60);
            let mut used = 0;
            for part in raw.as_bytes().chunks(step) {
                let n = chunks.follow(part).map_err(|r| r.code)?;
                used += n;
                if n < part.len() {
                    break;
                }
            }
            Ok((used, chunks.ended()))
        };
        let answer = whole(1);
        assert_eq!(answer, whole(3), "{raw:?}");
        assert_eq!(answer, whole(1_000), "{raw:?}");
        answer
    }

    #[test]
    fn the_end_of_a_body_is_found() {
        for (raw, rest) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n"),
            ("5;ext=1\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "more"),
            ("a\r\n0\r\n\r\n67890\r\n0\r\n\r\n", ""),
        ] {
            assert_eq!(follow(&format!("{raw}{rest}")), Ok((raw.len(), true)), "{raw:?}");
        }
        assert_eq!(follow("5\r\nhel"), Ok((6, false)));
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
