//! The network that requests are about, and where its weights come from.

use crate::cli::failure::{DATA, Failure};
use crate::cli::model::LoadedModel;
use crate::cli::prepare::model_text;
use crate::config::{Config, Model};
use crate::nn::model_text::{self as text, ModelTextError};
use crate::nn::{Network, Shape, zoo};
use crate::run::error::show;
use serde::{Deserialize, Serialize};

/// A network with its weights, where somebody trained it.
pub struct Whole {
    /// The network.
    pub network: Network,
    /// θ and σ of a trained one.
    pub trained: Option<(Vec<f32>, Vec<f32>)>,
}

/// A network as rank 0 found it, for all ranks to build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// The text of its file, where it is in one.
    text: Option<String>,
}

/// What a network in a file reads that says nothing of it.
fn small_picture() -> Shape {
    Shape::image(3, 32, 32)
}

/// The classes of a network that says nothing of them.
const CLASSES: usize = 10;

impl Asked {
    /// Reads what rank 0 alone reads.
    ///
    /// # Errors
    /// When the file cannot be read; exit code 4.
    pub fn read(config: &Config) -> Result<Self, Failure> {
        let text = match model(config) {
            Model::File(path) if model(config).trained().is_none() => Some(model_text(path)?),
            _ => None,
        };
        Ok(Self { text })
    }

    /// Builds it; of a trained one every rank reads the file.
    ///
    /// # Errors
    /// A network that cannot be built, or the first mistake in its file; exit code 4.
    pub fn network(&self, config: &Config) -> Result<Whole, Failure> {
        if let Some(path) = model(config).trained() {
            let LoadedModel { network, theta, sigma, .. } = LoadedModel::load(path)?;
            return Ok(Whole { network, trained: Some((theta, sigma)) });
        }
        let spec = match model(config) {
            Model::Named(name) => {
                // A name that is none is refused below, whatever its input.
                let input = zoo::default_input(name).unwrap_or_else(small_picture);
                let classes = zoo::default_classes(name).unwrap_or(CLASSES);
                zoo::by_name_with_width(name, &input, classes, config.width)?
            }
            Model::File(path) => {
                let bad = |error: ModelTextError| {
                    let ModelTextError { line, what, cure, .. } = error;
                    Failure::new(DATA, format!("{}:{line}: {what}; {cure}", show(path)))
                };
                text::parse(self.text.as_deref().unwrap_or_default(), &small_picture(), CLASSES).map_err(bad)?
            }
        };
        Ok(Whole { network: Network::build(spec)?, trained: None })
    }
}

/// The network of the configuration.
pub fn model(config: &Config) -> &Model {
    config.graph.as_ref().unwrap_or(&config.model)
}
