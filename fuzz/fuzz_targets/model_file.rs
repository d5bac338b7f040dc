//! Any bytes as model files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(goai::fuzz::model_file(bytes)));
