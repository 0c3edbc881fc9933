//! Certificates of connectors, and what else the authority signs for them.

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType,
    SigningKey,
};
use safeconduct_model::{ConnectorName, Duration, Timestamp};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Authority, CaError, Issued, issue, issued, params};

/// The connector of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorLeaf {
    /// Its name.
    pub name: ConnectorName,
    /// Its public key: SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
    /// When the certificate ends.
    pub until: Timestamp,
}

impl Authority {
    /// A certificate for a connector that made its own key and proves it with a signing request (PEM). Only the key of the
    /// request counts; every name in it is ignored.
    pub fn issue_connector(
        &self,
        name: &ConnectorName,
        request_pem: &str,
        serial: [u8; 16],
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, CaError> {
        let mut request = CertificateSigningRequestParams::from_pem(request_pem).map_err(CaError::Request)?;
        request.params = connector_params(name, serial, now, life)?;
        let certificate = request.signed_by(&self.issuer).map_err(issue)?;
        Ok(issued(&certificate, None, now + life))
    }

    /// Signs a text with the key of the authority (ECDSA P-256, SHA-256, DER). The caller puts a domain in front of the text,
    /// so that it is never the body of a certificate.
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, CaError> {
        self.issuer.key().sign(text).map_err(issue)
    }
}

/// The connector of a verified leaf certificate (DER) that holds at `now`. The only way from a certificate to a connector:
/// exactly one URI name of the form of connectors, client authentication, not an authority.
#[must_use]
pub fn connector_of(leaf: &[u8], now: Timestamp) -> Option<ConnectorLeaf> {
    let (rest, certificate) = X509Certificate::from_der(leaf).ok()?;
    let validity = certificate.validity();
    let second = now.millis() / 1_000;
    let holds = validity.not_before.timestamp() <= second && second < validity.not_after.timestamp();
    let for_clients =
        certificate.extended_key_usage().ok()?.is_some_and(|u| u.value.client_auth && !u.value.server_auth);
    if !rest.is_empty() || !holds || !for_clients || certificate.is_ca() {
        return None;
    }
    let name = match certificate.subject_alternative_name().ok()??.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => ConnectorName::from_uri(uri)?,
        _ => return None,
    };
    let until = Timestamp::from_millis(validity.not_after.timestamp().saturating_mul(1_000));
    Some(ConnectorLeaf { name, public_key: certificate.public_key().raw.to_vec(), until })
}

fn connector_params(
    name: &ConnectorName,
    serial: [u8; 16],
    now: Timestamp,
    life: Duration,
) -> Result<CertificateParams, CaError> {
    let mut params = params(serial, now, life);
    params.distinguished_name.push(DnType::CommonName, name.name.as_str());
    params.subject_alt_names.push(SanType::URI(name.uri().try_into().map_err(issue)?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::super::device_of;
    use super::*;
    use rcgen::{IsCa, KeyPair, PublicKeyData};

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn authority() -> Authority {
        Authority::create("Test", [1; 16], NOW).unwrap()
    }

    fn request(key: &KeyPair) -> String {
        let mut wish = CertificateParams::new(vec!["portal.example.com".to_owned()]).unwrap();
        wish.is_ca = IsCa::NoCa;
        let other = "spiffe://safeconduct.local/connector/paris/a".to_owned();
        wish.subject_alt_names.push(SanType::URI(other.try_into().unwrap()));
        wish.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn nt_31_a_connector_is_no_device_and_a_device_is_no_connector() {
        let (ca, key, day) = (authority(), KeyPair::generate().unwrap(), Duration::from_days(1));
        let name: ConnectorName = "berlin/a".parse().unwrap();
        let leaf = ca.issue_connector(&name, &request(&key), [2; 16], NOW, day).unwrap();
        let found = connector_of(&leaf.certificate, NOW).unwrap();
        assert_eq!((found.name, found.until), (name, NOW + day), "the names of the request count for nothing");
        assert_eq!(found.public_key, key.subject_public_key_info());
        assert_eq!(device_of(&leaf.certificate, NOW), None);
        assert_eq!(connector_of(&leaf.certificate, NOW + day), None, "expired");
        assert_eq!(connector_of(&leaf.certificate, NOW - Duration::from_hours(1)), None, "not yet");

        let device = ca.issue_device_with_key(&"berlin".parse().unwrap(), [3; 16], NOW, day).unwrap();
        assert_eq!(connector_of(&device.certificate, NOW), None);
        let host = ca.issue_host(&["wiki.example.com".parse().unwrap()], [4; 16], NOW, day).unwrap();
        assert_eq!(connector_of(&host.certificate, NOW), None, "a server is not a connector");
        assert_eq!(connector_of(ca.certificate(), NOW), None, "the authority is not a connector");
        assert_eq!(connector_of(b"junk", NOW), None);
    }
}
