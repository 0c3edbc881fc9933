//! Cedar's integration tests: every handwritten one, and a sample of the generated ones. All of them:
//! `cargo xtask conformance cedar`.

#[expect(unreachable_pub, reason = "`conformance cedar` runs the same module")]
mod corpus_run;

use std::error::Error;
use std::path::Path;

use corpus_run::{Score, files, folder, run, unpack};

/// One in so many generated tests.
const SAMPLE: usize = 20;

fn check(root: &Path, tests: &Path, step: usize) -> Result<Score, Box<dyn Error>> {
    let mut score = Score::default();
    for test in files(tests)?.iter().step_by(step) {
        run(root, test, false, &mut score).map_err(|e| format!("{}: {e}", test.display()))?;
    }
    assert_eq!(score.differences, Vec::<String>::new());
    assert_eq!((score.right, score.refused_wrongly, score.early_wrong), (score.requests, 0, 0));
    Ok(score)
}

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn skipped() {
    println!("skipped: there is no cedar-corpus; name its parent folder in SAFECONDUCT_TESTDATA");
}

#[test]
fn the_handwritten_tests_of_cedar_hold() {
    let Some(folder) = folder() else { return skipped() };
    let score = check(&folder, &folder.join("tests"), 1).unwrap();
    assert_eq!((score.files, score.accepted_beyond, score.requests, score.fallbacks), (22, 0, 74, 0));
}

#[test]
fn a_sample_of_the_generated_tests_of_cedar_holds() {
    let Some(folder) = folder() else { return skipped() };
    let root = unpack(&folder, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("cedar-corpus")).unwrap();
    let score = check(&root, &root.join("corpus-tests"), SAMPLE).unwrap();
    // Calls with a wrong number of arguments, which have no place in the syntax tree, and which Cedar evaluates to an error.
    assert_eq!((score.files, score.fallbacks), (391, 3));
    assert!(score.with_errors > 100, "{}", score.with_errors);
}
