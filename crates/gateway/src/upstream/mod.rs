//! Applications: connections to them, opened only with a permit.

mod io;
mod pool;

use safeconduct_http::Refused;
use thiserror::Error;

pub(crate) use io::Io;
pub(crate) use pool::{Pools, Up};

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
    #[error("the lease was lost")]
    Lost,
    #[error("the client broke its own body: {0}")]
    Client(Refused),
    #[error("the client is gone")]
    ClientGone,
}
