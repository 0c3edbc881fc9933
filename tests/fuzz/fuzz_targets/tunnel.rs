//! The frames of a tunnel are read as a naive reader reads them. Built from the files themselves: the rest of the gateway would
//! take minutes.
#![no_main]
#![allow(dead_code)]

#[path = "../../../crates/gateway/src/tunnel/frames.rs"]
mod frames;
mod tunnel {
    pub(crate) use crate::frames;
}
#[path = "../../../crates/gateway/src/fuzzing/tunnel.rs"]
mod question;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(difference) = question::tunnel(bytes) {
        panic!("{difference}");
    }
});
