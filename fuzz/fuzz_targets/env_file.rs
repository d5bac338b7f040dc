//! Any bytes as env files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(goai::fuzz::env_file(bytes)));
