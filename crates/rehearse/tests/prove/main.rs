//! Proofs against trying everything, against sets whose truth is known by how they were made, and one by one.

mod cases;
mod common;
mod generated;
mod generator;
mod universe;
