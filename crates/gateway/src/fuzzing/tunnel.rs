//! The frames of a tunnel against a naive reading of the whole, whatever the sizes of the reads are.

use crate::tunnel::frames::{FrameError, Frames, Piece, close, message, pong};

/// The most that may be kept between two reads: the head of a frame, or the payload of a control frame.
const KEPT: usize = 125;
/// The longest head of a frame from a client.
const HEAD: usize = 14;

/// What a stream comes to: its bytes, everything else in order, and how it ended if it is refused.
#[derive(Debug, Default, PartialEq, Eq)]
struct Whole {
    data: Vec<u8>,
    others: Vec<Other>,
    refused: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Other {
    End,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// Reads a stream of frames: the first byte says how long the reads are. Whether it is frames of a tunnel to its end.
///
/// # Errors
/// If something differs, in words.
pub fn tunnel(input: &[u8]) -> Result<bool, String> {
    let Some((first, stream)) = input.split_first() else { return Ok(false) };
    let step = usize::from(*first) + 1;
    let whole = naive(stream);
    for step in [1, step, usize::MAX] {
        let (found, fault) = read(stream, step)?;
        if found != whole {
            return Err(format!(
                "reads of {step}: {found:?} ({fault:?}), naively {whole:?}: {}",
                stream.escape_ascii()
            ));
        }
    }
    ours_read_again(stream, step)?;
    Ok(!whole.refused && !stream.is_empty())
}

fn read(stream: &[u8], step: usize) -> Result<(Whole, Option<FrameError>), String> {
    let (mut frames, mut whole) = (Frames::default(), Whole::default());
    for chunk in stream.chunks(step) {
        let mut chunk = chunk.to_vec();
        let mut rest = chunk.as_mut_slice();
        while !rest.is_empty() {
            let length = rest.len();
            let (used, piece) = match frames.step(rest) {
                Ok(found) => found,
                Err(fault) => {
                    whole.refused = true;
                    return Ok((whole, Some(fault)));
                }
            };
            let fine = used > 0 && used <= length && frames.kept() <= KEPT + HEAD;
            if !fine || (piece == Piece::More && used != length) {
                return Err(format!("{used} of {length} bytes gave {piece:?}, {} are kept", frames.kept()));
            }
            whole.others.push(match piece {
                Piece::Data(range) if range.end <= used && !range.is_empty() => {
                    whole.data.extend_from_slice(&rest[range]);
                    rest = &mut rest[used..];
                    continue;
                }
                Piece::Data(range) => return Err(format!("{range:?} of {used} bytes")),
                Piece::More => break,
                Piece::End => Other::End,
                Piece::Ping(payload) => Other::Ping(payload),
                Piece::Pong => Other::Pong,
                Piece::Close(code) => Other::Close(code),
            });
            rest = &mut rest[used..];
        }
    }
    Ok((whole, None))
}

/// RFC 6455, section 5, and what a tunnel makes of it, over a stream that is all there.
fn naive(stream: &[u8]) -> Whole {
    let mut whole = Whole::default();
    whole.refused = frames(stream, &mut whole).is_none();
    whole
}

fn frames(mut rest: &[u8], whole: &mut Whole) -> Option<()> {
    let (mut message, mut ended, mut closed) = (None::<usize>, false, false);
    while let Some(first) = rest.first() {
        let (last, kind) = (first & 0x80 != 0, first & 0x0f);
        let control = matches!(kind, 8..=10);
        if closed || first & 0x70 != 0 || !(control || matches!(kind, 0 | 2)) {
            return None;
        }
        let Some(second) = rest.get(1) else { return Some(()) };
        if second & 0x80 == 0 || (control && (!last || second & 0x7f > 125)) {
            return None;
        }
        let wide = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(head) = rest.get(2..6 + wide) else { return Some(()) };
        let length = match head.split_at(wide) {
            ([], _) => u64::from(second & 0x7f),
            ([high, low], _) => u64::from(u16::from_be_bytes([*high, *low])),
            (long, _) => u64::from_be_bytes(long.try_into().ok()?),
        };
        let shortest = match wide {
            0 => true,
            2 => length >= 126,
            _ => length >= 65_536 && length >> 63 == 0,
        };
        let in_order = control || (kind == 0) == message.is_some();
        if !shortest || !in_order || (kind == 2 && ended) {
            return None;
        }
        let mask = &head[wide..];
        rest = &rest[6 + wide..];
        let there = usize::try_from(length).map_or(rest.len(), |n| n.min(rest.len()));
        let payload: Vec<u8> = rest[..there].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
        let cut = (there as u64) < length;
        rest = &rest[there..];
        if !control {
            whole.data.extend_from_slice(&payload);
            message = Some(message.unwrap_or(0) + there);
            if last && !cut {
                if message == Some(0) {
                    ended = true;
                    whole.others.push(Other::End);
                }
                message = None;
            }
        } else if !cut {
            whole.others.push(match (kind, payload.as_slice()) {
                (8, [_]) => return None,
                (8, code) => {
                    closed = true;
                    Other::Close(code.first_chunk().map(|c| u16::from_be_bytes(*c)))
                }
                (9, _) => Other::Ping(payload),
                _ => Other::Pong,
            });
        }
    }
    Some(())
}

/// What we write, under a mask, is read as what was meant.
fn ours_read_again(bytes: &[u8], step: usize) -> Result<(), String> {
    let (mut stream, mut expected) = (Vec::new(), Whole::default());
    let masked = |frame: &[u8], head: usize, stream: &mut Vec<u8>| {
        let mask = [0x5a, step.to_le_bytes()[0], 0x00, 0xff];
        stream.extend([frame[0], frame[1] | 0x80]);
        stream.extend_from_slice(&frame[2..head]);
        stream.extend(mask);
        stream.extend(frame[head..].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    };
    for part in bytes.chunks(step * 3) {
        let mut frame = Vec::new();
        message(part.len(), &mut frame);
        let head = frame.len();
        frame.extend_from_slice(part);
        masked(&frame, head, &mut stream);
        expected.data.extend_from_slice(part);
    }
    let mut frame = Vec::new();
    pong(&bytes[..bytes.len().min(KEPT)], &mut frame);
    masked(&frame, 2, &mut stream);
    expected.others.push(Other::Pong);
    frame.clear();
    message(0, &mut frame);
    masked(&frame, 2, &mut stream);
    expected.others.push(Other::End);
    frame.clear();
    close(1008, &String::from_utf8_lossy(bytes), &mut frame);
    if frame.len() > 2 + KEPT {
        return Err(format!("a close of {} bytes", frame.len()));
    }
    masked(&frame, 2, &mut stream);
    expected.others.push(Other::Close(Some(1008)));
    let (found, fault) = read(&stream, step)?;
    if found == expected { Ok(()) } else { Err(format!("{found:?} ({fault:?}) instead of {expected:?}")) }
}
