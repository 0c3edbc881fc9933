//! A passkey in software: what a browser and its authenticator send, built from the options that the server gave.
//!
//! It exists so that the demo and the tests sign in through the same door as everyone else. It is an authenticator without
//! protection: whoever has the seed has the passkey. It signs for whatever origin it is told, so that tests can play a
//! look-alike site.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The options lack a member that a ceremony needs.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("the options have no usable `{0}`")]
pub struct OptionsError(&'static str);

/// A P-256 passkey with a signature counter and user verification.
pub struct SoftwarePasskey {
    key: SigningKey,
    id: [u8; 32],
    user: Option<String>,
    counter: u32,
    verifies_user: bool,
}

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_CREDENTIAL: u8 = 0x40;

impl SoftwarePasskey {
    /// The passkey of this seed. The same seed gives the same key and credential id.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let derived = |domain: &str, n: u8| -> [u8; 32] {
            Sha256::new().chain_update(domain).chain_update([n]).chain_update(seed).finalize().into()
        };
        let key = (0..=u8::MAX)
            .find_map(|n| SigningKey::from_slice(&derived("software passkey key", n)).ok())
            .expect("all but one in 2^32 candidates are keys");
        Self { key, id: derived("software passkey id", 0), user: None, counter: 0, verifies_user: true }
    }

    /// The same passkey on an authenticator that only feels a touch.
    #[must_use]
    pub fn without_user_verification(mut self) -> Self {
        self.verifies_user = false;
        self
    }

    /// The same passkey as it was at an earlier count, as a copy of it would be.
    #[must_use]
    pub fn at_count(mut self, counter: u32) -> Self {
        self.counter = counter;
        self
    }

    /// The credential id in base64url.
    #[must_use]
    pub fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.id)
    }

    /// Answers registration options (`publicKey` of `navigator.credentials.create`) for a page at `origin`.
    ///
    /// # Errors
    /// [`OptionsError`] names the missing member.
    pub fn register(&mut self, options: &Value, origin: &str) -> Result<Value, OptionsError> {
        let rp = text(&options["rp"]["id"], "rp.id")?;
        self.user = Some(text(&options["user"]["id"], "user.id")?.to_owned());
        let client_data = client_data("webauthn.create", text(&options["challenge"], "challenge")?, origin);
        let mut auth_data = self.auth_data(rp, HAS_CREDENTIAL);
        auth_data.extend([0; 16]);
        auth_data.extend([0, 32]);
        auth_data.extend(self.id);
        auth_data.extend(self.cose_key());
        let mut object = vec![0xa3];
        cbor_text(&mut object, "fmt");
        cbor_text(&mut object, "none");
        cbor_text(&mut object, "attStmt");
        object.push(0xa0);
        cbor_text(&mut object, "authData");
        cbor_bytes(&mut object, &auth_data);
        Ok(json!({
            "id": self.id(),
            "rawId": self.id(),
            "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "attestationObject": URL_SAFE_NO_PAD.encode(object),
                "transports": ["internal"],
            },
            "clientExtensionResults": {},
        }))
    }

    /// Answers sign-in options (`publicKey` of `navigator.credentials.get`) for a page at `origin`.
    ///
    /// # Errors
    /// [`OptionsError`] names the missing member.
    pub fn authenticate(&mut self, options: &Value, origin: &str) -> Result<Value, OptionsError> {
        let rp = text(&options["rpId"], "rpId")?;
        let client_data = client_data("webauthn.get", text(&options["challenge"], "challenge")?, origin);
        self.counter += 1;
        let auth_data = self.auth_data(rp, 0);
        let mut signed = auth_data.clone();
        signed.extend(Sha256::digest(&client_data));
        let signature: DerSignature = self.key.sign(&signed);
        Ok(json!({
            "id": self.id(),
            "rawId": self.id(),
            "type": "public-key",
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
                "authenticatorData": URL_SAFE_NO_PAD.encode(auth_data),
                "signature": URL_SAFE_NO_PAD.encode(signature.as_bytes()),
                "userHandle": self.user,
            },
            "clientExtensionResults": {},
        }))
    }

    fn auth_data(&self, rp: &str, flags: u8) -> Vec<u8> {
        let verified = if self.verifies_user { USER_VERIFIED } else { 0 };
        let mut data = Sha256::digest(rp).to_vec();
        data.push(USER_PRESENT | verified | flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// `{1: 2, 3: -7, -1: 1, -2: x, -3: y}`: an EC2 key on P-256 for ES256 (RFC 9053).
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21];
        cbor_bytes(&mut key, x);
        key.push(0x22);
        cbor_bytes(&mut key, y);
        key
    }
}

fn text<'a>(value: &'a Value, name: &'static str) -> Result<&'a str, OptionsError> {
    value.as_str().ok_or(OptionsError(name))
}

fn client_data(kind: &str, challenge: &str, origin: &str) -> Vec<u8> {
    let data = json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false });
    serde_json::to_vec(&data).expect("texts are JSON")
}

/// The head of a CBOR item: major type in the upper three bits, then the length (RFC 8949).
fn cbor_head(out: &mut Vec<u8>, major: u8, length: usize) {
    match length {
        0..=23 => out.push(major | u8::try_from(length).expect("below 24")),
        24..=255 => out.extend([major | 24, u8::try_from(length).expect("below 256")]),
        _ => {
            out.push(major | 25);
            out.extend(u16::try_from(length).expect("authenticator data is short").to_be_bytes());
        }
    }
}

fn cbor_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    cbor_head(out, 0x40, bytes.len());
    out.extend(bytes);
}

fn cbor_text(out: &mut Vec<u8>, text: &str) {
    cbor_head(out, 0x60, text.len());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_rfc_8949_says() {
        let head = |n| {
            let mut out = Vec::new();
            cbor_head(&mut out, 0x40, n);
            out
        };
        assert_eq!(head(23), [0x57]);
        assert_eq!(head(24), [0x58, 24]);
        assert_eq!(head(255), [0x58, 255]);
        assert_eq!(head(256), [0x59, 1, 0]);
    }

    #[test]
    fn a_seed_gives_one_passkey() {
        let options = json!({"rp": {"id": "a.example"}, "user": {"id": "dQ"}, "challenge": "Yw"});
        let made = |seed| SoftwarePasskey::from_seed([seed; 32]).register(&options, "https://a.example");
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
        assert_eq!(SoftwarePasskey::from_seed([1; 32]).register(&json!({}), "x"), Err(OptionsError("rp.id")));
    }
}
