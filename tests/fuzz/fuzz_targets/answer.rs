//! The client gets one answer, with the status and the framing that the application gave it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = safeconduct_http::fuzzing::answer(bytes) {
        panic!("{difference}");
    }
});
