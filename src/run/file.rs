//! Writing a file so that a reader sees the old one or the new one, never half of either.

use super::error::RunError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Puts `bytes` into the file `path`, all of them or none.
///
/// They go to a temporary file beside it, to the disk, and only then under the name: a crash, a
/// full disk or a power cut leaves the old content. The temporary is removed on failure.
///
/// # Errors
/// [`RunError::Io`] with the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let written = replace(path, |file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.and_then(|()| sync_directory(parent(path))).map_err(RunError::io(path, "write it"))
}

/// Puts `bytes` into the file `path`, all of them or none, without waiting for the disk: for what is soon written anew.
///
/// # Errors
/// [`RunError::Io`] with the path.
pub fn write_passing(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    replace(path, |file| file.write_all(bytes)).map_err(RunError::io(path, "write it"))
}

/// Both with the writing left open, so that a test can let the disk run full.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let temporary = beside(path);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        write(&mut file)?;
        fs::rename(&temporary, path)
    })();
    written.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Makes a rename durable. File systems that cannot do it for directories say so and are forgiven.
fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory).and_then(|handle| handle.sync_all()) {
        Err(why) if !matches!(why.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Err(why),
        _ => Ok(()),
    }
}

/// The directory that holds `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name for a temporary beside `path` that no other writer uses at the same time.
pub(super) fn beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    parent(path).join(format!(".{name}.{}-{number}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_full_disk_leaves_the_old_content_and_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, b"old").unwrap();
        let full = replace(&path, |file| {
            file.write_all(b"ha")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
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
