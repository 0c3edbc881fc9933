//! What the questions return: rows in the types of the model.

use std::net::IpAddr;
use std::str::FromStr;

use safeconduct_model::{
    Action, AppId, CutCause, DeviceId, Duration, Method, Mode, PersonId, Principal, Reason, RequestId, RuleId,
    SessionEventKind, SessionId, Timestamp,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::IndexError;

/// What policy said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Permit,
    /// No.
    Deny,
}

impl Verdict {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
        }
    }
}

/// One access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the record")]
pub struct AccessRow {
    pub seq: u64,
    pub at: Timestamp,
    pub decided: Timestamp,
    pub request: RequestId,
    pub session: Option<SessionId>,
    pub principal: Principal,
    pub app: AppId,
    pub action: Action,
    pub method: String,
    pub path: String,
    pub verdict: Verdict,
    pub mode: Mode,
    pub reason: Option<Reason>,
    pub device: Option<DeviceId>,
    pub ip: IpAddr,
    pub network: Option<String>,
    pub until: Option<Timestamp>,
    pub revision: u64,
    pub rules: Vec<RuleId>,
    pub took_us: u32,
    pub again: bool,
}

/// An event of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the record")]
pub struct SessionRow {
    pub seq: u64,
    pub at: Timestamp,
    pub session: SessionId,
    pub person: PersonId,
    pub event: SessionEventKind,
    pub methods: Vec<Method>,
    pub device: Option<DeviceId>,
    pub ip: IpAddr,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the record")]
pub struct ChangeRow {
    pub seq: u64,
    pub at: Timestamp,
    pub by: String,
    pub verb: String,
    pub object: String,
    pub detail: String,
    pub app: Option<AppId>,
    pub action: Option<Action>,
}

/// The end of a live connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the record")]
pub struct CutRow {
    pub seq: u64,
    pub at: Timestamp,
    pub request: RequestId,
    pub principal: Principal,
    pub app: AppId,
    pub cause: CutCause,
    pub lasted: Duration,
    pub delay: Option<Duration>,
}

/// A request that was refused before policy was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the record")]
pub struct RefusalRow {
    pub seq: u64,
    pub at: Timestamp,
    pub request: RequestId,
    pub ip: IpAddr,
    pub reason: Reason,
    pub detail: String,
    pub app: Option<AppId>,
}

/// Something that happened to the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of the record")]
pub struct SystemRow {
    pub seq: u64,
    pub at: Timestamp,
    pub event: String,
    pub detail: String,
}

/// Who uses what in which way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Who.
    pub principal: Principal,
    /// What.
    pub app: AppId,
    /// In which way.
    pub action: Action,
    /// How often policy said yes.
    pub permitted: u64,
    /// How often policy said no.
    pub denied: u64,
    /// The first record of it.
    pub first_seq: u64,
    /// The last record of it.
    pub last_seq: u64,
    /// When it was first decided.
    pub first_at: Timestamp,
    /// When it was last decided.
    pub last_at: Timestamp,
}

/// How often an application was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppCount {
    /// Which application.
    pub app: AppId,
    /// How often policy said yes.
    pub permitted: u64,
    /// How often policy said no.
    pub denied: u64,
    /// How many different principals asked; nobody is not one.
    pub principals: u64,
    /// When it was last asked for.
    pub last_at: Timestamp,
}

/// How often there was a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DenialCount {
    /// Which reason.
    pub reason: Reason,
    /// How often.
    pub count: u64,
}

/// An hour or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// When it begins.
    pub start: Timestamp,
    /// How often policy said yes.
    pub permitted: u64,
    /// How often policy said no.
    pub denied: u64,
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// Entries that are indexed.
    pub entries: u64,
    /// Accesses that policy permitted.
    pub permitted: u64,
    /// Accesses that policy denied.
    pub denied: u64,
    /// Requests that were refused before policy was asked.
    pub refusals: u64,
    /// Live connections that ended.
    pub cuts: u64,
    /// Events of sessions.
    pub sessions: u64,
    /// Changes.
    pub changes: u64,
    /// Events of the system.
    pub systems: u64,
    /// The time of the first entry.
    pub first_at: Option<Timestamp>,
    /// The time of the last entry.
    pub last_at: Option<Timestamp>,
}

/// Reading one row, column by column by name.
pub(super) struct Columns<'a>(pub(super) &'a SqliteRow);

impl Columns<'_> {
    pub(super) fn text(&self, name: &str) -> Result<String, IndexError> {
        Ok(self.0.try_get(name)?)
    }

    pub(super) fn maybe_text(&self, name: &str) -> Result<Option<String>, IndexError> {
        Ok(self.0.try_get(name)?)
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, IndexError> {
        Ok(self.0.try_get::<i64, _>(name)?.unsigned_abs())
    }

    pub(super) fn time(&self, name: &str) -> Result<Timestamp, IndexError> {
        Ok(Timestamp::from_millis(self.0.try_get(name)?))
    }

    fn parse<T: FromStr>(&self, name: &'static str) -> Result<T, IndexError> {
        parse(name, &self.text(name)?)
    }

    fn maybe<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, IndexError> {
        self.maybe_text(name)?.map(|text| parse(name, &text)).transpose()
    }

    fn word<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, IndexError> {
        word(name, self.text(name)?)
    }

    fn maybe_word<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, IndexError> {
        self.maybe_text(name)?.map(|text| word(name, text)).transpose()
    }

    fn principal(&self) -> Result<Principal, IndexError> {
        match self.text("principal_kind")?.as_str() {
            "person" => Ok(Principal::Person(self.parse("principal")?)),
            "workload" => Ok(Principal::Workload(self.parse("principal")?)),
            "nobody" => Ok(Principal::Nobody),
            other => Err(IndexError::Damaged { what: "a kind of principal", value: other.to_owned() }),
        }
    }

    pub(super) fn session(&self) -> Result<SessionRow, IndexError> {
        let methods = self.text("methods")?;
        Ok(SessionRow {
            seq: self.number("seq")?,
            at: self.time("at")?,
            session: self.parse("session")?,
            person: self.parse("person")?,
            event: self.word("event")?,
            methods: methods.split_whitespace().map(|m| word("methods", m.to_owned())).collect::<Result<_, _>>()?,
            device: self.maybe("device")?,
            ip: self.parse("ip")?,
        })
    }

    pub(super) fn change(&self) -> Result<ChangeRow, IndexError> {
        Ok(ChangeRow {
            seq: self.number("seq")?,
            at: self.time("at")?,
            by: self.text("by")?,
            verb: self.text("verb")?,
            object: self.text("object")?,
            detail: self.text("detail")?,
            app: self.maybe("app")?,
            action: self.maybe_word("action")?,
        })
    }

    pub(super) fn cut(&self) -> Result<CutRow, IndexError> {
        let delay = self.0.try_get::<Option<i64>, _>("delay")?;
        Ok(CutRow {
            seq: self.number("seq")?,
            at: self.time("at")?,
            request: self.parse("request")?,
            principal: self.principal()?,
            app: self.parse("app")?,
            cause: self.word("cause")?,
            lasted: Duration::from_millis(self.number("lasted")?),
            delay: delay.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        })
    }

    pub(super) fn system(&self) -> Result<SystemRow, IndexError> {
        Ok(SystemRow {
            seq: self.number("seq")?,
            at: self.time("at")?,
            event: self.text("event")?,
            detail: self.text("detail")?,
        })
    }

    pub(super) fn edge(&self) -> Result<Edge, IndexError> {
        Ok(Edge {
            principal: self.principal()?,
            app: self.parse("app")?,
            action: self.word("action")?,
            permitted: self.number("permitted")?,
            denied: self.number("denied")?,
            first_seq: self.number("first_seq")?,
            last_seq: self.number("last_seq")?,
            first_at: self.time("first_at")?,
            last_at: self.time("last_at")?,
        })
    }

    pub(super) fn app_count(&self) -> Result<AppCount, IndexError> {
        Ok(AppCount {
            app: self.parse("app")?,
            permitted: self.number("permitted")?,
            denied: self.number("denied")?,
            principals: self.number("principals")?,
            last_at: self.time("last_at")?,
        })
    }

    pub(super) fn denial_count(&self) -> Result<DenialCount, IndexError> {
        Ok(DenialCount { reason: self.word("reason")?, count: self.number("count")? })
    }
}

fn parse<T: FromStr>(what: &'static str, text: &str) -> Result<T, IndexError> {
    text.parse().map_err(|_| IndexError::Damaged { what, value: text.to_owned() })
}

/// A variant by the word that the ledger uses for it.
fn word<T: DeserializeOwned>(what: &'static str, text: String) -> Result<T, IndexError> {
    let value = serde_json::Value::String(text);
    T::deserialize(&value).map_err(|_| IndexError::Damaged { what, value: value.to_string() })
}
