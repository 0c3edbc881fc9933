//! From bytes to tokens, one ahead of the reader. Nothing is copied: a token is a place in the text.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier that is not reserved and not the name of a variable.
    Word,
    Principal,
    Action,
    Resource,
    Context,
    True,
    False,
    If,
    Then,
    Else,
    In,
    Is,
    Has,
    Like,
    Number,
    /// A string with its quotes; `plain` if nothing in it is escaped and no carriage return, which must be, is in it.
    Text {
        plain: bool,
    },
    PrincipalSlot,
    ResourceSlot,
    At,
    Dot,
    Comma,
    Semicolon,
    Colon,
    Colons,
    Open,
    Close,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Or,
    And,
    Plus,
    Minus,
    Star,
    Bang,
    /// The end of the text.
    End,
    /// Nothing of the language, or a token of it that no rule can use.
    Unknown,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// The token at or after `from`.
pub(super) fn token(text: &str, from: usize) -> Token {
    let bytes = text.as_bytes();
    let start = skip(text, from);
    let Some(&first) = bytes.get(start) else { return Token { kind: Kind::End, start, end: start } };
    let second = bytes.get(start + 1).copied();
    let (kind, length) = match first {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
            let length = run(bytes, start, is_word);
            (word(&bytes[start..start + length]), length)
        }
        b'0'..=b'9' => (Kind::Number, run(bytes, start, |b| b.is_ascii_digit())),
        b'"' => string(bytes, start),
        b'?' => {
            let length = 1 + run(bytes, start + 1, is_word);
            let kind = match &bytes[start..start + length] {
                b"?principal" => Kind::PrincipalSlot,
                b"?resource" => Kind::ResourceSlot,
                _ => Kind::Unknown,
            };
            (kind, length)
        }
        b'@' => (Kind::At, 1),
        b'.' => (Kind::Dot, 1),
        b',' => (Kind::Comma, 1),
        b';' => (Kind::Semicolon, 1),
        b'(' => (Kind::Open, 1),
        b')' => (Kind::Close, 1),
        b'{' => (Kind::OpenBrace, 1),
        b'}' => (Kind::CloseBrace, 1),
        b'[' => (Kind::OpenBracket, 1),
        b']' => (Kind::CloseBracket, 1),
        b'+' => (Kind::Plus, 1),
        b'-' => (Kind::Minus, 1),
        b'*' => (Kind::Star, 1),
        b':' if second == Some(b':') => (Kind::Colons, 2),
        b':' => (Kind::Colon, 1),
        b'=' if second == Some(b'=') => (Kind::Equal, 2),
        b'!' if second == Some(b'=') => (Kind::Unequal, 2),
        b'!' => (Kind::Bang, 1),
        b'<' if second == Some(b'=') => (Kind::LessEqual, 2),
        b'<' => (Kind::Less, 1),
        b'>' if second == Some(b'=') => (Kind::GreaterEqual, 2),
        b'>' => (Kind::Greater, 1),
        b'|' if second == Some(b'|') => (Kind::Or, 2),
        b'&' if second == Some(b'&') => (Kind::And, 2),
        _ => (Kind::Unknown, 1),
    };
    Token { kind, start, end: start + length }
}

/// Past white space and comments. White space is what Unicode calls so.
fn skip(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t'..=b'\r') => at += 1,
            Some(b'/') if bytes.get(at + 1) == Some(&b'/') => {
                at += run(bytes, at, |b| b != b'\n' && b != b'\r');
            }
            Some(0x80..) => match text.get(at..).and_then(|rest| rest.chars().next()) {
                Some(c) if c.is_whitespace() => at += c.len_utf8(),
                _ => return at,
            },
            _ => return at,
        }
    }
}

/// How many bytes from `start` on fit.
fn run(bytes: &[u8], start: usize, fits: impl Fn(u8) -> bool) -> usize {
    bytes.get(start..).unwrap_or_default().iter().take_while(|b| fits(**b)).count()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word(word: &[u8]) -> Kind {
    match word {
        b"principal" => Kind::Principal,
        b"action" => Kind::Action,
        b"resource" => Kind::Resource,
        b"context" => Kind::Context,
        b"true" => Kind::True,
        b"false" => Kind::False,
        b"if" => Kind::If,
        b"then" => Kind::Then,
        b"else" => Kind::Else,
        b"in" => Kind::In,
        b"is" => Kind::Is,
        b"has" => Kind::Has,
        b"like" => Kind::Like,
        _ => Kind::Word,
    }
}

/// A string that begins at `start`. A line must not end in a backslash.
fn string(bytes: &[u8], start: usize) -> (Kind, usize) {
    let (mut at, mut plain) = (start + 1, true);
    loop {
        match bytes.get(at) {
            Some(b'"') => return (Kind::Text { plain }, at + 1 - start),
            Some(b'\\') => {
                plain = false;
                match bytes.get(at + 1) {
                    None | Some(b'\n') => return (Kind::Unknown, at - start),
                    Some(_) => at += 2,
                }
            }
            Some(b'\r') => {
                plain = false;
                at += 1;
            }
            Some(_) => at += 1,
            None => return (Kind::Unknown, at - start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let (mut at, mut found) = (0, Vec::new());
        loop {
            let token = token(text, at);
            found.push(token.kind);
            if matches!(token.kind, Kind::End | Kind::Unknown) {
                return found;
            }
            at = token.end;
        }
    }

    #[test]
    fn the_longest_token_wins() {
        use Kind::*;
        assert_eq!(kinds("a::b:c"), [Word, Colons, Word, Colon, Word, End]);
        assert_eq!(kinds("<=<!=!"), [LessEqual, Less, Unequal, Bang, End]);
        assert_eq!(kinds("a=b"), [Word, Unknown]);
        assert_eq!(kinds("principals ?principal ?principals"), [Word, PrincipalSlot, Unknown]);
        assert_eq!(kinds("1a"), [Number, Word, End]);
    }

    #[test]
    fn comments_and_unicode_space_are_skipped() {
        assert_eq!(kinds("//x\r\u{2003}in\u{a0}// y"), [Kind::In, Kind::End]);
        assert_eq!(kinds("/ /"), [Kind::Unknown]);
        assert_eq!(kinds("é"), [Kind::Unknown]);
    }

    #[test]
    fn a_string_ends_at_the_first_quote_that_is_not_escaped() {
        assert_eq!(kinds(r#""a\"b" "é""#), [Kind::Text { plain: false }, Kind::Text { plain: true }, Kind::End]);
        assert_eq!(kinds("\"a\\\nb\""), [Kind::Unknown]);
        assert_eq!(kinds("\"a\\\""), [Kind::Unknown]);
        assert_eq!(kinds("\"a\nb\""), [Kind::Text { plain: true }, Kind::End]);
    }
}
