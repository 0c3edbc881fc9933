//! Bodies are read off their framing as a naive reader and hyper read them.
#![no_main]

#[path = "../../../crates/http/tests/other/hyper.rs"]
mod hyper;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = safeconduct_http::fuzzing::body(bytes, hyper::server) {
        panic!("{difference}");
    }
});
