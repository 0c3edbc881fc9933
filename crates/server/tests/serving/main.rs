//! The running server as its operators see it: probes, reloads under load, certificates, traces, upgrades.
#![expect(clippy::panic, reason = "a test that cannot go on panics")]

mod acme;
mod bench;
mod locks;
mod probes;
mod reload;
mod traces;
mod upgrade;
