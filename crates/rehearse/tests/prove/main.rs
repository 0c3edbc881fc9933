//! Proofs against trying everything, against sets whose truth is known by how they were made, and one by one.
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

mod cases;
mod common;
mod generated;
mod generator;
mod may;
mod universe;
