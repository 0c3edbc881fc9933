//! Small random changes to a valid policy: most results are no policy any more, and both parsers must agree which.

/// Numbers that are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    /// A number below `n`, or 0.
    pub fn below(&mut self, n: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n.max(1) as u64).unwrap_or(0)
    }

    /// Bytes for [`super::Choices`].
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| u8::try_from(self.below(256)).unwrap_or(0)).collect()
    }
}

/// What is put in, because the grammar has a place for it somewhere.
const PIECES: &[&str] = &[
    " ",
    "\n",
    "\r",
    "\t",
    "//",
    "/",
    "\\",
    "\"",
    "'",
    "?",
    "@",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ":",
    "::",
    ".",
    "=",
    "==",
    "!=",
    "!",
    "<",
    "<=",
    ">",
    ">=",
    "&",
    "&&",
    "|",
    "||",
    "+",
    "-",
    "*",
    "%",
    "\\*",
    "\\u{2a}",
    "\\x2a",
    "\\u{1F600}",
    "\\u{D800}",
    "\\0",
    "\\\n",
    "\u{a0}",
    "\u{2028}",
    "é",
    "0",
    "1",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "007",
    "if ",
    " then ",
    " else ",
    " in ",
    " is ",
    " has ",
    " like ",
    "true",
    "false",
    "principal",
    "action",
    "resource",
    "context",
    "permit",
    "forbid",
    "when",
    "unless",
    "when { true }",
    "unless { a }",
    "__cedar",
    "User",
    "A::B",
    "Action::\"x\"",
    "User::\"x\"",
    "A::B::\"\"",
    "?principal",
    "?resource",
    "?other",
    ".a",
    "[\"a\"]",
    "ip(\"1.1.1.1\")",
    "decimal(\"1.0\")",
    "datetime",
    "duration",
    "unknown(\"x\")",
    ".contains(1)",
    ".contains()",
    ".isEmpty()",
    ".isIpv4()",
    ".offset(1,)",
    ".lessThan(1, 2)",
    ".toDate(1)",
    ".getTag(\"a\")",
    "-1",
    "- 1",
    "--1",
    "-----1",
    "!!!!true",
    "!-1",
    "(",
    "((",
    "))",
    "({a: 1,})",
    "{\"a\": 1, a: 2}",
    "{if: 1}",
    "[1,]",
    "[,]",
    "@id",
    "@id(\"x\")",
    "@if(\"\\u{41}\")",
    " && (a && b)",
    "(true && true) && true",
    "(true || false) || true",
    "a is B in c",
    "1 == 1 == 1",
];

/// The text with a few changes, mostly one.
pub fn mutated(text: &str, dice: &mut Dice) -> String {
    let mut text = text.to_owned();
    for _ in 0..=dice.below(2) * dice.below(4) {
        let (a, b) = (place(&text, dice), place(&text, dice));
        let (from, to) = (a.min(b), a.max(b));
        match dice.below(6) {
            // One character goes.
            0 => {
                if a < text.len() {
                    text.remove(a);
                }
            }
            1 => text.insert_str(a, PIECES.get(dice.below(PIECES.len())).copied().unwrap_or_default()),
            2 => {
                // One character becomes another.
                if a < text.len() {
                    text.remove(a);
                    let byte = u8::try_from(dice.below(128)).unwrap_or(b' ');
                    text.insert(a, char::from(byte));
                }
            }
            // A piece goes, is doubled, or stands elsewhere.
            3 if to - from < 40 => text.replace_range(from..to, ""),
            4 if to - from < 80 => {
                let piece = text.get(from..to).unwrap_or_default().to_owned();
                let at = place(&text, dice);
                text.insert_str(at, &piece);
            }
            _ => {
                let piece = PIECES.get(dice.below(PIECES.len())).copied().unwrap_or_default();
                let to = (a + dice.below(8)).min(text.len());
                if text.is_char_boundary(to) {
                    text.replace_range(a..to, piece);
                }
            }
        }
    }
    text
}

/// A place between two characters.
fn place(text: &str, dice: &mut Dice) -> usize {
    let mut at = dice.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
