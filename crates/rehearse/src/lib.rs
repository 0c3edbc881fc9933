//! Changes tried before they bind: a candidate replayed on history, two snapshots compared, and rules mined from use.
//!
//! - [`replay`] decides every recorded ask again and lists what would be newly denied and newly allowed; [`compare`] does the
//!   same between two snapshots; [`difference`] compares their rules.
//! - [`prove`] shows for every request that there can be that a candidate permits no more, or shows the request; [`lint`] finds
//!   rules that are valid and odd.
//! - [`propose`] writes a readable rule set for one application from observed use, with its figures, its fixtures and
//!   everything that it leaves out.
//!
//! What it does not do: it reads no file and no clock, and it publishes nothing. Who proposes a change never applies it.
//!
//! ```
//! use safeconduct_model::Entry;
//! use safeconduct_policy::{PolicyText, Snapshot, Sources};
//! use safeconduct_rehearse::replay;
//!
//! let line = r#"{"seq":7,"at":1790776920000,"kind":"access","decided":1790776920000,"verdict":"permit",
//!     "until":1790780520000,"mode":"enforce","revision":1,
//!     "ask":{"request":"r1","who":{"principal":{"person":"ada"},
//!              "auth":{"session":"s1","methods":["passkey"],"at":1790776000000,"until":1790780520000}},
//!            "what":{"app":"wiki","action":"read","method":"GET","path":"/"},"place":{"ip":"10.0.0.7"}}}"#;
//! let entry: Entry = serde_json::from_str(line)?;
//! let candidate = Snapshot::build(2, Sources {
//!     policies: vec![PolicyText { file: "none.cedar".into(), text: String::new() }],
//!     applications: vec![], assets: vec![], zone: jiff::tz::TimeZone::UTC,
//! }).expect("an empty set is valid");
//!
//! let rehearsal = replay([entry], &candidate);
//! assert_eq!(rehearsal.newly_denied.total, 1);
//! assert_eq!(rehearsal.newly_denied.examples[0].after, "denied (unknown_application)");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod answer;
mod difference;
mod history;
mod lint;
mod mine;
pub mod prove;
mod replay;
#[cfg(test)]
mod tests;
mod words;

pub use answer::Answer;
pub use difference::{AppChange, Difference, RuleChange, RuleText, difference};
pub use history::History;
pub use lint::{EXPIRES_SOON, Level, Lint, Linting, Matches, lint};
pub use mine::{
    BREAK_GLASS, Baseline, Conditions, Directory, Draft, Figures, Kept, LEAST_WINDOW_DAYS, LeftOut, LeftOutBecause,
    MAX_USES, MIN_RELIABILITY, Measured, Narrowing, Observed, Period, Proposal, ProposeError, ProposedRule,
    Reliability, Season, Settings, Split, Target, Today, WINDOW_DAYS, Within, is_exceptional, is_superseded, propose,
    propose_within, weight,
};
pub use replay::{
    AT_ONCE, Against, Changes, Coverage, EXAMPLES, Example, MAX_NAMES, Options, Rehearsal, compare, rehearse, replay,
};
