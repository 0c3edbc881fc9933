//! TLS for connectors. Who has no certificate, or a wrong, expired, revoked or foreign one, does not come through the
//! handshake.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use thiserror::Error;

use super::House;
use crate::words::{DOOR, LINK};

/// Why TLS for connectors could not be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The library refused the settings.
    #[error("TLS for connectors could not be set up: {0}")]
    Settings(#[from] Error),
    /// The authority is not usable.
    #[error("the authority of connectors is not usable: {0}")]
    Authority(String),
}

/// Links, and the door where connectors join and renew.
pub(super) struct Configs {
    pub(super) link: Arc<ServerConfig>,
    pub(super) door: Arc<ServerConfig>,
}

impl Configs {
    pub(super) fn of(house: &Arc<dyn House>) -> Result<Self, TlsError> {
        Ok(Self { link: config(house, LINK, true)?, door: config(house, DOOR, false)? })
    }
}

fn config(house: &Arc<dyn House>, protocol: &[u8], mandatory: bool) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(house.authority()).map_err(|e| TlsError::Authority(e.to_string()))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.build().map_err(|e| TlsError::Authority(e.to_string()))?;
    let members = Members { chain: verifier, house: Arc::clone(house), mandatory };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(members))
        .with_cert_resolver(Arc::new(Door(Arc::clone(house))));
    config.alpn_protocols = vec![protocol.to_vec()];
    // A resumed session would skip the check of a certificate that was revoked since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Shows the certificate of the door, whatever name the connector reached it by.
struct Door(Arc<dyn House>);

impl ResolvesServerCert for Door {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.door_key()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

/// Lets in whose leaf, and no other certificate of the chain, is a member's.
struct Members {
    chain: Arc<dyn ClientCertVerifier>,
    house: Arc<dyn House>,
    mandatory: bool,
}

impl ClientCertVerifier for Members {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The authority signs leaves only. Whatever else is shown is there to confuse somebody.
        if !intermediates.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let verified = self.chain.verify_client_cert(leaf, intermediates, now)?;
        match self.house.member(leaf) {
            Some(_) => Ok(verified),
            None => {
                tracing::info!(
                    "a certificate of ours that is no connector's, or a revoked one's, knocked as a connector"
                );
                Err(CertificateError::Revoked.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Members")
    }
}
