//! Everything about one application, person or device; and the health of the system.

use std::collections::BTreeSet;

use safeconduct_model::{AppId, Check, Class, DeviceId, Method, Mode, PersonId, Timestamp};

use super::{CutRow, Link, SessionRow, Share, VerdictRow};

/// A fact with its source and age.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Link,
    /// Where it comes from.
    pub source: String,
    /// When it was established.
    pub since: Option<Timestamp>,
}

/// Use in counts.
#[derive(Clone, Debug)]
pub struct Usage {
    /// The other side: the person, group or application.
    pub other: Link,
    /// Requests that policy allowed.
    pub allowed: u64,
    /// Requests that policy denied, or would have.
    pub denied: u64,
    /// The last of them.
    pub last: Option<Timestamp>,
}

/// An application in a list.
#[derive(Clone, Debug)]
pub struct AppRow {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Where people open it.
    pub address: String,
    /// Whether verdicts bind.
    pub mode: Mode,
    /// How bad a loss would be.
    pub class: Class,
    /// Who answers for it.
    pub owner: Option<Link>,
    /// How many rules speak of it.
    pub rules: u64,
    /// How many people used it in 30 days.
    pub people: u64,
    /// Requests that policy allows, of those observed in 30 days.
    pub covered: Share,
}

/// One application.
#[derive(Clone, Debug)]
pub struct App {
    /// As in the list.
    pub row: AppRow,
    /// Facts.
    pub facts: Vec<Fact>,
    /// Assets behind it.
    pub assets: Vec<(Link, Class)>,
    /// Rules that speak of it.
    pub rules: Vec<Link>,
    /// What it opts out of.
    pub opt_outs: Vec<OptOut>,
    /// Who uses it.
    pub usage: Vec<Usage>,
    /// Live sessions on it.
    pub sessions: Vec<SessionRow>,
    /// Recent verdicts.
    pub verdicts: Vec<VerdictRow>,
}

/// A strict rule of the gateway that an application, or a route of it, opts out of.
#[derive(Clone, Debug)]
pub struct OptOut {
    /// The route, as methods and path; `None` for every request that no route says otherwise about.
    pub route: Option<String>,
    /// The name of the opt-out in the configuration.
    pub name: &'static str,
    /// Whether it is taken; a route may also be stricter than its application.
    pub taken: bool,
}

/// A person in a list.
#[derive(Clone, Debug)]
pub struct PersonRow {
    /// The id.
    pub id: PersonId,
    /// The name.
    pub name: String,
    /// Groups, direct ones.
    pub groups: Vec<Link>,
    /// Whether the person may act at all.
    pub active: bool,
    /// Ways to sign in that are set up.
    pub methods: BTreeSet<Method>,
    /// Devices.
    pub devices: u64,
    /// Live sessions.
    pub sessions: u64,
    /// When last seen.
    pub last: Option<Timestamp>,
}

/// One person.
#[derive(Clone, Debug)]
pub struct Person {
    /// As in the list.
    pub row: PersonRow,
    /// Facts.
    pub facts: Vec<Fact>,
    /// Applications used.
    pub usage: Vec<Usage>,
    /// Devices.
    pub devices: Vec<DeviceRow>,
    /// Live sessions.
    pub sessions: Vec<SessionRow>,
    /// Recent verdicts.
    pub verdicts: Vec<VerdictRow>,
    /// Recent cuts.
    pub cuts: Vec<CutRow>,
}

/// A device in a list.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// The id.
    pub id: DeviceId,
    /// The name.
    pub name: String,
    /// Whose.
    pub owner: Option<Link>,
    /// Whether the organisation manages it.
    pub managed: bool,
    /// Whether every required check passes in a report that counts.
    pub compliant: bool,
    /// The last report.
    pub reported: Option<Timestamp>,
    /// The required checks that do not pass.
    pub failing: BTreeSet<Check>,
    /// When last used.
    pub last: Option<Timestamp>,
}

/// One device.
#[derive(Clone, Debug)]
pub struct Device {
    /// As in the list.
    pub row: DeviceRow,
    /// Facts.
    pub facts: Vec<Fact>,
    /// Every check.
    pub checks: Vec<CheckResult>,
    /// When the last report stops counting.
    pub fresh_until: Option<Timestamp>,
    /// Live sessions from it.
    pub sessions: Vec<SessionRow>,
    /// Recent verdicts.
    pub verdicts: Vec<VerdictRow>,
}

/// The state of one check.
#[derive(Clone, Copy, Debug)]
pub struct CheckResult {
    /// Which check.
    pub check: Check,
    /// Whether it passes in a report that counts.
    pub passes: bool,
    /// Whether it is required.
    pub required: bool,
}

/// The health of the system.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Its parts.
    pub parts: Vec<Part>,
    /// Version and build.
    pub version: String,
    /// Since when it runs.
    pub started: Timestamp,
}

/// A part of the system.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: PartState,
    /// In words, with numbers.
    pub detail: String,
    /// What to do, if something is wrong.
    pub remedy: Option<String>,
    /// When it was checked.
    pub at: Option<Timestamp>,
}

/// The state of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// It works.
    Works,
    /// It works, but someone should look.
    Degraded,
    /// It does not work.
    Fails,
}
