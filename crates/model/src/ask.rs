//! One question to policy: who wants what, from where and why. *When* is handed to the decision beside it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{AppId, DeviceFacts, GrantId, GroupId, LockFacts, PersonId, RequestId, SessionId, Timestamp, WorkloadId};

/// What someone wants to do, as policy sees it. It holds every fact that a verdict may read, so a record of it can be
/// decided again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Which request this is.
    pub request: RequestId,
    /// Who asks.
    pub who: Who,
    /// What is asked for.
    pub what: What,
    /// From where.
    pub place: Place,
    /// What for.
    #[serde(default)]
    pub why: Why,
    /// The lock that speaks about it, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Box<LockFacts>>,
}

impl Ask {
    /// The lock that shuts the asker, the device or the application out at `now`, whatever the rules say.
    #[must_use]
    pub fn shut_by(&self, now: Timestamp) -> Option<&LockFacts> {
        self.lock_at(now).filter(|lock| lock.withheld.is_none())
    }

    /// The lock that keeps a grant from counting at `now`, with that grant.
    #[must_use]
    pub fn withheld(&self, now: Timestamp) -> Option<(&LockFacts, &GrantFacts)> {
        let lock = self.lock_at(now)?;
        Some((lock, lock.withheld.as_ref()?))
    }

    fn lock_at(&self, now: Timestamp) -> Option<&LockFacts> {
        self.lock.as_deref().filter(|lock| lock.is_in_force(now))
    }
}

/// The asker, as far as it is proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Who {
    /// The proven identity.
    pub principal: Principal,
    /// Every group the principal belongs to, directly or through another group.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<GroupId>,
    /// How the identity was proven; `None` for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}

/// Who speaks. A missing identity is a word of its own, never an empty string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// A person who signed in.
    Person(PersonId),
    /// A workload that proved its identity.
    Workload(WorkloadId),
    /// Nobody: no proof was given, or it did not hold.
    Nobody,
}

impl Principal {
    /// The person, if it is one.
    #[must_use]
    pub fn person(&self) -> Option<&PersonId> {
        match self {
            Self::Person(id) => Some(id),
            Self::Workload(_) | Self::Nobody => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => id.fmt(f),
            Self::Workload(id) => id.fmt(f),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// A way to prove an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A password.
    Password,
    /// A time-based one-time code (RFC 6238).
    Totp,
    /// A WebAuthn passkey with user verification: two factors, phishing-resistant.
    Passkey,
    /// An OpenID provider vouched for the person.
    Oidc,
    /// The OpenID provider said that several factors were used (`amr` contains `mfa`).
    OidcMfa,
    /// The OpenID provider said that the factor resists phishing (`amr` contains `hwk`, `acr` says `phr`).
    OidcPhishingResistant,
    /// A client certificate of the local authority.
    Certificate,
    /// The one-time link that makes the first administrator.
    SetupLink,
}

/// How and when the identity was proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Auth {
    /// The session that carries the proof.
    pub session: SessionId,
    /// Which methods were used.
    pub methods: BTreeSet<Method>,
    /// When the last of them was used: sign-in or step-up.
    pub at: Timestamp,
    /// When the session ends at the latest.
    pub until: Timestamp,
}

impl Auth {
    /// Whether at least two factors were proven.
    #[must_use]
    pub fn is_mfa(&self) -> bool {
        use Method::{OidcMfa, Passkey, Password, Totp};
        let has = |m| self.methods.contains(&m);
        has(Passkey) || has(OidcMfa) || (has(Password) && has(Totp)) || self.is_phishing_resistant()
    }

    /// Whether a method was used that a look-alike site cannot relay.
    #[must_use]
    pub fn is_phishing_resistant(&self) -> bool {
        self.methods.contains(&Method::Passkey) || self.methods.contains(&Method::OidcPhishingResistant)
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct What {
    /// Which application.
    pub app: AppId,
    /// What kind of use.
    pub action: Action,
    /// The request method, upper case.
    pub method: String,
    /// The canonical path that will be forwarded, without the query.
    pub path: String,
}

/// A kind of use, derived from the method or the route table of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Looks, changes nothing.
    Read,
    /// Changes something.
    Write,
    /// Changes who may do what, or how the application runs.
    Admin,
}

impl Action {
    /// Every action there is, from the weakest.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The action of a method where no route says otherwise. The safe methods of RFC 9110 section 9.2.1 read.
    #[must_use]
    pub fn from_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" => Self::Read,
            _ => Self::Write,
        }
    }

    /// The stable name, as policies spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The action with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// From where the ask comes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The address of the client.
    pub ip: IpAddr,
    /// The named network of the configuration that holds the address; `None` for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The country of the address (ISO 3166-1 alpha-2), if a GeoIP file is given and knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The device, if it proved itself in this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceFacts>,
}

/// What the access is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Why {
    /// What the person typed when asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Stated>,
    /// The grant that carries the purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantFacts>,
}

/// A purpose that the person stated at access.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stated {
    /// The purpose, one of the names that the configuration lists.
    pub purpose: String,
    /// A ticket number, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

/// The facts of a grant that a verdict may read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantFacts {
    /// Which grant.
    pub id: GrantId,
    /// What it was given for.
    pub purpose: String,
    /// The ticket that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// From when it holds.
    pub from: Timestamp,
    /// Until when it holds; the instant itself is too late.
    pub until: Timestamp,
}

impl Why {
    /// The grant, if it holds at `now`.
    #[must_use]
    pub fn live_grant(&self, now: Timestamp) -> Option<&GrantFacts> {
        self.grant.as_ref().filter(|g| g.from <= now && now < g.until)
    }

    /// The purpose at `now`: of the grant if it holds, else the stated one.
    #[must_use]
    pub fn purpose(&self, now: Timestamp) -> Option<&str> {
        self.live_grant(now).map(|g| g.purpose.as_str()).or_else(|| self.stated.as_ref().map(|s| s.purpose.as_str()))
    }

    /// The ticket at `now`, from the same source as the purpose.
    #[must_use]
    pub fn ticket(&self, now: Timestamp) -> Option<&str> {
        match self.live_grant(now) {
            Some(grant) => grant.ticket.as_deref(),
            None => self.stated.as_ref().and_then(|s| s.ticket.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(methods: &[Method]) -> Auth {
        Auth {
            session: "s1".parse().expect("id"),
            methods: methods.iter().copied().collect(),
            at: Timestamp::default(),
            until: Timestamp::MAX,
        }
    }

    #[test]
    fn one_factor_twice_is_not_two() {
        assert!(!auth(&[Method::Password]).is_mfa());
        assert!(!auth(&[Method::Totp]).is_mfa());
        assert!(!auth(&[Method::Oidc]).is_mfa());
        assert!(!auth(&[]).is_mfa());
        assert!(auth(&[Method::Password, Method::Totp]).is_mfa());
        assert!(auth(&[Method::Passkey]).is_mfa());
        assert!(!auth(&[Method::Password, Method::Totp]).is_phishing_resistant());
    }

    #[test]
    fn a_grant_speaks_only_while_it_holds() {
        let at = Timestamp::from_millis;
        let why = Why {
            stated: Some(Stated { purpose: "support".into(), ticket: None }),
            grant: Some(GrantFacts {
                id: "g1".parse().expect("id"),
                purpose: "close".into(),
                ticket: Some("FIN-1".into()),
                from: at(10),
                until: at(20),
            }),
        };
        assert_eq!((why.purpose(at(9)), why.ticket(at(9))), (Some("support"), None));
        assert_eq!((why.purpose(at(10)), why.ticket(at(10))), (Some("close"), Some("FIN-1")));
        assert_eq!(why.purpose(at(20)), Some("support"));
    }

    #[test]
    fn an_unknown_method_writes() {
        assert_eq!(Action::from_method("PROPFIND"), Action::Write);
        assert_eq!(Action::from_method("get"), Action::Write, "methods are case-sensitive (RFC 9110, 9.1)");
    }
}
