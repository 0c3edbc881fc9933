//! Runs the tests, a few at a time, and tells of them as Rust's own runner does. One that cannot run is ignored, with the
//! reason, or fails where it was asked for (`SAFECONDUCT_E2E=1`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;

/// A test.
pub type Test = (&'static str, fn() -> Result<()>);

/// Browsers are heavy: this many tests run at once.
const AT_ONCE: usize = 2;
/// Says that the tests must run.
const MUST: &str = "SAFECONDUCT_E2E";

/// What came of a test.
enum Came {
    Ok,
    Failed(String),
    Ignored(String),
}

/// Runs the tests that the arguments ask for.
#[must_use]
pub fn main(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|(name, _)| say(&format!("{name}: test")));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str()));
    let chosen: Vec<Test> = tests.iter().copied().filter(|(name, _)| wanted(name)).collect();
    let (began, missing) = (Instant::now(), crate::missing());
    say(&format!("\nrunning {} tests", chosen.len()));
    let must = std::env::var(MUST).is_ok_and(|v| v == "1");
    let results = run(&chosen, missing.as_deref(), must, &say);
    let count = |pick: fn(&Came) -> bool| results.iter().filter(|(_, c)| pick(c)).count();
    let failed = count(|c| matches!(c, Came::Failed(_)));
    for (name, came) in &results {
        if let Came::Failed(why) = came {
            say(&format!("\n---- {name} ----\n{why}"));
        }
    }
    say(&format!(
        "\ntest result: {}. {} passed; {failed} failed; {} ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        count(|c| matches!(c, Came::Ok)),
        count(|c| matches!(c, Came::Ignored(_))),
        tests.len() - chosen.len(),
        began.elapsed().as_secs_f64()
    ));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(tests: &[Test], missing: Option<&str>, must: bool, tell: &(dyn Fn(&str) + Sync)) -> Vec<(&'static str, Came)> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = Instant::now();
            let came = match missing {
                None => one(*test),
                Some(what) if must => Came::Failed(what.to_owned()),
                Some(what) => Came::Ignored(what.to_owned()),
            };
            tell(&match &came {
                Came::Ok => format!("test {name} ... ok ({:.1} s)", began.elapsed().as_secs_f64()),
                Came::Failed(_) => format!("test {name} ... FAILED"),
                Came::Ignored(why) => format!("test {name} ... ignored, {why}"),
            });
            results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*name, came));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one(test: fn() -> Result<()>) -> Came {
    match catch_unwind(AssertUnwindSafe(test)) {
        Ok(Ok(())) => Came::Ok,
        Ok(Err(error)) => Came::Failed(format!("{error:#}")),
        Err(_) => Came::Failed("it panicked; see above".to_owned()),
    }
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: [Test; 2] = [("well", || Ok(())), ("badly", || anyhow::bail!("no"))];

    fn told(missing: Option<&str>, must: bool) -> Vec<(&'static str, bool, bool)> {
        let mut all: Vec<_> = run(&TESTS, missing, must, &|_| ())
            .into_iter()
            .map(|(name, came)| (name, matches!(came, Came::Failed(_)), matches!(came, Came::Ignored(_))))
            .collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn what_cannot_run_is_ignored_or_fails_where_it_must_run() {
        assert_eq!(told(None, true), [("badly", true, false), ("well", false, false)]);
        assert_eq!(told(Some("no browser"), false), [("badly", false, true), ("well", false, true)]);
        assert_eq!(told(Some("no browser"), true), [("badly", true, false), ("well", true, false)]);
    }
}
