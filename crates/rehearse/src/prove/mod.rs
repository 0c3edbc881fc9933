//! Proofs over rules, without a solver: "the candidate permits no more", rules that do nothing, standing invariants.
//!
//! The facts of the five Ws are truth values, bounded numbers, texts, addresses and memberships. A rule is a union of
//! regions of that space, one set of values for each fact; a question is whether a point lies in some regions and
//! outside others. Applications and kinds of use are known, so each pair is a question of its own, and of two rule sets only
//! the rules that differ are looked at. The answer is exact, dependencies between facts included.
//!
//! What lies outside the fragment (arithmetic, a comparison of two facts) is a truth value of which nothing is known. That
//! may leave a question open, which is then said with rule, line and reason; it never makes a wrong answer. Whatever is shown
//! as a counterexample is a whole request, and the engine was asked about it.
//!
//! Not part of any proof: whether the gateway builds the request rightly. The network's name and the address are two facts
//! here, and so are the method and the kind of use, although the gateway derives one from the other.

mod compile;
mod hunt;
mod instant;
mod may;
mod more;
mod numbers;
mod outcome;
mod pattern;
mod reach;
mod region;
mod search;
mod side;
mod standing;
mod texts;
mod witness;
mod words;

pub use may::{Question, Reach, Reached, may};
pub use more::{BothWays, Relation, both_ways, permits_no_more};
pub use outcome::{Counterexample, Effort, Outcome, Proof, RuleAt, Unproven};
pub use reach::{Because, Overlap, Unreachable, overlaps, unreachable};
pub use standing::{Invariants, Standing};
pub use witness::Moment;
