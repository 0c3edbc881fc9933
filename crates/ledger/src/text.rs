//! JSON by hand, where every record passes: exactly the bytes that serde writes.

use std::ops::Range;

/// Appends a number in decimal.
pub(crate) fn push_number(mut n: u64, out: &mut Vec<u8>) {
    /// The digits of the largest number.
    const DIGITS: usize = 20;
    let mut digits = [b'0'; DIGITS];
    let mut first = DIGITS;
    // Two at a time: half as many divisions.
    while n >= 100 {
        let pair = n % 100;
        n /= 100;
        first -= 2;
        digits[first] = digit(pair / 10);
        digits[first + 1] = digit(pair % 10);
    }
    if n >= 10 {
        first -= 1;
        digits[first] = digit(n % 10);
        n /= 10;
    }
    first -= 1;
    digits[first] = digit(n);
    out.extend_from_slice(&digits[first..]);
}

/// One decimal digit.
#[expect(clippy::cast_possible_truncation, reason = "it is below ten")]
fn digit(n: u64) -> u8 {
    b'0' + n as u8
}

/// Appends a number that may be negative in decimal.
pub(crate) fn push_signed(n: i64, out: &mut Vec<u8>) {
    if n < 0 {
        out.push(b'-');
    }
    push_number(n.unsigned_abs(), out);
}

/// Whether a byte cannot stand for itself in a JSON string.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends the inside of a JSON string.
pub(crate) fn push_string(text: &str, out: &mut Vec<u8>) {
    // Without a branch in the loop, so that it runs over many bytes at once.
    let special = text.bytes().fold(false, |found, byte| found | is_special(byte));
    if !special {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let quoted = serde_json::to_string(text).expect("a string is JSON");
    out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
}

/// Where the value of `key` stands in the object that begins at `start`. Reads what serde wrote: no blanks, and keys without
/// escapes.
pub(crate) fn member(json: &[u8], start: usize, key: &str) -> Option<Range<usize>> {
    let mut at = start + 1;
    while json.get(at) == Some(&b'"') {
        let name = at + 1..end_of_value(json, at)? - 1;
        let value = name.end + 2;
        let end = end_of_value(json, value)?;
        if json.get(name)? == key.as_bytes() {
            return Some(value..end);
        }
        at = end + 1;
    }
    None
}

/// Where the value that begins at `start` ends.
fn end_of_value(json: &[u8], start: usize) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, start);
    loop {
        match *json.get(at)? {
            b'"' => {
                at += 1;
                while json.get(at)? != &b'"' {
                    at += if json[at] == b'\\' { 2 } else { 1 };
                }
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_strings_are_those_of_serde(n: u64, signed: i64, text: String) {
            let mut out = Vec::new();
            push_number(n, &mut out);
            prop_assert_eq!(out.clone(), n.to_string().into_bytes());
            out.clear();
            push_signed(signed, &mut out);
            prop_assert_eq!(out.clone(), signed.to_string().into_bytes());
            out.clear();
            push_string(&text, &mut out);
            let serde = serde_json::to_string(&text).expect("JSON");
            prop_assert_eq!(&out, &serde.as_bytes()[1..serde.len() - 1]);
        }
    }

    #[test]
    fn every_byte_of_ascii_is_escaped_as_serde_does() {
        for byte in 0..0x80_u8 {
            let text = format!("a{}b", char::from(byte));
            let mut out = Vec::new();
            push_string(&text, &mut out);
            let serde = serde_json::to_string(&text).expect("JSON");
            assert_eq!(out, serde.as_bytes()[1..serde.len() - 1], "{byte}");
        }
    }

    #[test]
    fn a_member_is_found_only_in_its_own_object() {
        let json = br#"{"a":"\"x\":1,}","b":{"x":[1,{"x":2}]},"c":[],"x":-5,"d":"e"}"#;
        let found = |start, key| member(json, start, key).map(|r| std::str::from_utf8(&json[r]).expect("UTF-8"));
        assert_eq!(found(0, "x"), Some("-5"));
        assert_eq!(found(0, "a"), Some(r#""\"x\":1,}""#));
        assert_eq!(found(0, "c"), Some("[]"));
        assert_eq!(found(0, "d"), Some(r#""e""#));
        assert_eq!(found(0, "y"), None);
        let inner = member(json, 0, "b").expect("there").start;
        assert_eq!(found(inner, "x"), Some(r#"[1,{"x":2}]"#));
        assert_eq!(found(inner, "c"), None);
    }
}
