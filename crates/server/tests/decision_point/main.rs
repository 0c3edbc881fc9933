//! The decision point of a running server: as programs ask it, and as nginx and Envoy do.
#![expect(clippy::panic, reason = "a test that cannot go on panics")]

mod certificates;
mod envoy;
mod forwarded;
mod nginx;
mod stage;
mod stores;
