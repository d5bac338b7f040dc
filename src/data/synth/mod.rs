//! Small synthetic sets in the real layouts: for tests, and for a first run without a download.
//!
//! What a class looks like is in `texture`; this file lays the pictures out as the real sets are. A folder that holds
//! anything is refused, so that no synthetic picture ever gets among real ones.

mod texture;

#[cfg(test)]
mod tests;

use super::DataError;
use super::sets::{cifar10, mnist};
use flate2::Compression;
use flate2::write::GzEncoder;
use jpeg_encoder::{ColorType, Encoder};
use rayon::prelude::*;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use texture::Texture;

/// The classes of the Intel Image Classification set, in the order of their bytes.
pub const IMG_CLASSES: [&str; 6] = ["buildings", "forest", "glacier", "mountain", "sea", "street"];

/// Height and width of the pictures of that set.
const IMG_SIDE: usize = 150;

/// Quality of the JPEG files, 1 to 100.
const JPEG_QUALITY: u8 = 90;

/// The most pictures a class: as large as the real sets are, and no disk is filled by a typing error.
pub const MOST_PER_CLASS: usize = 10_000;

/// Which real set's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Folders of JPEG files, as the Intel Image Classification set: six classes, 150x150.
    Img,
    /// The binary version of CIFAR-10: ten classes, 32x32.
    Cifar10,
    /// The four compressed idx files of MNIST: ten classes, 28x28, grey.
    Mnist,
}

/// How many pictures of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerClass {
    /// In the training set.
    pub train: usize,
    /// In the test set.
    pub test: usize,
}

impl Kind {
    /// Enough for a small convolutional network to learn the set in a few epochs.
    pub fn default_size(self) -> PerClass {
        match self {
            Self::Img => PerClass { train: 120, test: 30 },
            Self::Cifar10 | Self::Mnist => PerClass { train: 200, test: 40 },
        }
    }

    /// What the set is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Img => "img",
            Self::Cifar10 => "cifar10",
            Self::Mnist => "mnist",
        }
    }

    fn classes(self) -> usize {
        match self {
            Self::Img => IMG_CLASSES.len(),
            Self::Cifar10 | Self::Mnist => 10,
        }
    }

    /// `[C, H, W]`.
    fn shape(self) -> [usize; 3] {
        match self {
            Self::Img => [3, IMG_SIDE, IMG_SIDE],
            Self::Cifar10 => cifar10::SHAPE,
            Self::Mnist => mnist::SHAPE,
        }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The folder, to be given with --data-dir.
    pub folder: PathBuf,
    /// Pictures of the training set.
    pub train: usize,
    /// Pictures of the test set.
    pub test: usize,
    /// Number of classes.
    pub classes: usize,
    /// Files, README.txt included.
    pub files: usize,
    /// Bytes in them.
    pub bytes: u64,
}

/// Writes a synthetic set into the folder `out`, which must be empty or not there yet.
///
/// The same seed and sizes give the same bytes (on another machine nearly: its cosine may round otherwise). `per_class`: by default [`Kind::default_size`].
///
/// # Errors
/// A folder that holds something or cannot be written, or sizes out of range.
pub fn synth(kind: Kind, out: &Path, seed: u64, per_class: Option<PerClass>) -> Result<Report, DataError> {
    let size = per_class.unwrap_or_else(|| kind.default_size());
    check_size(size)?;
    check_empty(out)?;
    let mut writer = Writer { folder: out, files: 0, bytes: 0 };
    // First, so that whatever an interrupted run leaves is marked.
    writer.write(Path::new("README.txt"), readme(kind, seed, size).as_bytes())?;
    match kind {
        Kind::Img => write_img(&mut writer, seed, size)?,
        Kind::Cifar10 => write_cifar10(&mut writer, seed, size)?,
        Kind::Mnist => write_mnist(&mut writer, seed, size)?,
    }
    let classes = kind.classes();
    let (train, test) = (classes * size.train, classes * size.test);
    Ok(Report { folder: out.to_owned(), train, test, classes, files: writer.files, bytes: writer.bytes })
}

fn check_size(PerClass { train, test }: PerClass) -> Result<(), DataError> {
    let limit = MOST_PER_CLASS;
    let why = match train.min(test) {
        0 => "a part would be empty",
        _ if train.max(test) > limit => "too many",
        _ => return Ok(()),
    };
    Err(DataError::BadSize { train, test, why, limit })
}

fn check_empty(out: &Path) -> Result<(), DataError> {
    let path = out.to_owned();
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(DataError::OutNotEmpty { path }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(DataError::OutNotEmpty { path }),
        Err(error) => Err(DataError::Io { path, error }),
    }
}

fn readme(kind: Kind, seed: u64, PerClass { train, test }: PerClass) -> String {
    let name = kind.name();
    let layout = match kind {
        Kind::Img => "the Intel Image Classification set",
        Kind::Cifar10 => "the binary version of CIFAR-10",
        Kind::Mnist => "MNIST",
    };
    format!(
        "SYNTHETIC DATA, not {layout}.\n\n\
         goai-rs drew these pictures: a texture of its own for each class, with noise. Only the layout and the names\n\
         are those of {layout}. An accuracy reached here says that a\n\
         program works, and nothing about the real set.\n\n\
         Made with seed {seed}, {train} training and {test} test pictures a class, by\n\
         goai-rs data synth --dataset {name} --out DIR\n"
    )
}

/// Picture `i` of a set of this kind, in H, W, C order. Classes take turns.
fn picture(kind: Kind, seed: u64, i: usize) -> Vec<u8> {
    Texture { class: i % kind.classes(), classes: kind.classes(), shape: kind.shape() }.draw(seed, i as u64)
}

/// The numbers of the pictures of the training set and of the test set, which follow it.
fn parts(kind: Kind, size: PerClass) -> [std::ops::Range<usize>; 2] {
    let train = kind.classes() * size.train;
    [0..train, train..train + kind.classes() * size.test]
}

fn write_img(writer: &mut Writer, seed: u64, size: PerClass) -> Result<(), DataError> {
    for (part, pictures) in ["seg_train/seg_train", "seg_test/seg_test"].into_iter().zip(parts(Kind::Img, size)) {
        let first = pictures.start;
        // A run at a time: the pictures are drawn side by side, and few of them are in memory.
        for run in pictures.clone().step_by(64).map(|start| start..(start + 64).min(pictures.end)) {
            let files: Vec<Vec<u8>> = run.clone().into_par_iter().map(|i| jpeg(&picture(Kind::Img, seed, i))).collect();
            for (i, bytes) in run.zip(files) {
                let number = (i - first) / IMG_CLASSES.len();
                let name = format!("{part}/{}/{number:04}.jpg", IMG_CLASSES[i % IMG_CLASSES.len()]);
                writer.write(Path::new(&name), &bytes)?;
            }
        }
    }
    Ok(())
}

fn jpeg(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = Encoder::new(&mut bytes, JPEG_QUALITY);
    let encoded = encoder.encode(pixels, IMG_SIDE as u16, IMG_SIDE as u16, ColorType::Rgb);
    encoded.expect("a picture of fixed size is encoded into memory");
    bytes
}

fn write_cifar10(writer: &mut Writer, seed: u64, size: PerClass) -> Result<(), DataError> {
    let folder = Path::new("cifar-10-batches-bin");
    for (name, pictures) in ["data_batch_1.bin", "test_batch.bin"].into_iter().zip(parts(Kind::Cifar10, size)) {
        let records = pictures.into_par_iter().flat_map_iter(|i| {
            let pixels = picture(Kind::Cifar10, seed, i);
            let mut record = vec![(i % 10) as u8];
            (0..3).for_each(|channel| record.extend(pixels[channel..].iter().step_by(3)));
            record
        });
        writer.write(&folder.join(name), &records.collect::<Vec<u8>>())?;
    }
    writer.write(&folder.join("batches.meta.txt"), (cifar10::CLASSES.join("\n") + "\n\n").as_bytes())
}

fn write_mnist(writer: &mut Writer, seed: u64, size: PerClass) -> Result<(), DataError> {
    for (part, pictures) in ["train", "t10k"].into_iter().zip(parts(Kind::Mnist, size)) {
        let count = pictures.len() as u32;
        let header = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
        let [images, labels] = mnist::MAGIC;
        let mut file = header(&[images, count, 28, 28]);
        file.par_extend(pictures.clone().into_par_iter().flat_map_iter(|i| picture(Kind::Mnist, seed, i)));
        writer.write_packed(&format!("{part}-images-idx3-ubyte.gz"), &file)?;
        let mut file = header(&[labels, count]);
        file.extend(pictures.map(|i| (i % 10) as u8));
        writer.write_packed(&format!("{part}-labels-idx1-ubyte.gz"), &file)?;
    }
    Ok(())
}

/// Writes files below a folder, and counts them.
struct Writer<'a> {
    folder: &'a Path,
    files: usize,
    bytes: u64,
}

impl Writer<'_> {
    fn write(&mut self, name: &Path, bytes: &[u8]) -> Result<(), DataError> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(self.folder);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes));
        written.map_err(|error| DataError::CannotWrite { path, error })?;
        self.files += 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn write_packed(&mut self, name: &str, bytes: &[u8]) -> Result<(), DataError> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
        self.write(Path::new(name), &packed.expect("memory takes what is written"))
    }
}
