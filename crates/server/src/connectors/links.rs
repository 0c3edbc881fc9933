//! The links, as the gateway sees them.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use safeconduct_connector::house::Sites;
use safeconduct_connector::words::{DOOR, LINK};
use safeconduct_gateway::{NoWay, Reached, Replayed};
use safeconduct_model::Application;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The links of every site.
pub(crate) struct Links(pub(crate) Arc<Sites>);

impl safeconduct_gateway::Sites for Links {
    fn tls(&self, protocols: &[&[u8]]) -> Option<Arc<ServerConfig>> {
        self.0.tls(protocols.iter().copied())
    }

    fn is_theirs(&self, protocol: Option<&[u8]>) -> bool {
        matches!(protocol, Some(LINK | DOOR))
    }

    fn take(&self, stream: TlsStream<Replayed<TcpStream>>, peer: SocketAddr) {
        self.0.take(stream, peer);
    }

    fn dial<'a>(&'a self, app: &'a Application) -> BoxFuture<'a, Result<Reached, NoWay>> {
        Box::pin(async move {
            match self.0.dial(app).await {
                Ok(stream) => {
                    let leaving = stream.leaving();
                    Ok(Reached { io: Box::new(stream), leaving })
                }
                Err(error) => {
                    tracing::info!(app = %app.id, %error, "no way to an application behind connectors");
                    Err(if error.is_site_away() {
                        NoWay::Away
                    } else if error.is_timeout() {
                        NoWay::Slow
                    } else {
                        NoWay::Unreachable(error.to_string())
                    })
                }
            }
        })
    }
}
