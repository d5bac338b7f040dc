//! CIFAR-10 in its binary layout: a label byte, then 1,024 bytes each of red, green and blue, record after record.
//!
//! # References
//! A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.

use super::{names, read_in, read_listed};
use crate::data::DataError;
use crate::data::pictures::{Pictures, Pixels};
use crate::data::source::SIZE_LIMIT;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Channels, height, width.
pub const SHAPE: [usize; 3] = [3, 32, 32];

/// Pixels in a channel.
const PLANE: usize = 32 * 32;

/// Bytes of a picture with its label.
pub const RECORD: usize = 1 + 3 * PLANE;

/// The official classes, in the order of their labels.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The file of the test set.
const TEST: &str = "test_batch.bin";

/// The file of the classes' names.
const NAMES: &str = "batches.meta.txt";

/// What can be wrong with a file of CIFAR-10.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CifarFault {
    /// Zero bytes.
    #[error("the file is empty; copy it again, or remove it")]
    Empty,
    /// No whole number of records.
    #[error(
        "{size} bytes are no whole number of {RECORD}-byte records, {remainder} are left over; \
         copy it again, or unpack cifar-10-binary.tar.gz again"
    )]
    Length {
        /// The file's size.
        size: usize,
        /// The bytes behind the last whole record.
        remainder: usize,
    },
    /// A first byte of a record that is no class.
    #[error("record {record} (counted from 0) has label {label}, 0 to 9 is needed; is this CIFAR-10's binary version?")]
    Label {
        /// The record, counted from 0.
        record: usize,
        /// Its label.
        label: u8,
    },
    /// The names of the classes are not ten different ones.
    #[error("{lines} different class names, one a line, are in it, 10 are needed; correct it, or remove it")]
    Names {
        /// The different lines that are not blank.
        lines: usize,
    },
    /// All batches together.
    #[error("the batches up to this one have {size} bytes, more than the {limit} that are read; remove some")]
    TooLarge {
        /// Their size.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
}

/// Loads CIFAR-10 from the first of `D`, `D/cifar-10-batches-bin`, `D/CIFAR10`, `D/CIFAR10/cifar-10-batches-bin` that
/// holds a `data_batch_*.bin`; `test_batch.bin`, where it is, becomes the set's own test set.
///
/// The batches follow each other in the order of their names' bytes.
///
/// # Errors
/// No batch in any of the folders, or the first fault in a file.
pub fn load(data_dir: &Path) -> Result<Pictures, DataError> {
    let (folder, batches) = find(data_dir)?;
    let classes = classes(&folder)?;
    let mut set = Records::default();
    for name in batches {
        let (file, bytes) = read_listed(&folder, name)?;
        set.append(&file, &bytes)?;
    }
    let train = set.labels.len();
    if let Some((file, bytes)) = read_in(&folder, TEST)? {
        set.append(&file, &bytes)?;
    }
    Ok(Pictures {
        name: "cifar10".to_owned(),
        shape: SHAPE,
        own_test: set.labels.len() - train,
        labels: set.labels,
        classes,
        pixels: Pixels::Owned(Arc::new(set.pixels)),
    })
}

/// The folder, and the names of the training batches in it.
fn find(data_dir: &Path) -> Result<(PathBuf, Vec<OsString>), DataError> {
    let below = ["", "cifar-10-batches-bin", "CIFAR10", "CIFAR10/cifar-10-batches-bin"];
    let tried = below.map(|name| if name.is_empty() { data_dir.to_owned() } else { data_dir.join(name) });
    for folder in &tried {
        let mut batches = names(folder)?;
        batches.retain(|name| is_batch(name));
        if !batches.is_empty() {
            return Ok((folder.clone(), batches));
        }
    }
    Err(DataError::SetNotFound {
        set: "CIFAR-10",
        wanted: "data_batch_*.bin",
        tried: tried.to_vec(),
        cure: "unpack cifar-10-binary.tar.gz there, or make a small set: goai-rs data synth --dataset cifar10 --out DIR",
    })
}

fn is_batch(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"data_batch_") && name.ends_with(b".bin")
}

/// The names in `batches.meta.txt`, else the official ones.
fn classes(folder: &Path) -> Result<Vec<String>, DataError> {
    let Some((file, bytes)) = read_in(folder, NAMES)? else {
        return Ok(CLASSES.map(str::to_owned).to_vec());
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut found: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !found.iter().any(|name| name == line) {
            found.push(line.to_owned());
        }
    }
    if found.len() != CLASSES.len() || bytes.contains(&0) {
        return Err(DataError::Cifar { file, fault: CifarFault::Names { lines: found.len() } });
    }
    Ok(found)
}

/// What the files read so far held.
#[derive(Default)]
struct Records {
    labels: Vec<u32>,
    pixels: Vec<u8>,
}

impl Records {
    fn append(&mut self, file: &Path, bytes: &[u8]) -> Result<(), DataError> {
        self.try_append(bytes).map_err(|fault| DataError::Cifar { file: file.to_owned(), fault })
    }

    fn try_append(&mut self, bytes: &[u8]) -> Result<(), CifarFault> {
        let (size, remainder) = (bytes.len(), bytes.len() % RECORD);
        if size == 0 {
            return Err(CifarFault::Empty);
        }
        if remainder != 0 {
            return Err(CifarFault::Length { size, remainder });
        }
        let total = (self.pixels.len() + size) as u64;
        if total > SIZE_LIMIT {
            return Err(CifarFault::TooLarge { size: total, limit: SIZE_LIMIT });
        }
        self.pixels.reserve_exact(size / RECORD * (RECORD - 1));
        for (record, bytes) in bytes.chunks_exact(RECORD).enumerate() {
            let label = bytes[0];
            if usize::from(label) >= CLASSES.len() {
                return Err(CifarFault::Label { record, label });
            }
            self.labels.push(label.into());
            let (red, rest) = bytes[1..].split_at(PLANE);
            let (green, blue) = rest.split_at(PLANE);
            self.pixels.extend((0..PLANE).flat_map(|at| [red[at], green[at], blue[at]]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Red, green and blue count up from `first`, 10 and 20 further.
    fn record(label: u8, first: u8) -> Vec<u8> {
        let plane = |offset: u8| (0..PLANE).map(move |at| first.wrapping_add(offset).wrapping_add(at as u8));
        std::iter::once(label).chain(plane(0)).chain(plane(10)).chain(plane(20)).collect()
    }

    fn error(files: &[(&str, Vec<u8>)]) -> String {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        load(dir.path()).unwrap_err().to_string()
    }

    #[test]
    fn planes_become_pixels_and_the_test_set_comes_last() {
        for below in ["", "cifar-10-batches-bin", "CIFAR10", "CIFAR10/cifar-10-batches-bin"] {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join(below);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("data_batch_2.bin"), [record(3, 1), record(9, 2)].concat()).unwrap();
            fs::write(folder.join("data_batch_1.bin"), record(4, 7)).unwrap();
            fs::write(folder.join("test_batch.bin"), record(0, 100)).unwrap();
            let set = load(dir.path()).unwrap();
            assert_eq!((set.labels.as_slice(), set.own_test, set.shape), (&[4, 3, 9, 0][..], 1, SHAPE), "{below}");
            assert_eq!(set.pixels(0)[..6], [7, 17, 27, 8, 18, 28]);
            assert_eq!(set.pixels(3)[..3], [100, 110, 120]);
            assert_eq!(set.classes, CLASSES);
        }
    }

    #[test]
    fn the_test_set_and_the_names_are_optional() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("data_batch_5.bin"), record(4, 7)).unwrap();
        let names: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
        fs::write(dir.path().join(NAMES), names.join("\n") + "\n\n").unwrap();
        let set = load(dir.path()).unwrap();
        assert_eq!((set.len(), set.own_test, set.classes), (1, 0, names));
    }

    #[test]
    fn faults_are_named() {
        let good = record(1, 0);
        let batch = |bytes: Vec<u8>| vec![("data_batch_1.bin", bytes)];
        let cifar100 = vec![0; RECORD + 1];
        for (files, expected) in [
            (batch(good[..RECORD - 1].to_vec()), "data_batch_1.bin: 3072 bytes are no whole number of 3073-byte"),
            (batch(cifar100), "3074 bytes are no whole number of 3073-byte records, 1 are left over"),
            (batch(Vec::new()), "data_batch_1.bin: the file is empty"),
            (batch([good.clone(), record(10, 0)].concat()), "record 1 (counted from 0) has label 10"),
            (
                vec![("data_batch_1.bin", good.clone()), (TEST, vec![255; RECORD])],
                "test_batch.bin: record 0 (counted from 0) has label 255",
            ),
            (vec![("data_batch_1.bin", good.clone()), (TEST, Vec::new())], "test_batch.bin: the file is empty"),
            (vec![("data_batch_1.bin", good), (NAMES, b"a\nb\na\n".to_vec())], "batches.meta.txt: 2 different class"),
            (vec![(TEST, record(1, 0)), ("data_batch_1", record(1, 0))], "no data_batch_*.bin in"),
        ] {
            let message = error(&files);
            assert!(message.contains(expected) && !message.contains('\n'), "{expected}: {message}");
        }
    }

    #[test]
    fn every_folder_that_was_tried_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = load(dir.path()).unwrap_err().to_string();
        let at = dir.path().display();
        for path in ["", "/cifar-10-batches-bin", "/CIFAR10", "/CIFAR10/cifar-10-batches-bin"] {
            assert!(
                message.contains(&format!("{at}{path},")) || message.contains(&format!("{at}{path};")),
                "{message}"
            );
        }
        fs::create_dir(dir.path().join("data_batch_1.bin")).unwrap();
        assert!(load(dir.path()).unwrap_err().to_string().contains("data_batch_1.bin: is a directory"));
    }
}
