//! The verifier: reads a ledger from front to back and names the first place that is wrong.
//!
//! It is written from the description of the format alone and shares no code with the writer: its own hexadecimal, its own
//! scanner, its own text under the signature. It needs the public key only, keeps one line in memory, and never panics on any
//! input.

mod fault;
mod line;
mod marks;
#[cfg(test)]
mod tests;
mod walk;

use std::io::{self, BufRead};

use crate::Head;
pub use fault::{Fault, Finding};
use walk::Walk;

/// What the verifier found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many records are right, from the front.
    pub records: u64,
    /// How many segments were entered.
    pub segments: u32,
    /// How many bytes are right.
    pub bytes: u64,
    /// How many checkpoints are right.
    pub checkpoints: u64,
    /// The last record that a checkpoint covers; records behind it are chained but not signed yet.
    pub signed_to: Option<u64>,
    /// The end of what is right.
    pub head: Head,
    /// The end of the last record that is right.
    pub last_record: Option<Head>,
    /// How many bytes of the last segment are right.
    pub tail: u64,
    /// The first bad place; `None` if everything is right.
    pub finding: Option<Finding>,
}

/// Verifies a whole ledger: all its segments in ascending order, each with its number, and the file of checkpoints.
///
/// # Errors
/// If reading fails. A faulty ledger is no error but a [`Report`] with a finding.
pub fn verify<C, R>(
    key: &[u8; 32],
    checkpoints: C,
    segments: impl IntoIterator<Item = io::Result<(u32, R)>>,
) -> io::Result<Report>
where
    C: BufRead,
    R: BufRead,
{
    Walk::new(key, checkpoints, true).run(segments)
}

/// Verifies the end of a ledger, from the segment that comes first in `segments`; its header is believed as far as no
/// checkpoint contradicts it. This is how a writer finds the place to go on without reading years of history.
///
/// # Errors
/// If reading fails.
pub fn verify_from_header<C, R>(
    key: &[u8; 32],
    checkpoints: C,
    segments: impl IntoIterator<Item = io::Result<(u32, R)>>,
) -> io::Result<Report>
where
    C: BufRead,
    R: BufRead,
{
    Walk::new(key, checkpoints, false).run(segments)
}
