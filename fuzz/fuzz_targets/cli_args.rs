//! Any bytes as command lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(goai::fuzz::cli_args(bytes)));
