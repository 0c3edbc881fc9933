//! TLS to applications: the certificate is checked against the authorities that the configuration names.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ForwardError, Io, Target};

/// How applications are spoken to over TLS, by protocol.
#[derive(Clone)]
pub(crate) struct UpstreamTls {
    h1: TlsConnector,
    h2: TlsConnector,
}

impl UpstreamTls {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Self { h1: speaking(b"http/1.1"), h2: speaking(b"h2") }
    }

    /// Shakes hands with an application.
    pub(super) async fn connect(&self, stream: TcpStream, target: &Target) -> Result<Io, ForwardError> {
        let failed = |e: std::io::Error| ForwardError::Connect(e.to_string());
        let name = ServerName::try_from(target.name.clone()).map_err(|_| ForwardError::Address(target.name.clone()))?;
        let connector = if target.h2 { &self.h2 } else { &self.h1 };
        let stream = connector.connect(name, stream).await.map_err(failed)?;
        if target.h2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(ForwardError::Connect("the application does not speak HTTP/2 over TLS".into()));
        }
        Ok(Io::Other(Box::new(stream)))
    }
}
