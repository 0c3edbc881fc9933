//! The segment files of a directory.

use std::fs;
use std::io;
use std::path::Path;

use safeconduct_ledger::segment_number;

/// The numbers of the segments in `dir`, ascending; none if the directory is not there.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        numbers.extend(entry?.file_name().to_str().and_then(segment_number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
