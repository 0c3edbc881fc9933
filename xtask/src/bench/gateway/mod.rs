//! `bench gateway`: what a permitted and recorded request costs, beside other proxies, in one run.
//!
//! | file | idea |
//! |---|---|
//! | `contestant` | who is measured, and over which protocols |
//! | `peers` | the upstream, nginx, `HAProxy`, Envoy |
//! | `ours`, `company` | Safeconduct, and what it guards |
//! | `measure` | one measurement by the load generator |
//! | `rounds` | all of them, interleaved |
//! | `report` | figures, ratios, goals |
//! | `compare` | builds of ours beside each other, for whoever changes one |
//! | `idle` | memory with many idle WebSockets |
//! | `plot` | latency over load, drawn |

pub(crate) mod company;
mod compare;
pub(crate) mod contestant;
mod idle;
mod measure;
pub(crate) mod ours;
pub(crate) mod peers;
mod plot;
pub(crate) mod process;
mod report;
mod rounds;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::ahead::Ahead;
use super::{docs, load, program, write};
use crate::step::Steps;
use crate::terminal::{say, table};
use crate::{install, tree};
pub(crate) use compare::compare;
use contestant::{Case, Contestant, Who};
pub(crate) use idle::descriptors;
use measure::{Generator, Times};
pub(crate) use report::{goals_told, rounded, shown, told};
use rounds::Results;

use peers::Place;
use process::Cores;

/// What a run was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    quick: bool,
    install: bool,
    write_docs: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How often everybody is started anew for the closed loop: the same program differs by some percent from start to start, by
    /// the pages of memory that it gets.
    pub starts: usize,
    /// Rounds of the closed loop after each start: many short ones, since the speed of the machine changes from second to second.
    pub rounds: usize,
    /// Rounds of the open loop.
    pub open_rounds: usize,
    /// Rounds of the open loop for the answers of 64 KB, which decide no goal.
    pub large_rounds: usize,
    pub closed: Times,
    pub open: Times,
    pub sockets: usize,
}

impl Plan {
    const WHOLE: Self = Self {
        starts: 3,
        rounds: 4,
        open_rounds: 3,
        large_rounds: 1,
        closed: Times { warm_ms: 120, window_ms: 350 },
        open: Times { warm_ms: 200, window_ms: 900 },
        sockets: 10_000,
    };
    const QUICK: Self = Self {
        starts: 1,
        rounds: 1,
        open_rounds: 1,
        large_rounds: 0,
        closed: Times { warm_ms: 150, window_ms: 500 },
        open: Times { warm_ms: 100, window_ms: 400 },
        sockets: 1_000,
    };
}

/// Measures, prints, writes. False if a goal does not hold.
pub(crate) fn gateway(options: &[&str]) -> Result<bool> {
    let asked = asked(options)?;
    let root = tree::root()?;
    if asked.install {
        install::all(&root, &Steps::new(&root)?)?;
    }
    let (bench, ours) = (program(&root)?, safeconduct(&root)?);
    let mut place = new_place(&root, &bench, "gateway")?;
    let ahead = Ahead::begin();
    let before = format!("{}; {}", load(), ahead.words());
    let plan = if asked.quick { Plan::QUICK } else { Plan::WHOLE };
    say(format!("{}; the load of the machine before: {before}", place.cores.words()));
    let can = ours::can(&place, &ours)?;
    let mut missing = Vec::new();
    let mut results = Results::default();
    for start in 0..plan.starts {
        place = new_place(&root, &bench, "gateway")?;
        missing.clear();
        let contestants = stage(&root, &place, &ours, can, &mut missing)?;
        let upstream = contestants.iter().find(|c| c.who == Who::Direct).context("there is an upstream")?.running.pid();
        let generator = Generator { program: &bench, cores: &place.cores, upstream };
        rounds::closed(&generator, &contestants, plan, start, &mut results)?;
        if start + 1 == plan.starts {
            rounds::open(&generator, &contestants, plan, &mut results)?;
        }
    }
    if !can.plain {
        missing
            .push("this build of Safeconduct cannot serve without TLS: these cases have no figure of ours".to_owned());
    }
    missing.iter().for_each(|m| say(format!("missing: {m}")));
    let idle = idle::run(&place, &ours, &bench, can, plan.sockets)?;
    let report = report::report(&results, idle.as_ref(), &missing, &place.cores, &before, asked.quick);
    say(table(&report::table(&report)));
    report::goals_told(&report).iter().for_each(say);
    let file = write(&root, "bench", "gateway", &report)?;
    fs::write(root.join("target/bench/gateway.svg"), plot::latency(&report))?;
    say(format!("see {file} and target/bench/gateway.svg"));
    if asked.write_docs {
        docs::gateway(&root, &report, &plot::latency(&report))?;
    }
    Ok(report["goals"].as_array().is_some_and(|g| g.iter().all(|goal| goal["holds"] == Value::Bool(true))))
}

fn asked(options: &[&str]) -> Result<Asked> {
    let mut asked = Asked::default();
    for option in options {
        match *option {
            "--quick" => asked.quick = true,
            "--install" => asked.install = true,
            "--write-docs" => asked.write_docs = true,
            _ => bail!("bench gateway takes [--quick] [--install] [--write-docs]"),
        }
    }
    Ok(asked)
}

/// The real program, freshly built.
pub(crate) fn safeconduct(root: &Path) -> Result<PathBuf> {
    let build = ["build", "--release", "--quiet", "-p", "safeconduct"];
    let built = Command::new("cargo").args(build).current_dir(root).status().context("cannot run cargo")?;
    ensure!(built.success(), "the release build failed");
    Ok(tree::target(root).join("release/safeconduct"))
}

/// An empty folder with the papers of the peers.
pub(crate) fn new_place(root: &Path, bench: &Path, name: &str) -> Result<Place> {
    let folder = root.join("target/bench").join(format!("{name}-data"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let papers = Command::new(bench).arg("papers").arg(folder.join("papers")).arg(contestant::HOST).status()?;
    ensure!(papers.success(), "the certificates could not be made");
    // Nothing is told here of where the repository lies, and workers of nginx may read it.
    Ok(Place { folder, cores: Cores::of_this_machine() })
}

/// Everybody who takes part, up and answering.
fn stage(
    root: &Path,
    place: &Place,
    ours: &Path,
    can: ours::Can,
    missing: &mut Vec<String>,
) -> Result<Vec<Contestant>> {
    let direct = peers::upstream(place)?;
    let behind = direct.plain.context("the upstream serves without TLS")?;
    let mut all = vec![direct];
    let mut add = |name: &str, made: Result<Contestant>| match made {
        Ok(contestant) => all.push(contestant),
        Err(error) => missing.push(format!("{name}: {error:#}")),
    };
    add("nginx", peers::nginx_proxy(place, behind));
    add("HAProxy", peers::haproxy(place, behind));
    let envoy = root.join(install::ENVOY_PROGRAM);
    add(
        "Envoy",
        if envoy.is_file() {
            peers::envoy(place, &envoy, behind)
        } else {
            Err(anyhow::anyhow!("it is not installed; `cargo xtask bench gateway --install` does that"))
        },
    );
    for who in [Who::Bare, Who::One, Who::Many] {
        all.push(ours::contestant(place, ours, who, can, behind).with_context(|| who.name())?);
    }
    Ok(all)
}

/// The cases that anybody is measured in.
fn cases(plan: Plan) -> Vec<Case> {
    let mut all = Case::all();
    if plan.large_rounds == 0 {
        all.retain(|c| c.size == contestant::Size::Small);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_how_much_is_run() {
        assert_eq!(asked(&[]).expect("whole"), Asked::default());
        let all = Asked { quick: true, install: true, write_docs: true };
        assert_eq!(asked(&["--write-docs", "--quick", "--install"]).expect("all"), all);
        assert!(asked(&["--fast"]).is_err());
    }

    #[test]
    fn a_quick_run_measures_small_answers_only() {
        assert_eq!((cases(Plan::WHOLE).len(), cases(Plan::QUICK).len()), (8, 4));
    }
}
