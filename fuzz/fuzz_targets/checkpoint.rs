//! Any bytes as checkpoints.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(goai::fuzz::checkpoint(bytes)));
