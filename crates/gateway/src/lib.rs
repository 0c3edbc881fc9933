//! The gateway.
mod accept;
mod answer;
mod assertion;
mod body;
pub mod ca;
mod forward;
mod gateway;
mod limits;
mod live;
mod normal;
mod ports;
mod redirect;
mod routes;
mod stages;
mod tls;
mod wire;

pub use assertion::{Signer, SignerError};
pub use body::{Body, BodyError, boxed, empty, full};
pub use gateway::{Gateway, GatewayConfig};
pub use limits::Limits;
pub use live::{LiveKind, LiveView};
pub use ports::{
    ClientCertificate, Control, CookieToken, Credentials, DenialPage, Identity, PortalRequest, Problem, Receipt, RecordRefused,
};
pub use safeconduct_access::{LeaseId, Signal};
pub use tls::{Certificates, TlsError, TlsSettings, server_config};

/// Paths on the host of an application that the house answers itself.
pub const RESERVED_PREFIX: &str = "/.safeconduct/";
