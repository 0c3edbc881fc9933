//! The own parser reads what Cedar reads, to the same clause, and refuses what Cedar refuses.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = safeconduct_policy::fuzzing::compile(bytes) {
        panic!("{difference}");
    }
});
