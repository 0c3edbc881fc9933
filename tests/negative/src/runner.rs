//! Runs the tests on one house, a few at a time, and tells of them as Rust's own runner does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;

use crate::house::House;

/// A test.
pub type Test = (&'static str, fn(&House) -> Result<()>);

/// This many tests run at once; most of their time they wait.
const AT_ONCE: usize = 4;
/// What is looked at when all tests have run.
const LAST: &str = "nt_19_nt_40_no_file_holds_a_secret_and_no_line_of_the_log_is_an_error";

/// Lists functions as tests by their names.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn(&$crate::House) -> anyhow::Result<()>)),*] };
}

/// Runs the tests that the arguments ask for.
#[must_use]
pub fn main(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|(name, _)| say(&format!("{name}: test")));
        say(&format!("{LAST}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str()));
    let chosen: Vec<Test> = tests.iter().copied().filter(|(name, _)| wanted(name)).collect();
    let (began, all) = (Instant::now(), tests.len() + 1);
    if chosen.is_empty() {
        say(&format!(
            "\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; {all} filtered out; finished in 0.00s\n"
        ));
        return ExitCode::SUCCESS;
    }
    say(&format!("\nrunning {} tests", chosen.len() + 1));
    let results = run(&chosen);
    let failed: Vec<_> = results.iter().filter_map(|(name, came)| came.as_ref().err().map(|why| (name, why))).collect();
    for (name, why) in &failed {
        say(&format!("\n---- {name} ----\n{why}"));
    }
    say(&format!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        results.len() - failed.len(),
        failed.len(),
        all - results.len(),
        began.elapsed().as_secs_f64()
    ));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Came = (&'static str, Result<(), String>);

fn run(tests: &[Test]) -> Vec<Came> {
    let house = match House::put_up() {
        Ok(house) => house,
        Err(error) => {
            let why = format!("the house cannot be put up: {error:#}");
            let names = tests.iter().map(|(name, _)| *name).chain([LAST]);
            return names.map(|name| tell(name, Err(why.clone()), Instant::now())).collect();
        }
    };
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = Instant::now();
            let came = caught(|| test(&house));
            let came = tell(name, came, began);
            results.lock().unwrap_or_else(PoisonError::into_inner).push(came);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let began = Instant::now();
    results.push(tell(LAST, caught(|| house.end()), began));
    results
}

fn caught(work: impl FnOnce() -> Result<()>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(came) => came.map_err(|error| format!("{error:#}")),
        Err(_) => Err("it panicked; see above".to_owned()),
    }
}

fn tell(name: &'static str, came: Result<(), String>, began: Instant) -> Came {
    match &came {
        Ok(()) => say(&format!("test {name} ... ok ({:.1} s)", began.elapsed().as_secs_f64())),
        Err(_) => say(&format!("test {name} ... FAILED")),
    }
    (name, came)
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
