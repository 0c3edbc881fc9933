//! Time-based one-time codes (RFC 6238): HMAC-SHA-1, six digits, steps of 30 seconds, one step of tolerance either way.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use safeconduct_model::Timestamp;
use sha1::Sha1;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// The length of a secret, in bytes: the output length of SHA-1 (RFC 4226, section 4, R6).
pub const SECRET_BYTES: usize = 20;
/// The length of one step, in seconds.
pub const STEP_SECONDS: u64 = 30;
/// The number of digits of a code.
pub const DIGITS: usize = 6;
/// How many steps before and after the current one are accepted.
const TOLERANCE: u64 = 1;

/// Why a code does not count.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum TotpError {
    /// Not six digits.
    #[error("a code has {DIGITS} digits")]
    Malformed,
    /// The code is not one of the accepted steps.
    #[error("the code is wrong or too old")]
    Wrong,
    /// The code, or a later one, has been used.
    #[error("the code has been used; wait for the next one")]
    Replayed,
}

/// One step of the generator. Stored after use, so that no code counts twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Step(u64);

/// The shared secret of one generator. It does not print.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl Secret {
    /// A new secret from random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A secret from its stored bytes; `None` if the length is wrong.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_random)
    }

    /// The bytes, to be sealed before they are stored.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The secret as people type it into their generator: base32 without padding.
    #[must_use]
    pub fn to_base32(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let (mut out, mut buffer, mut bits) = (String::with_capacity(32), 0u32, 0);
        for byte in self.0.iter() {
            buffer = (buffer << 8) | u32::from(*byte);
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                out.push(char::from(ALPHABET[((buffer >> bits) & 31) as usize]));
            }
        }
        out
    }

    /// The address that generators read from a QR code.
    #[must_use]
    pub fn otpauth_url(&self, issuer: &str, account: &str) -> String {
        let (issuer, account, secret) = (escape(issuer), escape(account), self.to_base32());
        format!(
            "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
        )
    }

    /// The code at `now`.
    #[must_use]
    pub fn code(&self, now: Timestamp) -> String {
        self.code_of(step_at(now))
    }

    /// Verifies a code. `last_used` is the step that was accepted last for this secret; store the returned one in its place.
    ///
    /// # Errors
    /// [`TotpError`] says why the code does not count.
    pub fn verify(&self, code: &str, now: Timestamp, last_used: Option<Step>) -> Result<Step, TotpError> {
        if code.len() != DIGITS || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TotpError::Malformed);
        }
        let current = step_at(now).0;
        let mut found = None;
        for step in current.saturating_sub(TOLERANCE)..=current + TOLERANCE {
            if bool::from(self.code_of(Step(step)).as_bytes().ct_eq(code.as_bytes())) {
                found = Some(Step(step));
            }
        }
        let step = found.ok_or(TotpError::Wrong)?;
        if last_used.is_some_and(|last| step <= last) { Err(TotpError::Replayed) } else { Ok(step) }
    }

    fn code_of(&self, step: Step) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.0.as_slice()).expect("HMAC takes a key of any length");
        mac.update(&step.0.to_be_bytes());
        let hash = mac.finalize().into_bytes();
        let at = usize::from(hash[19] & 15);
        let number = u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]]);
        format!("{:06}", number % 1_000_000)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

fn step_at(now: Timestamp) -> Step {
    Step(now.millis().unsigned_abs() / 1_000 / STEP_SECONDS)
}

fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes every text");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rfc() -> Secret {
        Secret::from_random(*b"12345678901234567890")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_vectors_of_rfc_6238_hold() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(rfc().code(at(seconds)), code);
        }
    }

    #[test]
    fn a_code_counts_once_and_only_near_its_time() {
        let code = rfc().code(at(1_000_000));
        let step = rfc().verify(&code, at(1_000_000), None).expect("fresh");
        assert_eq!(rfc().verify(&code, at(1_000_010), Some(step)), Err(TotpError::Replayed));
        let older = rfc().code(at(1_000_000 - 30));
        assert_eq!(rfc().verify(&older, at(1_000_000), Some(step)), Err(TotpError::Replayed), "nor an earlier one");
        assert!(rfc().verify(&code, at(1_000_030), None).is_ok());
        assert_eq!(rfc().verify(&code, at(1_000_080), None), Err(TotpError::Wrong));
        let next = rfc().code(at(1_000_030));
        assert!(rfc().verify(&next, at(1_000_030), Some(step)).is_ok());
    }

    #[test]
    fn only_six_ascii_digits_are_a_code() {
        for bad in ["", "12345", "1234567", "12 456", "+12345", "１２３４５６", "12345a"] {
            assert_eq!(rfc().verify(bad, at(59), None), Err(TotpError::Malformed), "{bad}");
        }
    }

    #[test]
    fn the_address_for_generators_is_complete_and_escaped() {
        let url = rfc().otpauth_url("Clinic & Co", "ada");
        assert_eq!(
            url,
            "otpauth://totp/Clinic%20%26%20Co:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Clinic%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(format!("{:?}", rfc()), "Secret([redacted])");
    }

    proptest! {
        #[test]
        fn the_window_is_exactly_three_steps(t in 100_000i64..4_000_000_000, off in -120i64..120) {
            let code = rfc().code(at(t));
            let near = ((t + off).div_euclid(30) - t.div_euclid(30)).abs() <= 1;
            let accepted = rfc().verify(&code, at(t + off), None).is_ok();
            prop_assert!(accepted || !near);
            // Another step may bear the same code by chance; then it is near as well.
            if accepted && !near {
                let steps = -1..=1;
                prop_assert!(steps.into_iter().any(|s| rfc().code(at(t + off + s * 30)) == code));
            }
        }
    }
}
