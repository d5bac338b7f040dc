//! A file of version 1, as it was written when there was no other: every later program reads it.

use super::*;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/checkpoint_v1.safetensors");

/// Wrote the file, with this variable set; a later version gets a file of its own.
#[test]
fn write_the_golden_checkpoint() {
    if std::env::var_os("GOAI_WRITE_GOLDEN").is_some() {
        std::fs::write(FILE, bytes(42)).unwrap();
    }
}

#[test]
fn the_golden_checkpoint_is_read() {
    let loaded = load(&RealDisk, Path::new(FILE)).unwrap();
    assert!(is_step(&loaded, 42));
    let told = CheckpointMeta { sums: Default::default(), slices: vec![], ..loaded.about };
    assert_eq!(told, CheckpointMeta { format: 1, cursor: cursor(42), ..about() });
    assert_eq!(model_file::load(Path::new(FILE)).unwrap().meta.classes, meta().classes);
}
