//! Where a value came from: every message about a value names it.

use super::keys::KEYS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A flag, with its dashes.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// `--set KEY=VALUE`.
    Set,
    /// A line of the TOML file given with `--config`.
    File {
        /// The file as it was named.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// A line of an env file.
    EnvFile {
        /// The file as it was named.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// A line of the env file that was compiled in.
    BuiltInEnvFile {
        /// Its name in the source tree.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// Nobody said it: the table of keys.
    Preset,
}

impl Origin {
    /// The exit code of a mistake here: 2 on the command line, 3 in the configuration.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Flag(_) | Self::Set => 2,
            _ => 3,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Set => f.write_str("--set"),
            Self::File { path, line } | Self::EnvFile { path, line } => write!(f, "{path}:{line}"),
            Self::BuiltInEnvFile { path, line } => write!(f, "{path}:{line} (compiled in)"),
            Self::Preset => f.write_str("preset"),
        }
    }
}

/// Where each value of a [`super::Config`] came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the value of this key came from; the preset also for keys without a value.
    pub fn of(&self, key: &str) -> &Origin {
        debug_assert!(KEYS.iter().any(|known| known.name == key), "{key}");
        self.0.get(key).unwrap_or(&Origin::Preset)
    }

    pub(super) fn insert(&mut self, key: &str, origin: Origin) {
        self.0.insert(key.to_owned(), origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_reads_as_a_place_and_decides_the_exit_code() {
        let path = || ".irisenv".to_owned();
        for (origin, text, code) in [
            (Origin::Flag("--lr".into()), "--lr", 2),
            (Origin::Set, "--set", 2),
            (Origin::Variable("GOAI_SEED".into()), "GOAI_SEED", 3),
            (Origin::EnvFile { path: path(), line: 7 }, ".irisenv:7", 3),
            (Origin::File { path: "a.toml".into(), line: 2 }, "a.toml:2", 3),
            (Origin::BuiltInEnvFile { path: path(), line: 7 }, ".irisenv:7 (compiled in)", 3),
            (Origin::Preset, "preset", 3),
        ] {
            assert_eq!(origin.to_string(), text);
            assert_eq!(origin.exit_code(), code, "{text}");
        }
    }
}
