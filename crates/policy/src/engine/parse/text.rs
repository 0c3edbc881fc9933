//! What stands in a string: escapes as Cedar reads them.

use std::borrow::Cow;
use std::str::Chars;

use super::super::term::Piece;

/// The inside of a string without its escapes; nothing if one of them is none.
pub(super) fn unescaped(inside: &str) -> Option<String> {
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => escape(&mut chars)?,
            '\r' => return None,
            c => c,
        });
    }
    Some(text)
}

/// As [`unescaped`], without a copy where nothing is escaped.
pub(super) fn borrowed(inside: &str, plain: bool) -> Option<Cow<'_, str>> {
    if plain { Some(Cow::Borrowed(inside)) } else { unescaped(inside).map(Cow::Owned) }
}

/// The inside of a string as a pattern. A star stands for any run of characters, an escaped `\*` for itself; a star that is
/// written by its number, as in `\u{2a}`, is a star like any other.
pub(super) fn pattern(inside: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' if chars.as_str().starts_with('*') => {
                chars.next();
                pieces.push(Piece::Char('*'));
                continue;
            }
            '\\' => escape(&mut chars)?,
            '\r' => return None,
            c => c,
        };
        pieces.push(if c == '*' { Piece::AnyRun } else { Piece::Char(c) });
    }
    Some(pieces)
}

/// What follows a backslash.
fn escape(chars: &mut Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        '0' => '\0',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '\\' => '\\',
        '\'' => '\'',
        '"' => '"',
        'x' => {
            let code = chars.next()?.to_digit(16)? * 16 + chars.next()?.to_digit(16)?;
            char::from_u32(code).filter(char::is_ascii)?
        }
        'u' => by_number(chars)?,
        _ => return None,
    })
}

/// `{…}`: up to six hexadecimal digits, with underscores after the first.
fn by_number(chars: &mut Chars<'_>) -> Option<char> {
    const MOST_DIGITS: u32 = 6;
    if chars.next()? != '{' {
        return None;
    }
    let mut code = chars.next()?.to_digit(16)?;
    let mut digits = 1;
    loop {
        match chars.next()? {
            '_' => {}
            '}' => return char::from_u32(code),
            c => {
                digits += 1;
                if digits > MOST_DIGITS {
                    return None;
                }
                code = code * 16 + c.to_digit(16)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_everything_else_is_refused() {
        assert_eq!(unescaped(r#"\t\r\n\\\0\x42\'\"\u{1_F6_0_0}é"#).as_deref(), Some("\t\r\n\\\0B'\"\u{1F600}é"));
        for wrong in [
            r"\xFF",
            r"\x4",
            r"\u{}",
            r"\u{_1}",
            r"\u{1111111}",
            r"\u{D800}",
            r"\u{110000}",
            r"\u12",
            r"\*",
            r"\b",
            "\r",
        ] {
            assert_eq!(unescaped(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_star_is_any_run_unless_it_is_escaped_by_a_backslash() {
        let star = Piece::Char('*');
        assert_eq!(pattern(r"a*\*\u{2a}"), Some(vec![Piece::Char('a'), Piece::AnyRun, star, Piece::AnyRun]));
        assert_eq!(pattern(r"\b"), None);
        assert_eq!(pattern("\r"), None);
    }
}
