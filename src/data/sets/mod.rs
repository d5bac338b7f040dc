//! Sets that come in a binary layout of their own: CIFAR-10, MNIST, and arrays saved by numpy.
//!
//! Every loader checks sizes against headers before it reserves memory, and refuses what is left over as well as what
//! is missing: a file cut short by a full disk must not train.

pub mod cifar10;
pub mod mnist;
pub mod npy;

pub use cifar10::CifarFault;
pub use mnist::IdxFault;
pub use npy::NpyFault;

use super::{DataError, source};
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The names in a folder, sorted by their bytes so that all ranks agree; none when there is no such folder.
///
/// # Errors
/// A folder that is there and cannot be read.
fn names(folder: &Path) -> Result<Vec<OsString>, DataError> {
    let io = |error| DataError::Io { path: folder.to_owned(), error };
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>();
    let mut names = names.map_err(io)?;
    names.sort();
    Ok(names)
}

/// The bytes of a regular file in a folder, and its path; none when nothing of that name is there.
///
/// The folder itself may be a link; a file in it may be one only within the folder.
///
/// # Errors
/// A file that cannot be read, is no regular file, is too large, or lies elsewhere.
fn read_in(folder: &Path, name: impl AsRef<Path>) -> Result<Option<(PathBuf, Vec<u8>)>, DataError> {
    let path = folder.join(name);
    let io = |error| DataError::Io { path: path.clone(), error };
    match fs::symlink_metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        metadata => {
            if metadata.map_err(io)?.is_symlink() {
                let target = path.canonicalize().map_err(io)?;
                if !target.starts_with(folder.canonicalize().map_err(io)?) {
                    return Err(DataError::Outside { path, target, folder: folder.to_owned() });
                }
            }
        }
    }
    Ok(source::read(&path)?.map(|(_, bytes)| (path, bytes)))
}

/// The same for a file that was seen a moment ago.
fn read_listed(folder: &Path, name: impl AsRef<Path>) -> Result<(PathBuf, Vec<u8>), DataError> {
    let path = folder.join(&name);
    let gone = || DataError::Io { path, error: ErrorKind::NotFound.into() };
    read_in(folder, name)?.ok_or_else(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_bytes_and_a_missing_folder_has_none() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a10", "a2", "B"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(names(dir.path()).unwrap(), ["B", "a10", "a2", "b"]);
        assert!(names(&dir.path().join("no")).unwrap().is_empty());
        assert!(names(&dir.path().join("a2")).unwrap().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_may_not_leave_the_folder() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let set = dir.path().join("set");
        fs::create_dir(&set).unwrap();
        fs::write(dir.path().join("outside"), "1").unwrap();
        fs::write(set.join("inside"), "2").unwrap();
        symlink("../outside", set.join("leaves")).unwrap();
        symlink("inside", set.join("stays")).unwrap();
        symlink("nowhere", set.join("dangles")).unwrap();
        symlink("set", dir.path().join("linked")).unwrap();
        let error = read_in(&set, "leaves").unwrap_err().to_string();
        assert!(error.contains("leaves: is a link to") && error.contains("copy the file there"), "{error}");
        assert!(read_in(&set, "dangles").unwrap_err().to_string().contains("cannot be read"));
        assert_eq!(read_in(&set, "stays").unwrap().unwrap().1, b"2");
        assert_eq!(read_in(&dir.path().join("linked"), "stays").unwrap().unwrap().1, b"2");
        assert!(read_in(&set, "missing").unwrap().is_none());
    }
}
