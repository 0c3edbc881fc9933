//! `papers FOLDER HOST`: what the other proxies need to be on a par: a certificate with its authority, and a signed token with
//! the key to check it. Keys are made anew each time and protect nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

/// Who signs the token, whom it is for, and the group that the rule asks for.
pub(crate) const ISSUER: &str = "https://issuer.bench.example";
const AUDIENCE: &str = "bench";
const KEY_ID: &str = "bench-1";
/// The token holds until the year 2100.
const UNTIL: u64 = 4_102_444_800;

/// Writes `ca.pem`, `certificate.pem`, `key.pem`, `both.pem`, `jwks.json` and `token`.
pub(crate) fn write(folder: &Path, host: &str) -> Result<Vec<Value>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Bench authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = authority.self_signed(&authority_key)?;
    let issuer = Issuer::from_params(&authority, &authority_key);
    let leaf = CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &issuer)?;
    let (certificate, secret) = (leaf.pem(), key.serialize_pem());
    let (jwks, token) = token()?;
    let files = [
        ("ca.pem", ca.pem()),
        ("both.pem", format!("{certificate}{secret}")),
        ("certificate.pem", certificate),
        ("key.pem", secret),
        ("jwks.json", jwks),
        ("token", token),
    ];
    for (file, text) in files {
        fs::write(folder.join(file), text).with_context(|| format!("cannot write {file}"))?;
    }
    Ok(Vec::new())
}

/// A key set and a token that it proves: RS256, which is the cheapest signature to check.
fn token() -> Result<(String, String)> {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|e| anyhow!("no RSA key: {e}"))?;
    let public = key.public_key();
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwks = json!({ "keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID,
        "n": number(public.modulus().big_endian_without_leading_zero()),
        "e": number(public.exponent().big_endian_without_leading_zero()),
    }] });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID }));
    let claims = part(json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "group": "readers", "exp": UNTIL }));
    let signed = format!("{head}.{claims}");
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|e| anyhow!("the token could not be signed: {e}"))?;
    Ok((jwks.to_string(), format!("{signed}.{}", number(&signature))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_proven_by_the_key_set() {
        let (jwks, token) = token().expect("made");
        let jwks: Value = serde_json::from_str(&jwks).expect("JSON");
        let bytes = |v: &Value| URL_SAFE_NO_PAD.decode(v.as_str().expect("text")).expect("base64url");
        let key =
            aws_lc_rs::rsa::PublicKeyComponents { n: bytes(&jwks["keys"][0]["n"]), e: bytes(&jwks["keys"][0]["e"]) };
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let checks = &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
        key.verify(checks, signed.as_bytes(), &signature).expect("proven");
        key.verify(checks, b"another", &signature).expect_err("not of another text");
    }
}
