//! Everything that a person does with this repository, as one command: `cargo xtask NAME`.
//!
//! One file a command. A step that fails never hides the ones after it.

mod bench;
mod check;
mod conformance;
mod install;
mod shots;
mod step;
mod terminal;
mod test;
mod tidy;
mod tree;

use std::process::ExitCode;

use terminal::say;

const USAGE: &str = "cargo xtask test                              everything, with all that it needs installed first
cargo xtask check                             format, clippy, tidy: what to run before a commit
cargo xtask tidy                              the rules of the house that no compiler knows
cargo xtask bench decide [--quick] [--up-to N]  how fast the engine decides, beside Cedar and regorus
cargo xtask bench differential [--decisions N] [--seed N]
                                              random decisions, the engine against Cedar
cargo xtask bench gateway [--quick] [--install] [--write-docs]
                                              what a request costs, beside nginx, HAProxy and Envoy
cargo xtask bench compare [--with PROGRAM] [--cases 1,1t,1l,2,2tl] [--starts N] [--rounds N] [--rate N]
                                              this build beside others and nginx, for whoever makes a request cheaper
cargo xtask bench cut [--quick] [--write-docs]
                                              how long connections outlive the fact that they rested on
cargo xtask soak [--minutes 10] [--debug] [--write-docs]
                                              mixed load while everything around it fails; nothing may leak or be lost
cargo xtask conformance cedar                 Cedar's integration tests through the engine
cargo xtask bench ledger [--records N] [--quick]
                                              how fast the ledger is verified
cargo xtask bench replay [--verdicts N] [--quick]
                                              how fast history is decided again
cargo xtask bench mine [--quick]              how well mined rules fit the time after
cargo xtask bench prove [--quick] [--symcc PAIRS]
                                              how fast and how right proofs are, and whether SymCC agrees
cargo xtask conformance authzen               every level of the AuthZEN certification scenario, and the Todo interop
cargo xtask conformance negative [--accept]   every row of the negative tests; --accept vouches for new versions of HTTP libraries
cargo xtask shots [--all]                     screenshots of the browser tests into docs/images: those that a page shows, or all";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => test::run(),
        ["check"] => check::run(),
        ["tidy"] => tidy::run(),
        ["bench", "decide", options @ ..] => bench::decide(options),
        ["bench", "differential", options @ ..] => bench::differential(options),
        ["bench", "gateway", options @ ..] => bench::gateway(options),
        ["bench", "compare", options @ ..] => bench::compare(options),
        ["bench", "cut", options @ ..] => bench::cut(options),
        ["soak", options @ ..] => bench::soak(options),
        ["bench", "ledger", options @ ..] => bench::ledger(options),
        ["bench", "replay", options @ ..] => bench::replay(options),
        ["bench", "mine", options @ ..] => bench::mine(options),
        ["bench", "prove", options @ ..] => bench::prove(options),
        ["conformance", "authzen"] => conformance::authzen(),
        ["conformance", "cedar"] => conformance::cedar(),
        ["conformance", "negative", options @ ..] => conformance::negative(options),
        ["shots", options @ ..] => shots::run(options),
        _ => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
