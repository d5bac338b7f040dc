//! What can go wrong with a run's files, and the exit code of each.

use std::io;
use std::path::{Path, PathBuf};

/// A failure around the run directory. Each message is one line: where, what, why, and a cure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// `--run-dir` names a directory with a finished or interrupted run in it.
    #[error(
        "{}: this directory already holds a run (run.json is there); go on with it by --resume auto, or give --run-dir a new directory",
        show(.path)
    )]
    HoldsRun {
        /// The directory.
        path: PathBuf,
    },
    /// Another job writes into the run directory.
    #[error("{}: another job is at work in this directory ({by}); wait until it ends, or give another --run-dir", show(.path))]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Who holds it.
        by: String,
    },
    /// `--run-dir ""`, often an unset variable in a job script.
    #[error("--run-dir is empty (an unset variable?); name a directory, or leave it out for one under runs/")]
    EmptyPath,
    /// The operating system refused.
    #[error("{}: cannot {action}: {why}; {}", show(.path), cure(.why))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as in "cannot ...".
        action: &'static str,
        /// The system's reason.
        #[source]
        why: io::Error,
    },
    /// A text file of a run is not what it should be.
    #[error("{}:{line}:{column}: {why}; {cure}", show(.path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1; for CSV the field's number.
        column: usize,
        /// What is wrong.
        why: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// A file was given as a model and is none, or cannot be written as one.
    #[error("{}: {why}; {cure}", show(.path))]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// `--power-sensor` names a file that gives no power.
    #[error("{}: {why}; give --power-sensor a readable file that holds milliwatts, as in 5230", show(.path))]
    Sensor {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A log could not be written on. Said once; training goes on without that log.
    #[error("{}: cannot write on: {why}; training goes on and this file stays as it is; {}", show(.path), cure(.why))]
    Log {
        /// The log file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        why: io::Error,
    },
}

impl RunError {
    /// The exit code that this failure asks for: 3 for what the user configured, 4 for files.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::HoldsRun { .. } | Self::Taken { .. } | Self::EmptyPath | Self::Sensor { .. } => 3,
            Self::Io { .. } | Self::Damaged { .. } | Self::Model { .. } | Self::Log { .. } => 4,
        }
    }

    /// For `map_err`: the system refused `action` on `path`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |why| Self::Io { path: path.to_owned(), action, why }
    }
}

/// A path for a message: control characters escaped, so that a strange name stays on one line.
pub(crate) fn show(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// Text from outside for a message: one line, no escape sequences, at most 300 characters.
pub(crate) fn one_line(text: &str) -> String {
    const LIMIT: usize = 300;
    let mut line: String = text
        .chars()
        .take(LIMIT)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    if text.chars().nth(LIMIT).is_some() {
        line.push('…');
    }
    line
}

/// The cure for a refusal of the operating system.
fn cure(why: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match why.kind() {
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => "use a directory that you may write to (--run-dir)",
        Kind::AlreadyExists | Kind::NotADirectory => "a file is in the way: choose another directory",
        Kind::IsADirectory => "a directory is in the way: choose another name",
        Kind::StorageFull | Kind::QuotaExceeded => "free some space, or use another disk (--run-dir)",
        Kind::NotFound => "check the path",
        _ => "check the disk, or use another one (--run-dir)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_one_line_with_a_path_and_a_cure() {
        let path = PathBuf::from("runs/a\nb\u{1b}[31m");
        let io = |kind| io::Error::new(kind, "refused");
        let table = [
            (RunError::HoldsRun { path: path.clone() }, 3, "--run-dir"),
            (RunError::io(&path, "create it")(io(io::ErrorKind::StorageFull)), 4, "free some space"),
            (RunError::io(&path, "create it")(io(io::ErrorKind::PermissionDenied)), 4, "may write"),
            (RunError::Log { path: path.clone(), why: io(io::ErrorKind::Other) }, 4, "training goes on"),
            (
                RunError::Damaged { path: path.clone(), line: 2, column: 7, why: "torn".into(), cure: "run again" },
                4,
                ":2:7: torn; run again",
            ),
        ];
        for (error, code, part) in table {
            let text = error.to_string();
            assert_eq!(error.exit_code(), code, "{text}");
            assert!(text.contains(part) && text.contains("runs/a\\nb"), "{text}");
            assert!(!text.chars().any(char::is_control), "{text}");
        }
        assert_eq!(RunError::EmptyPath.exit_code(), 3);
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(one_line("a\tb"), "a\\tb");
        assert_eq!(one_line(&"é".repeat(400)).chars().count(), 301);
    }
}
