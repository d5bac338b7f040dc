//! Reads tables of a device file: every value has a line, every unknown key its nearest known one.

use super::{DeviceError, Fault};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file that is being read.
pub(super) struct Text<'a> {
    pub path: &'a str,
    pub text: &'a str,
}

impl Text<'_> {
    /// An error in the line of a byte offset.
    pub fn fault(&self, offset: usize, why: impl Into<String>, cure: impl Into<String>) -> DeviceError {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        DeviceError::line(self.path, Fault { line, why: why.into(), cure: cure.into() })
    }
}

/// What a number must be.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub holds: fn(f64) -> bool,
    pub cure: &'static str,
}

pub(super) const POSITIVE: Rule = Rule { holds: |n| n > 0.0 && n.is_finite(), cure: "give a number above 0" };
pub(super) const NOT_NEGATIVE: Rule = Rule { holds: |n| n >= 0.0 && n.is_finite(), cure: "give 0 or more" };
pub(super) const COUNT: Rule =
    Rule { holds: |n| n >= 1.0 && n.fract() == 0.0 && n < 1e15, cure: "give a whole number from 1" };
pub(super) const INDEX: Rule = Rule { holds: |n| n >= 0.0 && n.fract() == 0.0 && n < 1e9, cure: "give a rank, from 0" };
pub(super) const BANDWIDTH: Rule = Rule {
    holds: |n| n > 0.0,
    cure: "give a number above 0, or \"inf\": at 0 a message takes for ever, and an outage is a trace",
};

/// A table of the file.
pub(super) struct Reader<'a> {
    file: &'a Text<'a>,
    /// Its name, as in `profile.pi.watts`.
    name: String,
    /// Where it begins.
    offset: usize,
    table: &'a DeTable<'a>,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a Text<'a>, table: &'a DeTable<'a>) -> Self {
        Self { file, name: String::new(), offset: 0, table }
    }

    /// An error where this table begins.
    pub fn fault(&self, why: impl Into<String>, cure: impl Into<String>) -> DeviceError {
        self.file.fault(self.offset, why, cure)
    }

    /// An error where a key's value stands, or where the table begins.
    pub fn fault_at(&self, key: &str, why: impl Into<String>, cure: impl Into<String>) -> DeviceError {
        self.file.fault(self.get(key).map_or(self.offset, |value| value.span().start), why, cure)
    }

    /// A key with the name of the table, as a message shows it.
    pub fn path(&self, key: &str) -> String {
        if self.name.is_empty() { shown(key) } else { format!("{}.{}", self.name, shown(key)) }
    }

    /// Checks that there are no other keys.
    pub fn only(&self, known: &[&str]) -> Result<(), DeviceError> {
        let strangers = self.table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        let Some((key, _)) = strangers.min_by_key(|(key, _)| key.span().start) else {
            return Ok(());
        };
        let cure = unknown(key.get_ref(), known);
        Err(self.file.fault(key.span().start, format!("unknown key {}", self.path(key.get_ref())), cure))
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    fn missing(&self, key: &str, cure: &str) -> DeviceError {
        self.fault(format!("{} is missing", self.path(key)), cure)
    }

    /// A number, if it is there.
    pub fn maybe(&self, key: &str, rule: Rule) -> Result<Option<f64>, DeviceError> {
        self.get(key).map(|value| self.read(&self.path(key), value, rule)).transpose()
    }

    /// A number that must be there.
    pub fn number(&self, key: &str, rule: Rule) -> Result<f64, DeviceError> {
        self.maybe(key, rule)?.ok_or_else(|| self.missing(key, rule.cure))
    }

    /// A list of numbers that must be there.
    pub fn numbers(&self, key: &str, rule: Rule) -> Result<Vec<f64>, DeviceError> {
        let cure = "give a list of numbers, as in [0.5, 1.5]";
        let value = self.get(key).ok_or_else(|| self.missing(key, cure))?;
        match value.get_ref() {
            DeValue::Array(list) => list.iter().map(|value| self.read(&self.path(key), value, rule)).collect(),
            _ => Err(self.fault_at(key, format!("{} is no list", self.path(key)), cure)),
        }
    }

    fn read(&self, path: &str, value: &Spanned<DeValue>, rule: Rule) -> Result<f64, DeviceError> {
        let text = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            DeValue::String(text) if text == "inf" => "inf",
            _ => "",
        };
        let fault = |why: String| Err(self.file.fault(value.span().start, why, rule.cure));
        match text.parse::<f64>() {
            Ok(number) if (rule.holds)(number) => Ok(number),
            Ok(number) => fault(format!("{path} = {number} cannot be")),
            Err(_) => fault(format!("{path} = {} is no number", shown(&self.file.text[value.span()]))),
        }
    }

    /// A text, if it is there.
    pub fn maybe_text(&self, key: &str) -> Result<Option<&'a str>, DeviceError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Ok(Some(text)),
            _ => Err(self.fault_at(key, format!("{} is no text", self.path(key)), "write it in double quotes")),
        }
    }

    /// A text that must be there.
    pub fn text(&self, key: &str, cure: &str) -> Result<&'a str, DeviceError> {
        self.maybe_text(key)?.ok_or_else(|| self.missing(key, cure))
    }

    /// Whether something is so; it is not, where nothing is said.
    pub fn flag(&self, key: &str) -> Result<bool, DeviceError> {
        match self.get(key).map(|value| value.get_ref()) {
            None => Ok(false),
            Some(DeValue::Boolean(flag)) => Ok(*flag),
            Some(_) => Err(self.fault_at(key, format!("{} is neither true nor false", self.path(key)), "write true")),
        }
    }

    /// Where the figures of the table come from.
    pub fn source(&self, key: &str) -> Result<String, DeviceError> {
        let cure = format!("write {key} = \"…\": who measured it, which data sheet, or that it is assumed");
        self.maybe_text(key)?.map(str::to_owned).ok_or_else(|| self.missing(key, &cure))
    }

    /// A list of texts that must be there, each with where it stands.
    pub fn texts(&self, key: &str, cure: &str) -> Result<Vec<(&'a str, usize)>, DeviceError> {
        let value = self.get(key).ok_or_else(|| self.missing(key, cure))?;
        let wrong = |offset| self.file.fault(offset, format!("{} is no list of names", self.path(key)), cure);
        let DeValue::Array(list) = value.get_ref() else { return Err(wrong(value.span().start)) };
        let text = |value: &'a Spanned<DeValue<'a>>| match value.get_ref() {
            DeValue::String(text) => Ok((text.as_ref(), value.span().start)),
            _ => Err(wrong(value.span().start)),
        };
        list.iter().map(text).collect()
    }

    fn open(&self, name: String, value: &'a Spanned<DeValue<'a>>) -> Result<Self, DeviceError> {
        let offset = value.span().start;
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self { file: self.file, name, offset, table }),
            _ => Err(self.file.fault(offset, format!("{name} is no table"), format!("write a table [{name}]"))),
        }
    }

    /// A table in this one, if it is there.
    pub fn maybe_table(&self, key: &str) -> Result<Option<Self>, DeviceError> {
        self.get(key).map(|value| self.open(self.path(key), value)).transpose()
    }

    /// A table in this one that must be there.
    pub fn table(&self, key: &str) -> Result<Self, DeviceError> {
        let cure = format!("write a table [{}]", self.path(key));
        self.maybe_table(key)?.ok_or_else(|| self.missing(key, &cure))
    }

    /// The tables in this one, with their names.
    pub fn tables(&self) -> impl Iterator<Item = Result<(&'a str, Self), DeviceError>> {
        let named = |(key, value): (&'a Spanned<_>, _)| {
            let key: &std::borrow::Cow<str> = key.get_ref();
            Ok((key.as_ref(), self.open(self.path(key), value)?))
        };
        self.table.iter().map(named)
    }

    /// The tables of a list `[[key]]`; none if it is not there.
    pub fn list(&self, key: &str) -> Result<Vec<Self>, DeviceError> {
        match self.get(key).map(|value| value.get_ref()) {
            None => Ok(Vec::new()),
            Some(DeValue::Array(list)) => list.iter().map(|value| self.open(self.path(key), value)).collect(),
            Some(_) => Err(self.fault_at(key, format!("{key} is no list"), format!("write tables [[{key}]]"))),
        }
    }
}

/// What to say about a word that is none of the known ones.
pub(super) fn unknown(word: &str, known: &[&str]) -> String {
    // The distance is quadratic in the length, and a long line is no misspelling.
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase()), known))
        .filter(|(mistakes, known)| word.len() <= 64 && 3 * mistakes <= known.len().max(3))
        .min_by_key(|(mistakes, _)| *mistakes);
    match near {
        Some((_, known)) => format!("did you mean {known}?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => format!("known: {}", known.join(", ")),
    }
}

/// A user's text, short and on one line.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.escape_debug().take(48).collect();
    if text.escape_debug().count() > 48 { format!("{short}…") } else { short }
}
