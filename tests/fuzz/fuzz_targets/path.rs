//! The canonical path is a fixed point, and nobody finds a climb in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = safeconduct_http::fuzzing::path(bytes) {
        panic!("{difference}");
    }
});
