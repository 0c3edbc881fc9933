//! Bodies: the decoder against a naive reading of the whole, whatever the sizes of the reads are.

use super::{NEXT, Server, hold, is_next, show, small};
use crate::names::{is_hop_by_hop, is_ours, is_protected};
use crate::{Bounds, Decoder, Encoder, Framing, ResponseFraming};

/// What a body comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Whole {
    data: Vec<u8>,
    /// The bytes of it on the wire.
    used: usize,
    /// The trailers that go on, as lines.
    trailers: Vec<u8>,
    ended: bool,
}

/// Reads a body: the first byte says how long the reads are, the rest is the wire. Whether it is a whole chunked body.
///
/// # Errors
/// If something differs, in words.
pub fn body(input: &[u8], server: Server) -> Result<bool, String> {
    let Some((first, wire)) = input.split_first() else { return Ok(false) };
    let step = usize::from(*first) % 61 + 1;
    let mut whole = false;
    for bounds in [small(), Bounds::default()] {
        for to_client in [false, true] {
            whole |= chunked(wire, step, &bounds, to_client, server)?;
        }
        lengths(wire, step, u64::from(*first), &bounds)?;
    }
    Ok(whole)
}

fn chunked(wire: &[u8], step: usize, bounds: &Bounds, to_client: bool, server: Server) -> Result<bool, String> {
    let decoder = || match to_client {
        false => Decoder::request(Framing::Chunked, bounds),
        true => Decoder::answer(ResponseFraming::Chunked, bounds),
    };
    let most = bounds.body_bytes.filter(|_| !to_client);
    let naive = naive(wire, bounds, to_client);
    let at_once = follow(decoder(), wire, usize::MAX)?;
    for step in [1, step] {
        let in_parts = follow(decoder(), wire, step)?;
        hold!(in_parts == at_once, "reads of {step}: {in_parts:?}, at once: {at_once:?}, of {}", show(wire));
    }
    match (&at_once, &naive) {
        (Ok(found), Some(naive)) if found.ended => {
            hold!(found == naive, "{found:?} instead of {naive:?}");
            hold!(most.is_none_or(|most| found.data.len() as u64 <= most), "more than allowed");
        }
        (Ok(found), None) if !found.ended => return Ok(false),
        (Err(_), None) => return Ok(false),
        _ => return Err(format!("{at_once:?}, naively {naive:?}: {}", show(wire))),
    }
    let Ok(found) = at_once else { return Ok(false) };
    only_fit_trailers(&found.trailers, to_client)?;

    let mut again = Vec::new();
    for part in found.data.chunks(step) {
        Encoder::Chunked.before(part.len(), &mut again);
        again.extend_from_slice(part);
        again.extend_from_slice(Encoder::Chunked.after());
    }
    Encoder::Chunked.end(&found.trailers, &mut again);
    let wide = Bounds { head_bytes: usize::MAX, body_bytes: None, ..*bounds };
    let twice = follow(Decoder::answer(ResponseFraming::Chunked, &wide), &again, step)?;
    let same = Whole { used: again.len(), ..found.clone() };
    hold!(twice.as_ref() == Ok(&same), "written and read: {twice:?} instead of {same:?}");
    for wire in [&wire[..found.used], &again] {
        as_hyper(wire, &found.data, server)?;
    }
    Ok(true)
}

/// Another server finds the same data, and what stands behind it.
fn as_hyper(wire: &[u8], data: &[u8], server: Server) -> Result<(), String> {
    let head = b"POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    match server(&[head, wire, NEXT].concat()).as_slice() {
        [seen, next] if seen.body.as_deref() == Some(data) && is_next(next) => Ok(()),
        other => Err(format!("hyper reads {other:?}: {}", show(wire))),
    }
}

/// The decoder on reads of a size, or the code of its refusal.
fn follow(mut decoder: Decoder, wire: &[u8], step: usize) -> Result<Result<Whole, &'static str>, String> {
    let mut whole = Whole { ended: decoder.ended(), ..Whole::default() };
    for part in wire.chunks(step) {
        let mut rest = part;
        while !rest.is_empty() && !decoder.ended() {
            let piece = match decoder.next(rest) {
                Ok(piece) => piece,
                Err(refused) => return Ok(Err(refused.code)),
            };
            let taken = piece.skip + piece.data;
            hold!(taken > 0 && taken <= rest.len(), "{piece:?} of {} bytes", rest.len());
            hold!(piece.ended == decoder.ended(), "{piece:?}, and ended is {}", decoder.ended());
            whole.data.extend_from_slice(&rest[piece.skip..taken]);
            whole.used += taken;
            rest = &rest[taken..];
        }
    }
    whole.ended = decoder.ended();
    if whole.ended {
        let behind = decoder.next(b"behind");
        hold!(behind.as_ref().is_ok_and(|p| p.skip + p.data == 0 && p.ended), "behind the end: {behind:?}");
    }
    whole.trailers = decoder.trailers().to_vec();
    Ok(Ok(whole))
}

/// A chunked body read as RFC 9112, 7.1, has it, from the front, with httparse for the sizes; `None` if it is not one.
fn naive(wire: &[u8], bounds: &Bounds, to_client: bool) -> Option<Whole> {
    let (mut data, mut at) = (Vec::new(), 0);
    let line = |at: usize| wire[at..].windows(2).position(|w| w == b"\r\n").map(|n| &wire[at..at + n]);
    loop {
        let text = line(at)?;
        let (digits, extension) = match text.iter().position(|b| *b == b';') {
            Some(n) => (&text[..n], &text[n + 1..]),
            None => (text, &b""[..]),
        };
        let fine = (1..=15).contains(&digits.len())
            && digits.iter().all(u8::is_ascii_hexdigit)
            && extension.len() <= 256
            && extension.iter().all(|b| matches!(b, b'\t' | 0x20..=0x7e));
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| fine)?, 16).ok()?;
        let theirs = httparse::parse_chunk_size(&wire[at..]);
        assert_eq!(
            theirs,
            Ok(httparse::Status::Complete((text.len() + 2, size as u64))),
            "httparse reads another size"
        );
        at += text.len() + 2;
        if size == 0 {
            break;
        }
        data.extend_from_slice(wire.get(at..at.checked_add(size)?)?);
        if !to_client && bounds.body_bytes.is_some_and(|most| data.len() as u64 > most) {
            return None;
        }
        at += size;
        wire[at..].starts_with(b"\r\n").then_some(())?;
        at += 2;
    }
    let (from, mut trailers) = (at, Vec::new());
    loop {
        let text = line(at)?;
        at += text.len() + 2;
        if at - from > bounds.head_bytes {
            return None;
        }
        if text.is_empty() {
            return Some(Whole { data, used: at, trailers, ended: true });
        }
        let colon = text.iter().position(|b| *b == b':')?;
        let name = String::from_utf8(text[..colon].to_ascii_lowercase()).ok()?;
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let value = text[colon + 1..].trim_ascii();
        let fine = !name.is_empty() && name.bytes().all(token);
        if !fine || text.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
            return None;
        }
        match (is_unfit(&name, to_client), to_client) {
            (true, false) => return None,
            (true, true) => {}
            (false, _) => trailers.extend([name.as_bytes(), b": ", value, b"\r\n"].concat()),
        }
    }
}

/// Whether a trailer of this name could change what was already decided, or speaks for us.
fn is_unfit(name: &str, to_client: bool) -> bool {
    const STEER: [&str; 6] = ["host", "content-length", "cookie", "authorization", "trailer", "expect"];
    let ours = if to_client { is_ours(name) } else { is_protected(name) };
    STEER.contains(&name) || ours || name.contains('_') || is_hop_by_hop(name.as_bytes())
}

fn only_fit_trailers(trailers: &[u8], to_client: bool) -> Result<(), String> {
    let text = String::from_utf8_lossy(trailers);
    for line in text.split_terminator("\r\n") {
        let name = line.split(':').next().unwrap_or_default();
        hold!(!name.is_empty() && !is_unfit(name, to_client), "a trailer goes on: {line}");
        hold!(!line.contains(['\r', '\n']), "a line in a line: {line:?}");
    }
    Ok(())
}

/// A body with a length has that length; one without has all.
fn lengths(wire: &[u8], step: usize, n: u64, bounds: &Bounds) -> Result<(), String> {
    let whole = |n: usize, ended: bool| Whole { data: wire[..n].to_vec(), used: n, ended, ..Whole::default() };
    let cut = usize::try_from(n).unwrap_or(usize::MAX).min(wire.len());
    let expected = whole(cut, cut as u64 == n);
    for decoder in [Decoder::request(Framing::Length(n), bounds), Decoder::answer(ResponseFraming::Length(n), bounds)] {
        let found = follow(decoder, wire, step)?;
        hold!(found.as_ref() == Ok(&expected), "a length of {n}: {found:?}");
    }
    let found = follow(Decoder::answer(ResponseFraming::UntilClose, bounds), wire, step)?;
    hold!(found == Ok(whole(wire.len(), false)), "until the connection ends: {found:?}");
    let found = follow(Decoder::request(Framing::None, bounds), wire, step)?;
    hold!(found == Ok(whole(0, true)), "no body: {found:?}");
    Ok(())
}
