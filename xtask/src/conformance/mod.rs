//! `conformance NAME`: tests that others wrote. Each prints a table and writes `target/conformance/NAME.json`.

mod cedar;

pub(crate) use cedar::cedar;
