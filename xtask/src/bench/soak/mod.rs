//! `soak`: the real program under steady mixed load for minutes, while everything around it fails and returns. At the end nothing may
//! have leaked, nothing may be lost from the ledger, and no answer may have been wrong.
//!
//! | file | idea |
//! |---|---|
//! | `company` | whom and what it guards |
//! | `stage` | everybody who takes part |
//! | `happen` | what happens meanwhile |
//! | `clock` | a clock that can be moved |
//! | `samples` | what the program holds |
//! | `ledger` | whether every answered request is recorded |
//! | `report` | figures, goals, drawing |

mod clock;
mod company;
mod happen;
mod ledger;
mod report;
mod samples;
mod stage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::gateway::{goals_told, new_place, safeconduct};
use super::{docs, load, program, write};
use crate::terminal::{say, table};
use crate::tree;
use happen::Happening;
use samples::{Sample, Watcher};
use stage::Stage;

/// Load without happenings, before anything is compared: pools, caches and threads are there afterwards.
const WARM: Duration = Duration::from_secs(15);
/// After this everything that rests has met its limit, and helper threads are gone.
const REST: Duration = Duration::from_secs(14);
/// Between two happenings.
const PAUSE: Duration = Duration::from_millis(700);
/// How often the progress is told.
const PROGRESS: Duration = Duration::from_secs(15);
const MOST_MINUTES: u64 = 24 * 60;

/// What a run was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    minutes: u64,
    debug: bool,
    write_docs: bool,
}

/// What a run came to.
pub(crate) struct Run {
    pub minutes: u64,
    /// At rest after the warm-up, and at rest at the end.
    pub before: Sample,
    pub after: Sample,
    pub samples: Vec<Sample>,
    /// How often the metrics could not be read.
    pub unseen: u64,
    pub happened: BTreeMap<Happening, u32>,
    /// As the clients tell it.
    pub told: Value,
    pub found: ledger::Found,
    /// Lines of the log that must not be there, and how many say that something outside went wrong.
    pub errors: Vec<String>,
    pub warnings: usize,
    pub ended_well: bool,
}

/// Runs, prints, writes. False if a goal does not hold.
pub(crate) fn soak(options: &[&str]) -> Result<bool> {
    let asked = asked(options)?;
    let root = tree::root()?;
    let (bench, ours) = programs(&root, asked.debug)?;
    let place = new_place(&root, &bench, "soak")?;
    let (before, cores) = (load(), place.cores.clone());
    let stage = Stage::put_up(place, bench, &ours)?;
    let run = play(stage, asked.minutes)?;
    let report = report::report(&run, &cores, &before, asked.debug);
    say(table(&super::rows(&report)));
    goals_told(&report).iter().for_each(say);
    let (file, drawing) = (write(&root, "bench", "soak", &report)?, report::drawing(&run.samples));
    std::fs::write(root.join("target/bench/soak.svg"), &drawing)?;
    say(format!("see {file} and target/bench/soak.svg"));
    if asked.write_docs {
        docs::soak(&root, &report, &drawing)?;
    }
    Ok(report["goals"].as_array().is_some_and(|g| g.iter().all(|goal| goal["holds"] == Value::Bool(true))))
}

fn asked(options: &[&str]) -> Result<Asked> {
    let mut asked = Asked { minutes: 10, debug: false, write_docs: false };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--debug" => asked.debug = true,
            "--write-docs" => asked.write_docs = true,
            "--minutes" => {
                let minutes = options.next().and_then(|n| n.parse().ok()).filter(|n| (1..=MOST_MINUTES).contains(n));
                asked.minutes = minutes.with_context(|| format!("--minutes takes 1 to {MOST_MINUTES}"))?;
            }
            _ => bail!("soak takes [--minutes N] [--debug] [--write-docs]"),
        }
    }
    Ok(asked)
}

/// The program that measures and the one that is measured, freshly built.
fn programs(root: &Path, debug: bool) -> Result<(PathBuf, PathBuf)> {
    if !debug {
        return Ok((program(root)?, safeconduct(root)?));
    }
    let build = ["build", "--quiet", "-p", "safeconduct", "-p", "safeconduct-bench"];
    let built = Command::new("cargo").args(build).current_dir(root).status().context("cannot run cargo")?;
    ensure!(built.success(), "the build failed");
    let folder = tree::target(root).join("debug");
    Ok((folder.join("safeconduct-bench"), folder.join("safeconduct")))
}

fn play(mut stage: Stage, minutes: u64) -> Result<Run> {
    let (pid, began) = (stage.server.running.pid(), Instant::now());
    let watcher = Watcher::begin(pid, stage.health, began);
    let rest = |stage: &Stage| -> Result<Sample> {
        stage.stop_all()?;
        sleep(REST);
        Sample::look(pid, stage.health, began.elapsed().as_secs_f64())
    };
    say(format!("warm-up, {} s ...", WARM.as_secs()));
    stage.begin(WARM)?;
    sleep(WARM);
    let before = rest(&stage)?;
    say(format!("{minutes} min of load ..."));
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    stage.begin(Duration::from_secs(60 * minutes))?;
    let (mut happened, mut told) = (BTreeMap::new(), Instant::now());
    sleep(PAUSE);
    for (number, happening) in (0..).zip(Happening::ALL.into_iter().cycle()) {
        if Instant::now() >= end {
            break;
        }
        happening.happen(&stage, number / Happening::ALL.len() as u32).with_context(|| happening.name().to_owned())?;
        *happened.entry(happening).or_default() += 1;
        sleep(PAUSE);
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            progress(&stage, &watcher.last(), began)?;
        }
    }
    say(format!("at rest, {} s ...", REST.as_secs()));
    let after = rest(&stage)?;
    let told = stage.tell()?;
    let (samples, unseen) = watcher.end();
    say("the ledger is read ...");
    let ended_well = stage.server.running.ends()?;
    let log = stage.server.running.said();
    let found = ledger::look(&stage.server, &stage.ids)?;
    let bad = |l: &&str| l.contains("ERROR") || l.contains("panicked");
    Ok(Run {
        minutes,
        before,
        after,
        samples,
        unseen,
        happened,
        told,
        found,
        errors: log.lines().filter(bad).map(str::to_owned).collect(),
        warnings: log.lines().filter(|l| l.contains("WARN")).count(),
        ended_well,
    })
}

fn progress(stage: &Stage, now: &Sample, began: Instant) -> Result<()> {
    let told = stage.tell()?;
    say(format!(
        "{:>4} s: {} answered, {} wrong; {:.0} MB, {} descriptors, {} threads",
        began.elapsed().as_secs(),
        told["answered"],
        told["wrong"],
        now.rss_mb,
        now.descriptors,
        now.threads
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood_or_refused() {
        assert_eq!(asked(&[]).expect("good"), Asked { minutes: 10, debug: false, write_docs: false });
        assert_eq!(
            asked(&["--minutes", "3", "--debug"]).expect("good"),
            Asked { minutes: 3, debug: true, write_docs: false }
        );
        for bad in [&["--minutes"][..], &["--minutes", "0"], &["--minutes", "x"], &["--quick"]] {
            assert!(asked(bad).is_err(), "{bad:?}");
        }
    }
}
