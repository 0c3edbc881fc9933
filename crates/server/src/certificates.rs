//! The certificates of the listener: from the local authority by name, or from files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use safeconduct_gateway::Certificates;
use safeconduct_gateway::ca::{Authority, certified_key};
use safeconduct_model::{Duration, Host, Timestamp};

use crate::acme::PublicCertificates;
use crate::clock;
use crate::house::House;
use crate::secrets::write_private;

/// How long a certificate of a host holds.
const HOST_LIFE: Duration = Duration::from_days(30);
/// How long before its end it is renewed.
const RENEW_BEFORE: Duration = Duration::from_days(10);

/// Loads the local authority, or begins one.
pub(crate) fn authority(data: &Path, organisation: &str) -> Result<Authority> {
    let (key, certificate) = (data.join("keys/ca.key"), data.join("ca.pem"));
    match (std::fs::read_to_string(&key), std::fs::read_to_string(&certificate)) {
        (Ok(key), Ok(certificate)) => Ok(Authority::load(&key, &certificate)?),
        (Err(a), Err(b)) if a.kind() == std::io::ErrorKind::NotFound && b.kind() == std::io::ErrorKind::NotFound => {
            let authority = Authority::create(&format!("{organisation} local authority"), serial()?, clock::system())?;
            write_private(&key, authority.key_pem().as_bytes())?;
            std::fs::write(&certificate, authority.certificate_pem()).context("cannot write ca.pem")?;
            Ok(authority)
        }
        (key, certificate) => {
            key.context("cannot read the key of the local authority (keys/ca.key)")?;
            certificate.context("cannot read the certificate of the local authority (ca.pem)")?;
            unreachable!("one of the two could not be read")
        }
    }
}

/// A random serial number.
pub(crate) fn serial() -> Result<[u8; 16]> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|e| anyhow::anyhow!("the system gives no random bytes: {e}"))?;
    Ok(serial)
}

/// The certificates of a PEM file that the configuration names, DER.
pub(crate) fn roots(dir: &Path, section: &str, file: &str) -> Result<Vec<Vec<u8>>> {
    let read =
        CertificateDer::pem_file_iter(dir.join(file)).with_context(|| format!("{section} cannot read {file}"))?;
    let der = |c: Result<CertificateDer<'_>, _>| c.map(|c| c.to_vec());
    read.map(der).collect::<Result<_, _>>().with_context(|| format!("{section} {file} is not PEM"))
}

/// Certificates for every published host, and for no other.
pub(crate) struct HostCertificates {
    house: Arc<House>,
    files: Option<Arc<CertifiedKey>>,
    public: Option<Arc<PublicCertificates>>,
    issued: Mutex<HashMap<Host, (Arc<CertifiedKey>, Timestamp)>>,
}

impl HostCertificates {
    pub(crate) fn of(house: &Arc<House>, public: Option<Arc<PublicCertificates>>) -> Result<Self> {
        let configured = house.current().config.settings.tls.clone();
        let files = configured.map(|tls| {
            let read = |file: &str| {
                std::fs::read_to_string(house.dir.join(file)).with_context(|| format!("[tls] cannot read {file}"))
            };
            anyhow::Ok(certified_key(&read(&tls.certificate)?, &read(&tls.key)?)?)
        });
        Ok(Self { house: Arc::clone(house), files: files.transpose()?, public, issued: Mutex::default() })
    }

    fn is_published(&self, host: &Host) -> bool {
        let current = self.house.current();
        let point = current.config.settings.decision_point.as_ref().and_then(|d| d.url.as_deref());
        let named =
            |url: &str| url.split_once("://").and_then(|(_, rest)| rest.split(':').next()) == Some(host.as_str());
        point.is_some_and(named) || current.config.estate.applications.values().any(|a| a.hosts.contains(host))
    }

    fn issue(&self, host: &Host) -> Result<Arc<CertifiedKey>> {
        let now = clock::system();
        let known = self.issued.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        if let Some((key, until)) = known
            && now < until - RENEW_BEFORE
        {
            return Ok(key);
        }
        let issued = self.house.authority.issue_host(std::slice::from_ref(host), serial()?, now, HOST_LIFE)?;
        let key = issued.certified_key()?;
        let entry = (Arc::clone(&key), issued.until);
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), entry);
        Ok(key)
    }
}

impl Certificates for HostCertificates {
    fn challenge(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.public.as_ref()?.challenge(&server_name.parse().ok()?)
    }

    fn certificate(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        if let Some(files) = &self.files {
            return Some(Arc::clone(files));
        }
        // A name that is not published gets no certificate: the handshake fails and tells nothing.
        let host: Host = server_name?.parse().ok()?;
        if !self.is_published(&host) {
            return None;
        }
        if let Some(public) = self.public.as_ref().and_then(|p| p.get(&host)) {
            return Some(public);
        }
        match self.issue(&host) {
            Ok(key) => Some(key),
            Err(error) => {
                tracing::warn!(%error, %host, "no certificate could be issued");
                None
            }
        }
    }
}
