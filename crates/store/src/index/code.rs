//! A block as bytes: differences in as few bytes as they need, texts behind them.

use safeconduct_model::Timestamp;

use super::IndexError;
use super::block::{Block, Row};
use crate::reader::Position;

/// The digits of a request that is kept in half of its length.
const HEX: usize = 32;

impl Block {
    /// The bytes of this block.
    pub(super) fn encode(&self) -> Vec<u8> {
        /// What a row takes, about.
        const ROW: usize = 64;
        let mut out = Vec::with_capacity(self.rows.len() * ROW);
        number(self.first_seq, &mut out);
        let shapes = serde_json::to_vec(&self.shapes).expect("shapes are JSON");
        bytes(&shapes, &mut out);
        let mut methods: Vec<&str> = Vec::new();
        let of_rows: Vec<usize> = self.rows.iter().map(|row| place(&mut methods, self.texts(row).1)).collect();
        number(methods.len() as u64, &mut out);
        methods.iter().for_each(|method| bytes(method.as_bytes(), &mut out));
        number(self.places.len() as u64, &mut out);
        for (row, Position { segment, offset }) in &self.places {
            [u64::from(*row), u64::from(*segment), *offset].into_iter().for_each(|n| number(n, &mut out));
        }
        number(self.rows.len() as u64, &mut out);
        let mut before = Timestamp::default();
        for (row, method) in self.rows.iter().zip(of_rows) {
            let (request, _, path) = self.texts(row);
            difference(row.at, before, &mut out);
            before = row.at;
            difference(row.decided, row.at, &mut out);
            match row.until {
                None => out.push(0),
                Some(until) => {
                    out.push(1);
                    difference(until, row.decided, &mut out);
                }
            }
            number(row.took_us.into(), &mut out);
            number(row.shape.into(), &mut out);
            number(method as u64, &mut out);
            match halved(request) {
                Some(half) => {
                    out.push(0);
                    out.extend_from_slice(&half);
                }
                None => {
                    number(request.len() as u64 + 1, &mut out);
                    out.extend_from_slice(request.as_bytes());
                }
            }
            bytes(path.as_bytes(), &mut out);
        }
        out
    }

    /// The block of these bytes.
    pub(super) fn decode(data: &[u8]) -> Result<Self, IndexError> {
        let mut reading = Reading(data);
        reading.block().ok_or_else(|| IndexError::Damaged { what: "a block", value: format!("{} bytes", data.len()) })
    }
}

/// The place of a word in a list, which gets it if it has it not.
fn place<'a>(words: &mut Vec<&'a str>, word: &'a str) -> usize {
    words.iter().position(|w| *w == word).unwrap_or_else(|| {
        words.push(word);
        words.len() - 1
    })
}

fn number(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn bytes(data: &[u8], out: &mut Vec<u8>) {
    number(data.len() as u64, out);
    out.extend_from_slice(data);
}

fn difference(later: Timestamp, earlier: Timestamp, out: &mut Vec<u8>) {
    let n = later.millis().wrapping_sub(earlier.millis());
    number(((n << 1) ^ (n >> 63)).cast_unsigned(), out);
}

/// A request of 32 hexadecimal digits in half of its length.
fn halved(request: &str) -> Option<[u8; HEX / 2]> {
    let digits: &[u8; HEX] = request.as_bytes().try_into().ok()?;
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut half = [0; HEX / 2];
    for (byte, pair) in half.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(half)
}

/// What is left to read. Everything answers `None` where the bytes are none of ours.
struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn block(&mut self) -> Option<Block> {
        let mut block = Block { first_seq: self.number()?, ..Block::default() };
        block.shapes = serde_json::from_slice(self.bytes()?).ok()?;
        let mut methods = Vec::new();
        for _ in 0..self.number()? {
            methods.push(self.text()?);
        }
        for _ in 0..self.number()? {
            let (row, segment, offset) = (self.small()?, self.small()?, self.number()?);
            block.places.push((row, Position { segment, offset }));
        }
        let mut before = Timestamp::default();
        for _ in 0..self.number()? {
            let at = self.after(before)?;
            before = at;
            let decided = self.after(at)?;
            let until = match self.take(1)? {
                [0] => None,
                _ => Some(self.after(decided)?),
            };
            let (took_us, shape) = (self.small()?, self.small()?);
            block.shapes.get(shape as usize)?;
            let method = *methods.get(usize::try_from(self.number()?).ok()?)?;
            let start = u32::try_from(block.text.len()).ok()?;
            match self.number()? {
                0 => {
                    const DIGITS: &[u8; 16] = b"0123456789abcdef";
                    for byte in self.take(HEX / 2)? {
                        block.text.push(DIGITS[usize::from(byte >> 4)].into());
                        block.text.push(DIGITS[usize::from(byte & 15)].into());
                    }
                }
                n => block.text.push_str(std::str::from_utf8(self.take(usize::try_from(n).ok()? - 1)?).ok()?),
            }
            let request = u32::try_from(block.text.len()).ok()? - start;
            let path = self.text()?;
            block.text.push_str(method);
            block.text.push_str(path);
            let (method, path) = (u32::try_from(method.len()).ok()?, u32::try_from(path.len()).ok()?);
            block.rows.push(Row { at, shape, decided, until, took_us, start, request, method, path });
        }
        self.0.is_empty().then_some(block)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn after(&mut self, earlier: Timestamp) -> Option<Timestamp> {
        let n = self.number()?;
        let difference = (n >> 1).cast_signed() ^ -((n & 1).cast_signed());
        Some(Timestamp::from_millis(earlier.millis().wrapping_add(difference)))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::block::{Kind, Shape};

    /// Times and microseconds, texts, and which of two shapes.
    type Parts = ((i64, i64, Option<i64>, u32), (String, String, String), bool);

    fn row() -> impl Strategy<Value = Parts> {
        let time = || prop_oneof![0..9_i64, 0..Timestamp::MAX.millis()];
        let request = prop_oneof!["[0-9a-f]{32}", "[0-9a-g]{32}", "[a-z0-9]{0,40}", Just(String::new())];
        (
            (time(), time(), proptest::option::of(time()), any::<u32>()),
            (request, "[A-Z]{0,5}", any::<String>()),
            any::<bool>(),
        )
    }

    proptest! {
        #[test]
        fn a_block_comes_back_as_it_was_and_a_part_of_its_bytes_is_no_block(
            rows in proptest::collection::vec(row(), 0..20), first_seq: u64, cut: prop::sample::Index
        ) {
            let mut block = Block { first_seq, ..Block::default() };
            block.shapes = vec![Shape::Other(Kind::Cut), Shape::Refusal {
                ip: "::1".parse().expect("an address"), reason: safeconduct_model::Reason::NoRule, app: None }];
            let at = Timestamp::from_millis;
            for ((time, decided, until, took_us), (request, method, path), shape) in rows {
                let len = |text: &str| u32::try_from(text.len()).expect("short");
                let start = len(&block.text);
                for text in [&request, &method, &path] {
                    block.text.push_str(text);
                }
                block.places.push((start, Position { segment: took_us, offset: decided.unsigned_abs() }));
                block.rows.push(Row { at: at(time), shape: shape.into(), decided: at(decided), until: until.map(at), took_us,
                    start, request: len(&request), method: len(&method), path: len(&path) });
            }
            let bytes = block.encode();
            prop_assert_eq!(Block::decode(&bytes).expect("ours"), block);
            let part = &bytes[..cut.index(bytes.len())];
            prop_assert!(Block::decode(part).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Block::decode(&bytes);
        }
    }
}
