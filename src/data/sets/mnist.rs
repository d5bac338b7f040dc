//! MNIST in its idx files, as they are or compressed with gzip.
//!
//! An idx file is a magic number (0, 0, the type 8 for bytes, the number of dimensions), the dimensions as big-endian
//! 32-bit numbers, and the bytes. What a compressed file may unpack to is bound by that header, so that a small file
//! cannot fill the memory.
//!
//! # References
//! Y. LeCun, C. Cortes, C. Burges, *The MNIST Database of Handwritten Digits*, 1998.

use super::read_in;
use crate::data::DataError;
use crate::data::pictures::{Pictures, Pixels};
use crate::data::source::SIZE_LIMIT;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Channels, height, width.
pub const SHAPE: [usize; 3] = [1, 28, 28];

/// The magic number of three dimensions of bytes, and of one.
pub(crate) const MAGIC: [u32; 2] = [0x0803, 0x0801];

/// No byte of deflate unpacks to more.
const DEFLATE_RATIO: usize = 1032;

/// What can be wrong with an idx file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdxFault {
    /// Shorter than the header.
    #[error("{size} bytes are less than the header's {header}; copy it again")]
    NoHeader {
        /// The file's size, unpacked.
        size: usize,
        /// The header's size.
        header: usize,
    },
    /// Another type, number of dimensions, or no idx file.
    #[error("magic number 0x{found:08x}, 0x{wanted:08x} is needed; is this MNIST's file of this name, unpacked once?")]
    Magic {
        /// The number.
        found: u32,
        /// What it should be.
        wanted: u32,
    },
    /// Pictures of another size.
    #[error("the pictures are {rows}x{columns}, 28x28 is needed; save other sizes as .npy arrays")]
    Size {
        /// Their height.
        rows: u32,
        /// Their width.
        columns: u32,
    },
    /// No picture.
    #[error("the header says that it holds nothing; copy it again")]
    Empty,
    /// More than is read.
    #[error("the header says {size} bytes, more than the {limit} that are read into memory; train on a part of it")]
    TooLarge {
        /// The bytes that the header asks for.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
    /// Cut short.
    #[error("{found} of the {wanted} bytes that the header asks for; copy it again")]
    Truncated {
        /// Bytes behind the header.
        found: usize,
        /// Bytes that there should be.
        wanted: usize,
    },
    /// Longer than the header says.
    #[error("bytes follow the {wanted} that the header asks for; copy it again")]
    Trailing {
        /// Bytes that there should be.
        wanted: usize,
    },
    /// The compressed file is damaged.
    #[error("cannot be unpacked: {why}; copy it again")]
    Gzip {
        /// What the unpacker said.
        why: String,
    },
    /// Images and labels do not belong together.
    #[error("{labels} labels for the {images} images of {}; take both from one set", file.display())]
    Counts {
        /// The number of labels.
        labels: usize,
        /// The number of images.
        images: usize,
        /// The file of the images.
        file: PathBuf,
    },
    /// No digit.
    #[error("label {label} of item {item} (counted from 0), 0 to 9 is needed; is this MNIST's file of labels?")]
    Label {
        /// The item, counted from 0.
        item: usize,
        /// Its label.
        label: u8,
    },
    /// One of the four files lacks.
    #[error("is missing (also as {}, each also with .gz), but its partner is there; copy it too", spelling)]
    Missing {
        /// Another name that it could have.
        spelling: String,
    },
}

/// Loads MNIST from the first of `D`, `D/mnist`, `D/MNIST/raw` that holds `train-images-idx3-ubyte`, also spelled
/// `train-images.idx3-ubyte`, also with `.gz`; `t10k-…`, where it is, becomes the set's own test set.
///
/// # Errors
/// No images in any of the folders, or the first fault in a file.
pub fn load(data_dir: &Path) -> Result<Pictures, DataError> {
    let tried = [data_dir.to_owned(), data_dir.join("mnist"), data_dir.join("MNIST/raw")];
    for folder in &tried {
        if let Some(Part { mut pixels, mut labels }) = pair(folder, "train")? {
            let train = labels.len();
            if let Some(test) = pair(folder, "t10k")? {
                pixels.extend_from_slice(&test.pixels);
                labels.extend(test.labels);
            }
            return Ok(Pictures {
                name: "mnist".to_owned(),
                shape: SHAPE,
                own_test: labels.len() - train,
                labels,
                classes: (0..10).map(|digit| digit.to_string()).collect(),
                pixels: Pixels::Owned(Arc::new(pixels)),
            });
        }
    }
    Err(DataError::SetNotFound {
        set: "MNIST",
        wanted: "train-images-idx3-ubyte[.gz]",
        tried: tried.to_vec(),
        cure: "copy the four idx files there, or make a small set: goai-rs data synth --dataset mnist --out DIR",
    })
}

/// The training or the test set.
struct Part {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

/// The training (`train`) or the test set (`t10k`); none when neither its images nor its labels are there.
fn pair(folder: &Path, part: &str) -> Result<Option<Part>, DataError> {
    let [images, labels] = ["images", "labels"].map(|what| read(folder, part, what));
    let ((image_file, images), (label_file, labels)) = match (images?, labels?) {
        (Some(images), Some(labels)) => (images, labels),
        (None, None) => return Ok(None),
        (images, _) => {
            let what = if images.is_some() { "labels" } else { "images" };
            let [name, spelling] = spellings(part, what);
            return Err(fault(&folder.join(name), IdxFault::Missing { spelling }));
        }
    };
    if labels.len() != images.len() / (SHAPE[1] * SHAPE[2]) {
        let images = images.len() / (SHAPE[1] * SHAPE[2]);
        return Err(fault(&label_file, IdxFault::Counts { labels: labels.len(), images, file: image_file }));
    }
    if let Some(item) = labels.iter().position(|&label| label > 9) {
        return Err(fault(&label_file, IdxFault::Label { item, label: labels[item] }));
    }
    Ok(Some(Part { pixels: images, labels: labels.into_iter().map(u32::from).collect() }))
}

/// The names that a file has; the first is the official one.
fn spellings(part: &str, what: &str) -> [String; 2] {
    let dims = if what == "images" { 3 } else { 1 };
    ["-", "."].map(|joint| format!("{part}-{what}{joint}idx{dims}-ubyte"))
}

/// The bytes behind the header of the first file that is there, and its path.
fn read(folder: &Path, part: &str, what: &str) -> Result<Option<(PathBuf, Vec<u8>)>, DataError> {
    for packed in [false, true] {
        for name in spellings(part, what) {
            let name = if packed { format!("{name}.gz") } else { name };
            let Some((file, bytes)) = read_in(folder, name)? else { continue };
            let content = match packed {
                true => unpack(&bytes, what == "images"),
                false => content(&bytes[..], bytes.len(), what == "images"),
            };
            return Ok(Some((file.clone(), content.map_err(|why| fault(&file, why))?)));
        }
    }
    Ok(None)
}

fn fault(file: &Path, fault: IdxFault) -> DataError {
    DataError::Idx { file: file.to_owned(), fault }
}

fn unpack(bytes: &[u8], images: bool) -> Result<Vec<u8>, IdxFault> {
    content(MultiGzDecoder::new(bytes), bytes.len().saturating_mul(DEFLATE_RATIO), images)
}

/// What follows the header; `most` bounds what the source can hold, and so what is reserved.
fn content(mut source: impl Read, most: usize, images: bool) -> Result<Vec<u8>, IdxFault> {
    let unreadable = |error: std::io::Error| IdxFault::Gzip { why: error.to_string() };
    let mut header = Vec::new();
    let header_size = if images { 16 } else { 8 };
    source.by_ref().take(header_size as u64).read_to_end(&mut header).map_err(unreadable)?;
    if header.len() < header_size {
        return Err(IdxFault::NoHeader { size: header.len(), header: header_size });
    }
    let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| header[4 * at + byte]));
    let wanted = MAGIC[usize::from(!images)];
    if number(0) != wanted {
        return Err(IdxFault::Magic { found: number(0), wanted });
    }
    let item = match images {
        true if (number(2), number(3)) != (28, 28) => {
            return Err(IdxFault::Size { rows: number(2), columns: number(3) });
        }
        true => SHAPE[1] * SHAPE[2],
        false => 1,
    };
    let size = u64::from(number(1)) * item as u64;
    if size == 0 {
        return Err(IdxFault::Empty);
    }
    if size > SIZE_LIMIT {
        return Err(IdxFault::TooLarge { size, limit: SIZE_LIMIT });
    }
    let wanted = size as usize;
    let mut content = Vec::with_capacity(wanted.min(most) + 1);
    // One more than there should be: enough to see that something follows, too little to fill the memory.
    source.take(size + 1).read_to_end(&mut content).map_err(unreadable)?;
    match content.len() {
        found if found < wanted => Err(IdxFault::Truncated { found, wanted }),
        found if found > wanted => Err(IdxFault::Trailing { wanted }),
        _ => Ok(content),
    }
}

#[cfg(test)]
mod tests;
