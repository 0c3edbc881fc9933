//! Applications behind connectors: what the gateway asks of whoever keeps the links. The server implements [`Sites`].

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use safeconduct_model::{Application, Reason};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::tls::edge;
pub use crate::tls::hello::Replayed;
use crate::tls::hello::hello;

/// The links to sites.
pub trait Sites: Send + Sync + 'static {
    /// The TLS for a client that offers these protocols, if one of them is a connector's; `None` for everybody else.
    fn tls(&self, protocols: &[&[u8]]) -> Option<Arc<ServerConfig>>;

    /// Whether a connection of this protocol is a connector's.
    fn is_theirs(&self, protocol: Option<&[u8]>) -> bool;

    /// Takes a connection of a connector. It returns at once.
    fn take(&self, stream: TlsStream<Replayed<TcpStream>>, peer: SocketAddr);

    /// Opens a connection to an application that names a site, through a connector of it.
    fn dial<'a>(&'a self, app: &'a Application) -> BoxFuture<'a, Result<Reached, NoWay>>;
}

/// Bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to an application behind a connector. Dropping it closes the connector's socket to the application at once.
pub struct Reached {
    /// The bytes.
    pub io: Box<dyn Io>,
    /// Cancelled when the connector leaves: what runs may end, nothing new should begin on this connection.
    pub leaving: CancellationToken,
}

/// Why an application behind connectors is out of reach.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoWay {
    /// No connector of its site is there.
    #[error("no connector of the application's site is linked")]
    Away,
    /// The connectors do not reach it, or do not dial it.
    #[error("{0}")]
    Unreachable(String),
    /// It takes too long.
    #[error("the application behind the connector takes too long")]
    Slow,
}

impl NoWay {
    /// The status and reason that the client is told.
    pub(crate) fn status(&self) -> (u16, Reason) {
        match self {
            Self::Away => (503, Reason::ConnectorUnavailable),
            Self::Unreachable(_) => (502, Reason::UpstreamUnavailable),
            Self::Slow => (504, Reason::UpstreamTimeout),
        }
    }
}

/// Who is there after the handshake.
pub(crate) enum Shaken {
    /// Anybody.
    Client(Box<edge::Stream<TcpStream>>),
    /// A connector.
    Connector(Box<TlsStream<Replayed<TcpStream>>>),
}

/// The handshake of a connection: by the protocols that the client offers it is known whether a connector comes, and whoever
/// does has to show a connector's certificate in the handshake.
pub(crate) async fn shake(
    sites: Option<&dyn Sites>,
    config: Arc<ServerConfig>,
    mut stream: TcpStream,
) -> std::io::Result<Shaken> {
    let mut first = Vec::new();
    if let Some(sites) = sites {
        let hello = hello(&mut stream).await?;
        first = hello.0;
        if let Some(theirs) = hello.1.and_then(|hello| {
            let hello = hello.client_hello();
            let protocols: Vec<&[u8]> = hello.alpn()?.collect();
            sites.tls(&protocols)
        }) {
            let stream = TlsAcceptor::from(theirs).accept(Replayed::new(first, stream)).await?;
            return Ok(Shaken::Connector(Box::new(stream)));
        }
    }
    Ok(Shaken::Client(Box::new(edge::Stream::accept(stream, config, first).await?)))
}

/// Hands a connector's connection over; anybody else's is given back.
pub(crate) fn taken(
    sites: Option<&dyn Sites>,
    shaken: Shaken,
    peer: SocketAddr,
) -> Option<Box<edge::Stream<TcpStream>>> {
    match shaken {
        Shaken::Client(stream) => Some(stream),
        Shaken::Connector(stream) => {
            if let Some(sites) = sites.filter(|sites| sites.is_theirs(stream.get_ref().1.alpn_protocol())) {
                sites.take(*stream, peer);
            }
            None
        }
    }
}
