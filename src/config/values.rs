//! The settings that are more than a word or a number. In files and in the broadcast each is the
//! text (or number) that a user writes.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A data set by name, or a table in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Dataset {
    /// Fisher's iris flowers.
    Iris,
    /// The Intel photographs of scenes.
    Img,
    /// A labelled CSV file.
    Csv(PathBuf),
}

impl Dataset {
    /// What can be written instead of a file name; `intel` and `images` mean `img`.
    pub const WORDS: &'static [&'static str] = &["iris", "img", "intel", "images"];
}

impl TryFrom<String> for Dataset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_csv = |text: &str| text.to_ascii_lowercase().ends_with(".csv");
        match text.as_str() {
            "iris" => Ok(Self::Iris),
            "img" | "intel" | "images" => Ok(Self::Img),
            file if is_csv(file) => Ok(Self::Csv(PathBuf::from(text))),
            _ => Err("is no data set".to_owned()),
        }
    }
}

impl From<Dataset> for String {
    fn from(dataset: Dataset) -> String {
        match dataset {
            Dataset::Iris => "iris".to_owned(),
            Dataset::Img => "img".to_owned(),
            Dataset::Csv(path) => path.to_string_lossy().into_owned(),
        }
    }
}

impl std::fmt::Display for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(self.clone()))
    }
}

/// How many samples make one step, all training ranks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BatchText", into = "BatchText")]
pub enum GlobalBatch {
    /// batchSize on every training rank.
    #[default]
    PerRank,
    /// This many, whatever the number of ranks; 1 is stochastic gradient descent, sample by sample.
    Fixed(usize),
    /// The whole training part: full-batch gradient descent.
    Full,
}

/// A global batch as files and messages carry it: absent, a number, or the word `full`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BatchText {
    Number(usize),
    Word(String),
    Absent(()),
}

impl TryFrom<BatchText> for GlobalBatch {
    type Error = &'static str;

    fn try_from(text: BatchText) -> Result<Self, Self::Error> {
        match text {
            BatchText::Absent(()) => Ok(Self::PerRank),
            BatchText::Number(0) => Err("a global batch has at least one sample"),
            BatchText::Number(samples) => Ok(Self::Fixed(samples)),
            BatchText::Word(word) if word == "full" => Ok(Self::Full),
            BatchText::Word(_) => Err("a global batch is a number or full"),
        }
    }
}

impl From<GlobalBatch> for BatchText {
    fn from(batch: GlobalBatch) -> Self {
        match batch {
            GlobalBatch::PerRank => Self::Absent(()),
            GlobalBatch::Fixed(samples) => Self::Number(samples),
            GlobalBatch::Full => Self::Word("full".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_is_a_name_or_a_csv_file() {
        for (text, expected) in [
            ("iris", Some(Dataset::Iris)),
            ("images", Some(Dataset::Img)),
            ("a/B.CSV", Some(Dataset::Csv(PathBuf::from("a/B.CSV")))),
            ("Iris", None),
            ("iris.txt", None),
        ] {
            assert_eq!(Dataset::try_from(text.to_owned()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_global_batch_travels_as_it_is_written() {
        for (batch, text) in
            [(GlobalBatch::PerRank, "null"), (GlobalBatch::Fixed(80), "80"), (GlobalBatch::Full, "\"full\"")]
        {
            assert_eq!(serde_json::to_string(&batch).unwrap(), text);
            assert_eq!(serde_json::from_str::<GlobalBatch>(text).unwrap(), batch);
        }
        assert!(serde_json::from_str::<GlobalBatch>("0").is_err());
    }
}
