//! Sealing secrets before they are kept: AES-256-GCM, bound to the place where the value belongs.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use thiserror::Error;

/// The first byte of a sealed value: the version of the format.
const VERSION: u8 = 1;
/// The length of the tag, in bytes.
const TAG_LEN: usize = 16;

/// Why a value could not be sealed or opened.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum SealError {
    /// Not a sealed value, sealed with another key, changed, or moved from another place.
    #[error("a sealed value does not open here; was the sealing key or the store exchanged?")]
    NotOurs,
    /// The machine gave no random bytes.
    #[error("no random bytes")]
    NoRandomness,
}

/// The sealing key. It does not print.
pub struct Seal {
    key: RandomizedNonceKey,
}

impl Seal {
    /// A seal with this key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: RandomizedNonceKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key") }
    }

    /// Seals `secret` for the document `id` of `kind`. Every call takes a new random nonce.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn seal(&self, kind: &str, id: &str, secret: &[u8]) -> Result<String, SealError> {
        let mut body = secret.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(place(kind, id)), &mut body)
            .map_err(|_| SealError::NoRandomness)?;
        let mut out = vec![VERSION];
        out.extend(nonce.as_ref());
        out.extend(body);
        Ok(STANDARD_NO_PAD.encode(out))
    }

    /// Opens what was sealed for the same kind and id.
    ///
    /// # Errors
    /// [`SealError::NotOurs`].
    pub fn open(&self, kind: &str, id: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let bytes = STANDARD_NO_PAD.decode(sealed).map_err(|_| SealError::NotOurs)?;
        if bytes.len() < 1 + NONCE_LEN + TAG_LEN || bytes[0] != VERSION {
            return Err(SealError::NotOurs);
        }
        let nonce = Nonce::try_assume_unique_for_key(&bytes[1..=NONCE_LEN]).map_err(|_| SealError::NotOurs)?;
        let mut body = bytes[1 + NONCE_LEN..].to_vec();
        let plain =
            self.key.open_in_place(nonce, Aad::from(place(kind, id)), &mut body).map_err(|_| SealError::NotOurs)?;
        let length = plain.len();
        body.truncate(length);
        Ok(body)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal([redacted])")
    }
}

/// The place as associated data. The length in front keeps `("a", "bc")` and `("ab", "c")` apart.
fn place(kind: &str, id: &str) -> Vec<u8> {
    let mut place = (kind.len() as u64).to_be_bytes().to_vec();
    place.extend(kind.as_bytes());
    place.extend(id.as_bytes());
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nt_40_swapped_ciphertexts_do_not_open() {
        let seal = Seal::new(&[1; 32]);
        let ada = seal.seal("totp", "ada", b"secret of ada").expect("random");
        let bob = seal.seal("totp", "bob", b"secret of bob").expect("random");
        assert_eq!(seal.open("totp", "ada", &ada).as_deref(), Ok(b"secret of ada".as_slice()));
        assert_eq!(seal.open("totp", "ada", &bob), Err(SealError::NotOurs));
        assert_eq!(seal.open("totp", "bob", &ada), Err(SealError::NotOurs));
        assert_eq!(seal.open("other", "ada", &ada), Err(SealError::NotOurs));
        assert_eq!(seal.open("tot", "pada", &ada), Err(SealError::NotOurs));
    }

    #[test]
    fn nt_40_nonces_are_never_the_same() {
        let seal = Seal::new(&[1; 32]);
        let sealed: BTreeSet<_> = (0..1_000).map(|_| seal.seal("k", "i", b"same").expect("random")).collect();
        assert_eq!(sealed.len(), 1_000);
    }

    #[test]
    fn another_key_or_a_changed_byte_does_not_open() {
        let sealed = Seal::new(&[1; 32]).seal("k", "i", b"secret").expect("random");
        assert_eq!(Seal::new(&[2; 32]).open("k", "i", &sealed), Err(SealError::NotOurs));
        let bytes = STANDARD_NO_PAD.decode(&sealed).expect("ours");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = STANDARD_NO_PAD.encode(changed);
            assert_eq!(Seal::new(&[1; 32]).open("k", "i", &changed), Err(SealError::NotOurs), "{at}");
        }
        for bad in ["", "AQ", "not base64!"] {
            assert_eq!(Seal::new(&[1; 32]).open("k", "i", bad), Err(SealError::NotOurs));
        }
    }
}
