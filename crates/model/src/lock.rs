//! Locks: somebody or something is shut out at once, whatever policy says, until the lock ends or is lifted.
//!
//! A lock is a fact like any other: it is placed on one target, an ask carries the one that speaks, and policy answers no to
//! such an ask before any rule is asked. Nothing else changes: without the lock, everything is decided as before.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    AppId, ConnectorName, ConnectorNameError, DeviceId, GrantFacts, GrantId, GroupId, IdError, LockId, PersonId,
    SessionId, SiteId, Timestamp, WorkloadId,
};

/// The longest message of a lock, in characters.
pub const MAX_MESSAGE: usize = 300;

/// What a lock is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockTarget {
    /// A person: on every device, in every session.
    Person(PersonId),
    /// Everybody in a group, directly or through another group.
    Group(GroupId),
    /// A device, whoever uses it.
    Device(DeviceId),
    /// One session.
    Session(SessionId),
    /// A grant: it does not count, and what was given for its sake alone ends.
    Grant(GrantId),
    /// A workload.
    Workload(WorkloadId),
    /// An application, for everybody.
    Application(AppId),
    /// A site: its connectors, and every application that is reached through them.
    Site(SiteId),
    /// A connector: its links end, and it is not let in.
    Connector(ConnectorName),
}

/// Why a text does not name a target.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LockTargetError {
    /// No such kind.
    #[error(
        "a lock is on a person, group, device, session, grant, workload, application, site or connector; not on a `{0}`"
    )]
    Kind(String),
    /// No such id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// No such name of a connector.
    #[error(transparent)]
    Connector(#[from] ConnectorNameError),
}

impl LockTarget {
    /// Every kind there is, as people say it.
    pub const KINDS: [&str; 9] =
        ["person", "group", "device", "session", "grant", "workload", "application", "site", "connector"];

    /// The target of a kind with a name.
    pub fn of(kind: &str, name: &str) -> Result<Self, LockTargetError> {
        Ok(match kind {
            "person" => Self::Person(name.parse()?),
            "group" => Self::Group(name.parse()?),
            "device" => Self::Device(name.parse()?),
            "session" => Self::Session(name.parse()?),
            "grant" => Self::Grant(name.parse()?),
            "workload" => Self::Workload(name.parse()?),
            "application" => Self::Application(name.parse()?),
            "site" => Self::Site(name.parse()?),
            "connector" => Self::Connector(name.parse()?),
            other => return Err(LockTargetError::Kind(other.to_owned())),
        })
    }

    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Person(_) => "person",
            Self::Group(_) => "group",
            Self::Device(_) => "device",
            Self::Session(_) => "session",
            Self::Grant(_) => "grant",
            Self::Workload(_) => "workload",
            Self::Application(_) => "application",
            Self::Site(_) => "site",
            Self::Connector(_) => "connector",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Person(id) => id.to_string(),
            Self::Group(id) => id.to_string(),
            Self::Device(id) => id.to_string(),
            Self::Session(id) => id.to_string(),
            Self::Grant(id) => id.to_string(),
            Self::Workload(id) => id.to_string(),
            Self::Application(id) => id.to_string(),
            Self::Site(id) => id.to_string(),
            Self::Connector(name) => name.to_string(),
        }
    }

    /// What is shut, for whoever is refused. It names nobody but the asker's own things.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Person(_) => "your access is locked",
            Self::Group(_) => "the access of a group that you are in is locked",
            Self::Device(_) => "this device is locked",
            Self::Session(_) => "this session is locked",
            Self::Grant(_) => "the grant that would open this is locked",
            Self::Workload(_) => "this workload is locked",
            Self::Application(_) => "this application is locked",
            Self::Site(_) => "the place where this application runs is locked",
            Self::Connector(_) => "the connector of this application is locked",
        }
    }
}

impl fmt::Display for LockTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// What whoever is refused is told: one line, not empty, not long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LockMessage(Arc<str>);

/// Why a text is no message of a lock.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LockMessageError {
    /// Nothing is said.
    #[error("a lock needs a message: whoever is refused must know what to do")]
    Empty,
    /// Too much is said.
    #[error("the message of a lock has {MAX_MESSAGE} characters at most")]
    TooLong,
    /// It is more than a line.
    #[error("the message of a lock is one line without control characters")]
    Control,
}

impl LockMessage {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LockMessage {
    type Err = LockMessageError;

    fn from_str(text: &str) -> Result<Self, LockMessageError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(LockMessageError::Empty);
        }
        if text.chars().count() > MAX_MESSAGE {
            return Err(LockMessageError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(LockMessageError::Control);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for LockMessage {
    type Error = LockMessageError;
    fn try_from(text: String) -> Result<Self, LockMessageError> {
        text.parse()
    }
}

impl From<LockMessage> for String {
    fn from(message: LockMessage) -> Self {
        message.0.as_ref().to_owned()
    }
}

impl fmt::Display for LockMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lock, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Its id.
    pub id: LockId,
    /// What it is on.
    pub target: LockTarget,
    /// What whoever is refused is told.
    pub message: LockMessage,
    /// Who placed it: a person id, or `cli`.
    pub by: String,
    /// When it was placed. It holds from then on.
    pub placed: Timestamp,
    /// When it ends; the instant itself is free again. `None` holds until it is lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Lock {
    /// Whether it holds at `now`. A clock that stepped back frees nobody, so its beginning is not asked for.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        holds(self.until, now)
    }

    /// What an ask carries of it. `withheld` is the grant that does not count because of it, where it is on a grant.
    #[must_use]
    pub fn facts(&self, withheld: Option<GrantFacts>) -> LockFacts {
        LockFacts {
            lock: self.id.clone(),
            on: self.target.clone(),
            message: self.message.clone(),
            until: self.until,
            withheld,
        }
    }
}

/// What a verdict reads of the lock that speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LockFacts {
    /// Which lock.
    pub lock: LockId,
    /// What it is on.
    pub on: LockTarget,
    /// What whoever is refused is told.
    pub message: LockMessage,
    /// When it ends, if it ends on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The grant that does not count because of it: such a lock denies what only this grant would open, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<GrantFacts>,
}

impl LockFacts {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        holds(self.until, now)
    }
}

fn holds(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_none_or(|until| now < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_what_it_writes() {
        for kind in LockTarget::KINDS {
            let name = if kind == "connector" { "site-a/one" } else { "x" };
            let target = LockTarget::of(kind, name).expect("a target");
            assert_eq!((target.kind(), target.name().as_str()), (kind, name));
            assert_eq!(target.to_string(), format!("{kind} {name}"));
            let json = serde_json::to_string(&target).expect("writes");
            assert_eq!(serde_json::from_str::<LockTarget>(&json).ok(), Some(target), "{json}");
        }
        assert!(LockTarget::of("persons", "ada").is_err_and(|e| e.to_string().contains("`persons`")));
        assert!(LockTarget::of("person", "Ada").is_err(), "ids are canonical");
        assert!(LockTarget::of("connector", "one").is_err(), "a connector is named with its site");
    }

    #[test]
    fn a_message_is_one_short_line() {
        assert_eq!(" Call 7-300. ".parse::<LockMessage>().map(String::from), Ok("Call 7-300.".to_owned()));
        assert_eq!(" ".parse::<LockMessage>(), Err(LockMessageError::Empty));
        assert_eq!("a\nb".parse::<LockMessage>(), Err(LockMessageError::Control));
        assert!("é".repeat(MAX_MESSAGE).parse::<LockMessage>().is_ok(), "characters, not bytes");
        assert_eq!("é".repeat(MAX_MESSAGE + 1).parse::<LockMessage>(), Err(LockMessageError::TooLong));
        assert!(serde_json::from_str::<LockMessage>("\"\"").is_err(), "what is kept is checked too");
    }

    #[test]
    fn a_lock_holds_until_its_end_and_the_end_itself_is_free() {
        let lock = |until: Option<i64>| Lock {
            id: "l1".parse().expect("id"),
            target: LockTarget::Person("ada".parse().expect("id")),
            message: "Call us.".parse().expect("a message"),
            by: "cli".into(),
            placed: Timestamp::from_millis(100),
            until: until.map(Timestamp::from_millis),
        };
        let holds = |until, now| {
            let lock = lock(until);
            let now = Timestamp::from_millis(now);
            assert_eq!(lock.is_in_force(now), lock.facts(None).is_in_force(now));
            lock.is_in_force(now)
        };
        assert!(holds(None, i64::MAX) && holds(None, 0));
        assert!(holds(Some(200), 199) && !holds(Some(200), 200));
        assert!(holds(Some(200), 50), "a clock that stepped back frees nobody");
    }
}
