//! A log file that never takes the training with it: it reports its first failure and goes quiet.

use super::error::RunError;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that grows by whole lines, each on its way to the disk when [`Writer::append`] returns.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    length: u64,
    failed: bool,
}

impl Writer {
    /// Makes the file, empty.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn create(path: &Path) -> Result<Self, RunError> {
        let file = File::create(path).map_err(RunError::io(path, "make the log"))?;
        Ok(Self { path: path.to_owned(), file, length: 0, failed: false })
    }

    /// Goes on in a file that is there.
    ///
    /// # Errors
    /// [`RunError::Io`] with the path.
    pub fn reopen(path: &Path) -> Result<Self, RunError> {
        let failed = || RunError::io(path, "go on in the log");
        let file = File::options().append(true).open(path).map_err(failed())?;
        let length = file.metadata().map_err(failed())?.len();
        Ok(Self { path: path.to_owned(), file, length, failed: false })
    }

    /// Adds whole lines. After a failure it does nothing and says `Ok`.
    ///
    /// # Errors
    /// [`RunError::Log`], once: warn and go on. What was half written is taken back.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), RunError> {
        if self.failed {
            return Ok(());
        }
        // Unbuffered: one write call a line, so a killed run keeps every line it reported.
        match self.file.write_all(lines).and_then(|()| self.file.flush()) {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(why) => Err(self.fail(why)),
        }
    }

    fn fail(&mut self, why: io::Error) -> RunError {
        self.failed = true;
        let _ = self.file.set_len(self.length);
        RunError::Log { path: self.path.clone(), why }
    }

    /// Whether it has failed, and is quiet since.
    pub fn failed(&self) -> bool {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_the_file_when_append_returns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Writer::create(&path).unwrap();
        for (line, expected) in [("a\n", "a\n"), ("b\n", "a\nb\n")] {
            log.append(line.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
        assert!(!log.failed());
    }

    #[test]
    fn a_full_disk_is_said_once() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let mut log = Writer::create(Path::new("/dev/full")).unwrap();
        let error = log.append(b"a\n").unwrap_err();
        assert!(error.to_string().starts_with("/dev/full: cannot write on"), "{error}");
        assert!(error.to_string().contains("free some space"), "{error}");
        assert!(log.failed());
        log.append(b"b\n").unwrap();
    }

    #[test]
    fn a_half_written_line_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = Writer::create(&path).unwrap();
        log.append(b"whole\n").unwrap();
        log.file.write_all(b"ha").unwrap();
        log.fail(io::ErrorKind::StorageFull.into());
        assert_eq!(std::fs::read(&path).unwrap(), b"whole\n");
    }
}
