//! Replays the committed corpora of the fuzz targets in `tests/fuzz`, so that they stay readable and what was found stays fixed.

use std::fs;
use std::path::Path;

use safeconduct_policy::fuzzing::{compile, decide, load};

/// The inputs of a target, with their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() > 10, "{target} has {} inputs", found.len());
    found
}

#[test]
fn the_loader_takes_its_corpus_without_a_panic() {
    let texts = corpus("load").into_iter().filter_map(|(_, bytes)| String::from_utf8(bytes).ok());
    let built = texts.filter(|text| load(text)).count();
    assert!(built > 3, "{built}");
}

#[test]
fn both_parsers_agree_on_their_corpus() {
    for (name, bytes) in corpus("compile") {
        assert!(compile(&bytes).is_ok(), "{name}: {:?}", compile(&bytes));
    }
}

#[test]
fn both_engines_agree_on_their_corpus() {
    let mut decided = 0;
    for (name, bytes) in corpus("decide") {
        decided += decide(&bytes).unwrap_or_else(|difference| panic!("{name}: {difference}"));
    }
    assert!(decided > 10, "{decided}");
}
