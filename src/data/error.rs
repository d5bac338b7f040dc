//! What can be wrong with data, one line each: what, where, why, and the cure.

use super::csv::CsvFault;
use super::pictures::decode::PictureFault;
use super::sets::{CifarFault, IdxFault, NpyFault};
use std::io;
use std::path::PathBuf;

/// An error of the data storey.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Something in a table; the place is line and cell, both counted from 1.
    #[error("{file}:{line}:{cell}: {fault}")]
    Csv {
        /// The file, as it was named.
        file: String,
        /// The line in the file, the header being line 1.
        line: u64,
        /// The cell in that line.
        cell: usize,
        /// What is wrong there.
        fault: Box<CsvFault>,
    },
    /// No folder of pictures is in any of the places.
    #[error(
        "no pictures found; tried {}; unpack the data set there, give its directory with --data-dir, or make a small \
         one with goai-rs data synth",
        paths(tried)
    )]
    PicturesNotFound {
        /// Every folder that was tried, in order.
        tried: Vec<PathBuf>,
    },
    /// A folder of pictures is not laid out as it must be.
    #[error("{}: {why}", path.display())]
    PictureFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong there, and the cure.
        why: String,
    },
    /// A picture that is not taken.
    #[error("{}: {fault}; mend or remove it, or train with --bad-image skip, which leaves out at most 1 % of the pictures", path.display())]
    BadPicture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: PictureFault,
    },
    /// Bad pictures were to be left out, but there are too many.
    #[error(
        "{bad} of {total} pictures are bad, more than the 1 % that --bad-image skip leaves out; the first: {}: {fault}; \
         goai-rs data inspect lists them",
        path.display()
    )]
    TooManyBadPictures {
        /// How many are bad.
        bad: usize,
        /// How many there are.
        total: usize,
        /// The first bad one.
        path: PathBuf,
        /// What is wrong with it.
        fault: PictureFault,
    },
    /// Somebody writes to the data while they are read.
    #[error("{}: has changed since its folder was listed; start again when nobody writes to the data", path.display())]
    PictureChanged {
        /// The file.
        path: PathBuf,
    },
    /// The file of decoded pictures cannot be made or read.
    #[error("{}: the file of decoded pictures {why}; free space there, or choose another directory for it", path.display())]
    PictureCache {
        /// The file or its directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No data set has this name.
    #[error(
        "unknown data set {name:?}{}; use iris, img, cifar10, mnist, FILE.csv, FILE.npy, or a folder of pictures",
        did_you_mean(nearest)
    )]
    UnknownDataset {
        /// The name asked for.
        name: String,
        /// The known name that comes nearest.
        nearest: Option<String>,
    },
    /// The file is in none of the places.
    #[error("data file not found; tried {}; check the name, or give the directory with --data-dir", paths(tried))]
    NotFound {
        /// Every path that was tried, in order.
        tried: Vec<PathBuf>,
    },
    /// A directory, a pipe, a device.
    #[error("{}: is {kind}, not a regular file; give the path of a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The file would not fit into memory sensibly.
    #[error("{}: is {size} bytes, more than the {limit} that are read into memory; train on a part of it", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// The operating system refused.
    #[error("{}: cannot be read: {error}; check that the file exists on this host and may be read", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said. Not the error's source: it is in the message already.
        error: io::Error,
    },
    /// A table lacks a column that a model needs.
    #[error("{data}: column {column:?}, which the model needs, is missing among {columns}; add or rename it")]
    MissingColumn {
        /// The data set.
        data: String,
        /// The column's name.
        column: String,
        /// The columns there are.
        columns: String,
    },
    /// A table holds a class that a model does not know.
    #[error(
        "{data}: class {class:?} is unknown to the model, which knows {known}; correct the label, or train with it"
    )]
    UnknownClass {
        /// The data set.
        data: String,
        /// The class.
        class: String,
        /// The model's classes.
        known: String,
    },
    /// The parts of a split make no sense.
    #[error("data split {text:?} {why}; write train/validation/test, for example 0.8/0.1/0.1")]
    BadSplit {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Cross-validation with too few or too many folds.
    #[error("{folds} folds of {rows} rows: every fold needs a row; choose --folds between 2 and {rows}")]
    BadFolds {
        /// The folds asked for.
        folds: usize,
        /// The rows there are.
        rows: usize,
    },
    /// A set with a layout of its own is in none of the folders.
    #[error("{set} not found: no {wanted} in {}; {cure}", paths(tried))]
    SetNotFound {
        /// The set.
        set: &'static str,
        /// The files that would have been taken.
        wanted: &'static str,
        /// Every folder that was tried, in order.
        tried: Vec<PathBuf>,
        /// What to do.
        cure: &'static str,
    },
    /// A link that leads out of the set's folder.
    #[error("{}: is a link to {}, outside {}; copy the file there", path.display(), target.display(), folder.display())]
    Outside {
        /// The link.
        path: PathBuf,
        /// What it leads to.
        target: PathBuf,
        /// The folder that it leaves.
        folder: PathBuf,
    },
    /// Something in a binary file of CIFAR-10.
    #[error("{}: {fault}", file.display())]
    Cifar {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: CifarFault,
    },
    /// Something in an idx file of MNIST.
    #[error("{}: {fault}", file.display())]
    Idx {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: IdxFault,
    },
    /// Something in a .npy file.
    #[error("{}: {fault}", file.display())]
    Npy {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: Box<NpyFault>,
    },
    /// A synthetic set is not mixed with what is already there.
    #[error("{}: is not an empty folder; name a new one with --out", path.display())]
    OutNotEmpty {
        /// The path.
        path: PathBuf,
    },
    /// A synthetic set of this size cannot be made.
    #[error("{train} training and {test} test pictures a class: {why}; choose 1 to {limit} a class")]
    BadSize {
        /// Training pictures a class.
        train: usize,
        /// Test pictures a class.
        test: usize,
        /// What is wrong with it.
        why: &'static str,
        /// The most there may be.
        limit: usize,
    },
    /// The operating system refused to write.
    #[error("{}: cannot be written: {error}; check the folder's permissions and the free space", path.display())]
    CannotWrite {
        /// The path.
        path: PathBuf,
        /// What the system said. Not the error's source: it is in the message already.
        error: io::Error,
    },
}

/// `; did you mean "x"?`, or nothing.
pub(super) fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

fn paths(tried: &[PathBuf]) -> String {
    tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
