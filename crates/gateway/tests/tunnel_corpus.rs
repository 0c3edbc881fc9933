//! The committed inputs of the fuzzer, replayed.
#![allow(clippy::unwrap_used, reason = "these are tests")]

#[test]
fn every_kept_input_is_read_alike_however_it_arrives() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/tunnel_frames");
    let mut inputs = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        safeconduct_gateway::tunnel::fuzz_frames(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 8, "the corpus is there");
}
