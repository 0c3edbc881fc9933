//! Every row of the list of negative tests that is about the whole program. See the crate's own words.

mod framing;

use std::process::ExitCode;

use safeconduct_negative::runner::{Test, main as run};

fn main() -> ExitCode {
    let groups: [&[Test]; 1] = [framing::TESTS];
    run(&groups.concat())
}
