//! `safeconduct-symcc N`: compares the prover with SymCC on N pairs and prints `N agree, P proved, R refuted`.

use std::io::Write;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let pairs: u64 = std::env::args().nth(1).context("how many pairs?")?.parse().context("the argument is a number")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let agreement = runtime.block_on(safeconduct_symcc::compare(0..pairs))?;
    let (proved, refuted) = (agreement.proved, agreement.refuted);
    writeln!(std::io::stdout(), "{} agree, {proved} proved, {refuted} refuted", proved + refuted)?;
    Ok(())
}
