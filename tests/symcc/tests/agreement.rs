//! The prover agrees with SymCC on a sample; `cargo xtask bench prove --symcc 500` takes a larger one.

/// How many pairs the sample has.
const PAIRS: u64 = 60;

#[test]
fn the_prover_and_symcc_agree_on_every_pair() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join("cvc5").is_file());
    if !there && std::env::var_os("CVC5").is_none() {
        eprintln!("skipped: cvc5 is not on the path; install the Debian package cvc5 to compare the prover with SymCC");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let agreement = runtime.block_on(safeconduct_symcc::compare(0..PAIRS)).unwrap_or_else(|e| panic!("{e:#}"));
    assert!(agreement.proved > 10 && agreement.refuted > 10, "too one-sided to tell: {agreement:?}");
}
