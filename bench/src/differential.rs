//! Millions of random decisions, the compiled engine against Cedar.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::generate::{Case, Tally, check, shrink};

/// Requests for each policy set.
const REQUESTS: usize = 250;
/// Differences that are made small and printed; beyond that they are only counted.
const SHOWN: usize = 5;
/// How often the run says how far it is.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Cedar's evaluator gives up when the stack is short.
const STACK: usize = 64 * 1024 * 1024;

#[derive(Default)]
struct Found {
    tally: Tally,
    differences: usize,
    shown: Vec<Value>,
}

/// Runs until so many decisions are compared; every line is an object, the last one the result.
pub(crate) fn run(decisions: u64, seed: u64) -> Result<()> {
    ensure!(decisions > 0, "there would be nothing to decide");
    let sets = decisions.div_ceil(REQUESTS as u64);
    let (next, found, begin) = (AtomicU64::new(0), Mutex::new(Found::default()), Instant::now());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| -> Result<()> {
        let work = || work(&next, sets, seed, &found);
        let workers = (0..threads).map(|_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work));
        let workers = workers.collect::<std::io::Result<Vec<_>>>()?;
        let mut told = begin;
        while workers.iter().any(|w| !w.is_finished()) {
            thread::sleep(Duration::from_millis(100));
            if told.elapsed() >= SIGN_OF_LIFE {
                told = Instant::now();
                let decided = found.lock().map_or(0, |f| f.tally.decisions);
                let rate = decided as f64 / begin.elapsed().as_secs_f64();
                println!("{}", json!({ "decided": decided, "of": decisions, "per_second": rate.round() }));
            }
        }
        Ok(())
    })?;
    let Found { tally, differences, shown } = found.into_inner().map_err(|_| anyhow::anyhow!("a thread was lost"))?;
    let Tally { sets, valid, with_fallback, rules, decisions, allowed, with_errors, stricter } = tally;
    println!(
        "{}",
        json!({
            "seed": seed, "sets": sets, "sets_valid": valid, "sets_with_fallback": with_fallback, "rules": rules,
            "decisions": decisions, "allowed": allowed, "denied": decisions - allowed, "with_errors": with_errors,
            "stricter_by_design": stricter, "differences": differences, "shown": shown,
            "threads": threads, "seconds": begin.elapsed().as_secs_f64(),
        })
    );
    Ok(())
}

/// The number of one case.
fn case_seed(seed: u64, set: u64) -> u64 {
    let mut dice = Dice::new(seed ^ set.wrapping_mul(0x2545_f491_4f6c_dd1d));
    // The lowest bit says whether the case keeps to its schema.
    ((dice.below(usize::MAX) as u64) & !1) | (set & 1)
}

fn work(next: &AtomicU64, sets: u64, seed: u64, found: &Mutex<Found>) {
    loop {
        let set = next.fetch_add(1, Ordering::Relaxed);
        if set >= sets {
            return;
        }
        let number = case_seed(seed, set);
        let case = Case::of(number, REQUESTS);
        let (tally, differences) = tried(&case);
        let Ok(mut found) = found.lock() else { return };
        found.tally.add(&tally);
        found.differences += differences.len();
        let room = found.shown.len() < SHOWN;
        show(&mut found, room, number, &case, differences);
    }
}

fn show(found: &mut Found, room: bool, number: u64, case: &Case, differences: Vec<(usize, String)>) {
    let Some((request, how)) = differences.into_iter().next().filter(|_| room) else { return };
    let mut differs = |case: &Case| !tried(case).1.is_empty();
    let small = shrink(case, request, &mut differs);
    let how_small = tried(&small).1.into_iter().next().map_or(how, |(_, how)| how);
    found.shown.push(json!({ "case": number, "how": how_small, "smallest": small.to_string() }));
}

/// A panic is a difference too.
fn tried(case: &Case) -> (Tally, Vec<(usize, String)>) {
    let mut tally = Tally::default();
    match catch_unwind(AssertUnwindSafe(|| check(case, &mut tally))) {
        Ok(differences) => (tally, differences),
        Err(_) => (Tally::default(), vec![(0, "a panic".to_owned())]),
    }
}
