//! All of Cedar's integration tests through the compiled engine: `cargo run --release -p safeconduct-policy --example corpus`.
#![expect(clippy::print_stdout, reason = "an example prints")]

#[expect(unreachable_pub, reason = "the tests run the same module")]
#[path = "../tests/corpus_run/mod.rs"]
mod corpus_run;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use corpus_run::{Score, files, folder, run, unpack};

/// How many differences are printed.
const SHOWN: usize = 20;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Some(folder) = folder() else {
        return Err("there is no cedar-corpus; name its parent folder in SAFECONDUCT_TESTDATA".into());
    };
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/cedar-corpus");
    let generated = unpack(&folder, &target)?;
    let mut perfect = true;
    for (name, root, tests) in
        [("handwritten", &folder, folder.join("tests")), ("generated", &generated, generated.join("corpus-tests"))]
    {
        let (mut score, start) = (Score::default(), Instant::now());
        for test in files(&tests)? {
            run(root, &test, true, &mut score).map_err(|e| format!("{}: {e}", test.display()))?;
        }
        println!(
            "{name}: {} of {} requests ({} with errors), {} sets valid, {} refused wrongly, {} accepted beyond the tests, \
             {} rules of which Cedar evaluated {}, {:.1} s",
            score.right,
            score.requests,
            score.with_errors,
            score.valid,
            score.refused_wrongly,
            score.accepted_beyond,
            score.rules,
            score.fallbacks,
            start.elapsed().as_secs_f64(),
        );
        for difference in score.differences.iter().take(SHOWN) {
            println!("  {difference}");
        }
        println!("  {} unexplained differences", score.requests - score.right);
        perfect &= score.right == score.requests && score.refused_wrongly == 0;
    }
    Ok(if perfect { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
