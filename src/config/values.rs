//! The settings that are more than a word or a number. In files and in the broadcast each is the
//! text (or number) that a user writes.

use crate::nn::zoo;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A data set by name, or in files of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Dataset {
    /// Fisher's iris flowers.
    Iris,
    /// The Intel photographs of scenes.
    Img,
    /// CIFAR-10 in its binary version.
    Cifar10,
    /// MNIST in idx files.
    Mnist,
    /// A labelled CSV file.
    Csv(PathBuf),
    /// Samples saved by numpy, with their labels beside them.
    Npy(PathBuf),
    /// A folder of pictures, one folder a class, or of numpy arrays.
    Folder(PathBuf),
}

impl Dataset {
    /// What can be written instead of a path; `intel` and `images` mean `img`.
    pub const WORDS: &'static [&'static str] = &["iris", "img", "intel", "images", "cifar10", "mnist"];
}

impl TryFrom<String> for Dataset {
    type Error = String;

    /// Reads a name or a path. A folder is known by a slash in its path; a word without one is looked for, and gets
    /// a slash, so that ranks and later runs need not look again.
    fn try_from(text: String) -> Result<Self, String> {
        let ends = |ending: &str| text.to_ascii_lowercase().ends_with(ending);
        match text.as_str() {
            "iris" => Ok(Self::Iris),
            "img" | "intel" | "images" => Ok(Self::Img),
            "cifar10" => Ok(Self::Cifar10),
            "mnist" => Ok(Self::Mnist),
            _ if ends(".csv") => Ok(Self::Csv(PathBuf::from(text))),
            _ if ends(".npy") => Ok(Self::Npy(PathBuf::from(text))),
            path if path.contains('/') || Path::new(path).is_dir() => Ok(Self::Folder(PathBuf::from(text))),
            _ => Err("is no data set".to_owned()),
        }
    }
}

impl From<Dataset> for String {
    fn from(dataset: Dataset) -> String {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        match dataset {
            Dataset::Iris => "iris".to_owned(),
            Dataset::Img => "img".to_owned(),
            Dataset::Cifar10 => "cifar10".to_owned(),
            Dataset::Mnist => "mnist".to_owned(),
            Dataset::Csv(path) | Dataset::Npy(path) => text(path),
            Dataset::Folder(path) => match text(path) {
                path if path.contains('/') => path,
                path => path + "/",
            },
        }
    }
}

impl std::fmt::Display for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(self.clone()))
    }
}

/// A network by name, or in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Model {
    /// One that is built in.
    Named(String),
    /// A TOML file that describes it.
    File(PathBuf),
}

impl Model {
    /// Whether it is a dense network whose widths the width keys give.
    pub fn is_mlp(&self) -> bool {
        matches!(self, Self::Named(name) if name == "iris_mlp" || name == "img_mlp")
    }
}

/// What the files of trained networks end with.
pub const TRAINED: &str = ".safetensors";

impl Model {
    /// The file of a trained network, where it is one.
    pub fn trained(&self) -> Option<&Path> {
        match self {
            Self::File(path) if path.to_string_lossy().to_ascii_lowercase().ends_with(TRAINED) => Some(path),
            _ => None,
        }
    }
}

impl TryFrom<String> for Model {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text {
            name if zoo::names().any(|known| known == name) => Ok(Self::Named(name)),
            file if [".toml", TRAINED].iter().any(|end| file.to_ascii_lowercase().ends_with(end)) => {
                Ok(Self::File(PathBuf::from(file)))
            }
            _ => Err("is no network".to_owned()),
        }
    }
}

impl From<Model> for String {
    fn from(model: Model) -> String {
        match model {
            Model::Named(name) => name,
            Model::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(self.clone()))
    }
}

/// The size that pictures are brought to, written `150` or `120x160` (height first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageSize {
    /// Pixel rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

impl ImageSize {
    /// The longest side.
    pub const MOST: usize = 4096;
}

impl TryFrom<String> for ImageSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let side = |text: &str| match text.parse::<usize>() {
            _ if !text.bytes().all(|b| b.is_ascii_digit()) => Err("is not a size".to_owned()),
            Ok(side @ 1..=Self::MOST) => Ok(side),
            Ok(0) => Err("has a side of zero".to_owned()),
            Ok(_) => Err(format!("has a side above {}", Self::MOST)),
            Err(_) => Err("is not a size".to_owned()),
        };
        let (height, width) = text.split_once('x').unwrap_or((&text, &text));
        Ok(Self { height: side(height)?, width: side(width)? })
    }
}

impl From<ImageSize> for String {
    fn from(size: ImageSize) -> String {
        size.to_string()
    }
}

impl std::fmt::Display for ImageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
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

/// When the requests of a source come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Arrivals {
    /// All at the beginning.
    AtOnce,
    /// At random, so many a second on average.
    Poisson(f64),
    /// One after so many seconds each.
    Periodic(f64),
    /// As a file says.
    Trace(PathBuf),
}

impl TryFrom<String> for Arrivals {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |text: &str| match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("has '{}', which is not a number", text.escape_debug())),
        };
        match text.split_once(':') {
            None if text == "at-once" => Ok(Self::AtOnce),
            Some(("poisson", rate)) => match number(rate)? {
                rate if rate > 0.0 => Ok(Self::Poisson(rate)),
                rate => Err(format!("has a rate of {rate} a second, and nobody would ask")),
            },
            Some(("periodic", seconds)) => match number(seconds)? {
                seconds if seconds > 0.0 => Ok(Self::Periodic(seconds)),
                seconds => Err(format!("has {seconds} s between two requests")),
            },
            Some(("trace", "")) => Err("names no file".to_owned()),
            Some(("trace", file)) => Ok(Self::Trace(PathBuf::from(file))),
            _ => Err("is no law of arrivals".to_owned()),
        }
    }
}

impl From<Arrivals> for String {
    fn from(law: Arrivals) -> String {
        match law {
            Arrivals::AtOnce => "at-once".to_owned(),
            Arrivals::Poisson(rate) => format!("poisson:{rate}"),
            Arrivals::Periodic(seconds) => format!("periodic:{seconds}"),
            Arrivals::Trace(file) => format!("trace:{}", file.to_string_lossy()),
        }
    }
}

impl std::fmt::Display for Arrivals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_is_a_name_or_a_path() {
        for (text, expected) in [
            ("iris", Some(Dataset::Iris)),
            ("images", Some(Dataset::Img)),
            ("a/B.CSV", Some(Dataset::Csv(PathBuf::from("a/B.CSV")))),
            ("cifar10", Some(Dataset::Cifar10)),
            ("a/B.CSV/x.Npy", Some(Dataset::Npy(PathBuf::from("a/B.CSV/x.Npy")))),
            ("no/such", Some(Dataset::Folder(PathBuf::from("no/such")))),
            (".", Some(Dataset::Folder(PathBuf::from(".")))),
            ("Iris", None),
            ("iris.txt", None),
        ] {
            assert_eq!(Dataset::try_from(text.to_owned()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_folder_is_written_so_that_nobody_has_to_look_for_it() {
        let folder = Dataset::try_from("src".to_owned()).unwrap();
        assert_eq!((folder.to_string().as_str(), &folder), ("src/", &Dataset::Folder(PathBuf::from("src"))));
    }

    #[test]
    fn a_network_is_a_name_or_a_file_and_a_size_one_number_or_two() {
        for (text, expected) in [
            ("vgg5", Some(Model::Named("vgg5".into()))),
            ("my/net.toml", Some(Model::File("my/net.toml".into()))),
            ("vgg6", None),
            ("toml", None),
        ] {
            assert_eq!(Model::try_from(text.to_owned()).ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("150", Some("150x150")),
            ("120x160", Some("120x160")),
            ("0", None),
            ("4097", None),
            ("1x", None),
            ("+5", None),
            ("1x2x3", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(ImageSize::try_from(text.to_owned()).ok().map(String::from).as_deref(), expected, "{text}");
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
