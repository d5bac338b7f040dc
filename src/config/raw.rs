//! Configuration as typed: for each key the text that won, and where it came from.

use super::error::ConfigError;
use super::keys::Key;
use super::origin::Origin;
use serde_json::Value;
use std::collections::BTreeMap;

/// One value as typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The text.
    pub text: String,
    /// The text as its key's kind reads it.
    pub(super) value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Configuration as typed; the checked form is [`super::Config`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Raw(BTreeMap<&'static str, Entry>);

impl Raw {
    /// Takes a value unless a source before this one gave the key: sources come in the order of
    /// their precedence. The text is checked either way, so a mistake does not hide behind a flag.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] when the key cannot have this value.
    pub fn offer(&mut self, key: &'static Key, text: &str, origin: Origin) -> Result<(), ConfigError> {
        match key.kind.parse(text) {
            Ok(value) => {
                self.0.entry(key.name).or_insert_with(|| Entry { text: text.to_owned(), value, origin });
                Ok(())
            }
            Err(problem) => Err(ConfigError::BadValue {
                key: key.name.to_owned(),
                text: text.to_owned(),
                origin,
                problem: Box::new(problem),
            }),
        }
    }

    /// The value of a key, if a source gave one.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    /// Every key that has a value, sorted by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, &Entry)> {
        self.0.iter().map(|(key, entry)| (*key, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::key;

    #[test]
    fn the_first_offer_stays_and_a_bad_later_one_is_still_refused() {
        let seed = key("seed").unwrap();
        let mut raw = Raw::default();
        raw.offer(seed, "1", Origin::Flag("--seed".into())).unwrap();
        raw.offer(seed, "2", Origin::Preset).unwrap();
        assert_eq!(raw.get("seed").unwrap().text, "1");
        let error = raw.offer(seed, "x", Origin::Set).unwrap_err();
        assert_eq!(error.to_string(), "--set: seed = x is not a number; write a whole number, 0 or more");
    }
}
