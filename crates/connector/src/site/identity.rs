//! Who a connector is: a key that is made here and never leaves, and the certificate that the house gave for it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use safeconduct_model::{ConnectorName, Duration, Timestamp};
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

const KEY: &str = "connector.key";
const CERTIFICATE: &str = "connector.pem";
const AUTHORITY: &str = "authority.pem";

/// Why a connector has no identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("{what} {file}: {error}", file = .file.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Which file.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Others may read the key.
    #[error("others may read the key {0}: run `chmod 600` on it")]
    Open(PathBuf),
    /// A file does not hold what it should.
    #[error("{0} does not hold what it should ({1}); remove the folder and join again")]
    Broken(PathBuf, String),
    /// The certificate is for another connector.
    #[error("the certificate in {0} is for `{1}`; name another folder with `state`, or join again")]
    Other(PathBuf, String),
    /// The key cannot be made.
    #[error("no key could be made: {0}")]
    Key(rcgen::Error),
}

/// The folder of a connector.
pub(super) struct State {
    dir: PathBuf,
}

/// A key with its certificate, and the authority of both ends.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) name: ConnectorName,
    pub(super) authority: CertificateDer<'static>,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    key_pem: String,
}

impl Identity {
    /// The key, for TLS.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, rustls::pki_types::pem::Error> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
    }

    /// When it should be renewed: with a third of its life left.
    pub(super) fn renew_at(&self) -> Timestamp {
        let life = self.until.since(self.from).millis();
        self.until - Duration::from_millis(life / 3)
    }
}

impl State {
    /// Opens the folder, or makes it.
    pub(super) fn open(dir: &Path) -> Result<Self, IdentityError> {
        fs::create_dir_all(dir).map_err(|error| file("cannot make the folder", dir, error))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(|error| file("cannot close to others", dir, error))?;
        Ok(Self { dir: dir.to_owned() })
    }

    fn key(&self) -> Result<KeyPair, IdentityError> {
        let path = self.dir.join(KEY);
        match fs::read_to_string(&path) {
            Ok(pem) => {
                let mode = fs::metadata(&path).map_err(|e| file("cannot look at", &path, e))?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(IdentityError::Open(path));
                }
                KeyPair::from_pem(&pem).map_err(|e| IdentityError::Broken(path, e.to_string()))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Key)?;
                write(&path, key.serialize_pem().as_bytes())?;
                Ok(key)
            }
            Err(e) => Err(file("cannot read", &path, e)),
        }
    }

    /// A signing request of the key, PEM. Names in it would count for nothing, so there are none.
    pub(super) fn request(&self) -> Result<String, IdentityError> {
        let key = self.key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let request = params.serialize_request(&key).and_then(|r| r.pem());
        request.map_err(IdentityError::Key)
    }

    /// The identity that is kept here; `None` if the connector has not joined yet.
    pub(super) fn identity(&self, name: &ConnectorName) -> Result<Option<Identity>, IdentityError> {
        let (certificate, authority) = (self.dir.join(CERTIFICATE), self.dir.join(AUTHORITY));
        if !certificate.exists() || !authority.exists() {
            return Ok(None);
        }
        let der = |path: &Path| {
            let pem = fs::read(path).map_err(|e| file("cannot read", path, e))?;
            CertificateDer::from_pem_slice(&pem).map_err(|e| IdentityError::Broken(path.to_owned(), e.to_string()))
        };
        let (leaf, authority) = (der(&certificate)?, der(&authority)?);
        let (found, from, until) =
            read(&leaf).ok_or_else(|| IdentityError::Broken(certificate.clone(), "no connector".to_owned()))?;
        if found != *name {
            return Err(IdentityError::Other(self.dir.clone(), found.to_string()));
        }
        let key_pem = self.key()?.serialize_pem();
        Ok(Some(Identity { name: found, authority, certificate: leaf, from, until, key_pem }))
    }

    /// Keeps a certificate that the house gave, and at the first time its authority.
    pub(super) fn keep(&self, certificate: &str, authority: Option<&CertificateDer<'_>>) -> Result<(), IdentityError> {
        if let Some(authority) = authority {
            write(&self.dir.join(AUTHORITY), pem(authority).as_bytes())?;
        }
        write(&self.dir.join(CERTIFICATE), certificate.as_bytes())
    }
}

/// Name, begin and end of a certificate of a connector.
fn read(leaf: &[u8]) -> Option<(ConnectorName, Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let name = match certificate.subject_alternative_name().ok()??.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => ConnectorName::from_uri(uri)?,
        _ => return None,
    };
    let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000));
    let validity = certificate.validity();
    Some((name, at(validity.not_before.timestamp()), at(validity.not_after.timestamp())))
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|l| std::str::from_utf8(l).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Writes a file that only its owner may read, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()))
        .and_then(|()| fs::rename(&fresh, path));
    written.map_err(|error| file("cannot write", path, error))
}

fn file(what: &'static str, path: &Path, error: std::io::Error) -> IdentityError {
    IdentityError::File { what, file: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_is_private_and_signs_requests_without_names() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(&dir.path().join("state")).unwrap();
        let key = state.key().unwrap().serialize_pem();
        assert_eq!(state.key().unwrap().serialize_pem(), key);
        assert!(state.request().unwrap().contains("CERTIFICATE REQUEST"));
        assert!(state.identity(&"berlin/a".parse().unwrap()).unwrap().is_none());
        let path = dir.path().join("state").join(KEY);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(state.key(), Err(IdentityError::Open(_))));
    }
}
