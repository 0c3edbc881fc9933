//! The protect surface and the people, as the configuration states them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Action, AppId, AssetId, GroupId, PersonId, SiteId};

/// How bad it is when something is lost, changed or gone (FIPS 199 impact, with one step above).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A nuisance.
    Low,
    /// Serious.
    #[default]
    Moderate,
    /// Severe.
    High,
    /// Severe, and no access without a durable record.
    Critical,
}

impl Class {
    /// Every class, from the mildest.
    pub const ALL: [Self; 4] = [Self::Low, Self::Moderate, Self::High, Self::Critical];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Moderate => "moderate",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The class with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The four kinds of element of a protect surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetKind {
    /// Data that matters.
    Data,
    /// An application that uses such data.
    Application,
    /// A thing: server, device, machine.
    Asset,
    /// A service such as DNS or a directory.
    Service,
}

impl AssetKind {
    /// Every kind there is.
    pub const ALL: [Self; 4] = [Self::Data, Self::Application, Self::Asset, Self::Service];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Application => "application",
            Self::Asset => "asset",
            Self::Service => "service",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// Something the organisation may not lose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its id.
    pub id: AssetId,
    /// Its name, as people say it.
    pub name: String,
    /// What it is.
    pub kind: AssetKind,
    /// How bad a loss would be.
    pub class: Class,
    /// Who answers for it.
    pub owner: Option<PersonId>,
    /// One sentence about it.
    pub note: String,
}

/// Whether verdicts bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Whoever is signed in gets through; what policy would have said is recorded.
    Observe,
    /// Policy decides.
    Enforce,
}

impl Mode {
    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// One line of the route table of an application: what a request counts as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRule {
    /// The methods it speaks of, upper case; empty means that the line speaks of the path alone.
    pub methods: BTreeSet<String>,
    /// The path: exact, or a prefix where it ends with `*`.
    pub path: String,
    /// What such a request counts as; `None` leaves it to the method.
    pub action: Option<Action>,
    /// The opt-outs of such requests; `None` leaves them to the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardening: Option<Hardening>,
}

impl RouteRule {
    fn speaks_of(&self, method: &str, path: &str) -> bool {
        let path_fits = match self.path.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == self.path,
        };
        path_fits && (self.methods.is_empty() || self.methods.contains(method))
    }
}

/// Which strict rules of the normaliser an application opts out of. All off unless the configuration says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent opt-out with a name of its own")]
pub struct Hardening {
    /// Forward `%2f` and `%5c` in a path as they are, instead of refusing them.
    pub allow_encoded_slash: bool,
    /// Merge `//` into `/`, instead of refusing it.
    pub merge_slashes: bool,
    /// Forward `;` in a path.
    pub allow_semicolon: bool,
    /// Drop header fields with an underscore in the name, instead of refusing the request.
    pub drop_underscore_headers: bool,
}

impl Hardening {
    /// Every opt-out. A path that is refused even so is refused everywhere.
    pub const OPEN: Self =
        Self { allow_encoded_slash: true, merge_slashes: true, allow_semicolon: true, drop_underscore_headers: true };

    /// Every opt-out by the name that the configuration gives it, and whether it is taken.
    #[must_use]
    pub const fn named(self) -> [(&'static str, bool); 4] {
        [
            ("allow_encoded_slash", self.allow_encoded_slash),
            ("merge_slashes", self.merge_slashes),
            ("allow_semicolon", self.allow_semicolon),
            ("drop_underscore_headers", self.drop_underscore_headers),
        ]
    }
}

/// The opt-outs of an application: its own, and those of the lines of its route table. By default there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct OptOuts<'a> {
    everywhere: Hardening,
    routes: &'a [RouteRule],
}

impl<'a> OptOuts<'a> {
    /// The same opt-outs for every request of a route table without any of its own, or of none.
    #[must_use]
    pub const fn new(everywhere: Hardening, routes: &'a [RouteRule]) -> Self {
        Self { everywhere, routes }
    }

    /// Those of the application, for what no line says otherwise about.
    #[must_use]
    pub const fn everywhere(&self) -> Hardening {
        self.everywhere
    }

    /// The line of the route table that a request belongs to; `None` if no line speaks of it.
    #[must_use]
    pub fn line(&self, method: &str, path: &str) -> Option<usize> {
        self.routes.iter().position(|r| r.speaks_of(method, path))
    }

    /// The opt-outs of a line.
    #[must_use]
    pub fn of(&self, line: Option<usize>) -> Hardening {
        line.and_then(|at| self.routes.get(at)).and_then(|r| r.hardening).unwrap_or(self.everywhere)
    }
}

impl From<Hardening> for OptOuts<'_> {
    fn from(everywhere: Hardening) -> Self {
        Self { everywhere, routes: &[] }
    }
}

/// An application behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its id.
    pub id: AppId,
    /// Its name, as people say it.
    pub name: String,
    /// The host names under which it is published.
    pub hosts: Vec<Host>,
    /// `http://host:port` of where it runs, or `tcp://host:port` where it is reached by tunnels alone.
    pub upstream: String,
    /// The site whose connectors dial it; `None` where the gateway dials it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<SiteId>,
    /// Whether verdicts bind.
    pub mode: Mode,
    /// How bad a loss would be: the highest class of its own and of its assets.
    pub class: Class,
    /// The assets that can be reached through it.
    pub assets: BTreeSet<AssetId>,
    /// Who answers for it.
    pub owner: Option<PersonId>,
    /// The route table; the first line that speaks of a request wins.
    pub routes: Vec<RouteRule>,
    /// Opt-outs from strict rules.
    pub hardening: Hardening,
}

/// How the upstream of an application begins that is reached by tunnels alone.
pub const TCP_SCHEME: &str = "tcp://";

impl Application {
    /// Whether it is reached by tunnels alone, and never over HTTP.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.upstream.starts_with(TCP_SCHEME)
    }

    /// What a request counts as: by the route table, else by the method. Opening a two-way stream (WebSocket) counts as
    /// writing unless the table says otherwise.
    #[must_use]
    pub fn action(&self, method: &str, path: &str, two_way: bool) -> Action {
        match self.route(method, path).and_then(|r| r.action) {
            Some(action) => action,
            None if two_way => Action::Write,
            None => Action::from_method(method),
        }
    }

    /// Its opt-outs, by route.
    #[must_use]
    pub fn opt_outs(&self) -> OptOuts<'_> {
        OptOuts::new(self.hardening, &self.routes)
    }

    /// The line of the route table that speaks of a request.
    #[must_use]
    pub fn route(&self, method: &str, path: &str) -> Option<&RouteRule> {
        self.routes.iter().find(|r| r.speaks_of(method, path))
    }
}

/// A group, and the groups that it is part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name, as people say it.
    pub name: String,
    /// Groups whose rights its members have too.
    pub parents: BTreeSet<GroupId>,
}

/// A person of the organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The id.
    pub id: PersonId,
    /// The name.
    pub name: String,
    /// The mail address; display only, never an identity.
    pub email: Option<String>,
    /// Direct groups.
    pub groups: BTreeSet<GroupId>,
    /// Whether the person may act at all.
    pub active: bool,
}

/// A host name: lower case, no port, no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(Arc<str>);

/// Why a text is not a host name.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[error("`{0}` is not a host name; write it in lower case, without scheme and port, as in wiki.example.com")]
pub struct HostError(pub String);

impl Host {
    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = HostError;

    /// Accepts DNS names in lower case and IPv4 addresses. Upper case is not canonical: the edge lowers before it parses.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let label_fits = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if text.is_empty() || text.len() > 253 || !text.split('.').all(label_fits) {
            return Err(HostError(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;
    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0.as_ref().to_owned()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(routes: Vec<RouteRule>) -> Application {
        Application {
            id: "wiki".parse().expect("id"),
            name: "Wiki".into(),
            hosts: vec![],
            upstream: "http://127.0.0.1:1".into(),
            connector: None,
            mode: Mode::Enforce,
            class: Class::Low,
            assets: BTreeSet::new(),
            owner: None,
            routes,
            hardening: Hardening::default(),
        }
    }

    fn route(methods: &[&str], path: &str, action: Action) -> RouteRule {
        let methods = methods.iter().map(|m| (*m).to_owned()).collect();
        RouteRule { methods, path: path.into(), action: Some(action), hardening: None }
    }

    #[test]
    fn the_opt_outs_of_a_line_stand_before_those_of_the_application() {
        let slash = Hardening { allow_encoded_slash: true, ..Hardening::default() };
        let mut a = app(vec![
            RouteRule { hardening: Some(slash), ..route(&["GET"], "/files/*", Action::Read) },
            RouteRule { action: None, hardening: Some(Hardening::default()), ..route(&[], "/strict", Action::Read) },
            route(&[], "/files/*", Action::Write),
        ]);
        a.hardening = Hardening { merge_slashes: true, ..Hardening::default() };
        let of = |method: &str, path: &str| {
            let all = a.opt_outs();
            all.of(all.line(method, path))
        };
        assert_eq!(of("GET", "/files/x"), slash, "whole, not added to those of the application");
        assert_eq!(of("POST", "/files/x"), a.hardening, "a line without its own has those of the application");
        assert_eq!(of("GET", "/strict"), Hardening::default(), "a line may be stricter");
        assert_eq!(of("GET", "/"), a.hardening);
        assert_eq!(
            a.action("POST", "/strict", false),
            Action::Write,
            "a line without an action leaves it to the method"
        );
        assert_eq!(Hardening::OPEN.named().iter().filter(|(_, taken)| *taken).count(), 4);
    }

    #[test]
    fn the_first_route_that_speaks_wins_else_the_method() {
        let a = app(vec![
            route(&["POST"], "/search", Action::Read),
            route(&[], "/admin/*", Action::Admin),
            route(&[], "/live", Action::Read),
        ]);
        for (method, path, two_way, action) in [
            ("POST", "/search", false, Action::Read),
            ("PUT", "/search", false, Action::Write),
            ("GET", "/admin/users", false, Action::Admin),
            ("GET", "/admin", false, Action::Read),
            ("GET", "/live", true, Action::Read),
            ("GET", "/other", true, Action::Write),
            ("GET", "/", false, Action::Read),
        ] {
            assert_eq!(a.action(method, path, two_way), action, "{method} {path}");
        }
    }

    #[test]
    fn hosts_are_canonical() {
        for good in ["wiki.example.com", "localhost", "127.0.0.1", "xn--bcher-kva.example"] {
            assert!(good.parse::<Host>().is_ok(), "{good}");
        }
        for bad in ["", "Wiki.example", "a..b", "wiki:80", "-a.b", "a-.b", "a_b", "a.b.", "https://a"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}
