//! The layers: forward and both gradients side by side, written to be read.
//!
//! These are the definitions. Where a layer has a fast kernel (`nn/kernels`), the layer stays as its
//! oracle. A new layer is one new file and one line in the table below.

mod dense;
mod relu;
mod sigmoid;
mod softmax;
mod standardize;
mod tanh;

pub use dense::Dense;
pub use relu::Relu;
pub use sigmoid::Sigmoid;
pub use softmax::Softmax;
pub use standardize::Standardize;
pub use tanh::Tanh;

use super::Layer;
use serde::{Deserialize, Serialize};

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Every kind of layer, as a model file names it.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum LayerKind { $($(#[$doc])* $name($name)),* }

        impl LayerKind {
            /// The layer behind the kind.
            pub fn as_layer(&self) -> &dyn Layer {
                match self { $(Self::$name(layer) => layer),* }
            }
        }
    };
}

layers! {
    /// `y = W x + b`.
    Dense,
    /// `max(0, x)`.
    Relu,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `eˣ / Σ eˣ`.
    Softmax,
    /// Mean 0 and variance 1 within each sample.
    Standardize,
    /// `tanh x`.
    Tanh,
}
