//! Replays the committed corpora of the fuzz targets in `tests/fuzz`, so that they stay readable and what was found stays fixed.

use std::error::Error;
use std::fs;
use std::path::Path;

use safeconduct_policy::fuzzing::{compile, decide, load};

/// A name and what stands in it.
type Input = (String, Vec<u8>);

/// The inputs of a target.
fn corpus(target: &str) -> Result<Vec<Input>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))? {
        let path = entry?.path();
        found.push((path.display().to_string(), fs::read(&path)?));
    }
    found.sort();
    if found.len() > 10 { Ok(found) } else { Err(format!("{target} has only {} inputs", found.len()).into()) }
}

#[test]
fn the_loader_takes_its_corpus_without_a_panic() {
    let texts = corpus("load").unwrap().into_iter().filter_map(|(_, bytes)| String::from_utf8(bytes).ok());
    let built = texts.filter(|text| load(text)).count();
    assert!(built > 3, "{built}");
}

#[test]
fn both_parsers_agree_on_their_corpus() {
    for (name, bytes) in corpus("compile").unwrap() {
        assert!(compile(&bytes).is_ok(), "{name}: {:?}", compile(&bytes));
    }
}

#[test]
fn both_engines_agree_on_their_corpus() {
    let mut decided = 0;
    for (name, bytes) in corpus("decide").unwrap() {
        decided += decide(&bytes).unwrap_or_else(|difference| panic!("{name}: {difference}"));
    }
    assert!(decided > 10, "{decided}");
}
