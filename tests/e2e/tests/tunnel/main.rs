//! What a person at a terminal meets: the real program signs in and opens tunnels, to a real server with real listeners. The
//! proofs of the tests are made here, by code that shares nothing with ours.
//!
//! They need the binary alone (`cargo build -p safeconduct`), no browser.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "these are tests")]

mod cut;
mod denied;
mod login;
mod postgres;
mod stage;
mod through;
