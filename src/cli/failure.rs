//! How a command ends when it cannot do its work: one line and an exit code.

use super::usage::UsageError;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::nn::NetError;
use crate::run::RunError;
use std::fmt;
use std::io::Write;

/// Files and data that cannot be read or written, or that hold something else than they should.
pub const DATA: u8 = 4;

/// A signal stopped the run and a checkpoint was written: start it again.
pub const CHECKPOINTED: u8 = 75;

/// The end of a command that failed.
///
/// Every error of the lower storeys becomes one of these at the door of the program, so that the
/// exit code is decided in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code of the process.
    pub code: u8,
    /// What, where, why and the cure, in one line.
    pub message: String,
}

impl Failure {
    /// A failure with this exit code and message; whatever would break the line is escaped.
    pub fn new(code: u8, message: impl fmt::Display) -> Self {
        let text = message.to_string();
        let mut message = String::with_capacity(text.len());
        for c in text.chars() {
            match c.is_control() {
                true => message.extend(c.escape_default()),
                false => message.push(c),
            }
        }
        Self { code, message }
    }

    /// Tells it on stderr, in a single write: mpirun and other ranks write there too, between the pieces of a line.
    pub fn tell(&self) {
        let what = if self.code == CHECKPOINTED { "checkpointed" } else { "error" };
        let _ = std::io::stderr().write_all(format!("{what}: {self}\n").as_bytes());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::new(error.exit_code(), error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(error.exit_code(), error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::new(u8::try_from(error.exit_code()).unwrap_or(DATA), error)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::new(DATA, error)
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        Self::new(DATA, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn each_error_has_its_exit_code_and_one_line() {
        let file = ConfigError::File { path: "a".to_owned(), why: "b".to_owned(), cure: "c\nd".to_owned() };
        let table: [(Failure, u8, &str); 6] = [
            (UsageError::new("unknown flag".to_owned()).into(), 2, "unknown flag"),
            (file.into(), 3, "c\\nd"),
            (RunError::EmptyPath.into(), 3, "--run-dir"),
            (DataError::UnknownDataset { name: "x".to_owned(), nearest: None }.into(), DATA, "unknown data set"),
            (DataError::NotFound { tried: vec![PathBuf::from("a\tb")] }.into(), DATA, "a\\tb"),
            (NetError::NoOutput.into(), DATA, "output"),
        ];
        for (failure, code, part) in table {
            assert_eq!(failure.code, code, "{failure}");
            assert!(failure.to_string().contains(part), "{failure}");
            assert!(!failure.message.chars().any(char::is_control), "{failure:?}");
        }
    }
}
