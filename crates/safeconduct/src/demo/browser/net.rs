//! Connections: every `*.localhost` name is the listener of the demo, and TLS trusts its authority and no other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How to reach the hosts of the demo.
#[derive(Clone)]
pub(crate) struct Net {
    tls: TlsConnector,
    at: SocketAddr,
}

impl Net {
    /// Trusts the certificate in `ca` and connects to `at`, whatever the name.
    pub(crate) fn new(ca: &Path, at: SocketAddr) -> Result<Self> {
        let certificate = CertificateDer::from_pem_file(ca)
            .map_err(|e| anyhow::anyhow!("cannot read the local authority {}: {e}", ca.display()))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), at })
    }

    /// The port of every origin.
    pub(crate) fn port(&self) -> u16 {
        self.at.port()
    }

    /// A connection to a host.
    pub(crate) async fn connect(&self, host: &str) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.at).await.with_context(|| format!("cannot connect to {}", self.at))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host} is no host name"))?;
        self.tls.connect(name, stream).await.with_context(|| format!("no TLS with {host}"))
    }
}
