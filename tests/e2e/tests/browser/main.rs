//! What a person with a browser meets. See the crate's own words.

fn main() -> std::process::ExitCode {
    safeconduct_e2e::runner::main(&[])
}
