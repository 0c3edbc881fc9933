//! Every row of the list of negative tests that is about the whole program. See the crate's own words.

mod agree;
mod answers;
mod framing;
mod paths;

use std::process::ExitCode;

use safeconduct_negative::runner::{Test, main as run};

fn main() -> ExitCode {
    let groups: [&[Test]; 2] = [framing::TESTS, paths::TESTS];
    run(&groups.concat())
}
