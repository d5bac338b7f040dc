//! Idx files as they should be, and every way in which they are not.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;

fn images(magic: u32, count: u32, rows: u32, columns: u32, bytes: usize) -> Vec<u8> {
    let mut file: Vec<u8> = [magic, count, rows, columns].into_iter().flat_map(u32::to_be_bytes).collect();
    file.extend((0..bytes).map(|at| at as u8));
    file
}

fn labels(magic: u32, count: u32, labels: &[u8]) -> Vec<u8> {
    [magic, count].into_iter().flat_map(u32::to_be_bytes).chain(labels.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A set of two pictures with the given images and labels.
fn error(image_name: &str, image_file: &[u8], label_file: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(image_name), image_file).unwrap();
    fs::write(dir.path().join("train-labels-idx1-ubyte"), label_file).unwrap();
    load(dir.path()).unwrap_err().to_string()
}

#[test]
fn every_place_spelling_and_packing_gives_the_same_set() {
    for (below, joint, packed) in [("", "-", false), ("mnist", ".", true), ("MNIST/raw", "-", true), ("", ".", false)] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(below);
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, dims: u8, bytes: &[u8]| {
            let ending = if packed { ".gz" } else { "" };
            let bytes = if packed { gzip(bytes) } else { bytes.to_vec() };
            fs::write(folder.join(format!("{name}{joint}idx{dims}-ubyte{ending}")), bytes).unwrap();
        };
        write("train-images", 3, &images(0x803, 2, 28, 28, 2 * 784));
        write("train-labels", 1, &labels(0x801, 2, &[7, 9]));
        let set = load(dir.path()).unwrap();
        assert_eq!((set.labels.as_slice(), set.own_test, set.shape), (&[7, 9][..], 0, SHAPE));
        write("t10k-images", 3, &images(0x803, 1, 28, 28, 784));
        write("t10k-labels", 1, &labels(0x801, 1, &[0]));
        let set = load(dir.path()).unwrap();
        assert_eq!((set.labels.as_slice(), set.own_test), (&[7, 9, 0][..], 1));
        assert_eq!((set.pixels(1)[0], set.pixels(2)[5], set.classes[9].as_str()), ((784 % 256) as u8, 5, "9"));
    }
}

#[test]
fn faults_of_images_and_labels_are_named() {
    let two = labels(0x801, 2, &[1, 2]);
    let good = images(0x803, 2, 28, 28, 2 * 784);
    for (image_file, label_file, expected) in [
        (images(0x801, 2, 28, 28, 1568), two.clone(), "magic number 0x00000801, 0x00000803 is needed"),
        (images(0x803, 2, 28, 27, 1512), two.clone(), "the pictures are 28x27, 28x28 is needed"),
        (images(0x803, 2, 28, 28, 1567), two.clone(), "1567 of the 1568 bytes"),
        (images(0x803, 2, 28, 28, 1569), two.clone(), "bytes follow the 1568 that the header asks for"),
        (images(0x803, 0, 28, 28, 0), two.clone(), "it holds nothing"),
        (images(0x803, u32::MAX, 28, 28, 784), two.clone(), "3367254359280 bytes, more than the 4294967296"),
        (good[..15].to_vec(), two.clone(), "15 bytes are less than the header's 16"),
        (Vec::new(), two.clone(), "0 bytes are less than the header's 16"),
        (images(0x803, 3, 28, 28, 3 * 784), two, "2 labels for the 3 images of"),
        (good.clone(), labels(0x803, 2, &[1, 2]), "magic number 0x00000803, 0x00000801 is needed"),
        (good.clone(), labels(0x801, 2, &[1]), "1 of the 2 bytes"),
        (good.clone(), labels(0x801, 2, &[1, 2, 3]), "bytes follow the 2"),
        (good.clone(), labels(0x801, 2, &[1, 10]), "label 10 of item 1 (counted from 0)"),
    ] {
        for (name, file) in
            [("train-images-idx3-ubyte", image_file.clone()), ("train-images.idx3-ubyte.gz", gzip(&image_file))]
        {
            let message = error(name, &file, &label_file);
            assert!(message.contains(expected) && !message.contains('\n'), "{name}, {expected}: {message}");
        }
    }
}

#[test]
fn damaged_packing_is_named() {
    let two = labels(0x801, 2, &[1, 2]);
    let good = gzip(&images(0x803, 2, 28, 28, 2 * 784));
    let mut flipped = good.clone();
    let checksum = flipped.len() - 6;
    flipped[checksum] ^= 1;
    let trailing = [good.as_slice(), b"more"].concat();
    for file in [&good[..good.len() / 2], &good[..good.len() - 3], &flipped, &trailing, b"not gzip at all".as_slice()] {
        let message = error("train-images-idx3-ubyte.gz", file, &two);
        assert!(message.contains("cannot be unpacked: ") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_bomb_is_not_unpacked() {
    // 64 MiB of zeros behind a header that asks for two pictures.
    let mut file = images(0x803, 2, 28, 28, 0);
    file.resize(64 << 20, 0);
    let packed = gzip(&file);
    let unpacked = unpack(&packed, true);
    assert_eq!(unpacked, Err(IdxFault::Trailing { wanted: 1568 }));
    // And a header that asks for 4 GB in a file of a few bytes: what is reserved is bound by the file's size.
    let lying = gzip(&images(0x803, 5_000_000, 28, 28, 784));
    assert_eq!(unpack(&lying, true), Err(IdxFault::Truncated { found: 784, wanted: 3_920_000_000 }));
}

#[test]
fn a_missing_partner_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("mnist, ") && message.contains("MNIST/raw; copy the four idx files"), "{message}");
    let write = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
    write("train-images-idx3-ubyte", images(0x803, 1, 28, 28, 784));
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("train-labels-idx1-ubyte: is missing (also as train-labels.idx1-ubyte"), "{message}");
    write("train-labels-idx1-ubyte", labels(0x801, 1, &[3]));
    write("t10k-labels-idx1-ubyte", labels(0x801, 1, &[3]));
    let message = load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("t10k-images-idx3-ubyte: is missing"), "{message}");
}
