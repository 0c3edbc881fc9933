//! A client that sends exactly the bytes that it is given, over TLS, from an address of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::net::TcpSocket;

/// How long an answer may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the machine may take to open a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The most that is read of one answer.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Where the gateway listens, and which authority it is trusted by.
pub struct Door {
    /// The port of the gateway.
    pub port: u16,
    roots: RootCertStore,
    plain: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    next: Arc<AtomicU32>,
}

/// What a client shows: its certificate, with what else it puts behind it, and its key.
type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Door {
    /// The door of a gateway whose authority stands in a PEM file.
    pub fn new(port: u16, authority: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).context("the authority is no PEM file")?)?;
        let (plain, h2) = (config(&roots, b"http/1.1", None)?, config(&roots, b"h2", None)?);
        Ok(Self { port, roots, plain, h2, next: Arc::default() })
    }

    /// The same door for a client that shows these certificates, the first of which goes with the key; all in PEM files.
    pub fn showing(&self, chain: &[&Path], key: &Path) -> Result<Self> {
        let shown = || -> Result<Shown> {
            let chain = chain.iter().map(CertificateDer::from_pem_file).collect::<Result<_, _>>()?;
            Ok((chain, PrivateKeyDer::from_pem_file(key)?))
        };
        let plain = config(&self.roots, b"http/1.1", Some(shown()?))?;
        let h2 = config(&self.roots, b"h2", Some(shown()?))?;
        Ok(Self { port: self.port, roots: self.roots.clone(), plain, h2, next: Arc::clone(&self.next) })
    }

    /// An address of loopback that nobody else comes from, so that records can be told apart.
    pub fn address(&self) -> Ipv4Addr {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let part = |n: u32| u8::try_from(n).unwrap_or(0);
        Ipv4Addr::new(127, 77 + part(n / 65_024 % 100), part(n / 254 % 256), part(n % 254 + 1))
    }

    /// A TCP connection without a word said.
    pub fn tcp(&self, from: Ipv4Addr) -> Result<TcpStream> {
        // Only the socket of the runtime can be bound before it connects.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stream = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((from, 0)))?;
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            tokio::time::timeout(CONNECT, socket.connect(at)).await.map_err(|_| ErrorKind::TimedOut)?
        });
        let stream = stream.context("the gateway takes no connection")?.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// A connection over which HTTP/1.1 is spoken.
    pub fn open(&self, host: &str) -> Result<Visit> {
        self.visit(host, &self.plain)
    }

    /// A connection over which HTTP/2 is spoken.
    pub fn open_h2(&self, host: &str) -> Result<Visit> {
        self.visit(host, &self.h2)
    }

    fn visit(&self, host: &str, config: &Arc<ClientConfig>) -> Result<Visit> {
        let from = self.address();
        let name = ServerName::try_from(host.to_owned()).context("the host is no name")?;
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name)?, self.tcp(from)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).context("the handshake failed")?;
        }
        Ok(Visit { from, stream })
    }
}

fn config(roots: &RootCertStore, protocol: &[u8], shown: Option<Shown>) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots.clone());
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// One connection to the gateway.
pub struct Visit {
    /// The address that the gateway sees.
    pub from: Ipv4Addr,
    /// The stream.
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

/// All that came back over a connection.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The bytes, as text.
    pub text: String,
    /// Whether the other side closed.
    pub closed: bool,
}

impl Visit {
    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()?;
        Ok(())
    }

    /// Sends bytes in pieces, each in a record and a segment of its own.
    pub fn send_in(&mut self, pieces: &[&[u8]], pause: Duration) -> Result<()> {
        for piece in pieces {
            self.send(piece)?;
            std::thread::sleep(pause);
        }
        Ok(())
    }

    /// Listens until the other side closes, or for as long as patience lasts.
    pub fn listen(&mut self) -> Heard {
        self.listen_for(PATIENCE)
    }

    /// Listens until the other side closes, for a while at most.
    pub fn listen_for(&mut self, span: Duration) -> Heard {
        self.listen_until(span, |_| false)
    }

    /// Listens until what came satisfies, the other side closes, or the time is up.
    pub fn listen_until(&mut self, span: Duration, enough: impl Fn(&str) -> bool) -> Heard {
        let began = Instant::now();
        let (mut bytes, mut space) = (Vec::new(), vec![0; 16 * 1024]);
        let mut closed = false;
        while bytes.len() < MOST_BYTES && !enough(&String::from_utf8_lossy(&bytes)) {
            let left = span.saturating_sub(began.elapsed());
            if left.is_zero() || self.stream.sock.set_read_timeout(Some(left)).is_err() {
                break;
            }
            match self.stream.read(&mut space) {
                Ok(0) => closed = true,
                Ok(n) => bytes.extend_from_slice(&space[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A reset is an end too, and so is an end without a farewell.
                Err(_) => closed = true,
            }
            if closed {
                break;
            }
        }
        Heard { text: String::from_utf8_lossy(&bytes).into_owned(), closed }
    }
}

impl Heard {
    /// The status of the first answer; 0 if there was none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    /// The statuses of all answers, in their order.
    #[must_use]
    pub fn statuses(&self) -> Vec<u16> {
        let lines = self.text.split("HTTP/1.1 ").skip(1);
        lines.filter_map(|l| l.get(..3).and_then(|s| s.parse().ok())).collect()
    }

    /// A field of the first answer.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        let mut pairs = head.lines().filter_map(|l| l.split_once(':'));
        pairs.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    }

    /// The ids of all answers.
    #[must_use]
    pub fn ids(&self) -> Vec<&str> {
        let lines = self.text.lines();
        lines.filter_map(|l| l.split_once(": ")).filter(|(n, _)| *n == "x-request-id").map(|(_, v)| v).collect()
    }

    /// What follows the first head.
    #[must_use]
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}
