//! The head of a request is read as others read it, and the application gets what was decided.
#![no_main]

#[path = "../../../crates/http/tests/other/hyper.rs"]
mod hyper;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = safeconduct_http::fuzzing::request(bytes, hyper::server) {
        panic!("{difference}");
    }
});
