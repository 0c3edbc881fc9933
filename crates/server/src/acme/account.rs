//! The account key, and the signed messages of RFC 8555: flattened JWS with ES256.

use std::path::Path;

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::secrets::write_private;

/// The key by which the authority knows us.
pub(super) struct AccountKey {
    key: EcdsaKeyPair,
    x: String,
    y: String,
}

/// Who signs: by the key itself before there is an account, by its address afterwards.
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    Key,
    Account(&'a str),
}

impl AccountKey {
    /// Reads the key, or makes one if there is none.
    pub(super) fn load_or_create(path: &Path) -> Result<Self> {
        let pem = match std::fs::read_to_string(path) {
            Ok(pem) => pem,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let pem = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem();
                write_private(path, pem.as_bytes())?;
                pem
            }
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        Self::from_pem(&pem).with_context(|| format!("{} is not an account key", path.display()))
    }

    fn from_pem(pem: &str) -> Result<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
            .map_err(|e| anyhow::anyhow!("it is no P-256 key: {e}"))?;
        // An uncompressed point: 4, then 32 bytes of each coordinate.
        let point = key.public_key().as_ref();
        let coordinate = |range| point.get(range).map(|b: &[u8]| URL_SAFE_NO_PAD.encode(b));
        let (x, y) = coordinate(1..33).zip(coordinate(33..65)).context("its public point is not whole")?;
        Ok(Self { key, x, y })
    }

    /// What a challenge is answered with (RFC 8555, 8.1): its token and the thumbprint of the key.
    pub(super) fn authorisation(&self, token: &str) -> String {
        // RFC 7638: these members, in this order, without spaces.
        let Self { x, y, .. } = self;
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        format!("{token}.{}", URL_SAFE_NO_PAD.encode(Sha256::digest(jwk)))
    }

    /// A signed message. `payload` is `None` for reading (POST-as-GET).
    pub(super) fn sign(&self, by: Signer<'_>, nonce: &str, url: &str, payload: Option<&Value>) -> Result<Vec<u8>> {
        let mut head = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match by {
            Signer::Key => head["jwk"] = json!({ "kty": "EC", "crv": "P-256", "x": self.x, "y": self.y }),
            Signer::Account(kid) => head["kid"] = json!(kid),
        }
        let head = URL_SAFE_NO_PAD.encode(head.to_string());
        let payload = payload.map_or_else(String::new, |p| URL_SAFE_NO_PAD.encode(p.to_string()));
        let signed = self.key.sign(&SystemRandom::new(), format!("{head}.{payload}").as_bytes());
        let signature = signed.map_err(|e| anyhow::anyhow!("the account key does not sign: {e}"))?;
        let message = json!({
            "protected": head, "payload": payload, "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
        });
        Ok(message.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn a_key_is_made_once_private_and_signs_what_it_says() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("keys/acme.key");
        let key = AccountKey::load_or_create(&path).expect("made");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let again = AccountKey::load_or_create(&path).expect("read");
        assert_eq!(key.authorisation("token"), again.authorisation("token"));

        let message = key.sign(Signer::Account("https://ca/1"), "n", "https://ca/x", Some(&json!({}))).expect("signed");
        let message: Value = serde_json::from_slice(&message).expect("JSON");
        let part = |name: &str| message[name].as_str().expect("a text").to_owned();
        let head: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part("protected")).expect("base64")).expect("JSON");
        assert_eq!(head, json!({ "alg": "ES256", "nonce": "n", "url": "https://ca/x", "kid": "https://ca/1" }));
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.key.public_key().as_ref());
        let signed = format!("{}.{}", part("protected"), part("payload"));
        let signature = URL_SAFE_NO_PAD.decode(part("signature")).expect("base64");
        verifier.verify(signed.as_bytes(), &signature).expect("the signature holds");
    }
}
