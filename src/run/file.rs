//! Writing a file so that a reader sees the old one or the new one, never half of either.

use super::disk::{Durable, RealDisk, replace};
use super::error::RunError;
use std::path::Path;

/// Puts `bytes` into the file `path`, all of them or none.
///
/// They go to a temporary file beside it, to the disk, and only then under the name: a crash, a
/// full disk or a power cut leaves the old content. The temporary is removed on failure.
///
/// # Errors
/// [`RunError::Io`] with the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    replace(&RealDisk, path, [bytes], Durable::Yes).map_err(RunError::io(path, "write it"))
}

/// Puts `bytes` into the file `path`, all of them or none, without waiting for the disk: for what is soon written anew.
///
/// # Errors
/// [`RunError::Io`] with the path.
pub fn write_passing(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    replace(&RealDisk, path, [bytes], Durable::No).map_err(RunError::io(path, "write it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_new_content_replaces_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, b"old, and longer").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        write_passing(&path, b"newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(names(dir.path()), ["a.txt"]);
    }

    #[test]
    fn a_directory_in_the_way_or_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("taken")).unwrap();
        for name in ["taken", "missing/a.txt"] {
            let path = dir.path().join(name);
            let error = write_atomic(&path, b"x").unwrap_err();
            assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
            assert_eq!(error.exit_code(), 4);
        }
        assert_eq!(names(dir.path()), ["taken"]);
    }
}
