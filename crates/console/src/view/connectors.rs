//! Connectors: who carries the applications of a site.

use safeconduct_model::{ConnectorName, Timestamp};

use super::Link;

/// A connector.
#[derive(Clone, Debug)]
pub struct ConnectorRow {
    /// Which one.
    pub name: ConnectorName,
    /// The name of its site.
    pub site: String,
    /// How it is.
    pub state: ConnectorState,
    /// The version of its program, while it is linked.
    pub version: Option<String>,
    /// The address that it comes from, while it is linked.
    pub from: Option<String>,
    /// Since when it is linked; when it joined, where it is not.
    pub since: Timestamp,
    /// How many streams it carries.
    pub streams: u64,
    /// The applications that it may carry.
    pub applications: Vec<Link>,
    /// When its certificate ends.
    pub until: Timestamp,
}

/// How a connector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorState {
    /// It is linked, and takes streams.
    Linked,
    /// It is linked, and takes no new streams.
    Leaves,
    /// It has no link.
    Away,
    /// It was revoked.
    Revoked,
}

impl ConnectorState {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Leaves => "leaves",
            Self::Away => "away",
            Self::Revoked => "revoked",
        }
    }
}
