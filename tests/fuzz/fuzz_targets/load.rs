//! The policy loader takes any text: it tells the faults or builds a snapshot, and never panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    safeconduct_policy::fuzzing::load(text);
});
