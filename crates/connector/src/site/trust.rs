//! Whom a connector believes to be its gateway: who shows the certificate of the door, signed by the one authority that the
//! join token named. No public authority counts, and no name that a resolver gave.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::identity::Identity;
use crate::words::{DOOR, DOOR_NAME, LINK};

/// By what the authority is known.
enum Known {
    /// By its SHA-256: before joining.
    Digest([u8; 32]),
    /// By itself.
    Whole(CertificateDer<'static>),
}

/// Believes the door of one authority.
pub(super) struct HouseVerifier {
    known: Known,
    provider: Arc<CryptoProvider>,
    /// The authority, once a handshake has shown it.
    shown: OnceLock<CertificateDer<'static>>,
}

impl HouseVerifier {
    fn new(known: Known) -> Arc<Self> {
        Arc::new(Self { known, provider: Arc::new(aws_lc_rs::default_provider()), shown: OnceLock::new() })
    }

    /// The authority that a handshake has shown.
    pub(super) fn shown(&self) -> Option<CertificateDer<'static>> {
        self.shown.get().cloned()
    }

    fn authority(&self, chain: &[CertificateDer<'_>]) -> Option<CertificateDer<'static>> {
        match &self.known {
            Known::Whole(authority) => Some(authority.clone()),
            Known::Digest(digest) => {
                let named = |c: &&CertificateDer<'_>| <[u8; 32]>::from(Sha256::digest(c)) == *digest;
                chain.iter().find(named).map(|c| c.clone().into_owned())
            }
        }
    }
}

impl ServerCertVerifier for HouseVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = self.authority(intermediates).ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|e| Error::General(e.to_string()))?;
        let door = ServerName::try_from(DOOR_NAME).map_err(|e| Error::General(e.to_string()))?;
        let verified = chain.verify_server_cert(leaf, &[], &door, ocsp, now)?;
        let _ = self.shown.set(authority);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("links speak TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for HouseVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HouseVerifier")
    }
}

/// TLS to the door before there is a certificate, and what tells the authority that was shown.
pub(super) fn joining(digest: [u8; 32]) -> Result<(ClientConfig, Arc<HouseVerifier>), Error> {
    let verifier = HouseVerifier::new(Known::Digest(digest));
    let config = builder(&verifier)?.with_no_client_auth();
    Ok((with(config, DOOR), verifier))
}

/// TLS to the door, to renew.
pub(super) fn renewing(identity: &Identity) -> Result<ClientConfig, Error> {
    Ok(with(authenticated(identity)?, DOOR))
}

/// TLS of a link.
pub(super) fn linking(identity: &Identity) -> Result<ClientConfig, Error> {
    Ok(with(authenticated(identity)?, LINK))
}

fn authenticated(identity: &Identity) -> Result<ClientConfig, Error> {
    let verifier = HouseVerifier::new(Known::Whole(identity.authority.clone()));
    let key = identity.key().map_err(|e| Error::General(e.to_string()))?;
    builder(&verifier)?.with_client_auth_cert(vec![identity.certificate.clone()], key)
}

fn builder(
    verifier: &Arc<HouseVerifier>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(verifier) as _;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

fn with(mut config: ClientConfig, protocol: &[u8]) -> ClientConfig {
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config
}
