//! Measures beside peers, one process per figure: `safeconduct-bench engine NAME RULES` prints one JSON object.
//! `cargo xtask bench decide` runs them all and compares.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod engines;
mod figures;
mod shape;

use anyhow::{Context, Result, bail};

const USAGE: &str = "safeconduct-bench engine NAME RULES | groups RULES";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["engine", name, rules] => {
            let size = shape::Size::of(rules.parse().context("RULES is a number")?);
            println!("{}", engines::run(name, size)?);
        }
        ["groups", rules] => {
            let size = shape::Size::of(rules.parse().context("RULES is a number")?);
            println!("{:.1}", shape::Estate::of(size).groups_each());
        }
        _ => bail!("{USAGE}"),
    }
    Ok(())
}
