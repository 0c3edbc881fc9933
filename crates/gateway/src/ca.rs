//! The local certificate authority: host certificates, device certificates, and the one way from a verified device certificate
//! to a device.

mod connectors;

use std::time::Duration as Span;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use safeconduct_model::{DeviceId, Duration, Host, Timestamp};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use connectors::{ConnectorLeaf, connector_of};

/// What stands in front of a device id in the certificate of a device.
const DEVICE_URI: &str = "spiffe://safeconduct.local/device/";
/// How long the authority itself holds.
const AUTHORITY_LIFE: Duration = Duration::from_days(3_650);
/// How far back a certificate begins, for clocks that lag.
const BACKDATED: Duration = Duration::from_mins(5);

/// Why the authority could not do what was asked.
#[derive(Debug, Error)]
pub enum CaError {
    /// The stored key or certificate is not usable.
    #[error("the certificate authority cannot be loaded: {0}; restore its files, or remove both to begin a new one")]
    Load(rcgen::Error),
    /// The request of a device is not a valid signing request.
    #[error("this is not a valid certificate signing request: {0}; make a new one with `safeconduct device enrol`")]
    Request(rcgen::Error),
    /// A certificate could not be made.
    #[error("the certificate could not be made: {0}")]
    Issue(String),
}

/// A certificate authority of this house.
pub struct Authority {
    key_pem: String,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, both PEM.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The certificate, DER.
    pub certificate: CertificateDer<'static>,
    /// The private key in PKCS #8 PEM; `None` if the asker keeps its own.
    pub key_pem: Option<String>,
    /// When it ends.
    pub until: Timestamp,
}

impl Authority {
    /// Begins a new authority. `serial` is random: 16 bytes.
    pub fn create(name: &str, serial: [u8; 16], now: Timestamp) -> Result<Self, CaError> {
        let key = new_key()?;
        let mut params = params(serial, now, AUTHORITY_LIFE);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(issue)?;
        Self::load(&key.serialize_pem(), &certificate.pem())
    }

    /// Loads an authority from its key and certificate.
    pub fn load(key_pem: &str, certificate_pem: &str) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(key_pem).map_err(CaError::Load)?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(CaError::Load)?;
        let certificate =
            first_certificate(certificate_pem).ok_or(CaError::Load(rcgen::Error::CouldNotParseCertificate))?;
        Ok(Self { key_pem: key_pem.to_owned(), certificate_pem: certificate_pem.to_owned(), certificate, issuer })
    }

    /// The private key, PKCS #8 PEM: for a file that only the server may read.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate of the authority, PEM: what clients trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate of the authority, DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for these hosts with a fresh key.
    pub fn issue_host(
        &self,
        hosts: &[Host],
        serial: [u8; 16],
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, CaError> {
        let key = new_key()?;
        let mut params = params(serial, now, life);
        for host in hosts {
            let name = match host.as_str().parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(host.as_str().try_into().map_err(issue)?),
            };
            params.subject_alt_names.push(name);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue)?;
        Ok(issued(&certificate, Some(&key), now + life))
    }

    /// A client certificate for a device that made its own key and proves it with a signing request (PEM). Only the key of the
    /// request counts; every name in it is ignored.
    pub fn issue_device(
        &self,
        device: &DeviceId,
        request_pem: &str,
        serial: [u8; 16],
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, CaError> {
        let mut request = CertificateSigningRequestParams::from_pem(request_pem).map_err(CaError::Request)?;
        request.params = device_params(device, serial, now, life)?;
        let certificate = request.signed_by(&self.issuer).map_err(issue)?;
        Ok(issued(&certificate, None, now + life))
    }

    /// A client certificate for a device with a fresh key.
    pub fn issue_device_with_key(
        &self,
        device: &DeviceId,
        serial: [u8; 16],
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, CaError> {
        let key = new_key()?;
        let certificate = device_params(device, serial, now, life)?.signed_by(&key, &self.issuer).map_err(issue)?;
        Ok(issued(&certificate, Some(&key), now + life))
    }
}

impl Issued {
    /// For the TLS of a listener, with the authority behind it; an error if the asker kept the key.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, CaError> {
        let pem = self.key_pem.as_deref().ok_or_else(|| CaError::Issue("the key is not here".into()))?;
        certified_key(&self.certificate_pem, pem)
    }
}

/// A certificate chain and its key, both PEM, for the TLS of a listener.
pub fn certified_key(chain_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, CaError> {
    use rustls::pki_types::pem::PemObject;
    let bad = |e: rustls::pki_types::pem::Error| CaError::Issue(e.to_string());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>().map_err(bad)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(bad)?;
    let signer = aws_lc_rs::sign::any_supported_type(&key).map_err(|e| CaError::Issue(e.to_string()))?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|e| CaError::Issue(e.to_string()))?;
    Ok(Arc::new(certified))
}

/// The device of a verified leaf certificate (DER) that holds at `now`. The only way from a certificate to a device: exactly
/// one URI name of the local form, client authentication, not an authority.
#[must_use]
pub fn device_of(leaf: &[u8], now: Timestamp) -> Option<DeviceId> {
    let (rest, certificate) = X509Certificate::from_der(leaf).ok()?;
    let validity = certificate.validity();
    let second = now.millis() / 1_000;
    let holds = validity.not_before.timestamp() <= second && second < validity.not_after.timestamp();
    let for_clients =
        certificate.extended_key_usage().ok()?.is_some_and(|u| u.value.client_auth && !u.value.server_auth);
    if !rest.is_empty() || !holds || !for_clients || certificate.is_ca() {
        return None;
    }
    match certificate.subject_alternative_name().ok()??.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => uri.strip_prefix(DEVICE_URI)?.parse().ok(),
        _ => None,
    }
}

fn device_params(
    device: &DeviceId,
    serial: [u8; 16],
    now: Timestamp,
    life: Duration,
) -> Result<CertificateParams, CaError> {
    let mut params = params(serial, now, life);
    params.distinguished_name.push(DnType::CommonName, device.as_str());
    let uri = format!("{DEVICE_URI}{device}");
    params.subject_alt_names.push(SanType::URI(uri.try_into().map_err(issue)?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn params(mut serial: [u8; 16], now: Timestamp, life: Duration) -> CertificateParams {
    // A serial number is a positive integer.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let at = |t: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Span::from_secs(t.millis().unsigned_abs() / 1_000);
    params.not_before = at(now - BACKDATED);
    params.not_after = at(now + life);
    params.use_authority_key_identifier_extension = true;
    params
}

fn new_key() -> Result<KeyPair, CaError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue)
}

fn issued(certificate: &rcgen::Certificate, key: Option<&KeyPair>, until: Timestamp) -> Issued {
    Issued {
        certificate_pem: certificate.pem(),
        certificate: certificate.der().clone(),
        key_pem: key.map(KeyPair::serialize_pem),
        until,
    }
}

fn first_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn issue(error: rcgen::Error) -> CaError {
    CaError::Issue(error.to_string())
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("key_pem", &"[redacted]").finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("until", &self.until).field("key_pem", &"[redacted]").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn authority() -> Authority {
        Authority::create("Test", [1; 16], NOW).unwrap()
    }

    fn device() -> DeviceId {
        "lt-7".parse().unwrap()
    }

    #[test]
    fn nt_31_only_a_device_certificate_names_a_device() {
        let ca = authority();
        let day = Duration::from_days(1);
        let leaf = ca.issue_device_with_key(&device(), [2; 16], NOW, day).unwrap();
        assert_eq!(device_of(&leaf.certificate, NOW), Some(device()));
        assert_eq!(device_of(&leaf.certificate, NOW + day), None, "expired");
        assert_eq!(device_of(&leaf.certificate, NOW - Duration::from_hours(1)), None, "not yet");
        let host = ca.issue_host(&["wiki.example.com".parse().unwrap()], [3; 16], NOW, day).unwrap();
        assert_eq!(device_of(&host.certificate, NOW), None, "a server is not a device");
        assert_eq!(device_of(ca.certificate(), NOW), None, "the authority is not a device");
        assert_eq!(device_of(b"junk", NOW), None);
    }

    #[test]
    fn nt_31_the_names_in_a_signing_request_count_for_nothing() {
        let ca = authority();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(vec!["portal.example.com".to_owned()]).unwrap();
        wish.is_ca = IsCa::NoCa;
        wish.distinguished_name.push(DnType::CommonName, "victim");
        wish.subject_alt_names.push(SanType::URI(format!("{DEVICE_URI}victim").try_into().unwrap()));
        let request = wish.serialize_request(&key).unwrap().pem().unwrap();
        let leaf = ca.issue_device(&device(), &request, [4; 16], NOW, Duration::from_hours(1)).unwrap();
        assert_eq!(device_of(&leaf.certificate, NOW), Some(device()));
        assert!(leaf.key_pem.is_none() && leaf.certified_key().is_err());
        assert!(ca.issue_device(&device(), "junk", [4; 16], NOW, Duration::from_hours(1)).is_err());
    }

    #[test]
    fn an_authority_comes_back_from_its_files_and_prints_no_key() {
        let ca = authority();
        let again = Authority::load(ca.key_pem(), ca.certificate_pem()).unwrap();
        assert_eq!(again.certificate(), ca.certificate());
        let leaf = again.issue_host(&["127.0.0.1".parse().unwrap()], [5; 16], NOW, Duration::from_days(1)).unwrap();
        assert!(leaf.certified_key().is_ok());
        assert!(!format!("{ca:?}{leaf:?}").contains("PRIVATE"));
        let fault = Authority::load("junk", ca.certificate_pem()).unwrap_err().to_string();
        assert!(fault.contains("restore its files"), "{fault}");
    }
}
