//! From the name of a data set to its rows: which file, is it one, and is it there.

use super::{AnyData, DataError, Dataset, csv, nearest, sets};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The copy of `datasets/iris.csv` that every binary carries.
const IRIS: &[u8] = include_bytes!("../../datasets/iris.csv");

/// The largest file that is read into memory. Also keeps row numbers within 32 bits: a row takes at least four bytes.
pub(super) const SIZE_LIMIT: u64 = 4 << 30;

/// The sets that have a name.
const NAMES: [&str; 4] = ["iris", "img", "cifar10", "mnist"];

/// Loads a data set by name: `iris` from `data_dir/iris.csv`, else the copy compiled in; `FILE.csv` as a path, else below
/// `data_dir`. `label` names the label column.
///
/// # Errors
/// An unknown name, a file that is missing, unreadable, no regular file or too large, or the first fault in it.
pub fn load(name: &str, data_dir: &Path, label: Option<&str>) -> Result<Dataset, DataError> {
    if name == "iris" {
        return match read(&data_dir.join("iris.csv"))? {
            Some((path, bytes)) => csv::parse(&path, &bytes, label),
            None => csv::parse("iris.csv", IRIS, label),
        };
    }
    if !name.to_ascii_lowercase().ends_with(".csv") {
        return Err(refuse(name));
    }
    let (path, bytes) = read_file(name, data_dir)?;
    csv::parse(&path, &bytes, label)
}

/// Loads a set of any kind but folders of pictures, which want to know the size to decode to: what [`load`] takes,
/// `cifar10` and `mnist` from the first place below `data_dir` that holds them, `FILE.npy`, and a folder of arrays.
///
/// # Errors
/// As those of [`load`], and of the modules in [`sets`].
pub fn load_any(name: &str, data_dir: &Path, label: Option<&str>) -> Result<AnyData, DataError> {
    match name {
        "cifar10" => sets::cifar10::load(data_dir).map(AnyData::Pictures),
        "mnist" => sets::mnist::load(data_dir).map(AnyData::Pictures),
        // A name, even where a folder is called like it.
        "iris" => load(name, data_dir, label).map(AnyData::Table),
        _ if name.to_ascii_lowercase().ends_with(".npy") || sets::npy::holds_pairs(Path::new(name))? => {
            sets::npy::load(name, data_dir)
        }
        _ => load(name, data_dir, label).map(AnyData::Table),
    }
}

/// The bytes of `FILE.csv`, and the path they came from as messages name it: the path itself, else below `data_dir`.
///
/// # Errors
/// A file that is missing, unreadable, no regular file or too large.
pub fn read_file(name: &str, data_dir: &Path) -> Result<(String, Vec<u8>), DataError> {
    let mut tried = vec![PathBuf::from(name), data_dir.join(name)];
    tried.dedup();
    for path in &tried {
        if let Some(found) = read(path)? {
            return Ok(found);
        }
    }
    Err(DataError::NotFound { tried })
}

/// Why a name that is no table's is not taken.
fn refuse(name: &str) -> DataError {
    let path = PathBuf::from(name);
    if path.is_dir() {
        return DataError::NotAFile { path, kind: "a directory" };
    }
    let nearest = nearest(name, NAMES.into_iter().filter(|&known| known != name)).map(str::to_owned);
    DataError::UnknownDataset { name: name.to_owned(), nearest }
}

/// The bytes of a regular file, or `None` when nothing is there.
pub(super) fn read(path: &Path) -> Result<Option<(String, Vec<u8>)>, DataError> {
    let io = |error| DataError::Io { path: path.to_owned(), error };
    // Asked before opening: opening a pipe that nobody writes to blocks for ever.
    let metadata = match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        metadata => metadata.map_err(io)?,
    };
    if !metadata.is_file() {
        return Err(DataError::NotAFile { path: path.to_owned(), kind: kind(&metadata) });
    }
    let too_large = |size| DataError::TooLarge { path: path.to_owned(), size, limit: SIZE_LIMIT };
    if metadata.len() > SIZE_LIMIT {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // The limit again: the file may grow while it is read.
    File::open(path).map_err(io)?.take(SIZE_LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(Some((path.display().to_string(), bytes)))
}

fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a directory" } else { "a pipe or device" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, data_dir: &Path) -> String {
        load(name, data_dir, None).unwrap_err().to_string()
    }

    #[test]
    fn iris_is_fishers() {
        let iris = load("iris", Path::new("nowhere"), None).unwrap();
        assert_eq!((iris.name.as_str(), iris.len(), iris.dims()), ("iris", 150, 4));
        assert_eq!(iris.classes, ["Setosa", "Versicolor", "Virginica"]);
        assert_eq!(iris.columns, ["sepal.length", "sepal.width", "petal.length", "petal.width"]);
        for (row, values) in [(35, [4.9, 3.1, 1.5, 0.2]), (38, [4.9, 3.6, 1.4, 0.1])] {
            assert_eq!(iris.features.row(row - 1).to_vec(), values, "row {row}");
        }
        // The column sums of R's `iris`: 876.5, 458.6, 563.7, 179.9.
        for (column, sum) in [876.5, 458.6, 563.7, 179.9f32].into_iter().enumerate() {
            assert!((iris.features.column(column).sum() - sum).abs() < 1e-2, "column {column}");
        }
        for class in 0..3u32 {
            assert_eq!(iris.labels.iter().filter(|&&label| label == class).count(), 50);
        }
        let on_disk = load("iris", &Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets"), None).unwrap();
        assert_eq!(on_disk, iris);
    }

    #[test]
    fn a_file_is_found_as_a_path_and_below_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("iris.csv"), "x,label\n1,a\n2,b\n").unwrap();
        std::fs::write(dir.path().join("own.CSV"), "x,kind\n1,a\n2,b\n").unwrap();
        assert_eq!(load("iris", dir.path(), None).unwrap().len(), 2);
        assert_eq!(load("own.CSV", dir.path(), Some("kind")).unwrap().name, "own");
        let path = dir.path().join("own.CSV");
        assert_eq!(load(path.to_str().unwrap(), Path::new("nowhere"), Some("kind")).unwrap().len(), 2);
        assert!(error("own.CSV", dir.path()).starts_with(&format!("{}:1:1: no label column", path.display())));
    }

    #[test]
    fn every_kind_of_set_is_found_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("data_batch_1.bin"), [3; sets::cifar10::RECORD]).unwrap();
        let error = |name: &str| load_any(name, dir.path(), None).unwrap_err().to_string();
        let cifar = load_any("cifar10", dir.path(), None).unwrap();
        assert_eq!((cifar.name(), cifar.shape(), cifar.labels()), ("cifar10", Some([3, 32, 32]), &[3][..]));
        assert_eq!(load_any("iris", dir.path(), None).unwrap().len(), 150);
        assert!(error("mnist").starts_with("MNIST not found"));
        assert!(error("x.npy").starts_with("data file not found"));
        assert!(error("mnits").contains("did you mean \"mnist\""));
        assert!(error(dir.path().to_str().unwrap()).contains("is a directory"));
        std::fs::write(dir.path().join("X_train.npy"), "no array").unwrap();
        assert!(error(dir.path().to_str().unwrap()).contains("not a .npy file"));
    }

    #[test]
    fn names_that_lead_nowhere_are_explained() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("folder.csv")).unwrap();
        let folder = dir.path().join("folder.csv");
        let below_file = dir.path().join("x.csv/y.csv");
        std::fs::write(dir.path().join("x.csv"), "").unwrap();
        let tried = format!("tried no.csv, {}", dir.path().join("no.csv").display());
        for (name, expected) in [
            ("irs", "unknown data set \"irs\"; did you mean \"iris\"?"),
            ("Iris", "did you mean \"iris\"?"),
            ("mnsit", "did you mean \"mnist\"?"),
            ("weather", "unknown data set \"weather\"; use iris, img"),
            ("mnist", "unknown data set \"mnist\"; use iris"),
            (dir.path().to_str().unwrap(), "is a directory, not a regular file"),
            ("no.csv", tried.as_str()),
            (folder.to_str().unwrap(), "folder.csv: is a directory, not a regular file"),
            (below_file.to_str().unwrap(), "data file not found"),
            ("x.csv", "x.csv:1:1: the file is empty"),
        ] {
            let message = error(name, dir.path());
            assert!(message.contains(expected) && !message.contains('\n'), "{name}: {message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_without_blocking() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe.csv");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(error(pipe.to_str().unwrap(), dir.path()).contains("is a pipe or device, not a regular file"));
    }

    #[test]
    fn a_file_too_large_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        // Sparse: takes no space.
        File::create(dir.path().join("big.csv")).unwrap().set_len(SIZE_LIMIT + 1).unwrap();
        assert!(error("big.csv", dir.path()).contains("is 4294967297 bytes, more than the 4294967296"));
    }
}
