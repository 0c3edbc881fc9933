//! The compiled engine decides as Cedar does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = safeconduct_policy::fuzzing::decide(bytes) {
        panic!("{difference}");
    }
});
