//! Any bytes as picture files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(goai::fuzz::picture_gate(bytes)));
