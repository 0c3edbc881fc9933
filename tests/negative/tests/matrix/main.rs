//! Every row of the list of negative tests that is about the whole program. See the crate's own words.

mod agree;
mod answers;
mod certificates;
mod doors;
mod fields;
mod framing;
mod http2;
mod noise;
mod paths;
mod pipeline;
mod sessions;
mod settings;
mod upstream;

use std::process::ExitCode;

use safeconduct_negative::runner::{Test, main as run};

fn main() -> ExitCode {
    let groups: [&[Test]; 11] = [
        certificates::TESTS,
        noise::TESTS,
        settings::TESTS,
        doors::TESTS,
        sessions::TESTS,
        upstream::TESTS,
        pipeline::TESTS,
        fields::TESTS,
        http2::TESTS,
        framing::TESTS,
        paths::TESTS,
    ];
    run(&groups.concat())
}
