//! The original's env files, `.irisenv` and `.imgenv`: KEY=value lines.
//!
//! dotenvy reads each line (quotes, comments, `export `), but only the line: we read the file,
//! because dotenvy says no line numbers, takes the first of two equal keys in silence, and fails
//! on a byte order mark. And nothing is ever loaded into or taken from the process environment:
//! an env file could otherwise set LD_PRELOAD for the ranks, and `$HOME` would differ between
//! hosts.

use super::error::ConfigError;
use super::keys;
use super::kind::Problem;
use super::origin::Origin;
use super::raw::Raw;
use super::text_file::decode;
use std::collections::HashMap;

/// Stands for `$` while dotenvy reads a line, so that it finds nothing to expand.
const NO_DOLLAR: char = '\u{E000}';

/// Adds the lines of an env file to `raw`. `origin` says the place of a line.
///
/// # Errors
/// The first line that is no assignment, names an unknown or repeated key or an impossible value.
pub(super) fn read(text: &str, origin: &dyn Fn(usize) -> Origin, raw: &mut Raw) -> Result<(), ConfigError> {
    let mut first = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let Some((name, value)) = assignment(line).map_err(|problem| ConfigError::Syntax {
            text: line.trim().to_owned(),
            origin: origin(number),
            problem: Box::new(problem),
        })?
        else {
            continue;
        };
        let Some(key) = keys::key(&name) else {
            return Err(ConfigError::UnknownKey { key: name, origin: origin(number) });
        };
        if let Some(first) = first.insert(key.name, number) {
            return Err(ConfigError::Duplicate { key: name, origin: origin(number), first: Some(first) });
        }
        raw.offer(key, &value, origin(number))?;
    }
    Ok(())
}

/// The keys of an env file that consists of these bytes.
///
/// # Errors
/// When they are no text, and as [`read`].
pub(crate) fn read_bytes(bytes: &[u8]) -> Result<Raw, ConfigError> {
    let path = || ".irisenv".to_owned();
    let text = decode(bytes).map_err(|(why, cure)| ConfigError::File { path: path(), why, cure: cure.to_owned() })?;
    let mut raw = Raw::default();
    read(&text, &|line| Origin::EnvFile { path: path(), line }, &mut raw).map(|()| raw)
}

/// One line as key and value; nothing for an empty line or a comment.
fn assignment(line: &str) -> Result<Option<(String, String)>, Problem> {
    let problem = |why: &str, cure: &str| Problem { why: why.to_owned(), cure: cure.to_owned() };
    let masked = line.replace('$', &NO_DOLLAR.to_string()) + "\n";
    // No value spans lines, so a quote left open is the fault of its own line.
    match dotenvy::from_read_iter(masked.as_bytes()).next() {
        None => Ok(None),
        Some(Ok((_, value))) if value.contains(NO_DOLLAR) => {
            Err(problem("holds a $, and variables are not expanded here", "write the value itself"))
        }
        Some(Ok(pair)) => Ok(Some(pair)),
        Some(Err(_)) if line.matches(['"', '\'']).count() % 2 == 1 => {
            Err(problem("has an unclosed quote", "close it on the same line"))
        }
        Some(Err(_)) => Err(problem("is no assignment", "write KEY=value, or # before a comment")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_text(text: &str) -> Result<Raw, ConfigError> {
        let mut raw = Raw::default();
        let origin = |line| Origin::EnvFile { path: ".irisenv".to_owned(), line };
        read(text, &origin, &mut raw).map(|()| raw)
    }

    #[test]
    fn what_dotenvy_accepts_is_read() {
        let text = "# a comment\n\n  seed = 7 # behind\nexport numEpochs=5\nlabel='a b'\n\
                    dataDir=\"x y\" \r\nlearningRate=0.5 \nbatchSize=9 # costs 5 $";
        let raw = read_text(text).unwrap();
        for (key, value, line) in [
            ("seed", "7", 3),
            ("numEpochs", "5", 4),
            ("label", "a b", 5),
            ("dataDir", "x y", 6),
            ("learningRate", "0.5", 7),
            ("batchSize", "9", 8),
        ] {
            let entry = raw.get(key).unwrap();
            assert_eq!(entry.text, value);
            assert_eq!(entry.origin.to_string(), format!(".irisenv:{line}"));
        }
    }

    #[test]
    fn bad_lines_are_refused_with_their_number() {
        for (text, parts) in [
            ("seed=1\nlearingRate=1", [":2", "did you mean learningRate?"]),
            ("seed=1\n\nseed=1", [":3", "first in line 1"]),
            ("seed", [":1", "KEY=value"]),
            ("seed 1", [":1", "KEY=value"]),
            ("seed=1 2", [":1", "KEY=value"]),
            ("seed: 1", [":1", "KEY=value"]),
            ("label=\"a\nb\"", [":1", "unclosed quote"]),
            ("dataDir=$HOME/x", [":1", "not expanded"]),
            ("dataDir=${HOME}", [":1", "not expanded"]),
            ("seed=", [":1", "empty"]),
            ("learningRate=0,01", [":1", "0.01"]),
        ] {
            let error = read_text(text).unwrap_err();
            let message = error.to_string();
            for part in parts {
                assert!(message.contains(part), "{text:?}: {message}");
            }
            assert_eq!(error.exit_code(), 3);
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn the_environment_is_neither_read_nor_written() {
        // PATH is set wherever tests run; a $ in front of it must not bring its value in.
        let error = read_text("label=$PATH").unwrap_err();
        let path = std::env::var("PATH").unwrap();
        assert!(!error.to_string().contains(&path));
        read_text("label=x").unwrap();
        assert!(std::env::var_os("label").is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).*") {
            let _ = read_text(&text);
        }

        #[test]
        fn any_assignment_is_read_or_refused_in_one_line(value in "(?s).{0,40}") {
            if let Err(error) = read_text(&format!("learningRate={value}")) {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }
}
