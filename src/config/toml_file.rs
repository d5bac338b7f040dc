//! The TOML file given with `--config`: one flat table of the same keys, with typed values.
//! A run leaves such a file (`config.toml`), and reading it back repeats the run.

use super::checked::Config;
use super::error::ConfigError;
use super::keys::{self, KEYS, Key};
use super::kind::{Kind, Problem};
use super::origin::Origin;
use super::raw::Raw;
use toml::de::{DeTable, DeValue};

/// Adds the keys of a TOML file to `raw`.
///
/// # Errors
/// The first line that is not TOML, names an unknown key or gives an impossible value.
pub(super) fn read(path: &str, text: &str, raw: &mut Raw) -> Result<(), ConfigError> {
    let origin = |offset: usize| Origin::File { path: path.to_owned(), line: line_at(text, offset) };
    let table = DeTable::parse(text).map_err(|error| syntax(text, &error, origin))?;
    let mut rows: Vec<_> = table.get_ref().iter().collect();
    // The table is sorted by name; the first mistake of the file is to be the one that is told.
    rows.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in rows {
        let origin = origin(name.span().start);
        let Some(key) = keys::key(name.get_ref()) else {
            return Err(ConfigError::UnknownKey { key: name.get_ref().to_string(), origin });
        };
        let value_text = typed_text(key, value.get_ref()).map_err(|problem| ConfigError::BadValue {
            key: key.name.to_owned(),
            text: text[value.span()].to_owned(),
            origin: origin.clone(),
            problem: Box::new(problem),
        })?;
        raw.offer(key, &value_text, origin)?;
    }
    Ok(())
}

fn syntax(text: &str, error: &toml::de::Error, origin: impl Fn(usize) -> Origin) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start);
    let line = text.lines().nth(line_at(text, offset) - 1).unwrap_or("");
    ConfigError::Syntax {
        text: line.trim().to_owned(),
        origin: origin(offset),
        problem: Box::new(Problem {
            why: format!("is not TOML: {}", error.message().replace('\n', " ")),
            cure: "write KEY = value, text in double quotes".to_owned(),
        }),
    }
}

/// The line of a byte offset, from 1.
fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A typed value as the text that [`Kind::parse`] reads, if its type is the key's.
fn typed_text(key: &Key, value: &DeValue<'_>) -> Result<String, Problem> {
    let wrong = |what: &str, cure: String| Problem { why: format!("is {what}"), cure };
    let hint = || format!("write {}", key.kind.hint());
    match (value, key.kind) {
        (DeValue::Boolean(switch), Kind::Switch) => Ok(switch.to_string()),
        (
            DeValue::Integer(number),
            Kind::Count { .. }
            | Kind::Number { .. }
            | Kind::Batch
            | Kind::Size
            | Kind::Numbers { .. }
            | Kind::Cuts
            | Kind::Split
            | Kind::Ranks
            | Kind::Every,
        ) => {
            match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Ok(number.to_string()),
                // Too long for TOML: let the kind say that it is too large.
                Err(_) => Ok(number.to_string()),
            }
        }
        (DeValue::Float(number), Kind::Count { .. } | Kind::Number { .. } | Kind::Batch | Kind::Numbers { .. }) => {
            Ok(number.as_str().to_owned())
        }
        (
            DeValue::String(text),
            Kind::Text
            | Kind::Choice(_)
            | Kind::Shares
            | Kind::Dataset
            | Kind::Model
            | Kind::Graph
            | Kind::Size
            | Kind::Batch
            | Kind::Numbers { .. }
            | Kind::Cuts
            | Kind::Split
            | Kind::Ranks
            | Kind::Arrivals
            | Kind::Every
            | Kind::Neighbourhood,
        ) => Ok(text.to_string()),
        (DeValue::String(text), _) => Err(wrong(
            "text",
            match key.kind.parse(text) {
                Ok(_) => format!("write it without quotes: {} = {text}", key.name),
                Err(_) => hint(),
            },
        )),
        (DeValue::Table(_), _) => Err(wrong("a table", format!("{}, on one line", hint()))),
        (DeValue::Array(_), _) => Err(wrong("a list", hint())),
        (DeValue::Datetime(_), _) => Err(wrong("a date", hint())),
        (_, Kind::Switch) => Err(wrong("a number", hint())),
        (_, Kind::Count { .. } | Kind::Number { .. }) => Err(wrong("a truth value", hint())),
        _ => Err(wrong("not text", format!("{} in double quotes", hint()))),
    }
}

/// The whole configuration as a flat TOML file; keys without a value are left out.
pub(super) fn write(config: &Config) -> String {
    let mut text = format!(
        "# The resolved configuration of a run of goai-rs {}; `goai-rs --config` of this file repeats it.\n",
        env!("CARGO_PKG_VERSION")
    );
    for key in KEYS {
        if let Some(value) = config.value(key.name) {
            text.push_str(&format!("{} = {}\n", key.name, toml_value(&value)));
        }
    }
    text
}

fn toml_value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => toml::Value::String(text.clone()).to_string(),
        // Numbers and truth values are written alike in JSON and TOML.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Raw, ConfigError> {
        let mut raw = Raw::default();
        read("run.toml", text, &mut raw).map(|()| raw)
    }

    #[test]
    fn typed_values_are_read_with_their_line() {
        let raw = read_text(
            "# c\nlearningRate = 1\nseed = 0x10\n\nmode = \"allreduce\"\ndeterministic = true\n\
             globalBatch = \"full\"\nmomentum = 5e-1\nnumEpochs = 1_000\n",
        )
        .unwrap();
        for (key, value, line) in [
            ("learningRate", "1", 2),
            ("seed", "16", 3),
            ("mode", "allreduce", 5),
            ("deterministic", "true", 6),
            ("globalBatch", "full", 7),
            ("momentum", "5e-1", 8),
            ("numEpochs", "1000", 9),
        ] {
            let entry = raw.get(key).unwrap();
            assert_eq!(entry.text, value);
            assert_eq!(entry.origin.to_string(), format!("run.toml:{line}"));
        }
    }

    #[test]
    fn wrong_lines_are_refused_with_their_number() {
        for (text, parts) in [
            ("seed = 1\nlerningRate = 1", [":2", "did you mean learningRate?"]),
            ("seed = 1\nseed = 2", [":2", "duplicate"]),
            ("seed = ", [":1", "not TOML"]),
            ("seed == 1", [":1", "not TOML"]),
            ("mode = allreduce", [":1", "not TOML"]),
            ("learningRate = \"0.01\"", [":1", "without quotes: learningRate = 0.01"]),
            ("learningRate = nan", [":1", "is not a number"]),
            ("learningRate = 0,01", [":1", "not TOML"]),
            ("numEpochs = 1.5", [":1", "not a whole number"]),
            ("seed = 99999999999999999999999", [":1", "too large"]),
            ("seed = true", [":1", "truth value"]),
            ("deterministic = 1", [":1", "true|false"]),
            ("optimizer = 3", [":1", "double quotes"]),
            ("optimizer = \"adm\"", [":1", "did you mean adam?"]),
            ("[seed]\nx = 1", [":1", "a table"]),
            ("seed = [1]", [":1", "a list"]),
            ("[training]\nseed = 1", [":1", "unknown key training"]),
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
}
