//! Scanning one line, strictly and without a JSON parser.

use std::io::{self, BufRead, Read as _};

/// The longest line of a segment. The format says so; it is stated again here on purpose.
const LONGEST: u64 = 256 * 1024;

/// How reading a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// A whole line; its line feed is not in the buffer.
    Line,
    /// The end of the file, with no byte in front.
    End,
    /// The end of the file within a line.
    Torn,
    /// More bytes than a line may have.
    TooLong,
}

/// Reads the next line into `buffer`.
pub(super) fn read(reader: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Got> {
    buffer.clear();
    let n = reader.by_ref().take(LONGEST).read_until(b'\n', buffer)?;
    Ok(match buffer.last() {
        None => Got::End,
        Some(b'\n') => {
            buffer.pop();
            Got::Line
        }
        Some(_) if u64::try_from(n).is_ok_and(|n| n < LONGEST) => Got::Torn,
        Some(_) => Got::TooLong,
    })
}

/// The hash and the JSON of a line, if it has that shape.
pub(super) fn split(line: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (digits, rest) = line.split_at_checked(64)?;
    let json = rest.strip_prefix(b" ")?;
    Some((unhex(digits)?, json))
}

/// Lower hexadecimal into exactly `N` bytes.
pub(super) fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// A place in a line that is read from left to right; every step is exact.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a>(pub(super) &'a [u8]);

impl<'a> Scan<'a> {
    /// Steps over exactly `text`.
    pub(super) fn text(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text.as_bytes())?;
        Some(())
    }

    /// Reads a decimal number without sign or leading zeros.
    pub(super) fn number(&mut self) -> Option<u64> {
        let len = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(len);
        if len == 0 || (len > 1 && digits[0] == b'0') {
            return None;
        }
        let number = digits.iter().try_fold(0_u64, |n, d| n.checked_mul(10)?.checked_add(u64::from(d - b'0')))?;
        self.0 = rest;
        Some(number)
    }

    /// Reads `N` bytes in lower hexadecimal.
    pub(super) fn hex<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (digits, rest) = self.0.split_at_checked(N * 2)?;
        self.0 = rest;
        unhex(digits)
    }

    /// Whether everything was read.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// What the front of a record says.
#[derive(Clone, Copy)]
pub(super) struct Front<'a> {
    pub(super) seq: u64,
    pub(super) at: u64,
    /// The JSON behind the digits of `seq`.
    pub(super) behind_seq: &'a [u8],
}

/// The front of a record: `{"seq":N,"at":T,`.
pub(super) fn front(json: &[u8]) -> Option<Front<'_>> {
    let mut scan = Scan(json);
    scan.text("{\"seq\":")?;
    let seq = scan.number()?;
    let behind_seq = scan.0;
    scan.text(",\"at\":")?;
    let at = scan.number()?;
    scan.text(",\"")?;
    Some(Front { seq, at, behind_seq })
}

/// The header of a segment.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) version: u64,
    pub(super) segment: u64,
    pub(super) first_seq: u64,
    pub(super) after: u64,
    pub(super) key: [u8; 32],
    pub(super) prev: [u8; 32],
}

/// Whether the JSON wants to be a header.
pub(super) fn looks_like_header(json: &[u8]) -> bool {
    json.starts_with(b"{\"safeconduct_ledger\":")
}

/// The header of a segment, to the last byte.
pub(super) fn header(json: &[u8]) -> Option<Header> {
    let mut scan = Scan(json);
    scan.text("{\"safeconduct_ledger\":")?;
    let version = scan.number()?;
    scan.text(",\"segment\":")?;
    let segment = scan.number()?;
    scan.text(",\"first_seq\":")?;
    let first_seq = scan.number()?;
    scan.text(",\"after\":")?;
    let after = scan.number()?;
    scan.text(",\"key\":\"")?;
    let key = scan.hex()?;
    scan.text("\",\"prev\":\"")?;
    let prev = scan.hex()?;
    scan.text("\"}")?;
    scan.end()?;
    Some(Header { version, segment, first_seq, after, key, prev })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        for (text, number) in [("0", Some(0)), ("42,", Some(42)), ("18446744073709551615", Some(u64::MAX))] {
            assert_eq!(Scan(text.as_bytes()).number(), number);
        }
        for bad in ["", "-1", "+1", "007", "00", "18446744073709551616", "x"] {
            assert_eq!(Scan(bad.as_bytes()).number(), None, "{bad}");
        }
    }

    #[test]
    fn only_lower_hexadecimal_of_the_right_length_is_read() {
        assert_eq!(unhex::<2>(b"0aff"), Some([10, 255]));
        for bad in ["0aFf", "0af", "0aff0", "0ag0", ""] {
            assert_eq!(unhex::<2>(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_line_has_a_longest_length() {
        let longest = usize::try_from(LONGEST).expect("fits");
        let mut buffer = Vec::new();
        let mut text = vec![b'x'; longest];
        assert_eq!(read(&mut &text[..], &mut buffer).expect("in memory"), Got::TooLong);
        text[longest - 1] = b'\n';
        assert_eq!(read(&mut &text[..], &mut buffer).expect("in memory"), Got::Line);
        assert_eq!(read(&mut &b"ab"[..], &mut buffer).expect("in memory"), Got::Torn);
        assert_eq!(read(&mut &b""[..], &mut buffer).expect("in memory"), Got::End);
    }
}
