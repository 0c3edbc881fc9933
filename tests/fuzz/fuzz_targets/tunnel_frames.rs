//! The frames of tunnels: any bytes are read alike however they arrive, and never panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    safeconduct_gateway::tunnel::fuzz_frames(bytes);
});
