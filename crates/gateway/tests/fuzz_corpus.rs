//! Replays the committed corpora of the fuzz targets in `tests/fuzz`, so that what was found stays fixed.

use std::error::Error;
use std::fs;
use std::path::Path;

use safeconduct_gateway::fuzzing;

/// Asks about every input of a target; how many of them are good.
fn replay(target: &str, question: impl Fn(&[u8]) -> Result<bool, String>) -> Result<usize, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let (mut inputs, mut good) = (0, 0);
    for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry?.path();
        inputs += 1;
        good += usize::from(question(&fs::read(&path)?).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    if inputs > 15 { Ok(good) } else { Err(format!("{target} has only {inputs} inputs").into()) }
}

#[test]
fn frames_of_tunnels_are_read_as_a_naive_reader_reads_them() {
    let good = replay("tunnel", fuzzing::tunnel).unwrap();
    assert!(good > 8, "{good}");
}

#[test]
fn nt_04_proxy_headers_are_read_as_a_naive_reader_reads_them() {
    let good = replay("proxy", fuzzing::proxy).unwrap();
    assert!(good > 5, "{good}");
}
