//! Applications: connections to them, opened only with a permit.

pub(crate) mod h2;
mod io;
mod pool;
pub(crate) mod socket;
mod target;
mod tls;

use safeconduct_http::Refused;
use safeconduct_model::Application;
use thiserror::Error;

pub(crate) use io::Io;
pub(crate) use pool::{Open, Pools, Up};
pub(crate) use target::{Target, is_h2};
pub(crate) use tls::UpstreamTls;

/// What the head of a request mostly needs when it is written.
pub(crate) const HEAD_BYTES: usize = 2 * 1024;
/// How many interim answers (1xx) an application may send before its answer.
pub(crate) const INTERIM: usize = 8;

/// Why an exchange with an application failed.
#[derive(Debug, Error)]
pub(crate) enum ForwardError {
    #[error("the upstream address cannot be used: {0}")]
    Address(String),
    #[error("the upstream took no connection: {0}")]
    Connect(String),
    #[error("connecting took too long")]
    ConnectTimeout,
    #[error("the answer took too long")]
    FirstByteTimeout,
    #[error("the exchange broke: {0}")]
    Broken(&'static str),
    #[error("the answer could be read in two ways: {0}")]
    BadAnswer(&'static str),
    #[error("the upstream changed the protocol without being asked")]
    WrongUpgrade,
    #[error("the application takes no WebSocket over HTTP/2 (RFC 8441): it does not offer it in its settings")]
    NoWebSocket,
    #[error("the lease was lost")]
    Lost,
    #[error("{0}")]
    Site(crate::sites::NoWay),
    #[error("the client broke its own body: {0}")]
    Client(Refused),
    #[error("the client is gone")]
    ClientGone,
}

/// Whether a request may be sent again whose connection ended before a byte of the answer came. One that rested may have been
/// closed by the other side at this very moment; and a connector may be lost, once. A request of which something was sent is
/// repeated only where that does no harm (RFC 9110, 9.2.2).
pub(crate) fn may_repeat(up: &Up, app: &Application, safe: bool, unsent: bool, lost: usize) -> bool {
    let spare = app.connector.is_some() && lost == 0;
    (safe || unsent) && (up.reused || spare)
}

/// Whether asking twice is like asking once (RFC 9110, 9.2.2).
pub(crate) fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}
