//! Dialling an application: only where the warrant says, and never a special address that it does not name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use safeconduct_model::{SpecialAddress, is_special};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::bounds::{ADDRESSES, REACH};
use crate::words::Refusal;
use crate::{Warrant, WarrantTls};

/// A connection to an application.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How applications are spoken to over TLS, by protocol: the certificate is checked here, where the application is.
pub(super) struct UpstreamTls {
    h1: TlsConnector,
    h2: TlsConnector,
}

impl UpstreamTls {
    /// TLS that trusts the public authorities, and these.
    pub(super) fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Ok(Self { h1: speaking(b"http/1.1"), h2: speaking(b"h2") })
    }

    async fn shake(&self, stream: TcpStream, warrant: &Warrant, tls: &WarrantTls) -> Result<Box<dyn Io>, Refusal> {
        let name = ServerName::try_from(tls.name.clone()).map_err(|_| Refusal::Warrant)?;
        let connector = if tls.h2 { &self.h2 } else { &self.h1 };
        let stream = connector.connect(name, stream).await.map_err(|error| {
            tracing::warn!(app = %warrant.app, at = warrant.at, name = tls.name, %error, "no TLS to the application");
            Refusal::Untrusted
        })?;
        if tls.h2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            tracing::warn!(app = %warrant.app, at = warrant.at, "the application does not speak HTTP/2 over TLS");
            return Err(Refusal::Untrusted);
        }
        Ok(Box::new(stream))
    }
}

/// Opens a connection to where a warrant says, over TLS if it says so. Names are looked up here and now, and exactly an
/// address that was looked at is dialled.
pub(super) async fn reach(
    warrant: &Warrant,
    only: Option<&[IpNet]>,
    over: &UpstreamTls,
) -> Result<Box<dyn Io>, Refusal> {
    let reaching = async {
        let stream = reach_in_time(warrant, only).await?;
        match &warrant.tls {
            None => Ok(Box::new(stream) as Box<dyn Io>),
            Some(tls) => over.shake(stream, warrant, tls).await,
        }
    };
    match timeout(REACH, reaching).await {
        Ok(reached) => reached,
        Err(_) => Err(Refusal::Slow),
    }
}

async fn reach_in_time(warrant: &Warrant, only: Option<&[IpNet]>) -> Result<TcpStream, Refusal> {
    let (host, port) = split(&warrant.at).ok_or(Refusal::Warrant)?;
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => lookup_host((host, port)).await.map_err(|_| Refusal::Name)?.take(ADDRESSES).collect(),
    };
    if found.is_empty() {
        return Err(Refusal::Name);
    }
    let fit: Vec<SocketAddr> = found.into_iter().filter(|at| may_dial(*at, &warrant.special, only)).collect();
    if fit.is_empty() {
        tracing::warn!(app = %warrant.app, at = warrant.at, "an address that is not dialled");
        return Err(Refusal::Address);
    }
    let stream = TcpStream::connect(fit.as_slice()).await.map_err(|error| {
        tracing::info!(app = %warrant.app, at = warrant.at, %error, "the application takes no connection");
        Refusal::Unreachable
    })?;
    stream.set_nodelay(true).map_err(|_| Refusal::Unreachable)?;
    Ok(stream)
}

/// Whether an address may be dialled: no special one that is not named, and none outside of the networks of this machine's
/// own list.
fn may_dial(at: SocketAddr, special: &[SpecialAddress], only: Option<&[IpNet]>) -> bool {
    let ip = at.ip().to_canonical();
    let meant = !is_special(ip) || special.iter().any(|s| s.names(ip, at.port()));
    meant && only.is_none_or(|nets| nets.iter().any(|net| net.contains(&ip)))
}

/// Host and port of `host:port` or `[v6]:port`.
fn split(at: &str) -> Option<(&str, u16)> {
    let (host, port) = at.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn nt_37_special_addresses_are_dialled_only_where_they_are_named() {
        let named = ["127.0.0.1:8080".parse().expect("special")];
        assert!(may_dial(at("127.0.0.1:8080"), &named, None));
        assert!(may_dial(at("[::ffff:127.0.0.1]:8080"), &named, None));
        for denied in ["127.0.0.1:8081", "127.0.0.2:8080", "169.254.169.254:80", "[::1]:8080", "[fe80::1]:80"] {
            assert!(!may_dial(at(denied), &named, None), "{denied}");
        }
        assert!(may_dial(at("10.0.0.1:80"), &[], None));
    }

    #[test]
    fn the_list_of_the_machine_narrows_and_never_widens() {
        let only = ["10.1.0.0/16".parse().expect("a network"), "127.0.0.0/8".parse().expect("a network")];
        assert!(may_dial(at("10.1.2.3:80"), &[], Some(&only)));
        assert!(!may_dial(at("10.2.2.3:80"), &[], Some(&only)));
        assert!(!may_dial(at("127.0.0.1:80"), &[], Some(&only)), "it names no special address");
        assert!(!may_dial(at("10.1.2.3:80"), &[], Some(&[])));
    }

    #[test]
    fn where_is_a_host_and_a_port() {
        assert_eq!(split("wiki.internal:80"), Some(("wiki.internal", 80)));
        assert_eq!(split("[::1]:80"), Some(("::1", 80)));
        for bad in ["wiki", "wiki:", "wiki:99999"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
