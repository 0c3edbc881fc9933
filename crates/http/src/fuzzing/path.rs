//! The path has one spelling, and no reader finds a climb in it.

use super::{hardening, hold, show};
use crate::path::{canonical, is_plain};
use crate::{Bounds, Head};

/// How often an application may decode what it got.
const DECODINGS: usize = 4;

/// Makes a path (up to a `?`, as a head has it) canonical under every set of opt-outs; how many accept it.
///
/// # Errors
/// If the canonical form is not one, in words.
pub fn path(raw: &[u8]) -> Result<usize, String> {
    let raw = raw.split(|b| *b == b'?').next().unwrap_or_default();
    let mut accepted = 0;
    let strict = canonical(raw, hardening(0));
    for bits in 0..8 {
        let found = canonical(raw, hardening(bits));
        if is_plain(raw) {
            hold!(found.as_deref().map(str::as_bytes) == Ok(raw), "plain, and {found:?}: {}", show(raw));
        }
        hold!(strict.is_err() || strict == found, "opt-outs {bits} change {strict:?} to {found:?}");
        through_a_head(raw, bits, &found)?;
        if let Ok(path) = found {
            one_spelling(&path, bits)?;
            no_climb(&path, bits)?;
            accepted += 1;
        }
    }
    Ok(accepted)
}

fn one_spelling(path: &str, bits: usize) -> Result<(), String> {
    let allowed = hardening(bits);
    let again = canonical(path.as_bytes(), allowed);
    hold!(again.as_deref() == Ok(path), "opt-outs {bits}: {path} becomes {again:?}");
    hold!(path.starts_with('/') && path.bytes().all(|b| matches!(b, 0x21..=0x7e)), "opt-outs {bits}: {path}");
    hold!(!path.contains("//") && !path.contains(['\\', '#', '?']), "opt-outs {bits}: {path}");
    hold!(allowed.allow_semicolon || !decoded(path.as_bytes()).contains(&b';'), "a semicolon: {path}");
    if !allowed.allow_encoded_slash {
        let slashes = decoded(path.as_bytes()).iter().filter(|b| matches!(b, b'/' | b'\\')).count();
        hold!(path.matches('/').count() == slashes, "opt-outs {bits}, an encoded slash: {path}");
    }
    Ok(())
}

/// However often it is decoded, and whether a backslash counts as a slash and a semicolon ends a segment or not.
fn no_climb(path: &str, bits: usize) -> Result<(), String> {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..DECODINGS {
        for segment in bytes.split(|b| matches!(b, b'/' | b'\\')) {
            let name = segment.split(|b| *b == b';').next().unwrap_or_default();
            hold!(name != b"." && name != b"..", "opt-outs {bits}: {path} climbs as {}", show(&bytes));
        }
        hold!(!bytes.iter().any(u8::is_ascii_control), "opt-outs {bits}: {path} hides a control byte");
        bytes = decoded(&bytes);
    }
    Ok(())
}

/// Decodes once, as an application does.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let byte = digits
            .filter(|_| bytes[at] == b'%')
            .and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    out
}

/// A head that carries the path says the same of it.
fn through_a_head(raw: &[u8], bits: usize, found: &Result<String, &'static str>) -> Result<(), String> {
    let fits = raw.first() == Some(&b'/') && raw.iter().all(|b| matches!(b, 0x21..=0x7e) && *b != b'#');
    let bounds = Bounds::default();
    if !fits || raw.len() > bounds.target_bytes {
        return Ok(());
    }
    let mut head = Head::default();
    let line = [b"GET ", raw, b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
    hold!(head.read_h1(&line, &bounds).is_ok_and(|n| n == Some(line.len())), "no head: {}", show(&line));
    let settled = head.settle(hardening(bits), &[], &bounds).map(|()| head.path()).map_err(|r| r.code);
    hold!(settled == found.as_deref().map_err(|e| *e), "a head says {settled:?}, and the path is {found:?}");
    Ok(())
}
