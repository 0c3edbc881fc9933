//! `conformance NAME`: against what a standard asks, and through tests that others wrote. Each prints a table, writes
//! `target/conformance/NAME.json`, and fails if anything does not hold.

mod authzen;
mod cases;
mod cedar;
mod negative;
mod rows;
mod stage;

pub(crate) use authzen::run as authzen;
pub(crate) use cedar::cedar;
pub(crate) use negative::negative;
