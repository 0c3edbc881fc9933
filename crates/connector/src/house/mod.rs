//! The end beside the gateway.

mod door;
mod link;
mod sites;
mod stream;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use safeconduct_model::{Application, ConnectorName, SiteId, Timestamp};
use thiserror::Error;

use crate::words::{About, Admitted, Join, NotAdmitted, Refusal, Renew};

pub use sites::Sites;
pub use stream::Stream;
pub use tls::TlsError;

/// What the links need of the house. Nothing here may block; only what returns a future may wait.
pub trait House: Send + Sync + 'static {
    /// The system's clock: certificates live by it.
    fn now(&self) -> Timestamp;
    /// The certificate of the authority.
    fn authority(&self) -> CertificateDer<'static>;
    /// The certificate and key of the door, with the authority at the end of the chain; `None` if there is none now.
    fn door_key(&self) -> Option<Arc<CertifiedKey>>;
    /// Which connector has this leaf (DER), if it is one, is registered with this very key, holds now, is not revoked, and its
    /// site is there.
    fn member(&self, leaf: &[u8]) -> Option<Member>;
    /// Redeems a token.
    fn redeem(&self, join: Join, from: SocketAddr) -> BoxFuture<'_, Result<Admitted, NotAdmitted>>;
    /// Renews the certificate of a member.
    fn renew(&self, member: Member, renew: Renew) -> BoxFuture<'_, Result<Admitted, NotAdmitted>>;
    /// The sealed warrant for an application; `None` if no connector may dial it.
    fn warrant(&self, app: &Application) -> Option<Arc<str>>;
    /// Takes note of what happened to a link.
    fn happened(&self, event: &Event);
}

/// A connector that may link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which one.
    pub name: ConnectorName,
    /// When its certificate ends.
    pub until: Timestamp,
}

/// What happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which connector.
    pub name: ConnectorName,
    /// The address it came from.
    pub from: SocketAddr,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It linked.
    Linked,
    /// It said that it leaves; its streams may end.
    Leaves,
    /// The link is gone without a word.
    Lost,
    /// The link ended after the connector had said so.
    Left,
    /// It was cut: revoked, expired, site gone.
    Cut,
    /// It came while there were too many.
    TooMany,
}

impl What {
    /// The word for the ledger.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Leaves => "leaves",
            Self::Lost => "lost",
            Self::Left => "left",
            Self::Cut => "cut",
            Self::TooMany => "refused",
        }
    }
}

/// A link as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Which connector.
    pub name: ConnectorName,
    /// The address it came from.
    pub from: SocketAddr,
    /// Since when it is linked.
    pub since: Timestamp,
    /// When its certificate ends.
    pub until: Timestamp,
    /// What it tells of itself.
    pub about: About,
    /// How many streams it carries.
    pub streams: usize,
    /// Whether it leaves.
    pub leaves: bool,
}

/// Why no stream to an application could be opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DialError {
    /// The application names no site, or one that is not there.
    #[error("no connector may dial this application; name its site in the estate")]
    NoSite,
    /// No connector of the site is linked.
    #[error("no connector of the site `{0}` is linked; look at its machines, or at `safeconduct connector list`")]
    NoConnector(SiteId),
    /// Every connector that was tried was lost, or did not answer.
    #[error("the connectors of the site `{0}` were lost while the stream was opened")]
    Lost(SiteId),
    /// The connector opened no stream.
    #[error("the connector {0} opened no stream: {code}", code = .1.code())]
    Refused(ConnectorName, Refusal),
}

impl DialError {
    /// Whether the application is out of reach because its site is: an answer of its own.
    #[must_use]
    pub const fn is_site_away(&self) -> bool {
        matches!(self, Self::NoSite | Self::NoConnector(_) | Self::Lost(_))
    }

    /// Whether the application took too long.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Refused(_, Refusal::Slow))
    }
}
