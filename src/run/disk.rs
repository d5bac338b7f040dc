//! The operations on a disk that a crash must not tear, behind one trait, so that tests can interrupt them anywhere.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file system, as far as files that must survive need one.
pub trait Disk: Debug + Send + Sync {
    /// Makes an empty file, or empties the one that is there.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name; what had that name is replaced in one step.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Waits until the names in a directory are on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// The system's, also where a file system has no hard links.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes `path` a symbolic link to the name `target` beside it.
    ///
    /// # Errors
    /// The system's, also where a file system has no symbolic links.
    fn point(&self, path: &Path, target: &str) -> io::Result<()>;

    /// Makes a directory, and those above it.
    ///
    /// # Errors
    /// The system's.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// All of a file that is an ordinary one.
    ///
    /// # Errors
    /// The system's; for a pipe or a device, which could go on for ever, one of our own.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// A file that is being written.
pub trait DiskFile {
    /// Appends bytes.
    ///
    /// # Errors
    /// The system's.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until all bytes are on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        // File systems that cannot do it for directories say so and are forgiven.
        match File::open(directory).and_then(|handle| handle.sync_all()) {
            Err(why) if !matches!(why.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Err(why),
            _ => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn point(&self, path: &Path, target: &str) -> io::Result<()> {
        std::os::unix::fs::symlink(target, path)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Asked before it is opened: opening a pipe waits for whoever writes into it.
        let about = fs::metadata(path)?;
        if about.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no ordinary file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(about.len()).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Whether new content has to be on the disk before it takes its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    Yes,
    /// It is soon written anew.
    No,
}

/// Puts the pieces into the file `path`, all of them or none, by way of a temporary file beside it, which is removed on
/// failure.
pub(super) fn replace<'p>(
    disk: &dyn Disk,
    path: &Path,
    pieces: impl IntoIterator<Item = &'p [u8]>,
    durable: Durable,
) -> io::Result<()> {
    let temporary = beside(path);
    let written = (|| {
        let mut file = disk.create(&temporary)?;
        for piece in pieces {
            file.write(piece)?;
        }
        if durable == Durable::Yes {
            file.sync()?;
        }
        drop(file);
        disk.rename(&temporary, path)
    })();
    written.inspect_err(|_| {
        let _ = disk.remove(&temporary);
    })?;
    match durable {
        Durable::Yes => disk.sync_directory(parent(path)),
        Durable::No => Ok(()),
    }
}

/// The directory that holds `path`.
pub(super) fn parent(path: &Path) -> &Path {
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

    #[test]
    fn what_is_no_ordinary_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |path: &Path| RealDisk.read(path).unwrap_err().kind();
        assert_eq!(kind(dir.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&dir.path().join("none")), io::ErrorKind::NotFound);
        assert_eq!(kind(Path::new("/dev/null")), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_temporary_stands_beside_its_file_under_a_name_of_its_own() {
        let (one, two) = (beside(Path::new("a/b.txt")), beside(Path::new("a/b.txt")));
        assert_ne!(one, two);
        assert_eq!(one.parent(), Some(Path::new("a")));
        assert_eq!(parent(Path::new("b.txt")), Path::new("."));
        let name = one.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(".b.txt.") && name.ends_with(".tmp"), "{name}");
    }
}
