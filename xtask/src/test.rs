//! `test`: everything. The last line is `N passed, N failed`, and nothing that fails hides what comes after it.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::check::clippy;
use crate::step::{Ended, Steps};
use crate::terminal::say;
use crate::{install, tidy, tree};

/// How many tests went well and how many did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// A step that is one test.
    fn count(&mut self, well: bool) {
        self.add(Self { passed: u64::from(well), failed: u64::from(!well), skipped: 0 });
    }

    /// The tests that a step told of. A step that failed without a failed test is a failure itself.
    fn told(ended: &Ended) -> Self {
        let mut sum = read(&ended.output);
        if !ended.well && sum.failed == 0 {
            sum.failed = 1;
        }
        sum
    }
}

/// Runs everything, in one profile, so that nothing is built twice.
pub(crate) fn run() -> Result<bool> {
    let began = Instant::now();
    let root = tree::root()?;
    let steps = Steps::new(&root)?;
    let mut sum = Sum::default();
    if !install::all(&root, &steps)? {
        sum.count(false);
    }
    sum.count(tidy::run()?);
    sum.count(steps.run("clippy", &mut clippy())?.well);
    sum.count(steps.run("doc", &mut doc())?.well);
    // Libraries, programs and tests with one set of features: what is built here is what every later step runs.
    sum.count(steps.run("build", cargo().args(["build", "--workspace", "--all-targets"]))?.well);
    let tests = ["test", "--workspace", "--exclude", "safeconduct-e2e", "--no-fail-fast"];
    sum.add(Sum::told(&steps.run("unit and integration tests", cargo().args(tests))?));
    sum.count(
        steps
            .run("demo --check", Command::new(tree::target(&root).join("debug/safeconduct")).args(["demo", "--check"]))?
            .well,
    );
    let browser = ["test", "-p", "safeconduct-e2e", "--no-fail-fast"];
    let browser = steps.run("browser tests", cargo().args(browser).env("SAFECONDUCT_E2E", "1"))?;
    sum.add(Sum::told(&browser));
    say(told_in_short(&browser.output));
    if sum.skipped > 0 {
        say(format!("{} tests were skipped; the logs in target/test-logs say why", sum.skipped));
    }
    say(format!("took {} s", began.elapsed().as_secs()));
    say(format!("{} passed, {} failed", sum.passed, sum.failed));
    Ok(sum.failed == 0)
}

fn cargo() -> Command {
    Command::new("cargo")
}

fn doc() -> Command {
    let mut command = cargo();
    command.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// Sums the `test result:` lines of libtest.
fn read(output: &str) -> Sum {
    let mut sum = Sum::default();
    for line in output.lines() {
        let Some((_, figures)) = line.split_once("test result: ") else { continue };
        // "ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s"
        for part in figures.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(n)), Some(word)) = (words.next().map(str::parse::<u64>), words.next()) else { continue };
            match word {
                "passed" => sum.passed += n,
                "failed" => sum.failed += n,
                "ignored" => sum.skipped += n,
                _ => {}
            }
        }
    }
    sum
}

/// The lines of a test run that name tests with a browser; they alone say how long they took.
fn told_in_short(output: &str) -> String {
    let told =
        |l: &&str| l.starts_with("test ") && (l.ends_with(" s)") || l.contains("... FAILED") || l.contains("ignored"));
    let lines = output.lines().filter(told);
    lines.map(|l| format!("    {l}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 2 tests
test a ... ok
test b ... FAILED

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests safeconduct_model
test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.12s
";

    fn ended(well: bool, output: &str) -> Ended {
        Ended { well, output: output.to_owned() }
    }

    #[test]
    fn the_results_of_all_test_programs_are_summed() {
        assert_eq!(read(OUTPUT), Sum { passed: 6, failed: 1, skipped: 2 });
        assert_eq!(read("nothing of the kind"), Sum::default());
    }

    #[test]
    fn a_failed_step_counts_even_if_no_test_ran() {
        assert_eq!(Sum::told(&ended(false, "error: could not compile")).failed, 1);
        assert_eq!(Sum::told(&ended(false, OUTPUT)).failed, 1);
        assert_eq!(Sum::told(&ended(true, "")), Sum::default());
    }

    #[test]
    fn a_step_is_one_test() {
        let mut sum = Sum::default();
        sum.count(true);
        sum.count(false);
        assert_eq!(sum, Sum { passed: 1, failed: 1, skipped: 0 });
    }
}
