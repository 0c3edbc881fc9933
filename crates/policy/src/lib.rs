//! Policy: Cedar text in, a checked snapshot out, and [`Snapshot::decide`], which answers every ask.
//!
//! What it does not do: it reads no file, no clock and no network; `now` is an argument, and everything a rule may read is in
//! the [`Ask`](safeconduct_model::Ask).
//!
//! ```
//! use safeconduct_model::Timestamp;
//! use safeconduct_policy::{PolicyText, Snapshot, Sources};
//!
//! let rules = r#"
//!     @id("wiki-readers")
//!     permit(principal in Group::"staff", action == Action::"read", resource)
//!     when { context.device.managed && context.minute >= 480 && context.minute < 1080 };
//! "#;
//! let snapshot = Snapshot::build(1, Sources {
//!     policies: vec![PolicyText { file: "wiki.cedar".into(), text: rules.into() }],
//!     applications: vec![],
//!     assets: vec![],
//!     zone: jiff::tz::TimeZone::UTC,
//! }).expect("the rules pass strict validation");
//! assert_eq!(
//!     snapshot.rules()[0].five_ws().sentence(),
//!     "People in staff may read every application, from 08:00 until 18:00, from a managed device."
//! );
//! ```

mod bulk;
mod calendar;
mod cedar;
mod coverage;
mod ends;
pub mod engine;
mod explain;
mod explanation;
mod expr;
mod facts;
mod fixture;
#[doc(hidden)]
pub mod fuzzing;
mod load;
mod locked;
mod numbered;
mod remedies;
mod rollout;
mod rule;
mod snapshot;
pub mod store;
mod verdict;
mod view;
mod words;

pub use bulk::{Bulk, Line};
pub use cedar::SCHEMA;
pub use coverage::{AtomCoverage, Coverage, Part, RuleCoverage};
pub use explanation::{Explanation, NEAREST, Near, Spoke};
pub use expr::{Compare, Expr};
pub use facts::OTHER_NETWORK;
pub use fixture::{Fixture, FixtureFailure, FixtureText, People, parse_fixtures, run_fixtures};
pub use load::PolicyText;
pub use rollout::{Count, JUMP_PERCENT, LEAST_ASKED, Rollback, Rollout, WINDOW_MINUTES, shadowed};
pub use rule::{Effect, Rule, Scope, Stage};
pub use snapshot::{Snapshot, Sources};
pub use verdict::{Denial, Grounds, Permit, Verdict};
pub use words::{FiveWs, condition};
