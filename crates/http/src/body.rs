//! The framing of bodies: where the data lies on the way in, what is written around it on the way out.

use crate::chunk::Chunks;
use crate::{Bounds, Framing, Refused, ResponseFraming};

/// What the front of the input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of framing, to be passed over.
    pub skip: usize,
    /// Bytes of data behind them.
    pub data: usize,
    /// Whether the body is over behind them.
    pub ended: bool,
}

/// Reads a body off its framing.
#[derive(Clone, Debug, Default)]
pub struct Decoder(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    Ended,
    Length(u64),
    Chunked(Box<Chunks>),
    UntilClose,
}

impl Decoder {
    /// The body of a request.
    #[must_use]
    pub fn request(framing: Framing, bounds: &Bounds) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => Kind::Ended,
            Framing::Length(n) => Kind::Length(n),
            Framing::Chunked => Kind::Chunked(Box::new(Chunks::new(bounds.body_bytes, bounds.head_bytes, false))),
        })
    }

    /// The body of an answer.
    #[must_use]
    pub fn answer(framing: ResponseFraming, bounds: &Bounds) -> Self {
        Self(match framing {
            ResponseFraming::None | ResponseFraming::Length(0) => Kind::Ended,
            ResponseFraming::Length(n) => Kind::Length(n),
            ResponseFraming::Chunked => Kind::Chunked(Box::new(Chunks::new(None, bounds.head_bytes, true))),
            ResponseFraming::UntilClose => Kind::UntilClose,
        })
    }

    /// The next data at the front of `input`. What it names is taken: the caller passes over it.
    ///
    /// # Errors
    /// If the framing is broken or a bound is met. Both sides must be closed then.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, Refused> {
        match &mut self.0 {
            Kind::Ended => Ok(Piece { ended: true, ..Piece::default() }),
            Kind::Length(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= data as u64;
                let ended = *left == 0;
                if ended {
                    self.0 = Kind::Ended;
                }
                Ok(Piece { skip: 0, data, ended })
            }
            Kind::Chunked(chunks) => chunks.next(input),
            Kind::UntilClose => Ok(Piece { skip: 0, data: input.len(), ended: false }),
        }
    }

    /// Whether the body is over.
    #[must_use]
    pub fn ended(&self) -> bool {
        match &self.0 {
            Kind::Ended => true,
            Kind::Chunked(chunks) => chunks.ended(),
            Kind::Length(_) | Kind::UntilClose => false,
        }
    }

    /// Whether the body goes on behind so many bytes of input, as far as is known before they are looked at.
    #[must_use]
    pub fn wants(&self, input: usize) -> bool {
        match &self.0 {
            Kind::Length(left) => *left > input as u64,
            Kind::Ended | Kind::Chunked(_) | Kind::UntilClose => !self.ended(),
        }
    }

    /// Takes the end of the connection: `true` if the body may end so.
    pub fn close(&mut self) -> bool {
        if matches!(self.0, Kind::UntilClose) {
            self.0 = Kind::Ended;
        }
        self.ended()
    }

    /// The trailers that go on, as lines; empty if there are none.
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        match &self.0 {
            Kind::Chunked(chunks) => chunks.trailers(),
            _ => &[],
        }
    }
}

/// Writes a body into its framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoder {
    /// The bytes as they are.
    #[default]
    Plain,
    /// Chunks.
    Chunked,
}

impl Encoder {
    /// What stands in front of `n` bytes of data.
    pub fn before(self, n: usize, out: &mut Vec<u8>) {
        if self == Self::Chunked {
            push_hex(n, out);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// What stands behind them.
    #[must_use]
    pub const fn after(self) -> &'static [u8] {
        match self {
            Self::Plain => b"",
            Self::Chunked => b"\r\n",
        }
    }

    /// What ends the body; `trailers` are whole lines.
    pub fn end(self, trailers: &[u8], out: &mut Vec<u8>) {
        if self == Self::Chunked {
            out.extend_from_slice(b"0\r\n");
            out.extend_from_slice(trailers);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn push_hex(n: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - n.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(DIGITS[(n >> (place * 4)) & 15]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a whole body in steps; the data and how many bytes it took.
    fn read(mut decoder: Decoder, wire: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
        let (mut data, mut used) = (Vec::new(), 0);
        for part in wire.chunks(step.max(1)) {
            let mut rest = part;
            while !rest.is_empty() && !decoder.ended() {
                let piece = decoder.next(rest).ok()?;
                data.extend_from_slice(&rest[piece.skip..piece.skip + piece.data]);
                used += piece.skip + piece.data;
                rest = &rest[piece.skip + piece.data..];
            }
        }
        decoder.ended().then_some((data, used))
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_whatever_the_steps_are(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            step in 1_usize..400,
            behind in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut wire = Vec::new();
            for part in &parts {
                Encoder::Chunked.before(part.len(), &mut wire);
                wire.extend_from_slice(part);
                wire.extend_from_slice(Encoder::Chunked.after());
            }
            Encoder::Chunked.end(b"x-sum: 1\r\n", &mut wire);
            let length = wire.len();
            wire.extend_from_slice(&behind);
            let decoder = Decoder::request(Framing::Chunked, &Bounds::default());
            prop_assert_eq!(read(decoder, &wire, step), Some((parts.concat(), length)));
            let data = parts.concat();
            let plain = [data.clone(), behind].concat();
            let decoder = Decoder::request(Framing::Length(data.len() as u64), &Bounds::default());
            prop_assert_eq!(read(decoder, &plain, step), Some((data.clone(), data.len())));
        }
    }

    #[test]
    fn only_a_body_without_a_length_may_end_with_the_connection() {
        let bounds = Bounds::default();
        let mut until = Decoder::answer(ResponseFraming::UntilClose, &bounds);
        assert_eq!(until.next(b"abc"), Ok(Piece { skip: 0, data: 3, ended: false }));
        assert!(until.close());
        assert!(!Decoder::answer(ResponseFraming::Length(1), &bounds).close());
        assert!(!Decoder::answer(ResponseFraming::Chunked, &bounds).close());
        assert!(Decoder::answer(ResponseFraming::None, &bounds).close());
    }

    #[test]
    fn the_trailers_of_an_answer_lose_what_may_not_stand_there() {
        let mut decoder = Decoder::answer(ResponseFraming::Chunked, &Bounds::default());
        let wire = b"0\r\nGrpc-Status: 0\r\nX-Safeconduct-User: eve\r\nContent-Length: 3\r\n\r\n";
        assert!(decoder.next(wire).is_ok_and(|p| p.ended && p.skip == wire.len()));
        assert_eq!(decoder.trailers(), b"grpc-status: 0\r\n");
    }
}
