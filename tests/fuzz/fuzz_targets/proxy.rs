//! The PROXY header is read as the specification has it. Built from the files themselves: the rest of the gateway would take
//! minutes.
#![no_main]
#![allow(dead_code)]

#[path = "../../../crates/gateway/src/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "../../../crates/gateway/src/fuzzing/proxy.rs"]
mod question;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = question::proxy(bytes) {
        panic!("{difference}");
    }
});
