//! E-mail addresses, read strictly. An address is a way to find a person once; it is never their identity.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest address, in bytes (RFC 5321, 4.5.3.1.3).
const MAX_BYTES: usize = 254;

/// The text is not an address that we read in one way only.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("not a plain e-mail address: use one `@`, ASCII letters, digits and . _ - + only")]
pub struct EmailError;

/// A plain address in lower case: one `@`, no quotes, no comments, an ASCII domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email {
    text: String,
    at: usize,
}

impl Email {
    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let text = text.to_ascii_lowercase();
        let at = text.find('@').ok_or(EmailError)?;
        let (local, domain) = (&text[..at], &text[at + 1..]);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| plain(b) || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        let local_fits = !local.is_empty()
            && local.len() <= 64
            && local.bytes().all(|b| plain(b) || b"._-+".contains(&b))
            && local.split('.').all(|part| !part.is_empty());
        let domain_fits = domain.split('.').all(label) && domain.contains('.');
        if text.len() <= MAX_BYTES && local_fits && domain_fits { Ok(Self { at, text }) } else { Err(EmailError) }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nt_28_an_address_reads_in_one_way_or_not_at_all() {
        for bad in [
            "",
            "@",
            "ada",
            "a@evil@good.example",
            "\"a@evil.example\"@good.example",
            "ada@good.example ",
            " ada@good.example",
            "ada@good.example\n",
            "ada@good.example,eve@evil.example",
            "ada@good.example\0",
            "ada@[127.0.0.1]",
            "ada(comment)@good.example",
            "ada@good",
            "ada@.example",
            "ada@good..example",
            "ada@good.example.",
            "ada@-good.example",
            ".ada@good.example",
            "a..b@good.example",
            "ada@gооd.example",
            "ada@good.example%00",
        ] {
            assert_eq!(bad.parse::<Email>(), Err(EmailError), "{bad:?}");
        }
    }

    #[test]
    fn nt_27_spellings_of_one_address_are_one() {
        let one: Email = "Ada.L@Good.Example".parse().expect("plain");
        assert_eq!(one, "ada.l@good.example".parse().expect("plain"));
        assert_eq!(one.domain(), "good.example");
    }
}
