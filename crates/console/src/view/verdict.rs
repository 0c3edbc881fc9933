//! The record of one verdict.

use safeconduct_model::{Action, CutCause, Failing, Mode, Reason, Remedy, RequestId, Timestamp};

use super::{Answered, Effect, Link};

/// The record of one verdict.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How it was answered.
    pub answered: Answered,
    /// When it was decided.
    pub at: Timestamp,
    /// The local time of day and the day, in words: "14:02 on Wednesday, 30 September".
    pub clock: String,
    /// Who asked; the name.
    pub who: Link,
    /// What kind of use.
    pub action: Action,
    /// Which application.
    pub app: Link,
    /// The method and the path.
    pub request_line: String,
    /// From which device, as people say it: "the managed laptop lt-07".
    pub device: Option<Link>,
    /// What for, as people say it.
    pub purpose: Option<String>,
    /// Whether the verdict bound.
    pub mode: Mode,
    /// Why not.
    pub reason: Option<Reason>,
    /// Five boxes in the order of [`W`].
    pub boxes: Vec<Box5>,
    /// The rules that spoke, or that came nearest.
    pub rules: Vec<SpokenRule>,
    /// The lock that denied it, with its target and its message.
    pub lock: Option<Link>,
    /// What would have made it allowed, cheapest first.
    pub remedies: Vec<Remedy>,
    /// The lease, if it was allowed.
    pub lease: Option<Lease>,
    /// Where it is recorded and how that is known.
    pub proof: Proof,
    /// What today's policy says, if that was asked.
    pub again: Option<Again>,
}

/// One of the five questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum W {
    /// Who.
    Who,
    /// What.
    What,
    /// When.
    When,
    /// Where.
    Where,
    /// Why.
    Why,
}

impl W {
    /// The five in their order.
    pub const ALL: [Self; 5] = [Self::Who, Self::What, Self::When, Self::Where, Self::Why];

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Who => "Who",
            Self::What => "What",
            Self::When => "When",
            Self::Where => "Where",
            Self::Why => "Why",
        }
    }
}

/// One of the five boxes.
#[derive(Clone, Debug)]
pub struct Box5 {
    /// Which question.
    pub w: W,
    /// The answer in a few words.
    pub answer: Link,
    /// The facts behind it.
    pub facts: Vec<ReadFact>,
}

/// A fact as it was at the decision.
#[derive(Clone, Debug)]
pub struct ReadFact {
    /// Its name, in words.
    pub name: String,
    /// Its value, in words; `None` if it was missing.
    pub value: Option<String>,
    /// Where it came from: "session", "posture report", "configuration".
    pub source: String,
    /// When it was established; `None` if it has no age.
    pub since: Option<Timestamp>,
    /// Whether a rule read it.
    pub read: bool,
    /// Whether it made a condition fail.
    pub failed: bool,
}

/// A rule that spoke, or came nearest.
#[derive(Clone, Debug)]
pub struct SpokenRule {
    /// The rule.
    pub rule: Link,
    /// Whether it opens or shuts.
    pub effect: Effect,
    /// Whether its conditions held.
    pub held: bool,
    /// Its text at the revision that answered; empty if that is no longer at hand.
    pub cedar: String,
    /// The conditions that did not hold.
    pub failing: Vec<Failing>,
}

/// How long a permit holds.
#[derive(Clone, Debug)]
pub struct Lease {
    /// On what it rests: "session s-81 of Ada", "posture of lt-07".
    pub rests_on: Vec<Link>,
    /// Until when at the latest.
    pub until: Timestamp,
    /// How it ended; `None` while it lives or if it was one request.
    pub ended: Option<(Timestamp, CutCause)>,
}

/// Where it is recorded and how that is known.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The place in the ledger.
    pub seq: u64,
    /// The request.
    pub request: RequestId,
    /// The revision of the snapshot that answered.
    pub revision: u64,
    /// The hash of the record, hexadecimal.
    pub hash: String,
    /// The hash of the record in front, hexadecimal.
    pub previous: String,
    /// The next checkpoint that covers it, in words; `None` if there is none yet.
    pub checkpoint: Option<String>,
    /// How long the decision took, in microseconds.
    pub took_us: u32,
}

/// What today's policy says to the same question.
#[derive(Clone, Debug)]
pub struct Again {
    /// The revision that answers now.
    pub revision: u64,
    /// Whether it says yes.
    pub permitted: bool,
    /// Why not.
    pub reason: Option<Reason>,
    /// The rules that speak now.
    pub rules: Vec<Link>,
}
