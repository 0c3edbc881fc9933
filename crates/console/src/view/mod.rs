//! What each page shows, as plain data. Ids, names, counts and instants; no HTML, no sentence that a page can build.

mod assess;
mod connectors;
mod denied;
mod locks;
mod machine;
mod map;
mod me;
mod overview;
mod policy;
mod protect;
mod things;
mod verdict;
mod watch;

use std::fmt;

use safeconduct_access::Visitor;
use safeconduct_model::{AppId, AssetId, DeviceId, GroupId, PersonId, RuleId, Timestamp};

pub use assess::{Assess, Criterion, EvidenceMix, Kind, MaturityRow, Pillar, Stage, Truth};
pub use connectors::{ConnectorRow, ConnectorState};
pub use denied::{Denied, Problem};
pub use locks::{LockForm, LockPlaced, LockRow};
pub use machine::{Machine, MachineAsked};
pub use map::{Asker, Flow, Map, MapApp, MapAsset, MapQuery, Via};
pub use me::{
    Home, MyDevice, MyDevices, MySession, Opens, Outcome, Passkey, PasswordForm, Provider, PurposeForm, Security,
    Setup, SetupForm, SignIn, StepUp, Tile, Totp, Why,
};
pub use overview::{Better, Figure, Measure, Move, Overview, Room, Step, Today};
pub use policy::{
    Effect, Example, FiveWs, LiveEffect, Measured, Policy, Proposal, ProposalRow, ProposalState, ProposeApp,
    ProposedRule, Rehearsal, RuleRow, Shift, Split, TestFailure, Tests,
};
pub use protect::{AssetRow, Exposure, Protect};
pub use things::{
    App, AppRow, CheckResult, Device, DeviceRow, Fact, Health, OptOut, Part, PartState, Person, PersonRow, Usage,
};
pub use verdict::{Again, Box5, Lease, Proof, ReadFact, SpokenRule, Verdict, W};
pub use watch::{Answered, CutRow, SessionRow, VerdictRow, Watch, WatchQuery};

/// What every page shows around its own matter.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Who looks; `None` before sign-in.
    pub visitor: Option<Visitor>,
    /// The instant at which the page is made; ages count from here.
    pub now: Timestamp,
    /// The name of the organisation.
    pub organisation: String,
    /// The path of the page, to mark the place in the navigation.
    pub path: String,
    /// The query of the page, decoded.
    pub query: Vec<(String, String)>,
    /// Where the style sheet and the script are served: `/assets` on the portal, `/.safeconduct/assets` elsewhere.
    pub assets: String,
}

impl Frame {
    /// The first value of a key of the query; `None` if it is absent or empty.
    #[must_use]
    pub fn param(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// The token for forms; empty before sign-in.
    #[must_use]
    pub fn csrf(&self) -> &str {
        self.visitor.as_ref().map_or("", |v| v.csrf.as_str())
    }
}

/// A name that leads to its page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// What is read.
    pub text: String,
    /// Where it leads; `None` where there is no page.
    pub href: Option<String>,
}

impl Link {
    /// A name without a page.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), href: None }
    }
    /// A name that leads to `href`, a path of the portal or an `http` address.
    #[must_use]
    pub fn to(text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { text: text.into(), href: Some(href.into()) }
    }
    /// A person.
    #[must_use]
    pub fn person(id: &PersonId, name: impl Into<String>) -> Self {
        Self::to(name, format!("/console/people/{id}"))
    }
    /// A group: the people in it.
    #[must_use]
    pub fn group(id: &GroupId, name: impl Into<String>) -> Self {
        Self::to(name, format!("/console/people?q={id}"))
    }
    /// A device.
    #[must_use]
    pub fn device(id: &DeviceId, name: impl Into<String>) -> Self {
        Self::to(name, format!("/console/devices/{id}"))
    }
    /// An application.
    #[must_use]
    pub fn app(id: &AppId, name: impl Into<String>) -> Self {
        Self::to(name, format!("/console/apps/{id}"))
    }
    /// An asset.
    #[must_use]
    pub fn asset(id: &AssetId, name: impl Into<String>) -> Self {
        Self::to(name, format!("/console/protect#asset-{id}"))
    }
    /// A rule.
    #[must_use]
    pub fn rule(id: &RuleId) -> Self {
        Self::to(id.as_str(), format!("/console/policy#rule-{id}"))
    }
    /// The record of a verdict.
    #[must_use]
    pub fn verdict(seq: u64) -> Self {
        Self::to(format!("#{seq}"), format!("/console/verdicts/{seq}"))
    }
}

/// A part of a whole: the numerator never stands without its denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Share {
    /// How many.
    pub of: u64,
    /// Out of how many.
    pub all: u64,
}

impl Share {
    /// `of` out of `all`.
    #[must_use]
    pub const fn new(of: u64, all: u64) -> Self {
        Self { of, all }
    }
    /// As a fraction from 0 to 1; `None` of nothing.
    #[must_use]
    pub fn ratio(self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a picture needs no more than 52 bits")]
        (self.all > 0).then(|| (self.of as f64 / self.all as f64).clamp(0.0, 1.0))
    }
}

/// What an action did, in words with its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// One line: "Cut 2 connections of Ada Lovelace in 41 ms."
    pub title: String,
    /// What else happened.
    pub details: Vec<String>,
    /// Where to go on.
    pub next: Link,
}

/// A text that must not be printed: a password or a code on its way in.
#[derive(Clone, Default)]
pub struct Hidden(String);

impl Hidden {
    /// Takes the text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }
    /// The text, for the one who checks it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
