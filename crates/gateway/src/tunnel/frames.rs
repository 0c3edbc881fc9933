//! The frames of the WebSocket carrier (RFC 6455, section 5), read strictly: bytes in, pieces out.
//!
//! A tunnel is a stream of bytes in each direction, and a direction may end before the other. A WebSocket knows messages and
//! one end for both. So the payloads of binary messages, one after the other, are the bytes, and an **empty message** is the
//! end of its direction. The boundaries of messages mean nothing else. Text, extensions and frames without a mask are refused.

use std::ops::Range;

use thiserror::Error;

/// The longest payload of a control frame.
const CONTROL_BYTES: usize = 125;
/// The longest head of a frame from a client.
const HEAD_BYTES: usize = 14;

/// What was found at the place where reading stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// All bytes were consumed, and more are needed.
    More,
    /// Bytes of the tunnel: this part of what was handed in, its mask already taken off.
    Data(Range<usize>),
    /// The direction has ended.
    End,
    /// The client asks for this as a pong.
    Ping(Vec<u8>),
    /// The client answers, or says that it lives.
    Pong,
    /// The client closes both directions, with a code if it gave one.
    Close(Option<u16>),
}

/// Why the bytes are not frames of a tunnel.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum FrameError {
    #[error("a reserved bit is set")]
    Reserved,
    #[error("the frame has no mask")]
    NoMask,
    #[error("a frame of this kind is not part of a tunnel")]
    Kind,
    #[error("a control frame is fragmented or too long")]
    Control,
    #[error("the length is not written in the shortest form")]
    Length,
    #[error("a frame stands where it may not")]
    Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Continuation,
    Binary,
    Close,
    Ping,
    Pong,
}

/// A frame whose head was read.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    last: bool,
    mask: [u8; 4],
    /// How far the mask was used.
    at: usize,
    left: u64,
}

/// The place in a stream of frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    frame: Option<Frame>,
    control: Vec<u8>,
    /// Inside a message: the bytes that it had so far.
    message: Option<u64>,
    ended: bool,
    closed: bool,
}

impl Frames {
    /// Reads on. Returns how many bytes were consumed and what they came to. Payload is unmasked where it stands.
    pub(crate) fn step(&mut self, bytes: &mut [u8]) -> Result<(usize, Piece), FrameError> {
        if self.closed {
            return Err(FrameError::Order);
        }
        let mut at = 0;
        loop {
            let Some(frame) = &mut self.frame else {
                let Some(byte) = bytes.get(at) else { return Ok((at, Piece::More)) };
                self.head.push(*byte);
                at += 1;
                if let Some(frame) = head(&self.head)? {
                    self.head.clear();
                    self.enter(&frame)?;
                    self.frame = Some(frame);
                }
                continue;
            };
            let n = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len() - at);
            if n == 0 && frame.left > 0 {
                return Ok((at, Piece::More));
            }
            for byte in &mut bytes[at..at + n] {
                *byte ^= frame.mask[frame.at % 4];
                frame.at += 1;
            }
            frame.left -= n as u64;
            let (kind, last, whole, range) = (frame.kind, frame.last, frame.left == 0, at..at + n);
            at += n;
            if whole {
                self.frame = None;
            }
            if let Some(piece) = self.take(kind, last, whole, range, bytes)? {
                return Ok((at, piece));
            }
        }
    }

    /// How many bytes are kept until the next read.
    pub(crate) fn kept(&self) -> usize {
        self.head.len() + self.control.len()
    }

    /// Whether a frame of this kind may begin here.
    fn enter(&mut self, frame: &Frame) -> Result<(), FrameError> {
        match (frame.kind, self.message) {
            (Kind::Binary, None) if !self.ended => self.message = Some(0),
            (Kind::Continuation, Some(_)) => {}
            (Kind::Binary | Kind::Continuation, _) => return Err(FrameError::Order),
            (Kind::Close | Kind::Ping | Kind::Pong, _) => self.control.clear(),
        }
        Ok(())
    }

    fn take(
        &mut self,
        kind: Kind,
        last: bool,
        whole: bool,
        range: Range<usize>,
        bytes: &[u8],
    ) -> Result<Option<Piece>, FrameError> {
        if matches!(kind, Kind::Binary | Kind::Continuation) {
            let length = self.message.unwrap_or(0) + range.len() as u64;
            self.message = Some(length).filter(|_| !(whole && last));
            if !range.is_empty() {
                return Ok(Some(Piece::Data(range)));
            }
            // The mark of the end: a whole message without a byte.
            self.ended |= whole && last && length == 0;
            return Ok(Some(Piece::End).filter(|_| self.ended));
        }
        self.control.extend_from_slice(&bytes[range]);
        if !whole {
            return Ok(None);
        }
        let payload = std::mem::take(&mut self.control);
        Ok(Some(match kind {
            Kind::Ping => Piece::Ping(payload),
            Kind::Close => {
                self.closed = true;
                match payload.as_slice() {
                    [] => Piece::Close(None),
                    [a, b, ..] => Piece::Close(Some(u16::from_be_bytes([*a, *b]))),
                    [_] => return Err(FrameError::Control),
                }
            }
            Kind::Pong | Kind::Binary | Kind::Continuation => Piece::Pong,
        }))
    }
}

/// The head of a frame, once it is whole.
fn head(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    debug_assert!(bytes.len() <= HEAD_BYTES, "a head ends");
    let first = bytes[0];
    if first & 0x70 != 0 {
        return Err(FrameError::Reserved);
    }
    let last = first & 0x80 != 0;
    let kind = match first & 0x0f {
        0 => Kind::Continuation,
        2 => Kind::Binary,
        8 => Kind::Close,
        9 => Kind::Ping,
        10 => Kind::Pong,
        _ => return Err(FrameError::Kind),
    };
    let Some(second) = bytes.get(1) else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(FrameError::NoMask);
    }
    let short = second & 0x7f;
    let control = matches!(kind, Kind::Close | Kind::Ping | Kind::Pong);
    if control && (!last || usize::from(short) > CONTROL_BYTES) {
        return Err(FrameError::Control);
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(rest) = bytes.get(2..2 + extended + 4) else { return Ok(None) };
    let (length, mask) = rest.split_at(extended);
    let long = length.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
    let left = match extended {
        0 => u64::from(short),
        2 if long > 125 => long,
        8 if long > 0xffff && long < 1 << 63 => long,
        _ => return Err(FrameError::Length),
    };
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    Ok(Some(Frame { kind, last, mask, at: 0, left }))
}

/// The head of a binary message from us, whole in one frame. A message without a byte ends the direction.
pub(crate) fn message(length: usize, to: &mut Vec<u8>) {
    frame_head(0x82, length, to);
}

/// A pong.
pub(crate) fn pong(payload: &[u8], to: &mut Vec<u8>) {
    frame_head(0x8a, payload.len(), to);
    to.extend_from_slice(payload);
}

/// A close, with a code and a word for people.
pub(crate) fn close(code: u16, words: &str, to: &mut Vec<u8>) {
    let words = words.get(..words.len().min(CONTROL_BYTES - 2)).unwrap_or_default();
    frame_head(0x88, 2 + words.len(), to);
    to.extend_from_slice(&code.to_be_bytes());
    to.extend_from_slice(words.as_bytes());
}

fn frame_head(first: u8, length: usize, to: &mut Vec<u8>) {
    to.push(first);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => to.push(short),
        (_, Ok(middle)) => {
            to.push(126);
            to.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            to.push(127);
            to.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// What a stream comes to, handed in piece by piece: the bytes of the tunnel, and everything else in order.
#[cfg(test)]
pub(crate) fn in_steps(stream: &[u8], step: usize) -> Result<(Vec<u8>, Vec<Piece>), FrameError> {
    let (mut frames, mut data, mut others) = (Frames::default(), Vec::new(), Vec::new());
    for chunk in stream.chunks(step.max(1)) {
        let mut chunk = chunk.to_vec();
        let mut rest = chunk.as_mut_slice();
        while !rest.is_empty() {
            let (used, piece) = frames.step(rest)?;
            assert!(used > 0, "every step takes something");
            match piece {
                Piece::Data(range) => data.extend_from_slice(&rest[range]),
                Piece::More => assert_eq!(used, rest.len(), "whoever needs more took all"),
                other => others.push(other),
            }
            rest = &mut rest[used..];
        }
    }
    Ok((data, others))
}

#[cfg(test)]
mod tests;
