//! Addresses and TLS: to the portal and to the hosts of applications.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where systems keep the authorities that they trust.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/opt/homebrew/etc/ca-certificates/cert.pem",
];

/// `https://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The host name, lower case.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

impl Address {
    /// The origin as browsers spell it.
    pub(crate) fn origin(&self) -> String {
        match self.port {
            443 => format!("https://{}", self.host),
            port => format!("https://{}:{port}", self.host),
        }
    }

    /// `host:port`, always with the port.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || format!("`{text}` is not an address; write https://host or https://host:port");
        let rest = text.strip_prefix("https://").with_context(bad)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|p| *p > 0).with_context(bad)?),
            None => (rest, 443),
        };
        let host = host.to_ascii_lowercase();
        if host.parse::<safeconduct_model::Host>().is_err() {
            bail!(bad());
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

/// How this machine reaches others, and whom it trusts.
#[derive(Clone)]
pub(crate) struct Net {
    roots: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, Arc<PrivateKeyDer<'static>>)>,
}

impl Net {
    /// Trusts the authority in a file alone, or those that the system trusts.
    pub(crate) fn new(authority: Option<&Path>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let set = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
        let system = || set.clone().or_else(|| SYSTEM.iter().map(std::path::PathBuf::from).find(|p| p.is_file()));
        let file = authority.map(Path::to_owned).or_else(system);
        let file = file.context("this system keeps no authorities where they are looked for; name one with --ca")?;
        let shown = file.display();
        for certificate in
            CertificateDer::pem_file_iter(&file).map_err(|e| anyhow::anyhow!("cannot read {shown}: {e}"))?
        {
            let certificate = certificate.map_err(|e| anyhow::anyhow!("{shown} holds what is no certificate: {e}"))?;
            // A system's bundle may hold one that is too old to be read.
            let added = roots.add(certificate);
            if authority.is_some() {
                added.with_context(|| format!("{shown} holds what is no authority"))?;
            }
        }
        if roots.is_empty() {
            bail!("{shown} holds no certificate");
        }
        Ok(Self { roots: Arc::new(roots), identity: None })
    }

    /// Shows a client certificate: that of an enrolled device.
    pub(crate) fn with_device(mut self, certificate: &Path, key: &Path) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|e| anyhow::anyhow!("cannot read {}: {e}", certificate.display()))?;
        let key =
            PrivateKeyDer::from_pem_file(key).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", key.display()))?;
        self.identity = Some((chain, Arc::new(key)));
        Ok(self)
    }

    /// A connection that speaks one of these protocols.
    pub(crate) async fn connect(&self, to: &Address, protocols: &[&str]) -> Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match &self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(to.host.clone()).with_context(|| format!("{} is no host name", to.host))?;
        // Names below `localhost` are this machine, whatever its resolver knows (RFC 6761, 6.3).
        let here = to.host == "localhost" || to.host.ends_with(".localhost");
        let host = if here { "127.0.0.1" } else { to.host.as_str() };
        let connecting = async {
            let stream = TcpStream::connect((host, to.port)).await.with_context(|| format!("cannot reach {to}"))?;
            stream.set_nodelay(true)?;
            let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            connected.with_context(|| {
                format!("no TLS with {to}; if its authority is your organisation's own, name it with --ca")
            })
        };
        timeout(PATIENCE, connecting).await.with_context(|| format!("{to} takes too long to answer"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_a_host_and_perhaps_a_port() {
        let read = |text: &str| text.parse::<Address>().map(|a| (a.origin(), a.authority())).ok();
        assert_eq!(
            read("https://Portal.Acme.com/"),
            Some(("https://portal.acme.com".into(), "portal.acme.com:443".into()))
        );
        assert_eq!(read("https://a:8443"), Some(("https://a:8443".into(), "a:8443".into())));
        for bad in
            ["http://a", "a", "https://", "https://a/b", "https://u@a", "https://a:0", "https://a:x", "https://a?b"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
