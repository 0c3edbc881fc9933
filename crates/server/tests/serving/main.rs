//! The running server as its operators see it: probes, reloads under load.
#![expect(clippy::panic, reason = "a test that cannot go on panics")]

mod bench;
mod probes;
mod reload;
mod traces;
