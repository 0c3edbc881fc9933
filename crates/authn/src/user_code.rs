//! The short code that a person reads from one machine and types into another (RFC 8628, section 6.1).

use std::fmt;

/// The letters: none that is a vowel, so that no word comes about, and none that is taken for another.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How many of them a code has: 34 bits, for a code that lives ten minutes and may be guessed a few times.
const LENGTH: usize = 8;

/// A code, as `WDJB-MJHT`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserCode([u8; LENGTH]);

impl UserCode {
    /// A code from random bytes. There are so many more of them that every code is as likely as any other.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let mut rest = u128::from_le_bytes(bytes);
        Self(std::array::from_fn(|_| {
            let letter = LETTERS[usize::try_from(rest % 20).expect("below twenty")];
            rest /= 20;
            letter
        }))
    }

    /// Reads what a person typed: any case, with or without the dash and blanks.
    #[must_use]
    pub fn read(typed: &str) -> Option<Self> {
        let mut code = [0; LENGTH];
        let mut n = 0;
        for b in typed.bytes().filter(|b| !matches!(b, b'-' | b' ')) {
            *code.get_mut(n)? = Some(b.to_ascii_uppercase()).filter(|b| LETTERS.contains(b))?;
            n += 1;
        }
        (n == LENGTH).then_some(Self(code))
    }
}

impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, b) in self.0.iter().enumerate() {
            if i == LENGTH / 2 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*b))?;
        }
        Ok(())
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = UserCode::read("WDJB-MJHT").expect("a code");
        for typed in ["wdjbmjht", " wdjb mjht ", "WDJB - MJHT", "w-d-j-b-m-j-h-t"] {
            assert_eq!(UserCode::read(typed), Some(code), "{typed}");
        }
        for bad in ["", "WDJB-MJH", "WDJB-MJHTT", "WDJA-MJHT", "WDJ8-MJHT", "WDJB_MJHT", "ẆDJB-MJHT"] {
            assert_eq!(UserCode::read(bad), None, "{bad}");
        }
        assert_eq!(format!("{code} {code:?}"), "WDJB-MJHT UserCode([redacted])");
    }

    proptest! {
        #[test]
        fn a_made_code_reads_back(bytes in any::<[u8; 16]>(), noise in ".{0,20}") {
            let code = UserCode::from_random(bytes);
            prop_assert_eq!(UserCode::read(&code.to_string()), Some(code));
            let _ = UserCode::read(&noise);
        }
    }
}
