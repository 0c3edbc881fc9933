//! The engine's own parser beside Cedar's: equality on every policy of Cedar's corpus and on broken and generated ones, and how
//! long a rule takes. `cargo run --release -p safeconduct-policy --example parse [-- --seconds N] [--seed N]`
#![expect(clippy::print_stdout, reason = "an example prints")]

#[expect(unreachable_pub, dead_code, reason = "the tests run the same module")]
#[path = "../tests/corpus_run/mod.rs"]
mod corpus_run;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use corpus_run::{folder, unpack};
use safeconduct_policy::fuzzing::{self, Choices, Dice, Same, compare, mutated};

/// How many differences are printed.
const SHOWN: usize = 20;
/// A rule of the five-Ws shape.
const RULE: &str = "permit(principal in Group::\"417\", action == Action::\"write\", resource in App::\"2017\") when { \
     context.device.compliant && context.auth.mfa && context.time >= datetime(\"2026-01-01T00:00:00Z\") && \
     context.time.toTime() >= duration(\"7h\") && context.time.toTime() < duration(\"20h\") && \
     context.ip.isInRange(ip(\"10.3.0.0/16\")) && [\"release\", \"audit\"].contains(context.purpose) };";

/// What a run found.
#[derive(Default)]
struct Score {
    said: BTreeMap<&'static str, usize>,
    differences: Vec<String>,
}

impl Score {
    fn ask(&mut self, text: &str) {
        let said = match compare(text) {
            Ok(Same::Rule) => "rules",
            Ok(Same::Template) => "templates",
            Ok(Same::Refused) => "refused by both",
            Ok(Same::Elsewhere) => "left to Cedar",
            Ok(Same::TooDeep) => "too deep for the own parser",
            Ok(Same::Unasked) => "too deep to ask Cedar",
            Err(difference) => {
                self.differences.push(difference);
                "different"
            }
        };
        *self.said.entry(said).or_default() += 1;
    }

    fn print(&self, name: &str) {
        println!("{name}: {:?}", self.said);
        for difference in self.differences.iter().take(SHOWN) {
            println!("  {difference}");
        }
    }
}

/// The policy files below a folder.
fn policies(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            policies(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "cedar") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

fn per_rule(rounds: u32, mut read: impl FnMut(&str) -> bool) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(read(black_box(RULE)));
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}

fn number(name: &str, default: u64) -> Result<u64, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|a| a == name) {
        Some(at) => Ok(arguments.get(at + 1).ok_or_else(|| format!("{name} needs a number"))?.parse()?),
        None => Ok(default),
    }
}

fn compared(seconds: u64, seed: u64) -> Result<bool, Box<dyn Error>> {
    println!("own parser: {:.2} us a rule", per_rule(50_000, fuzzing::reads));
    println!("Cedar's, to the same clause: {:.0} us a rule", per_rule(500, fuzzing::cedar_reads));

    let mut seeds: Vec<String> = vec![RULE.to_owned()];
    let mut score = Score::default();
    if let Some(folder) = folder() {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/cedar-corpus");
        let mut files = Vec::new();
        policies(&folder, &mut files)?;
        policies(&unpack(&folder, &target)?, &mut files)?;
        for file in files {
            let text = fs::read_to_string(file)?;
            for statement in fuzzing::statements(&text) {
                score.ask(statement);
                if statement.len() < 2_000 {
                    seeds.push(statement.to_owned());
                }
            }
        }
        score.print("corpus");
    } else {
        println!("there is no cedar-corpus; name its parent folder in SAFECONDUCT_TESTDATA");
    }

    let (mut broken, mut generated) = (Score::default(), Score::default());
    let (mut dice, begin) = (Dice(seed), Instant::now());
    while begin.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..100 {
            let seed = seeds.get(dice.below(seeds.len())).map_or(RULE, String::as_str);
            broken.ask(&mutated(seed, &mut dice));
            let policy = Choices::new(&dice.bytes(300)).policy();
            generated.ask(&policy);
            broken.ask(&mutated(&policy, &mut dice));
        }
    }
    broken.print(&format!("broken, seed {seed}"));
    generated.print(&format!("generated, seed {seed}"));
    Ok([score, broken, generated].iter().all(|score| score.differences.is_empty()))
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (seconds, seed) = (number("--seconds", 10)?, number("--seed", 1)?);
    Ok(if compared(seconds, seed)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
