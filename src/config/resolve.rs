//! From typed to checked: the checks that need more than one key, or the data.

use super::checked::Config;
use super::choices::AugmentKind;
use super::error::ConfigError;
use super::kind::MOST_ELEMENTS;
use super::origin::{Origin, Origins};
use super::raw::Raw;
use std::num::NonZeroUsize;

/// Most parameters of a network: a packed gradient must be countable by MPI's 32-bit integers.
const MOST_PARAMETERS: u128 = MOST_ELEMENTS as u128;
/// Most activations that one batch may need on a rank: 2³³ numbers are 32 GiB.
const MOST_ACTIVATIONS: u128 = 1 << 33;

/// Checks a typed configuration and turns it into the form that the program uses.
///
/// # Errors
/// [`ConfigError::Contradiction`] when values do not go together.
///
/// # Panics
/// When a key without default is missing in `raw`, or [`Config`] and the table of keys differ:
/// a mistake in this program (a test goes over every key).
pub fn resolve(raw: &Raw) -> Result<(Config, Origins), ConfigError> {
    let mut values = serde_json::Map::new();
    let mut origins = Origins::default();
    for (key, entry) in raw.entries() {
        values.insert(key.to_owned(), entry.value.clone());
        origins.insert(key, entry.origin.clone());
    }
    let mut config: Config =
        serde_json::from_value(values.into()).expect("the table of keys and the fields of Config agree");
    // Another size than the one that the file's number of inputs was written for: the pictures say how many it is.
    let (size, dims) = (origins.of("imageSize"), origins.of("inputdataDims"));
    if config.image_size.is_some() && size != dims && dims.stronger(size) == size {
        config.input_dims = None;
    }
    check_folds(&config, &origins)?;
    check_onehot(&config, &origins)?;
    let least = |dims: Option<NonZeroUsize>| dims.map_or(1, NonZeroUsize::get);
    let ends = (least(config.input_dims), least(config.output_layer_neurons));
    check_size(&config, &origins, ends.0, ends.1)?;
    Ok((config, origins))
}

impl Config {
    /// Compares with the data that were found: `dims` numbers a sample, `classes` classes.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`] naming the key that says otherwise, where it says so, and
    /// the right value; or a network that is too large for these data.
    pub fn check_data(&self, origins: &Origins, dims: usize, classes: usize) -> Result<(), ConfigError> {
        for (key, said, found, what) in [
            ("inputdataDims", self.input_dims, dims, "numbers a sample"),
            ("outputLayerNeurons", self.output_layer_neurons, classes, "classes"),
            ("labelOnehotDims", self.label_onehot_dims, classes, "classes"),
        ] {
            if let Some(said) = said
                && said.get() != found
            {
                return Err(ConfigError::Contradiction {
                    origin: origins.of(key).clone(),
                    what: format!("{key} = {said}, but {} has {found} {what}", self.dataset),
                    cure: format!("write {key}={found}"),
                });
            }
        }
        check_size(self, origins, dims, classes)
    }

    /// Compares the keys for pictures with the data that were found; `shape` is that of pictures, `[C, H, W]`.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`]: variations of what is no picture, or a crop that shows nothing of one.
    pub fn check_pictures(&self, origins: &Origins, shape: Option<[usize; 3]>) -> Result<(), ConfigError> {
        let refuse = |key: &str, what: String, cure: &str| {
            Err(ConfigError::Contradiction { origin: origins.of(key).clone(), what, cure: cure.to_owned() })
        };
        match (shape, self.crop_margin) {
            (None, _) if self.augment != AugmentKind::None && *origins.of("augment") != Origin::Preset => {
                let what = format!("augment = {}, but {} has no pictures", self.augment, self.dataset);
                refuse("augment", what, "leave it out")
            }
            (Some([_, height, width]), Some(margin)) if margin.get() >= height.min(width) => {
                let what =
                    format!("cropMargin = {margin}, but the pictures of {} have {height}x{width} pixels", self.dataset);
                refuse("cropMargin", what, "make it smaller than their shorter side")
            }
            _ => Ok(()),
        }
    }

    /// Compares `folds` with the `rows` that were found: every fold needs one.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`] naming who asked for more folds than rows.
    pub fn check_rows(&self, origins: &Origins, rows: usize) -> Result<(), ConfigError> {
        if self.folds <= rows {
            return Ok(());
        }
        Err(ConfigError::Contradiction {
            origin: origins.of("folds").clone(),
            what: format!("folds = {}, but {} has {rows} rows and every fold needs one", self.folds, self.dataset),
            cure: format!("write a number of folds up to {rows}"),
        })
    }
}

fn check_folds(config: &Config, origins: &Origins) -> Result<(), ConfigError> {
    let repeats = config.repeats;
    let (key, what, cure) = match (config.folds, repeats.get()) {
        (1, _) => (
            "folds",
            "folds = 1 leaves nothing to train on".to_owned(),
            "write 2 or more, or 0 for no cross-validation",
        ),
        (0, 2..) => (
            "repeats",
            format!("repeats = {repeats}, but folds = 0 means no cross-validation"),
            "add --folds 10, or leave repeats out",
        ),
        _ => return Ok(()),
    };
    Err(ConfigError::Contradiction { origin: origins.of(key).clone(), what, cure: cure.to_owned() })
}

fn check_onehot(config: &Config, origins: &Origins) -> Result<(), ConfigError> {
    let (Some(onehot), Some(outputs)) = (config.label_onehot_dims, config.output_layer_neurons) else {
        return Ok(());
    };
    if onehot == outputs {
        return Ok(());
    }
    let (a, b) = (origins.of("labelOnehotDims"), origins.of("outputLayerNeurons"));
    let mut what = format!("labelOnehotDims = {onehot} ({a}) and outputLayerNeurons = {outputs} ({b}) differ");
    if a == b {
        what = format!("labelOnehotDims = {onehot} and outputLayerNeurons = {outputs} differ");
    }
    Err(ConfigError::Contradiction {
        origin: a.stronger(b).clone(),
        what,
        cure: "give both the number of classes".to_owned(),
    })
}

/// Refuses sizes that overflow before anything is allocated.
fn check_size(config: &Config, origins: &Origins, dims: usize, classes: usize) -> Result<(), ConfigError> {
    if !config.model.is_mlp() {
        return Ok(()); // its widths are its own, and are checked when it is built
    }
    let widths = config.layer_widths(dims, classes).map(|width| width as u128);
    let parameters: u128 = widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
    if parameters > MOST_PARAMETERS {
        let (key, width) = widest(&widths);
        return Err(ConfigError::Contradiction {
            origin: origins.of(key).clone(),
            what: format!("{key} = {width} makes a network of {parameters} parameters, above {MOST_PARAMETERS}"),
            cure: format!("make {key} smaller"),
        });
    }
    let activations = config.batch_size.get() as u128 * widths.iter().sum::<u128>();
    if activations > MOST_ACTIVATIONS {
        return Err(ConfigError::Contradiction {
            origin: origins.of("batchSize").clone(),
            what: format!(
                "batchSize = {} needs {} GiB for the activations of one batch",
                config.batch_size,
                activations >> 28
            ),
            cure: "make the batch smaller".to_owned(),
        });
    }
    Ok(())
}

fn widest(widths: &[u128; 4]) -> (&'static str, u128) {
    let keys = ["inputdataDims", "inputLayerNeurons", "hiddenLayerNeurons", "outputLayerNeurons"];
    let pairs = keys.into_iter().zip(widths.iter().copied());
    pairs.max_by_key(|(_, width)| *width).expect("four widths")
}

impl Origin {
    /// The one of two that has precedence: what its user wrote on purpose.
    fn stronger<'a>(&'a self, other: &'a Self) -> &'a Self {
        let place = |origin: &Self| match origin {
            Self::Flag(_) => 0,
            Self::Variable(_) => 1,
            Self::Set => 2,
            Self::File { .. } => 3,
            Self::EnvFile { .. } => 4,
            Self::BuiltInEnvFile { .. } => 5,
            Self::Preset => 6,
        };
        if place(other) < place(self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn resolved(sets: &[&str]) -> Result<(Config, Origins), ConfigError> {
        let sources = Sources { sets: sets.iter().map(|set| set.to_string()).collect(), ..Sources::default() };
        resolve(&sources.gather()?)
    }

    #[test]
    fn more_folds_than_rows_are_refused() {
        let (config, origins) = resolved(&["folds=10"]).unwrap();
        config.check_rows(&origins, 10).unwrap();
        let error = config.check_rows(&origins, 9).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let expected =
            "--set: folds = 10, but iris has 9 rows and every fold needs one; write a number of folds up to 9";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn values_that_do_not_go_together_are_refused() {
        for (sets, parts) in [
            (&["folds=1"][..], ["--set: folds = 1", "2 or more"]),
            (&["repeats=5"], ["--set: repeats = 5", "--folds 10"]),
            (&["labelOnehotDims=4"], ["--set: labelOnehotDims = 4", ".irisenv:"]),
            (&["outputLayerNeurons=4"], ["--set: labelOnehotDims = 3", "number of classes"]),
            (&["inputLayerNeurons=1000000000"], ["inputLayerNeurons = 1000000000", "parameters"]),
            (&["inputLayerNeurons=100000", "hiddenLayerNeurons=100000"], ["100000", "make"]),
            (&["batchSize=2147483647"], ["batchSize = 2147483647", "GiB"]),
        ] {
            let error = resolved(sets).unwrap_err();
            let message = error.to_string();
            for part in parts {
                assert!(message.contains(part), "{sets:?}: {message}");
            }
            assert_eq!(error.exit_code(), 2, "{message}");
        }
    }

    #[test]
    fn data_that_contradict_name_the_key_its_place_and_the_right_value() {
        let (config, origins) = resolved(&[]).unwrap();
        config.check_data(&origins, 4, 3).unwrap();
        for (dims, classes, parts) in [
            (5, 3, ["inputdataDims = 4, but iris has 5", "inputdataDims=5"]),
            (4, 2, ["outputLayerNeurons = 3", "write outputLayerNeurons=2"]),
        ] {
            let error = config.check_data(&origins, dims, classes).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(".irisenv:"), "{message}");
            for part in parts {
                assert!(message.contains(part), "{message}");
            }
            assert_eq!(error.exit_code(), 3);
        }
    }

    #[test]
    fn a_table_takes_its_ends_from_the_data_and_is_measured_with_them() {
        let (config, origins) = resolved(&["dataset=x.csv"]).unwrap();
        config.check_data(&origins, 13, 2).unwrap();
        let error = config.check_data(&origins, 100_000_000, 2).unwrap_err();
        assert!(error.to_string().contains("parameters"), "{error}");
    }
}
