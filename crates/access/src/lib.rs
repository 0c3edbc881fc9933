//! Leases: sessions, step-up, grants, and the index that says which live connections rest on a fact.
mod visitor;
pub use visitor::Visitor;
