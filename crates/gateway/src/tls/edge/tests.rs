//! A real client on the other side, on a wire that a test may narrow, count, cut and bend.

mod bounds;
mod ends;
mod traffic;

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion};
use safeconduct_model::{Duration, Timestamp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Stream;
use crate::ca::{Authority, Issued};
use crate::tls::{Certificates, TlsSettings, server_config};

/// Certificates are checked against the clock of the machine: both ends of them must hold for years.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const LONG: Duration = Duration::from_days(3_600);
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
/// Room for everything that a test sends.
const WIDE: usize = 1 << 22;

struct Fixed(Arc<CertifiedKey>);

impl Certificates for Fixed {
    fn certificate(&self, _: Option<&str>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// An authority, and what both sides need.
struct Pki {
    ca: Authority,
    leaf: Arc<CertifiedKey>,
}

fn pki() -> Pki {
    let ca = Authority::create("Test", [1; 16], NOW).unwrap();
    let leaf = ca.issue_host(&["wiki.test".parse().unwrap()], [2; 16], NOW, LONG).unwrap().certified_key().unwrap();
    Pki { ca, leaf }
}

impl Pki {
    /// The configuration that the gateway really has, without client certificates.
    fn server(&self) -> Arc<ServerConfig> {
        self.server_for(vec![])
    }

    fn server_for(&self, client_authorities: Vec<CertificateDer<'static>>) -> Arc<ServerConfig> {
        let certificates = Arc::new(Fixed(Arc::clone(&self.leaf)));
        server_config(&TlsSettings { certificates, client_authorities }).unwrap()
    }

    fn client(&self, version: &'static SupportedProtocolVersion, alpn: &str, device: Option<&Issued>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match device {
            Some(device) => {
                let key = PrivateKeyDer::from_pem_slice(device.key_pem.as_ref().unwrap().as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![device.certificate.clone()], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        config
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("wiki.test").unwrap()
}

/// Both sides of a connection, in memory that holds so many bytes each way.
async fn pair(version: &'static SupportedProtocolVersion, room: usize) -> (Stream<Wire>, TlsStream<DuplexStream>) {
    let pki = pki();
    let client = Arc::new(pki.client(version, "http/1.1", None));
    shaken(pki.server(), client, room).await
}

async fn shaken(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    room: usize,
) -> (Stream<Wire>, TlsStream<DuplexStream>) {
    let (ours, theirs) = duplex(room);
    let accepting = Stream::accept(Wire::new(ours), server, vec![]);
    let (server, client) = tokio::join!(accepting, TlsConnector::from(client).connect(name(), theirs));
    (server.unwrap(), client.unwrap())
}

/// A client whose records a test carries itself.
async fn by_hand(version: &'static SupportedProtocolVersion) -> (Stream<Wire>, ClientConnection, DuplexStream) {
    let (server, client) = pair(version, WIDE).await;
    let (io, session) = client.into_inner();
    (server, session, io)
}

/// The records that carry these data.
fn records(client: &mut ClientConnection, data: &[u8]) -> Vec<u8> {
    client.writer().write_all(data).unwrap();
    said(client)
}

/// What a client wants to say.
fn said(client: &mut ClientConnection) -> Vec<u8> {
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    wire
}

/// Data that are not the same everywhere.
fn body(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 % 251) as u8).collect()
}

/// A wire that tells what was written to it.
struct Wire {
    io: DuplexStream,
    /// What each write took.
    written: Vec<Vec<u8>>,
}

impl Wire {
    fn new(io: DuplexStream) -> Self {
        Self { io, written: Vec::new() }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(cx, data);
        if let Poll::Ready(Ok(n)) = polled {
            this.written.push(data[..n].to_vec());
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl<S> Stream<S> {
    /// How much memory waits in it.
    fn held(&self) -> usize {
        self.wire.capacity() + self.opened.capacity() + self.sealed.capacity()
    }
}
