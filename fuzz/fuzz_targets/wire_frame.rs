//! Any bytes as messages of other ranks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(goai::fuzz::wire_frame(bytes)));
