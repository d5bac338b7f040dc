//! The table of keys: everything that can be configured, once.
//!
//! Flags, GOAI_ variables, both file formats, messages, `config keys` and the defaults derive from
//! this table. A new key is one row here and one field in [`super::Config`].

use super::choices::{Activation, Init, LossKind, Mode, Model, OptimizerKind, RateScaling, Schedule};
use super::kind::{Kind, MOST_ELEMENTS};
use super::suggest::suggest;

/// One thing that can be configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    /// Its name in files and after `--set`.
    pub name: &'static str,
    /// Its flag with the dashes, or nothing when it has none.
    pub flag: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Its value when nobody gives one.
    pub default: Fallback,
    /// What it does, in one line.
    pub doc: &'static str,
}

/// The value of a key when nobody gives one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fallback {
    /// None: what happens then is said in the key's line.
    Unset,
    /// The same for every data set.
    All(&'static str),
    /// By preset; the preset for tables is iris's.
    By {
        /// For iris and other tables.
        iris: &'static str,
        /// For photographs.
        img: &'static str,
    },
    /// By preset, and none for tables other than iris: the data say it.
    Data {
        /// For iris.
        iris: &'static str,
        /// For photographs.
        img: &'static str,
    },
}

/// The defaults that go with a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// For iris.
    Iris,
    /// For photographs.
    Img,
    /// For any other table: as iris, but the data give input and output.
    Table,
}

impl Key {
    /// The default for a preset.
    pub fn default_for(&self, preset: Preset) -> Option<&'static str> {
        match (self.default, preset) {
            (Fallback::Unset, _) | (Fallback::Data { .. }, Preset::Table) => None,
            (Fallback::All(text), _) => Some(text),
            (Fallback::By { img, .. } | Fallback::Data { img, .. }, Preset::Img) => Some(img),
            (Fallback::By { iris, .. } | Fallback::Data { iris, .. }, _) => Some(iris),
        }
    }

    /// The environment variable: `learningRate` is GOAI_LEARNING_RATE.
    pub fn variable(&self) -> String {
        let mut name = VARIABLE_PREFIX.to_owned();
        for c in self.name.chars() {
            if c.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        name
    }
}

/// What the environment variables of all keys begin with.
pub const VARIABLE_PREFIX: &str = "GOAI_";

/// Variables with the prefix that are no keys: `GOAI_FAULT` and everything under `GOAI_TEST_`
/// steer the tests (faults injected into a rank). They are not configuration and are left alone.
pub fn is_other_variable(name: &str) -> bool {
    name == "GOAI_FAULT" || name.starts_with("GOAI_TEST_")
}

/// The key of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that a mistyped name means, if one is near: by its name, else by its flag (`lr`).
pub fn nearest(name: &str) -> Option<&'static str> {
    let by_flag = || {
        let flags = KEYS.iter().filter(|key| !key.flag.is_empty());
        let flag = suggest(name, flags.map(|key| key.flag))?;
        KEYS.iter().find(|key| key.flag == flag).map(|key| key.name)
    };
    suggest(name, KEYS.iter().map(|key| key.name)).or_else(by_flag)
}

const ONE_UP: Kind = count(1, MOST_ELEMENTS);
const RATE: Kind = interval(0.0, false, 1000.0, true);
// TOML integers end here.
const SEED: Kind = count(0, i64::MAX as u64);

const fn count(least: u64, most: u64) -> Kind {
    Kind::Count { least, most }
}

const fn interval(least: f64, least_in: bool, most: f64, most_in: bool) -> Kind {
    Kind::Number { least, least_in, most, most_in }
}

const fn row(name: &'static str, flag: &'static str, kind: Kind, default: Fallback, doc: &'static str) -> Key {
    Key { name, flag, kind, default, doc }
}

const fn all(text: &'static str) -> Fallback {
    Fallback::All(text)
}

const fn by(iris: &'static str, img: &'static str) -> Fallback {
    Fallback::By { iris, img }
}

const fn data(iris: &'static str, img: &'static str) -> Fallback {
    Fallback::Data { iris, img }
}

/// Every key, in the order in which files and tables show them: the original's nine first.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    row("inputdataDims", "", ONE_UP, data("4", "67500"),
        "Numbers per sample; unset: as the data have"),
    row("inputLayerNeurons", "", ONE_UP, by("30", "40"),
        "Width of the first dense layer"),
    row("hiddenLayerNeurons", "", ONE_UP, by("20", "10"),
        "Width of the second dense layer"),
    row("outputLayerNeurons", "", ONE_UP, data("3", "6"),
        "Width of the output, one per class; unset: as the data have"),
    row("labelOnehotDims", "", ONE_UP, data("3", "6"),
        "Length of a one-hot label; equals outputLayerNeurons"),
    row("numEpochs", "--epochs", ONE_UP, by("100", "10"),
        "Passes over the training part"),
    row("learningRate", "--lr", RATE, by("0.01", "0.004"),
        "Scale of every step, before rateScaling and schedule"),
    row("batchSize", "--batch", ONE_UP, by("4", "4"),
        "Samples of a step on each training rank"),
    row("parallelism", "", count(1, 65_536), by("8", "8"),
        "Upper bound of the threads of a rank"),

    row("mode", "--mode", Kind::Choice(Mode::WORDS), Fallback::Unset,
        "How ranks work together; unset: single on one rank, allreduce on several"),
    row("dataset", "--dataset", Kind::Dataset, all("iris"),
        "What to learn; img, photographs, can be configured but not trained yet"),
    row("dataDir", "--data-dir", Kind::Text, all("datasets"),
        "Folder in which data sets are looked for"),
    row("label", "--label", Kind::Text, Fallback::Unset,
        "Name of the column to predict; unset: variety, label, class, species or target"),
    row("dataSplit", "--data-split", Kind::Shares, all("0.8/0.1/0.1"),
        "Shares to train, validate and test on"),
    row("folds", "--folds", count(0, 1_000_000), all("0"),
        "Parts of a cross-validation, 2 or more; 0: none"),
    row("repeats", "--repeats", count(1, 1_000_000), all("1"),
        "Times the cross-validation is repeated with other folds"),

    row("model", "--model", Kind::Choice(Model::WORDS), by("iris_mlp", "img_mlp"),
        "The network; inputLayerNeurons and hiddenLayerNeurons are its widths"),
    row("activation", "--activation", Kind::Choice(Activation::WORDS), all("sigmoid"),
        "Function between dense layers"),
    row("init", "--init", Kind::Choice(Init::WORDS), all("glorot"),
        "How the first weights are drawn"),
    row("standardizeHidden", "--standardize-hidden", Kind::Switch, all("false"),
        "Standardise every sample between layers, which the original meant to do"),
    row("loss", "--loss", Kind::Choice(LossKind::WORDS), all("cross-entropy"),
        "What training makes small"),

    row("globalBatch", "--global-batch", Kind::Batch, Fallback::Unset,
        "Samples of a step on all ranks together; unset: ranks x batchSize; 1: one-sample SGD"),
    row("optimizer", "--optimizer", Kind::Choice(OptimizerKind::WORDS), all("adam"),
        "How a gradient becomes a step"),
    row("momentum", "--momentum", interval(0.0, true, 1.0, false), all("0.9"),
        "Share of the last step kept, for optimizer momentum"),
    row("weightDecay", "--weight-decay", interval(0.0, true, 1.0, true), all("0"),
        "Share of a weight that each unit of learning rate takes away"),
    row("schedule", "--schedule", Kind::Choice(Schedule::WORDS), all("cosine"),
        "How the learning rate changes over the epochs"),
    row("stepEpochs", "", ONE_UP, all("30"),
        "Epochs between two cuts of the rate, for schedule step"),
    row("stepFactor", "", interval(0.0, false, 1.0, true), all("0.1"),
        "What a cut multiplies the rate with, for schedule step"),
    row("warmupEpochs", "", count(0, MOST_ELEMENTS), all("0"),
        "Epochs over which the rate rises to its full height"),
    row("rateScaling", "--rate-scaling", Kind::Choice(RateScaling::WORDS), all("sqrt"),
        "How the rate grows with the global batch"),
    row("rateBatch", "", ONE_UP, all("4"),
        "The global batch at which learningRate holds as written"),

    row("seed", "--seed", SEED, all("1"),
        "Number that all random draws derive from"),
    row("threads", "--threads", count(0, 1024), all("0"),
        "Threads of a rank; 0: as many as its cores allow"),
    row("deterministic", "--deterministic", Kind::Switch, all("false"),
        "The same bits at any number of ranks and threads"),
    row("microChunk", "--micro-chunk", ONE_UP, all("4"),
        "Samples computed as one under --deterministic"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_flags_and_variables_are_unique_and_every_default_is_a_value() {
        let mut seen = HashSet::new();
        for key in KEYS {
            assert!(seen.insert(key.name.to_owned()), "{}", key.name);
            assert!(seen.insert(key.variable()), "{}", key.name);
            assert!(key.flag.is_empty() || seen.insert(key.flag.to_owned()));
            assert!(!key.doc.contains('\n') && !key.doc.is_empty());
            for preset in [Preset::Iris, Preset::Img, Preset::Table] {
                if let Some(text) = key.default_for(preset) {
                    assert!(key.kind.parse(text).is_ok(), "{} = {text}", key.name);
                }
            }
        }
    }

    #[test]
    fn variables_are_the_names_in_capitals() {
        for (name, variable) in
            [("learningRate", "GOAI_LEARNING_RATE"), ("inputdataDims", "GOAI_INPUTDATA_DIMS"), ("seed", "GOAI_SEED")]
        {
            assert_eq!(key(name).unwrap().variable(), variable);
        }
    }

    #[test]
    fn a_table_takes_its_ends_from_the_data() {
        let default = |name, preset| key(name).unwrap().default_for(preset);
        assert_eq!(default("inputdataDims", Preset::Table), None);
        assert_eq!(default("inputLayerNeurons", Preset::Table), Some("30"));
        assert_eq!(default("learningRate", Preset::Img), Some("0.004"));
    }

    #[test]
    fn mistyped_keys_find_their_name_also_by_flag() {
        for (typed, name) in [
            ("learingRate", Some("learningRate")),
            ("lr", Some("learningRate")),
            ("epochs", Some("numEpochs")),
            ("batch_size", Some("batchSize")),
            ("colour", None),
        ] {
            assert_eq!(nearest(typed), name, "{typed}");
        }
    }
}
