//! Files that are not whole, or no checkpoints at all.

use super::*;
use std::fs;

/// A folder with a whole checkpoint of step 1 and these bytes as that of step 2.
struct Folder {
    dir: tempfile::TempDir,
    second: std::path::PathBuf,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        save(&store, 1).unwrap();
        Self { second: store.path(2), dir }
    }

    /// Why the bytes are refused; step 1 is used then.
    fn refusal(&self, bytes: &[u8]) -> String {
        fs::write(&self.second, bytes).unwrap();
        let newest = newest_valid(&RealDisk, self.dir.path()).unwrap();
        assert!(is_step(&newest.loaded.expect("the one before"), 1));
        assert_eq!(newest.refused.len(), 1);
        let text = newest.refused[0].why.to_string();
        assert!(text.starts_with(self.second.to_str().unwrap()) && text.lines().count() == 1, "{text}");
        // As a model it is no better.
        let only_the_state = ["without the state of a training", "its state should hold"];
        let as_model = model_file::load(&self.second).is_ok();
        assert_eq!(as_model, only_the_state.iter().any(|part| text.contains(part)), "{text}");
        text
    }
}

#[test]
fn every_truncation_is_refused_and_the_one_before_used() {
    let (folder, whole) = (Folder::new(), bytes(2));
    let lengths = (0..whole.len()).step_by(97).chain(whole.len() - 200..whole.len());
    for length in lengths {
        folder.refusal(&whole[..length]);
    }
    let mut longer = whole.clone();
    longer.push(0);
    folder.refusal(&longer);
    fs::write(&folder.second, &whole).unwrap();
    assert!(is_step(&newest_valid(&RealDisk, folder.dir.path()).unwrap().loaded.unwrap(), 2), "the whole one is used");
}

#[test]
fn bit_flips_are_refused_and_the_one_before_used() {
    let (folder, mut bytes) = (Folder::new(), bytes(2));
    let mut at = 1_u64;
    for _ in 0..200 {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = (at >> 16) as usize % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        folder.refusal(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    // A flip in a tensor is said to be there.
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    let why = folder.refusal(&bytes);
    assert!(why.contains("(changed: state.second_moment)"), "{why}");
}

/// The file of a step with another description, sealed again.
fn with_text(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes(2);
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect(from);
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    seal(bytes)
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 8;
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn header(text: &str, data: usize) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn other_files_are_refused_with_their_reason() {
    let folder = Folder::new();
    let whole = bytes(2);
    let mut swapped = whole.clone();
    swapped[..8].reverse();
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&(1_u64 << 63).to_le_bytes());
    let snapshot = snapshot(2);
    let weights: Vec<_> = tiny().tensors().map(|t| (t.name.clone(), t.shape.clone(), t.span)).collect();
    let tensors: Vec<_> =
        weights.into_iter().map(|(name, shape, span)| (name, shape, &snapshot.slices[0].1[span.range()])).collect();
    let plain = crate::run::model_bytes::to_bytes(&tensors, &meta()).unwrap();
    let overlap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#;
    let many: Vec<String> = (0..1_000_000)
        .map(|i| format!(r#""t{i}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}}"#, i * 4, i * 4 + 4))
        .collect();
    let many = format!("{{{}}}", many.join(","));
    let version = format!(r#"\"checkpoint\":{{\"format\":{FORMAT},"#);
    let newer = format!(r#"\"checkpoint\":{{\"format\":{},"#, FORMAT + 1);
    for (bytes, part) in [
        (with_text(&version, &newer), "checkpoint format 2 of a newer version"),
        (swapped, "a header of"),
        (huge, "a header of 9223372036854775808 bytes"),
        (plain, "a model without the state of a training"),
        (header(overlap, 6), "header"),
        (header(&many, 4_000_000), "a header of"),
        (b"PK\x03\x04 and so on".to_vec(), "a zip archive"),
        (b"\x80\x04\x95 and so on".to_vec(), "a Python pickle"),
        (Vec::new(), "an empty file"),
        (vec![0; whole.len()], "not a whole safetensors file"),
        (with_text(r#"\"first_moment\""#, r#"\"first_memory\""#), "state should hold"),
        (with_text(r#""state.scales""#, r#""state.skales""#), "state.skales"),
        (with_text(r#""seal""#, r#""sea1""#), "seal does not belong"),
    ] {
        let why = folder.refusal(&bytes);
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[test]
fn the_seal_is_the_last_tensor_as_the_crate_would_write_it() {
    use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
    let whole = bytes(2);
    let (_, metadata) = SafeTensors::read_metadata(&whole).unwrap();
    assert_eq!(metadata.offset_keys().last().unwrap(), "seal");
    let read = SafeTensors::deserialize(&whole).unwrap();
    let views: Vec<(String, TensorView)> = read.tensors();
    assert_eq!(views.iter().filter(|(_, view)| view.dtype() == Dtype::U8).count(), 1);
    assert_eq!(serialize(views, metadata.metadata().clone()).unwrap(), whole);
}
