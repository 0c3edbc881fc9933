//! Passwords, hashed with Argon2id at the parameters that OWASP names as the minimum (19 MiB, two passes, one lane).

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// The shortest password, in bytes.
pub const MIN_PASSWORD_BYTES: usize = 12;
/// The longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 128;
/// The length of the salt, in bytes.
pub const SALT_BYTES: usize = 16;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19_456;
/// Passes over the memory.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;
/// The length of the hash, in bytes.
const HASH_BYTES: usize = 32;

/// Why a password or a stored hash cannot be used.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum PasswordError {
    /// Too short to be kept.
    #[error("a password needs at least {MIN_PASSWORD_BYTES} characters")]
    TooShort,
    /// Too long to be hashed.
    #[error("a password may have {MAX_PASSWORD_BYTES} bytes at most")]
    TooLong,
    /// The stored text is not one of our hashes.
    #[error("the stored password hash is not readable; set the password again")]
    Unreadable,
    /// The machine has no memory for a hash.
    #[error("the password could not be hashed: no memory")]
    NoMemory,
}

/// A password as typed. It does not print and is wiped from memory when it goes.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A password that someone typed to sign in. Only its length is bounded: older passwords may be shorter than new ones.
    ///
    /// # Errors
    /// [`PasswordError::TooLong`] beyond [`MAX_PASSWORD_BYTES`].
    pub fn typed(text: String) -> Result<Self, PasswordError> {
        let text = Zeroizing::new(text);
        if text.len() > MAX_PASSWORD_BYTES { Err(PasswordError::TooLong) } else { Ok(Self(text)) }
    }

    /// A password that someone chose to be kept.
    ///
    /// # Errors
    /// Where it is shorter than [`MIN_PASSWORD_BYTES`] or longer than [`MAX_PASSWORD_BYTES`].
    pub fn chosen(text: String) -> Result<Self, PasswordError> {
        let password = Self::typed(text)?;
        if password.0.len() < MIN_PASSWORD_BYTES { Err(PasswordError::TooShort) } else { Ok(password) }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password([redacted])")
    }
}

/// A password hash as it is stored: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

impl PasswordHash {
    /// Hashes a password. `salt` must be random and used once.
    ///
    /// # Errors
    /// [`PasswordError::NoMemory`] if the machine cannot spare the memory.
    pub fn of(password: &Password, salt: [u8; SALT_BYTES]) -> Result<Self, PasswordError> {
        Ok(Self { salt, hash: derive(password, &salt)? })
    }

    /// A hash that no password fits, to be verified where the account does not exist, so that the answer takes as long.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self { salt: *b"nobody has this.", hash: [0; HASH_BYTES] }
    }

    /// Whether `password` is the one that was hashed. Takes the same time whatever the answer is.
    ///
    /// # Errors
    /// [`PasswordError::NoMemory`] if the machine cannot spare the memory; that is not a yes.
    pub fn verify(&self, password: &Password) -> Result<bool, PasswordError> {
        let mut got = derive(password, &self.salt)?;
        let same = bool::from(got.ct_eq(&self.hash));
        got.zeroize();
        Ok(same && self.hash != [0; HASH_BYTES])
    }

    /// The text to store.
    #[must_use]
    pub fn to_stored(&self) -> String {
        let (salt, hash) = (STANDARD_NO_PAD.encode(self.salt), STANDARD_NO_PAD.encode(self.hash));
        format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}")
    }

    /// Reads a stored text.
    ///
    /// # Errors
    /// [`PasswordError::Unreadable`] for anything that [`PasswordHash::to_stored`] would not write.
    pub fn from_stored(text: &str) -> Result<Self, PasswordError> {
        let head = format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$");
        let rest = text.strip_prefix(head.as_str()).ok_or(PasswordError::Unreadable)?;
        let (salt, hash) = rest.split_once('$').ok_or(PasswordError::Unreadable)?;
        Ok(Self { salt: bytes(salt)?, hash: bytes(hash)? })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash([redacted])")
    }
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], PasswordError> {
    let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| PasswordError::Unreadable)?;
    bytes.try_into().map_err(|_| PasswordError::Unreadable)
}

fn derive(password: &Password, salt: &[u8; SALT_BYTES]) -> Result<[u8; HASH_BYTES], PasswordError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).expect("the parameters are constants in range");
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0; HASH_BYTES];
    argon.hash_password_into(password.0.as_bytes(), salt, &mut out).map_err(|_| PasswordError::NoMemory)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Password {
        Password::typed(text.to_owned()).expect("short enough")
    }

    #[test]
    fn a_password_fits_its_own_hash_and_no_other() {
        let hash = PasswordHash::of(&typed("correct horse battery"), [9; SALT_BYTES]).expect("memory");
        let again = PasswordHash::from_stored(&hash.to_stored()).expect("our own text");
        assert_eq!(again.verify(&typed("correct horse battery")), Ok(true));
        assert_eq!(again.verify(&typed("correct horse batterY")), Ok(false));
        assert_eq!(again.verify(&typed("")), Ok(false));
        let salted = PasswordHash::of(&typed("correct horse battery"), [8; SALT_BYTES]).expect("memory");
        assert_ne!(salted.to_stored(), hash.to_stored());
    }

    #[test]
    fn nobody_has_a_password() {
        assert_eq!(PasswordHash::of_nobody().verify(&typed("")), Ok(false));
        assert_eq!(PasswordHash::of_nobody().verify(&typed("anything at all")), Ok(false));
    }

    #[test]
    fn lengths_are_bounded_when_chosen_and_when_typed() {
        let chosen = |n: usize| Password::chosen("x".repeat(n)).map(|_| ());
        assert_eq!(chosen(11), Err(PasswordError::TooShort));
        assert_eq!(chosen(12), Ok(()));
        assert_eq!(chosen(128), Ok(()));
        assert_eq!(chosen(129), Err(PasswordError::TooLong));
        assert_eq!(Password::typed("x".repeat(129)).map(|_| ()), Err(PasswordError::TooLong));
    }

    #[test]
    fn a_stored_hash_with_other_parameters_or_garbage_is_refused() {
        let good = PasswordHash::of_nobody().to_stored();
        let weaker = good.replace("m=19456", "m=8");
        let other = good.replace("argon2id", "argon2i");
        let cut = &good[..good.len() - 1];
        for bad in ["", "plain", weaker.as_str(), other.as_str(), cut, &format!("{good}=")] {
            assert_eq!(PasswordHash::from_stored(bad).map(|_| ()), Err(PasswordError::Unreadable), "{bad}");
        }
    }

    #[test]
    fn neither_password_nor_hash_prints() {
        let text = format!("{:?} {:?}", typed("canary-canary"), PasswordHash::of_nobody());
        assert!(!text.contains("canary") && !text.contains("argon2"), "{text}");
    }
}
