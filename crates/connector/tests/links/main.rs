//! Both ends in one process: a house that keeps its roll in memory, connectors with real TLS between.

mod common;
mod failures;
mod identity;
mod streams;
