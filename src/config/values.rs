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

/// How the samples are shared out: three shares that add up to one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataSplit {
    /// Share to train on; above zero.
    pub train: f64,
    /// Share to validate on after every epoch.
    pub validation: f64,
    /// Share to test on at the end.
    pub test: f64,
}

impl TryFrom<String> for DataSplit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let shares: Vec<f64> = text
            .split('/')
            .map(|share| share.trim().parse::<f64>())
            .collect::<Result<_, _>>()
            .map_err(|_| "has a share that is not a number".to_owned())?;
        let [train, validation, test] = shares[..] else {
            return Err(format!("has {} shares, not three", shares.len()));
        };
        // Also catches NaN, which no comparison admits.
        if !shares.iter().all(|share| (0.0..=1.0).contains(share)) {
            return Err("has a share outside 0 to 1".to_owned());
        }
        if train == 0.0 {
            return Err("leaves nothing to train on".to_owned());
        }
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > 1e-6 {
            return Err(format!("adds up to {sum}, not to 1"));
        }
        Ok(Self { train, validation, test })
    }
}

impl From<DataSplit> for String {
    fn from(split: DataSplit) -> String {
        format!("{}/{}/{}", split.train, split.validation, split.test)
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
    fn a_split_is_three_shares_of_one() {
        let split = |text: &str| DataSplit::try_from(text.to_owned());
        assert_eq!(String::from(split("0.8/0.1/0.1").unwrap()), "0.8/0.1/0.1");
        assert_eq!(split("1/0/0").unwrap().train, 1.0);
        for (text, why) in [
            ("0.8/0.2", "2 shares"),
            ("0.8/0.1/0.2", "adds up to 1.1"),
            ("0/0.5/0.5", "nothing to train"),
            ("NaN/0.5/0.5", "outside"),
            ("1.2/-0.1/-0.1", "outside"),
            ("a/b/c", "not a number"),
        ] {
            let problem = split(text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
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
