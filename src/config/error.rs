//! What can be wrong with a configuration: one line each, saying what, where, why and the cure.

use super::keys;
use super::kind::Problem;
use super::origin::Origin;
use super::suggest::did_you_mean;

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key that does not exist.
    #[error("{origin}: unknown key {}{}", shown(.key), nearest_or_list(.key))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Where.
        origin: Origin,
    },
    /// A variable with our prefix that is no key.
    #[error("{name}: no key has this variable; correct or unset it{}", nearest_variable(.name))]
    UnknownVariable {
        /// The variable.
        name: String,
    },
    /// A value that its key cannot have.
    #[error("{origin}: {key} = {} {}; {}", shown(.text), .problem.why, .problem.cure)]
    BadValue {
        /// The key.
        key: String,
        /// The value as written.
        text: String,
        /// Where.
        origin: Origin,
        /// Why it cannot be, and what to write.
        problem: Box<Problem>,
    },
    /// A key that one source gives twice.
    #[error("{origin}: {key} is given a second time{}; keep one of them", first_line(*.first))]
    Duplicate {
        /// The key.
        key: String,
        /// Where the second is.
        origin: Origin,
        /// The line of the first, in a file.
        first: Option<usize>,
    },
    /// Text that is no assignment.
    #[error("{origin}: {} {}; {}", shown(.text), .problem.why, .problem.cure)]
    Syntax {
        /// The text as written.
        text: String,
        /// Where.
        origin: Origin,
        /// Why it cannot be, and what to write.
        problem: Box<Problem>,
    },
    /// A file that cannot be read as configuration.
    #[error("{path}: {why}; {cure}")]
    File {
        /// The file as it was named.
        path: String,
        /// Why not.
        why: String,
        /// What to do.
        cure: String,
    },
    /// Values that are fine alone and impossible together, or with the data.
    #[error("{origin}: {what}; {cure}")]
    Contradiction {
        /// Where the value to blame is: the one given with the higher precedence.
        origin: Origin,
        /// What does not fit what.
        what: String,
        /// What to do.
        cure: String,
    },
}

impl ConfigError {
    /// The exit code of the process: 2 for the command line, 3 for variables and files.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownVariable { .. } | Self::File { .. } => 3,
            Self::UnknownKey { origin, .. }
            | Self::BadValue { origin, .. }
            | Self::Duplicate { origin, .. }
            | Self::Syntax { origin, .. }
            | Self::Contradiction { origin, .. } => origin.exit_code(),
        }
    }
}

/// A user's text as a message may show it: one line, not too long, visible when empty.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 48;
    let mut line: String = text.escape_debug().take(MOST).collect();
    if text.escape_debug().count() > MOST {
        line.push('…');
    }
    if line.is_empty() || line.contains(' ') {
        line = format!("\"{line}\"");
    }
    line
}

fn nearest_or_list(key: &str) -> String {
    match keys::nearest(key) {
        Some(name) => did_you_mean(Some(name)),
        None => "; `goai-rs config keys` lists them all".to_owned(),
    }
}

fn nearest_variable(name: &str) -> String {
    let stem = name.strip_prefix(keys::VARIABLE_PREFIX).unwrap_or(name);
    let variable = keys::nearest(stem).and_then(keys::key).map(keys::Key::variable);
    did_you_mean(variable.as_deref())
}

fn first_line(first: Option<usize>) -> String {
    first.map_or(String::new(), |line| format!(" (first in line {line})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_on_one_short_line() {
        for (text, line) in [("0,01", "0,01"), ("", "\"\""), ("a b", "\"a b\""), ("a\nb\0", "a\\nb\\0")] {
            assert_eq!(shown(text), line);
        }
        assert!(shown(&"x".repeat(10_000)).chars().count() < 60);
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_or_the_list() {
        let message = |key: &str| ConfigError::UnknownKey { key: key.to_owned(), origin: Origin::Set }.to_string();
        assert_eq!(message("learingRate"), "--set: unknown key learingRate; did you mean learningRate?");
        assert!(message("colour").contains("config keys"));
        let variable = ConfigError::UnknownVariable { name: "GOAI_LR".to_owned() };
        assert!(variable.to_string().contains("GOAI_LEARNING_RATE"));
        assert_eq!(variable.exit_code(), 3);
    }
}
