//! TLS at the edge: certificates by server name, optional client certificates, the post-quantum key exchange first.

pub(crate) mod edge;
pub(crate) mod hello;
mod kept;
mod turn;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;

/// What a public authority offers that looks whether a name is served here (RFC 8737). Nothing is spoken over it.
pub(crate) const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// Gives the certificate for a server name. The server implements it.
pub trait Certificates: Send + Sync + 'static {
    /// The certificate and key for the name that the client asked for, lower case; `None` if there is none.
    fn certificate(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>>;

    /// The certificate that answers the challenge of a public authority for this name (tls-alpn-01), while one is open.
    fn challenge(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let _ = server_name;
        None
    }
}

/// What TLS needs.
#[derive(Clone)]
pub struct TlsSettings {
    /// Certificates by name.
    pub certificates: Arc<dyn Certificates>,
    /// The authorities of client certificates, DER. Empty: no client certificate is asked for.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

/// Why TLS could not be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The library refused the settings.
    #[error("TLS could not be set up: {0}")]
    Settings(#[from] rustls::Error),
    /// A client authority is not a certificate.
    #[error(
        "the authority of client certificates is not usable: {0}; give the certificate of the local authority in DER"
    )]
    Authority(String),
}

/// The configuration for a listener. The provider is named, so that no global default matters.
pub fn server_config(settings: &TlsSettings) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let resolver = Arc::new(Resolver(Arc::clone(&settings.certificates)));
    let mut config = if settings.client_authorities.is_empty() {
        builder.with_no_client_auth().with_cert_resolver(resolver)
    } else {
        let mut roots = RootCertStore::empty();
        for authority in &settings.client_authorities {
            roots.add(authority.clone()).map_err(|e| TlsError::Authority(e.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|e| TlsError::Authority(e.to_string()))?;
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
        // A resumed session would skip the check of a certificate that has expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), CHALLENGE_PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

struct Resolver(Arc<dyn Certificates>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let only_challenge = hello
            .alpn()
            .is_some_and(|mut offered| offered.next() == Some(CHALLENGE_PROTOCOL) && offered.next().is_none());
        if only_challenge {
            return self.0.challenge(&hello.server_name()?.to_ascii_lowercase());
        }
        self.0.certificate(hello.server_name().map(str::to_ascii_lowercase).as_deref())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
