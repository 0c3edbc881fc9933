//! Making a device known from the command line: a key, a client certificate of the local authority, and the public key that
//! its posture reports are checked with.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use safeconduct_gateway::ca::Authority;
use safeconduct_model::{DeviceId, Duration};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificates::serial;
use crate::clock;

/// How long a certificate of a device holds.
const DEVICE_LIFE: Duration = Duration::from_days(90);

/// What a new device takes along.
pub struct Kit {
    /// Its client certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS #8 PEM. It stands nowhere else.
    pub key_pem: String,
    /// Its public key: SubjectPublicKeyInfo in base64url.
    pub public_key: String,
}

/// Makes the kit of a device with the authority in a data folder. Only who may read the authority's key can.
pub fn kit(data: &Path, device: &DeviceId) -> Result<Kit> {
    let read = |file: &str| {
        std::fs::read_to_string(data.join(file)).with_context(|| format!("cannot read {file} in {}", data.display()))
    };
    let authority = Authority::load(&read("keys/ca.key")?, &read("ca.pem")?)?;
    let issued = authority.issue_device_with_key(device, serial()?, clock::system(), DEVICE_LIFE)?;
    let (_, certificate) =
        X509Certificate::from_der(&issued.certificate).context("the new certificate is not readable")?;
    Ok(Kit {
        public_key: URL_SAFE_NO_PAD.encode(certificate.public_key().raw),
        key_pem: issued.key_pem.context("the new certificate has no key")?,
        certificate_pem: issued.certificate_pem,
    })
}

/// Writes the private key of a kit into a new file that only its owner may read.
pub fn write(path: &Path, key_pem: &str) -> Result<()> {
    crate::secrets::write_private(path, key_pem.as_bytes())
}
