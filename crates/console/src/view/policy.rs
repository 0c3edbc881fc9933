//! Rules, proposals and rehearsals.

use safeconduct_model::{AppId, Mode, Reason, RuleId, Timestamp};

use super::{Link, Share};

/// The rules that bind.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The revision that answers.
    pub revision: u64,
    /// When it was published, and by whom; `None` if it came with the configuration.
    pub published: Option<(Timestamp, String)>,
    /// Every rule.
    pub rules: Vec<RuleRow>,
    /// The result of the policy tests.
    pub tests: Tests,
    /// Proposals, the newest first.
    pub proposals: Vec<ProposalRow>,
    /// Every application, to propose a rule for.
    pub apps: Vec<ProposeApp>,
}

/// Whether a rule opens or shuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It opens.
    Permit,
    /// It shuts, whatever else opens.
    Forbid,
}

/// The sentence of a rule in five parts. A part that the rule does not speak of is `None`: "anyone", "at any time".
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FiveWs {
    /// Who: "people of Finance".
    pub who: Option<String>,
    /// What: "read the Q3 ledger".
    pub what: Option<String>,
    /// When: "Monday to Friday, 08:00 to 18:00".
    pub when: Option<String>,
    /// Where: "from a managed device with endpoint protection".
    pub place: Option<String>,
    /// Why: "for quarter-end-close".
    pub why: Option<String>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleRow {
    /// Its id.
    pub id: RuleId,
    /// Whether it opens or shuts.
    pub effect: Effect,
    /// Whom it binds, in words, as long as it does not bind everybody.
    pub stage: Option<String>,
    /// Its sentence.
    pub sentence: FiveWs,
    /// Its text.
    pub cedar: String,
    /// The applications it speaks of, and whether verdicts bind there.
    pub apps: Vec<(Link, Mode)>,
    /// How many verdicts it gave in `days`.
    pub matches: u64,
    /// The days that `matches` counts.
    pub days: u32,
    /// Its last match.
    pub last: Option<Timestamp>,
    /// Where it is written: file and line.
    pub source: String,
}

/// The result of policy tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    /// How many held.
    pub passed: u64,
    /// Those that did not.
    pub failed: Vec<TestFailure>,
}

/// A policy test that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    /// Its name.
    pub name: String,
    /// What it expects.
    pub expected: String,
    /// What policy said.
    pub got: String,
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalState {
    /// It waits for a person.
    Open,
    /// It binds.
    Published,
    /// It was set aside.
    Discarded,
}

/// A proposal in a list.
#[derive(Clone, Debug)]
pub struct ProposalRow {
    /// Its id.
    pub id: String,
    /// For which application.
    pub app: Link,
    /// When it was made.
    pub made: Timestamp,
    /// By whom.
    pub by: String,
    /// What became of it.
    pub state: ProposalState,
    /// How many rules.
    pub rules: u64,
    /// How much of the observed use it covers.
    pub coverage: Share,
}

/// An application to propose a rule for.
#[derive(Clone, Debug)]
pub struct ProposeApp {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: String,
    /// Whether verdicts bind.
    pub mode: Mode,
    /// How many rules speak of it.
    pub rules: u64,
    /// How many requests were observed in the last 30 days.
    pub observed: u64,
    /// How many of them policy denies, or would.
    pub unmatched: u64,
}

/// A proposal with everything that is needed to judge it.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Its id.
    pub id: String,
    /// For which application.
    pub app: Link,
    /// When it was made.
    pub made: Timestamp,
    /// By whom, or from what.
    pub by: String,
    /// What became of it.
    pub state: ProposalState,
    /// The rules.
    pub rules: Vec<ProposedRule>,
    /// From when the use was observed.
    pub since: Timestamp,
    /// How much of the observed use it covers.
    pub coverage: Share,
    /// How much of what it grants nobody used: combinations unused out of granted.
    pub over_grant: Share,
    /// How the rules did on use that they were not written from; `None` if that was not measured.
    pub measured: Option<Measured>,
    /// What happens to the past under it; `None` if it was not rehearsed.
    pub rehearsal: Option<Rehearsal>,
    /// Whether the policy tests hold with it.
    pub tests: Tests,
    /// What publication does to live connections.
    pub live: LiveEffect,
    /// Whether publication also turns enforcement on.
    pub enforces: bool,
    /// Why it cannot be published by this visitor now; `None` if it can.
    pub barred: Option<String>,
}

/// How rules written the same way did on use that they were not written from, and what no figure shows.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// One row for each part of the window on which rules from the part before were tried, the last part first.
    pub splits: Vec<Split>,
    /// Weighted structural complexity.
    pub complexity: u64,
    /// The least reliability of a rule, in hundredths.
    pub least_reliability: Option<u64>,
    /// After how many days the rules came out as they are.
    pub stable_after: Option<u64>,
    /// The weight of the application.
    pub weight: u64,
    /// What is kept, what cannot be judged, whether it only narrows.
    pub notes: Vec<String>,
    /// What the figures do not show.
    pub blind: Vec<String>,
}

/// Rules from the days before, tried on the days after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Days that were mined.
    pub train_days: u64,
    /// Days on which the result was tried.
    pub test_days: u64,
    /// Uses that would have been denied, of all that were needed.
    pub under: Share,
    /// Combinations that nobody used, of all that were granted.
    pub over: Share,
}

/// A proposed rule.
#[derive(Clone, Debug)]
pub struct ProposedRule {
    /// Its id.
    pub id: String,
    /// Whether it opens or shuts.
    pub effect: Effect,
    /// Its sentence.
    pub sentence: FiveWs,
    /// Its text.
    pub cedar: String,
    /// What it was made from, in words.
    pub basis: String,
}

/// A change tried on history.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// How many requests were decided again.
    pub replayed: u64,
    /// Requests that would now be denied.
    pub newly_denied: Shift,
    /// Requests that would now be allowed.
    pub newly_allowed: Shift,
}

/// Requests that go the other way.
#[derive(Clone, Debug, Default)]
pub struct Shift {
    /// How many requests.
    pub count: u64,
    /// By person, the most first.
    pub by_person: Vec<(Link, u64)>,
    /// By application, the most first.
    pub by_app: Vec<(Link, u64)>,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A request that goes the other way.
#[derive(Clone, Debug)]
pub struct Example {
    /// Its place in the ledger.
    pub seq: u64,
    /// When it was.
    pub at: Timestamp,
    /// Who asked.
    pub who: Link,
    /// What was asked: "read /reports/q3".
    pub what: String,
    /// Why it would be denied; `None` if it would be allowed.
    pub reason: Option<Reason>,
}

/// What publication does to live connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveEffect {
    /// Connections that are decided again.
    pub decided_again: u64,
    /// Connections that end.
    pub ends: u64,
    /// Of how many people.
    pub people: u64,
}
