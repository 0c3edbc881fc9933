//! Maturity computed from evidence: framework files, metrics, intervals, reports.
//!
//! A framework is data ([`load_framework`]). Evidence is measurements with their populations, the sources that deliver, and
//! signed statements. [`evaluate`] holds one against the other, as of an instant that is handed in, and gives each row an
//! interval: what is proven, and what is possible. Unknown never counts as no and never as yes. [`Metrics`] computes the
//! figures that the gateway itself can prove from its ledger.
//!
//! What it does not do: it reads no file, no clock and no database, and it never averages.
//!
//! ```
//! use safeconduct_assess::{Evidence, Stage, evaluate, load_framework};
//! use safeconduct_model::Timestamp;
//!
//! let text = include_str!("../../../frameworks/cisa-ztmm-2.0.toml");
//! let framework = load_framework("cisa-ztmm-2.0.toml", text).expect("the file of the product is valid");
//! let nothing = evaluate(&framework, &Evidence::default(), Timestamp::default());
//! assert!(nothing.rows.iter().all(|r| r.proven == Stage::Traditional && r.possible == Stage::Optimal));
//! ```

mod evaluate;
mod evidence;
mod framework;
mod load;
mod metrics;
#[cfg(test)]
mod metrics_tests;
mod read;
mod report;
#[cfg(test)]
mod tests;

pub use evaluate::{Assessment, Finding, Mix, RollUp, RowResult, Truth, evaluate};
pub use evidence::{Attestation, Evidence, Measurement, OutOfScope};
pub use framework::{
    Bar, Class, Condition, Criterion, Framework, Kind, Metric, Pillar, Quantifiers, Row, Source, Stage, Statistic,
    Test, Unit,
};
pub use load::{MAX_FILE, load_framework};
pub use metrics::{
    Alike, Estate, GrantSpan, Integrity, MAX_DELAYS, MAX_DEVICES, MAX_RULE_SETS, MAX_SESSIONS, MAX_USER_DAYS, Metrics,
    RuleShape,
};
pub use report::{Move, bar, compare};

/// CISA's Zero Trust Maturity Model 2.0 in our own words, with our own thresholds: the framework file of the product.
pub const CISA_ZTMM: &str = include_str!("../../../frameworks/cisa-ztmm-2.0.toml");
