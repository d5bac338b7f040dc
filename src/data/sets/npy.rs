//! Arrays saved by `numpy.save`, in pairs: samples and their labels.
//!
//! A folder holds `x_train.npy` and `y_train.npy`, and may hold `x_test.npy` and `y_test.npy` (in any letter case). A
//! file has its labels beside it: `y.npy` for `x.npy`, `y_NAME.npy` for `x_NAME.npy`, `NAME_y.npy` for `NAME_x.npy`;
//! that pair alone is read.
//!
//! Bytes of three dimensions `[N, H, W]` or four, `[N, H, W, C]` or `[N, C, H, W]` with C 1 or 3, are pictures. Any
//! other numbers are a table: of two dimensions `[N, D]`, or of those of pictures, whose values then follow each other
//! in C, H, W order, so that a network for pictures reads them. Labels are class numbers from 0, `[N]` or `[N, 1]`, or
//! one-hot rows `[N, K]`.
//!
//! Nothing is ever unpickled: an array of objects is refused.

mod array;
mod convert;
mod fault;
mod header;

#[cfg(test)]
mod tests;

pub use fault::NpyFault;

use super::{names, read_listed};
use crate::data::pictures::{Pictures, Pixels};
use crate::data::{AnyData, DataError, Dataset, source};
use array::Array;
use convert::{Labels, Values};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether a folder holds an `x_train.npy`, and so is read by [`load`].
///
/// # Errors
/// A folder that cannot be read.
pub fn holds_pairs(folder: &Path) -> Result<bool, DataError> {
    Ok(spelled(folder, "x_train.npy")?.is_some())
}

/// Loads the pairs of the folder `name`, or the pair of the file `FILE.npy`: as a path, else below `data_dir`.
///
/// # Errors
/// A file that is missing or unreadable, or the first fault in one.
pub fn load(name: &str, data_dir: &Path) -> Result<AnyData, DataError> {
    if Path::new(name).is_dir() {
        return load_folder(Path::new(name));
    }
    let (file, bytes) = source::read_file(name, data_dir)?;
    let file = PathBuf::from(file);
    let samples = Array::parse(bytes).map_err(|fault| at(&file, fault))?;
    let (label_file, labels) = neighbor(&file)?;
    let train = Pair::join((file.clone(), samples), (label_file, labels), None)?;
    let name = file.file_stem().map_or(name.into(), |stem| stem.to_string_lossy().into_owned());
    train.into_data(name, None)
}

fn load_folder(folder: &Path) -> Result<AnyData, DataError> {
    let Some(x_train) = open(folder, "x_train.npy")? else {
        let (tried, cure) = (vec![folder.to_owned()], "save the samples there with np.save");
        return Err(DataError::SetNotFound { set: "numpy arrays", wanted: "x_train.npy", tried, cure });
    };
    let train = Pair::join(x_train, partner(folder, "y_train.npy")?, None)?;
    let test = match open(folder, "x_test.npy")? {
        Some(x_test) => Some(Pair::join(x_test, partner(folder, "y_test.npy")?, Some(&train))?),
        None => None,
    };
    let name = folder.file_name().map_or("npy".into(), |name| name.to_string_lossy().into_owned());
    train.into_data(name, test)
}

/// The labels that belong to samples that are there.
fn partner(folder: &Path, name: &str) -> Result<(PathBuf, Array), DataError> {
    open(folder, name)?.ok_or_else(|| at(folder, NpyFault::NoLabels { tried: name.to_owned() }))
}

/// The array in a file of the folder, if it is there in any letter case.
fn open(folder: &Path, name: &str) -> Result<Option<(PathBuf, Array)>, DataError> {
    let Some(name) = spelled(folder, name)? else { return Ok(None) };
    let (file, bytes) = read_listed(folder, name)?;
    let array = Array::parse(bytes).map_err(|fault| at(&file, fault))?;
    Ok(Some((file, array)))
}

fn spelled(folder: &Path, name: &str) -> Result<Option<std::ffi::OsString>, DataError> {
    Ok(names(folder)?.into_iter().find(|found| found.eq_ignore_ascii_case(name)))
}

/// The labels beside a file of samples.
fn neighbor(file: &Path) -> Result<(PathBuf, Array), DataError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let tried = neighbors(&stem);
    for name in &tried {
        let path = folder.join(name);
        if let Some((_, bytes)) = source::read(&path)? {
            let array = Array::parse(bytes).map_err(|fault| at(&path, fault))?;
            return Ok((path, array));
        }
    }
    let fault = if tried.is_empty() { NpyFault::NoX } else { NpyFault::NoLabels { tried: tried.join(" or ") } };
    Err(at(file, fault))
}

/// The names that the labels of `stem` may have.
fn neighbors(stem: &str) -> Vec<String> {
    let with = |front: &str, back: &str| ["y", "Y"].map(|y| format!("{front}{y}{back}.npy")).to_vec();
    for x in ["x", "X"] {
        if let Some(front) = stem.strip_suffix(x).filter(|front| front.ends_with('_')) {
            return with(front, "");
        }
    }
    stem.strip_prefix(['x', 'X']).map(|back| with("", back)).unwrap_or_default()
}

fn at(file: &Path, fault: NpyFault) -> DataError {
    DataError::Npy { file: file.to_owned(), fault: Box::new(fault) }
}

/// Samples with their labels.
struct Pair {
    file: PathBuf,
    values: Values,
    labels: Labels,
}

impl Pair {
    /// Checks that samples and labels belong together; `train`: and with those of the training set.
    fn join(samples: (PathBuf, Array), labels: (PathBuf, Array), train: Option<&Self>) -> Result<Self, DataError> {
        let ((file, samples), (label_file, labels)) = (samples, labels);
        let values = Values::of(samples).map_err(|fault| at(&file, fault))?;
        if let Some(train) = train.filter(|train| train.values.form() != values.form()) {
            let (test, train) = (values.form().to_string(), train.values.form().to_string());
            return Err(at(&file, NpyFault::OtherForm { test, train }));
        }
        let classes = train.map(|train| train.labels.classes);
        let labels = Labels::of(&labels, classes).map_err(|fault| at(&label_file, fault))?;
        if labels.numbers.len() != values.count() {
            let (labels, samples) = (labels.numbers.len(), values.count());
            return Err(at(&label_file, NpyFault::Counts { labels, samples, file }));
        }
        Ok(Self { file, values, labels })
    }

    fn into_data(self, name: String, test: Option<Self>) -> Result<AnyData, DataError> {
        let Self { values, labels: Labels { mut numbers, classes }, .. } = self;
        let classes = (0..classes).map(|class| class.to_string()).collect();
        match values {
            Values::Table(features) => {
                if let Some(test) = test {
                    return Err(at(&test.file, NpyFault::TestTable));
                }
                let columns = (1..=features.ncols()).map(|column| format!("x{column}")).collect();
                let label_column = "label".to_owned();
                Ok(AnyData::Table(Dataset { name, features, labels: numbers, classes, columns, label_column }))
            }
            Values::Pictures { shape, mut pixels } => {
                let train = numbers.len();
                if let Some(Self { values: Values::Pictures { pixels: more, .. }, labels, .. }) = test {
                    pixels.extend_from_slice(&more);
                    numbers.extend(labels.numbers);
                }
                let (own_test, pixels) = (numbers.len() - train, Pixels::Owned(Arc::new(pixels)));
                Ok(AnyData::Pictures(Pictures { name, shape, labels: numbers, classes, own_test, pixels }))
            }
        }
    }
}
