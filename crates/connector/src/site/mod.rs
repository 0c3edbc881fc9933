//! The end beside the applications.

mod backoff;
mod carry;
mod dial;
mod identity;
mod join;
mod keep;
mod relay;
mod trust;

use std::path::PathBuf;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use safeconduct_config::GatewayAddress;
use safeconduct_model::{ConnectorName, Timestamp};

pub use identity::IdentityError;
pub use join::JoinError;
pub use keep::{Connector, StartError};

use crate::JoinToken;

/// What a connector is told at its start.
pub struct Settings {
    /// Every address of the gateway; a link is kept to each.
    pub gateways: Vec<GatewayAddress>,
    /// Who it is.
    pub name: ConnectorName,
    /// The folder of its key and certificate.
    pub state: PathBuf,
    /// The token to join with, where it has no certificate yet.
    pub join: Option<JoinToken>,
    /// The only networks in which it dials; `None` where the house's list alone says so.
    pub only: Option<Vec<IpNet>>,
    /// Authorities whose certificates count for applications over TLS, beside the public ones.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The system's clock.
    pub clock: fn() -> Timestamp,
    /// The version of the program.
    pub version: String,
    /// How the present state is told: linked, lost, renewed.
    pub tell: fn(&str),
}
