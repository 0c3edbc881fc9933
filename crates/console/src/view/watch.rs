//! What is happening.

use std::net::IpAddr;

use safeconduct_model::{Action, CutCause, DeviceId, Duration, Method, Reason, SessionId, Timestamp};

use super::Link;

/// Which verdicts are shown. Comes from the URL.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WatchQuery {
    /// Only this application.
    pub app: Option<String>,
    /// Only this person.
    pub person: Option<String>,
    /// Only this device.
    pub device: Option<DeviceId>,
    /// Only this answer.
    pub answered: Option<Answered>,
    /// Only this reason code.
    pub reason: Option<Reason>,
    /// Only records before this place, for the next page.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: u32,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answered {
    /// Allowed by policy.
    Allowed,
    /// Denied by policy, but the application only observes.
    WouldDeny,
    /// Denied.
    Denied,
    /// Refused before policy was asked.
    Refused,
}

impl Answered {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::WouldDeny, Self::Denied, Self::Refused];

    /// The name in URLs and exports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::WouldDeny => "would_deny",
            Self::Denied => "denied",
            Self::Refused => "refused",
        }
    }
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::WouldDeny => "would be denied",
            Self::Denied => "denied",
            Self::Refused => "refused",
        }
    }
    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// What is happening.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Verdicts, the newest first.
    pub verdicts: Vec<VerdictRow>,
    /// How many match in all, if that is known.
    pub total: Option<u64>,
    /// Whether older ones exist.
    pub more: bool,
    /// Live sessions.
    pub sessions: Vec<SessionRow>,
    /// Connections that ended, the newest first.
    pub cuts: Vec<CutRow>,
    /// The applications to choose from: id and name.
    pub apps: Vec<(String, String)>,
}

/// A verdict in a list.
#[derive(Clone, Debug)]
pub struct VerdictRow {
    /// Its place in the ledger.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// How it was answered.
    pub answered: Answered,
    /// Who asked.
    pub who: Link,
    /// Which application.
    pub app: Link,
    /// What kind of use; `None` if policy was not asked.
    pub action: Option<Action>,
    /// The method and path.
    pub what: String,
    /// From which device.
    pub device: Option<Link>,
    /// Why not.
    pub reason: Option<Reason>,
    /// How long the decision took, in microseconds.
    pub took_us: u32,
}

/// A live session.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Its public name.
    pub id: SessionId,
    /// Whose.
    pub person: Link,
    /// The device bound to it.
    pub device: Option<Link>,
    /// How it was proven.
    pub methods: Vec<Method>,
    /// When it began.
    pub since: Timestamp,
    /// When it ends at the latest.
    pub until: Timestamp,
    /// The address of the client.
    pub ip: IpAddr,
    /// The live connections that rest on it: application and how many.
    pub connections: Vec<(Link, u64)>,
}

/// A connection that ended.
#[derive(Clone, Debug)]
pub struct CutRow {
    /// Its place in the ledger.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub who: Link,
    /// Which application.
    pub app: Link,
    /// Why.
    pub cause: CutCause,
    /// How long it lived.
    pub lasted: Duration,
    /// From the change to the end.
    pub delay: Option<Duration>,
}
