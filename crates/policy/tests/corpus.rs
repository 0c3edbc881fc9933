//! Cedar's integration tests: every handwritten one, and a sample of the generated ones. All of them:
//! `cargo run --release -p safeconduct-policy --example corpus`.

#[expect(unreachable_pub, reason = "the example runs the same module")]
mod corpus_run;

use std::path::Path;

use corpus_run::{Score, files, folder, run, unpack};

/// One in so many generated tests.
const SAMPLE: usize = 20;

fn check(root: &Path, tests: &Path, step: usize) -> Option<Score> {
    let mut score = Score::default();
    for test in files(tests).unwrap().iter().step_by(step) {
        run(root, test, false, &mut score).unwrap_or_else(|e| panic!("{}: {e}", test.display()));
    }
    assert_eq!(score.differences, Vec::<String>::new());
    assert_eq!((score.right, score.verdicts), (score.requests, score.files));
    Some(score)
}

fn skipped() {
    println!("skipped: there is no cedar-corpus; name its parent folder in SAFECONDUCT_TESTDATA");
}

#[test]
fn the_handwritten_tests_of_cedar_hold() {
    let Some(folder) = folder() else { return skipped() };
    let score = check(&folder, &folder.join("tests"), 1).unwrap();
    assert_eq!((score.files, score.requests, score.fallbacks), (22, 74, 0));
}

#[test]
fn a_sample_of_the_generated_tests_of_cedar_holds() {
    let Some(folder) = folder() else { return skipped() };
    let root = unpack(&folder, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("cedar-corpus")).unwrap();
    let score = check(&root, &root.join("corpus-tests"), SAMPLE).unwrap();
    assert_eq!((score.files, score.fallbacks), (391, 0));
    assert!(score.with_errors > 100, "{}", score.with_errors);
}
