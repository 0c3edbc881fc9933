//! Measures beside peers, one process per figure; `cargo xtask bench` and `cargo xtask conformance` run it and compare. Everything
//! is printed as JSON, one object a line.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod corpus;
#[expect(unreachable_pub, dead_code, reason = "the tests of the engine run the same module")]
#[path = "../../crates/policy/tests/corpus_run/mod.rs"]
mod corpus_run;
#[path = "../../crates/policy/tests/dice/mod.rs"]
mod dice;
mod differential;
mod engines;
mod figures;
#[path = "../../crates/policy/tests/generate/mod.rs"]
mod generate;
mod hold;
mod load;
mod papers;
mod scenarios;
mod scenarios_run;
mod serve;
mod shape;
mod soak;

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

const USAGE: &str = "safeconduct-bench engine NAME RULES | scenario NAME ENGINE EACH | groups RULES | corpus FOLDER INTO \
                     | differential DECISIONS SEED | load SPEC | stalls | memory PID | papers FOLDER HOST | hold | serve [AT NAME] | soak IDS";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["engine", name, rules] => print(&engines::run(name, size(rules)?)?),
        ["scenario", name, engine, each] => {
            let each = each.parse().context("EACH is a number")?;
            print(&scenarios_run::run(name, engine, each)?);
        }
        ["groups", rules] => println!("{:.1}", shape::Estate::of(size(rules)?).groups_each()),
        ["corpus", folder, into] => print(&corpus::run(Path::new(folder), Path::new(into))?),
        ["differential", decisions, seed] => {
            let decisions = decisions.parse().context("DECISIONS is a number")?;
            differential::run(decisions, seed.parse().context("SEED is a number")?)?;
        }
        ["load", spec] => print(&[load::run(spec)?]),
        ["stalls"] => print(&[load::stalls()?]),
        ["memory", pid] => print(&[load::memory(pid)?]),
        ["papers", folder, host] => print(&papers::write(Path::new(folder), host)?),
        ["hold"] => runtime()?.block_on(hold::run(|line| println!("{line}")))?,
        ["serve"] => {
            let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
            runtime()?.block_on(serve::run(any, None, |line| println!("{line}")))?;
        }
        ["serve", at, name] => {
            let at = at.parse().context("AT is an address and a port")?;
            runtime()?.block_on(serve::run(at, Some(name), |line| println!("{line}")))?;
        }
        ["soak", ids] => runtime()?.block_on(soak::run(Path::new(ids), |line| println!("{line}")))?,
        _ => bail!("{USAGE}"),
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("there is no runtime")
}

fn size(rules: &str) -> Result<shape::Size> {
    Ok(shape::Size::of(rules.parse().context("RULES is a number")?))
}

fn print(rows: &[Value]) {
    rows.iter().for_each(|row| println!("{row}"));
}
