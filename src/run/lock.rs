//! One job at a time in a run directory: a file that the kernel locks for the life of the process that holds it.
//!
//! The lock goes with its process, however that ends, so there is none that is stale. Where a file system knows no
//! locks, jobs go unguarded.

use super::error::{RunError, one_line};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The name of the locked file in a run directory.
const NAME: &str = ".lock";

/// The right to write into a run directory, as long as it lives.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// Takes the lock of a directory; `who` is written into it, for the job that comes second.
    ///
    /// # Errors
    /// [`RunError::Taken`] while another job holds it, [`RunError::Io`] when its file cannot be made.
    pub fn take(dir: &Path, who: &str) -> Result<Self, RunError> {
        let path = dir.join(NAME);
        let failed = || RunError::io(&path, "lock the run directory");
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed())?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.take(1000).read_to_string(&mut text);
                let by = if text.is_empty() { "another job".to_owned() } else { one_line(text.trim()) };
                return Err(RunError::Taken { path: dir.to_owned(), by });
            }
            // A file system without locks.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{who}"));
        written.map_err(failed())?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first_and_may_come_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path(), "host vm, process 1").unwrap();
        let error = Lock::take(dir.path(), "host vm, process 2").unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("host vm, process 1"), "{error}");
        drop(first);
        Lock::take(dir.path(), "host b").unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(NAME)).unwrap(), "host b\n");
    }
}
