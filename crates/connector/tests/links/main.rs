//! Both ends in one process: a house that keeps its roll in memory, connectors with real TLS between.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "these are tests")]

mod common;
mod failures;
mod identity;
mod streams;
mod upstream_tls;
