//! What the ledger keeps. A record of a verdict holds every fact that was read, so that it can be decided again.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    Action, AppId, Ask, DeviceId, Duration, Failing, Method, Mode, PersonId, Principal, Reason, Remedy, RequestId,
    RuleId, SessionId, Timestamp,
};

/// One line of the ledger: a record with its place and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The place in the ledger, from 0, without gaps.
    pub seq: u64,
    /// When it was written. Never before the entry in front of it.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub record: Record,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// Policy answered an ask.
    Access(Box<Access>),
    /// A request was refused before policy was asked: malformed, unknown host, over a limit.
    Refusal(Refusal),
    /// A live connection ended.
    Cut(Cut),
    /// A session began, changed or ended.
    Session(SessionEvent),
    /// Someone changed something.
    Change(Change),
    /// The system itself: start, stop, alarm.
    System(SystemEvent),
    /// A decision store answered a question about another program's resources.
    Question(Box<Question>),
}

/// A verdict with everything it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The question.
    pub ask: Ask,
    /// The instant at which it was decided.
    pub decided: Timestamp,
    /// The answer.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Whether the verdict bound.
    pub mode: Mode,
    /// The revision of the snapshot that answered.
    pub revision: u64,
    /// The rules that spoke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleId>,
    /// The names of the facts that the candidate rules read, as policies spell them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
    /// How long the decision took, in microseconds.
    #[serde(default)]
    pub took_us: u32,
    /// Whether this is a live connection that was decided again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// What the answer would be if the rules in shadow bound too; nothing if it would be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<Would>,
}

/// What the answer would be if the rules in shadow bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Would {
    /// Whether it would be yes.
    pub permits: bool,
    /// The rules in shadow that spoke.
    pub rules: Vec<RuleId>,
}

/// The answer of policy, whether it bound or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Outcome {
    /// Yes, until an instant.
    Permit {
        /// When the lease ends at the latest.
        until: Timestamp,
    },
    /// No.
    Deny {
        /// The stable reason.
        reason: Reason,
        /// The conditions that did not hold, of the nearest rule.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failing: Vec<Failing>,
        /// What would help, cheapest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remedies: Vec<Remedy>,
    },
}

impl Access {
    /// Whether the request got through: permitted, or only observed.
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(self.outcome, Outcome::Permit { .. })
            || (self.mode == Mode::Observe && self.ask.who.principal != Principal::Nobody)
    }

    /// Whether policy said yes.
    #[must_use]
    pub fn permitted(&self) -> bool {
        matches!(self.outcome, Outcome::Permit { .. })
    }

    /// The reason of a denial.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self.outcome {
            Outcome::Permit { .. } => None,
            Outcome::Deny { reason, .. } => Some(reason),
        }
    }
}

/// A request that was refused before policy was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which request.
    pub request: RequestId,
    /// The address of the client.
    pub ip: IpAddr,
    /// Why.
    pub reason: Reason,
    /// What exactly, for the operator.
    pub detail: String,
    /// The application, if the host was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
}

/// The end of a live connection, or of a request that its upstream failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The request that opened it.
    pub request: RequestId,
    /// Who used it.
    pub principal: Principal,
    /// Which application.
    pub app: AppId,
    /// Why it ended.
    pub cause: CutCause,
    /// How long it lived.
    pub lasted: Duration,
    /// From the change that caused it to its end; `None` if nothing caused it but time or the peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// What it carried; `None` in records of versions that did not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Carried>,
}

/// What a connection carried: bodies of an exchange, everything of a WebSocket or a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Bytes from the client to the application.
    pub up: u64,
    /// Bytes from the application to the client.
    pub down: u64,
}

/// Why a live connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutCause {
    /// One of the peers closed it.
    Closed,
    /// The session ended: sign-out or administrator.
    SessionEnded,
    /// The person, a group or a grant changed, and policy no longer permits.
    PersonChanged,
    /// The device changed, and policy no longer permits.
    DeviceChanged,
    /// A lock was placed on what it rests on.
    Locked,
    /// A new snapshot was published, and it does not permit.
    PolicyPublished,
    /// An instant passed, and policy no longer permits.
    TimePassed,
    /// The upstream failed.
    UpstreamFailed,
    /// The server stops.
    Shutdown,
}

/// A session began, changed or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEvent {
    /// Which session.
    pub session: SessionId,
    /// Whose.
    pub person: PersonId,
    /// What happened.
    pub event: SessionEventKind,
    /// The methods proven so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
    /// The device that is bound to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The address of the client.
    pub ip: IpAddr,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEventKind {
    /// Signed in.
    Began,
    /// Proved more.
    SteppedUp,
    /// Signed out.
    SignedOut,
    /// Ended by an administrator, or by a change of the account.
    Ended,
    /// Grew too old.
    Expired,
    /// A sign-in that failed.
    Failed,
}

/// Someone changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Who did it: a person id, `cli` or `system`.
    pub by: String,
    /// What was done, as a verb with its object: `policy.publish`, `session.cut`, `device.enrol`.
    pub verb: String,
    /// What it was done to.
    pub object: String,
    /// What else matters, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The application concerned, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// The kind of use concerned, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
}

/// The system itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemEvent {
    /// What happened: `start`, `stop`, `alarm`, `posture`.
    pub event: String,
    /// In words.
    pub detail: String,
}

/// A question that another program asked a decision store, with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Which request.
    pub request: RequestId,
    /// Who asked, by its name in the configuration.
    pub client: String,
    /// Which store answered.
    pub store: String,
    /// About whom, as `type:id`; without an id in a search for it.
    pub subject: String,
    /// About which action; empty in a search for it.
    pub action: String,
    /// About what, as `type:id`.
    pub resource: String,
    /// The answer.
    #[serde(flatten)]
    pub said: Said,
    /// The rules that decided, by id or by where they stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The revision of the store.
    pub revision: String,
    /// What else was stated, properties and context, as JSON; what is too long for a record as its SHA-256.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stated: String,
}

/// What a decision store said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Said {
    /// Yes.
    Permit,
    /// No.
    Deny {
        /// The stable reason.
        reason: Reason,
    },
    /// A page of a search.
    Found {
        /// How many results it holds.
        results: u64,
    },
}
