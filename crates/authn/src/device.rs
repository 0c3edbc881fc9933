//! The proof of a browser that it holds the key of an enrolled device: a signature over a challenge.
//!
//! The page makes a P-256 key that cannot be exported, enrols its public half, and signs a challenge at sign-in and step-up
//! with `crypto.subtle.sign({name: "ECDSA", hash: "SHA-256"}, key, text)`, which yields the raw form r || s.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use thiserror::Error;

/// What is signed begins with this line, so that the signature means nothing anywhere else.
const DOMAIN: &str = "safeconduct device proof v1\n";
/// The longest public key in DER, in bytes. A P-256 key needs 91.
const MAX_SPKI_BYTES: usize = 256;

/// Why a device proof or key does not hold.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum DeviceProofError {
    /// The key is not a P-256 public key in DER (SubjectPublicKeyInfo).
    #[error("the device key is not a P-256 public key; let the browser make a new one")]
    Key,
    /// The signature is not 64 bytes in base64url.
    #[error("the device proof is malformed")]
    Malformed,
    /// The signature does not fit the key and the challenge.
    #[error("the device proof does not hold")]
    Signature,
}

/// The public key of a device.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey(VerifyingKey);

impl DeviceKey {
    /// Reads a SubjectPublicKeyInfo in DER, as `crypto.subtle.exportKey("spki", key)` gives it.
    ///
    /// # Errors
    /// [`DeviceProofError::Key`] for anything but a P-256 key.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, DeviceProofError> {
        if der.len() > MAX_SPKI_BYTES {
            return Err(DeviceProofError::Key);
        }
        let key = VerifyingKey::from_public_key_der(der).map_err(|_| DeviceProofError::Key)?;
        Ok(Self(key))
    }

    /// Reads the base64url form of [`DeviceKey::from_spki_der`].
    ///
    /// # Errors
    /// [`DeviceProofError::Key`] for anything but a P-256 key.
    pub fn from_base64url(text: &str) -> Result<Self, DeviceProofError> {
        if text.len() > MAX_SPKI_BYTES * 2 {
            return Err(DeviceProofError::Key);
        }
        Self::from_spki_der(&URL_SAFE_NO_PAD.decode(text).map_err(|_| DeviceProofError::Key)?)
    }

    /// The base64url form, canonical: equal keys give equal texts.
    #[must_use]
    pub fn to_base64url(&self) -> String {
        let der = self.0.to_public_key_der().expect("a P-256 key has a DER form");
        URL_SAFE_NO_PAD.encode(der.as_bytes())
    }

    /// The key for other verifications of the same device.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }

    /// Verifies the proof: `signature` is r || s in base64url over the domain line and `challenge` in base64url.
    ///
    /// # Errors
    /// [`DeviceProofError`] says which part did not hold.
    pub fn verify(&self, challenge: &[u8], signature: &str) -> Result<(), DeviceProofError> {
        self.verify_text(&URL_SAFE_NO_PAD.encode(challenge), signature)
    }

    /// Verifies the proof for a challenge that is text in base64url already.
    ///
    /// # Errors
    /// [`DeviceProofError`] says which part did not hold.
    pub fn verify_text(&self, challenge: &str, signature: &str) -> Result<(), DeviceProofError> {
        if signature.len() != 86 {
            return Err(DeviceProofError::Malformed);
        }
        let raw = URL_SAFE_NO_PAD.decode(signature).map_err(|_| DeviceProofError::Malformed)?;
        let signature = Signature::from_slice(&raw).map_err(|_| DeviceProofError::Signature)?;
        self.0.verify(signed_text(challenge).as_bytes(), &signature).map_err(|_| DeviceProofError::Signature)
    }
}

impl From<&SigningKey> for DeviceKey {
    fn from(key: &SigningKey) -> Self {
        Self(*key.verifying_key())
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.to_base64url())
    }
}

/// Signs a challenge as a browser does. For devices in software.
#[must_use]
pub fn prove(key: &SigningKey, challenge: &[u8]) -> String {
    let signature: Signature = key.sign(signed_text(&URL_SAFE_NO_PAD.encode(challenge)).as_bytes());
    URL_SAFE_NO_PAD.encode(signature.to_bytes())
}

fn signed_text(challenge: &str) -> String {
    format!("{DOMAIN}{challenge}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_slice(&[seed; 32]).expect("in range")
    }

    #[test]
    fn a_proof_holds_for_its_key_and_challenge_only() {
        let mine = DeviceKey::from(&key(1));
        let proof = prove(&key(1), b"challenge");
        assert_eq!(mine.verify(b"challenge", &proof), Ok(()));
        assert_eq!(mine.verify(b"challengf", &proof), Err(DeviceProofError::Signature));
        assert_eq!(DeviceKey::from(&key(2)).verify(b"challenge", &proof), Err(DeviceProofError::Signature));
    }

    #[test]
    fn a_signature_over_the_bare_challenge_does_not_count() {
        let bare: Signature = key(1).sign(b"challenge");
        let bare = URL_SAFE_NO_PAD.encode(bare.to_bytes());
        assert_eq!(DeviceKey::from(&key(1)).verify(b"challenge", &bare), Err(DeviceProofError::Signature));
    }

    #[test]
    fn malformed_signatures_are_refused_without_panic() {
        let mine = DeviceKey::from(&key(1));
        let zero = URL_SAFE_NO_PAD.encode([0; 64]);
        for (bad, why) in [
            ("", DeviceProofError::Malformed),
            ("A", DeviceProofError::Malformed),
            (zero.as_str(), DeviceProofError::Signature),
            (&"/".repeat(86), DeviceProofError::Malformed),
            (&"A".repeat(88), DeviceProofError::Malformed),
        ] {
            assert_eq!(mine.verify(b"c", bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_key_reads_back_and_other_curves_or_garbage_do_not() {
        let text = DeviceKey::from(&key(3)).to_base64url();
        assert_eq!(DeviceKey::from_base64url(&text), Ok(DeviceKey::from(&key(3))));
        let p384 = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE";
        for bad in ["", "AAAA", p384, &text[..text.len() - 4], &"A".repeat(10_000)] {
            assert_eq!(DeviceKey::from_base64url(bad), Err(DeviceProofError::Key));
        }
    }
}
