//! Verifying a ledger on the disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use safeconduct_ledger::{CHECKPOINTS_FILE, Report, segment_name, verify};

use crate::segments;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Verifies the ledger in `dir` with its public key. It only reads, and takes no lock; of a ledger that is being written, the
/// last line may be seen incomplete.
///
/// `checkpoints` is the file of checkpoints if it is kept elsewhere; `None` takes the one in `dir`.
///
/// # Errors
/// If a file cannot be read. A faulty ledger is no error but a report with a finding.
pub fn verify_ledger(dir: &Path, key: &[u8; 32], checkpoints: Option<&Path>) -> io::Result<Report> {
    let numbers = segments::list(dir)?;
    let own = dir.join(CHECKPOINTS_FILE);
    let marks: Box<dyn BufRead> = match File::open(checkpoints.unwrap_or(&own)) {
        Ok(file) => Box::new(BufReader::new(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound && checkpoints.is_none() => Box::new(io::empty()),
        Err(e) => return Err(e),
    };
    let files = numbers.into_iter().map(|number| {
        let file = File::open(dir.join(segment_name(number)))?;
        Ok((number, BufReader::with_capacity(READ_BYTES, file)))
    });
    verify(key, marks, files)
}
