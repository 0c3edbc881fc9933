//! `conformance NAME`: the real program against what a standard asks of it. Prints a table, writes
//! `target/conformance/NAME.json`, and fails if anything does not hold.

mod authzen;
mod cases;
mod stage;

pub(crate) use authzen::run as authzen;
