//! The running server as its operators see it: probes, reloads under load.
#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, and one that is skipped says so"
)]

mod acme;
mod bench;
mod probes;
mod reload;
mod traces;
mod upgrade;
