//! What is measured: who stands between the load and the upstream, and over which protocols.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::process::Running;

/// The host under which everything is served.
pub(crate) const HOST: &str = "app.bench.localhost";

/// Who is measured. The order is that of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Direct,
    Nginx,
    Haproxy,
    Envoy,
    /// Ours, observing, without a rule.
    Bare,
    /// Ours with one rule.
    One,
    /// Ours with ten thousand rules and a hundred thousand people and groups.
    Many,
}

impl Who {
    pub(crate) const ALL: [Self; 7] =
        [Self::Direct, Self::Nginx, Self::Haproxy, Self::Envoy, Self::Bare, Self::One, Self::Many];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy, jwt_authn and RBAC",
            Self::Bare => "Safeconduct, no rule",
            Self::One => "Safeconduct, one rule",
            Self::Many => "Safeconduct, 10 000 rules",
        }
    }
}

/// The protocol of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Http {
    One,
    Two,
}

/// The size of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Size {
    Small,
    Large,
}

impl Size {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Small => "/1k",
            Self::Large => "/64k",
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Small => 1_024,
            Self::Large => 65_536,
        }
    }
}

/// One way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub http: Http,
    pub tls: bool,
    pub size: Size,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for http in [Http::One, Http::Two] {
            for tls in [false, true] {
                all.extend([Size::Small, Size::Large].map(|size| Self { http, tls, size }));
            }
        }
        all
    }

    pub(crate) fn name(self) -> String {
        let http = if self.http == Http::One { "HTTP/1.1" } else { "HTTP/2" };
        let size = if self.size == Size::Small { "1 KB" } else { "64 KB" };
        format!("{http}, {size}, TLS {}", if self.tls { "on" } else { "off" })
    }
}

/// Someone who is up and answers.
pub(crate) struct Contestant {
    pub who: Who,
    /// Keeps it up.
    pub running: Running,
    /// Where HTTP/1.1 is served without TLS.
    pub plain: Option<SocketAddr>,
    /// Where HTTP/2 is served without TLS.
    pub plain2: Option<SocketAddr>,
    /// Where TLS is served.
    pub tls: SocketAddr,
    /// The authority of its certificate.
    pub ca: PathBuf,
    /// What the requests carry so that they are let in.
    pub credentials: Vec<(String, String)>,
}

impl Contestant {
    /// Where a case is served; none if it is not.
    pub(crate) fn at(&self, case: Case) -> Option<SocketAddr> {
        match (case.tls, case.http) {
            (true, _) => Some(self.tls),
            (false, Http::One) => self.plain,
            (false, Http::Two) => self.plain2,
        }
    }
}
