//! Any bytes as labelled tables.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(goai::fuzz::iris_csv(bytes)));
