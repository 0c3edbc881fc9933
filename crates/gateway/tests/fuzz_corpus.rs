//! Replays the committed corpora of the fuzz targets in `tests/fuzz`, so that what was found stays fixed.

use std::fs;
use std::path::Path;

use safeconduct_gateway::fuzzing;

/// Asks about every input of a target; how many of them are good.
fn replay(target: &str, question: impl Fn(&[u8]) -> Result<bool, String>) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 15, "{target} has only {} inputs", paths.len());
    let ask = |path: &Path| question(&fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    paths.iter().filter(|path| ask(path)).count()
}

#[test]
fn frames_of_tunnels_are_read_as_a_naive_reader_reads_them() {
    let good = replay("tunnel", fuzzing::tunnel);
    assert!(good > 8, "{good}");
}

#[test]
fn nt_04_proxy_headers_are_read_as_a_naive_reader_reads_them() {
    let good = replay("proxy", fuzzing::proxy);
    assert!(good > 5, "{good}");
}
