//! The layers: forward and both gradients side by side, written to be read.
//!
//! These are the definitions. Where a layer has a fast kernel (`nn/kernels`), the layer stays as its
//! oracle. A new layer is one new file and one line in the table below.

mod add;
mod avg_pool;
mod batch_norm;
mod concat;
mod conv2d;
mod dense;
mod dropout;
mod flatten;
mod global_avg_pool;
mod global_max_pool;
mod max_pool;
mod relu;
mod sigmoid;
mod softmax;
mod standardize;
mod tanh;

pub use add::Add;
pub use avg_pool::AvgPool;
pub use batch_norm::BatchNorm;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::Flatten;
pub use global_avg_pool::GlobalAvgPool;
pub use global_max_pool::GlobalMaxPool;
pub use max_pool::MaxPool;
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
    /// `Σ xᵢ`.
    Add,
    /// The mean of each window.
    AvgPool,
    /// Mean 0 and variance 1 of each channel over the batch, then `γ x̂ + β`.
    BatchNorm,
    /// Tensors joined along their channels.
    Concat,
    /// `W ⋆ x + b`.
    Conv2d,
    /// `y = W x + b`.
    Dense,
    /// Sets elements to zero at random, in training.
    Dropout,
    /// A picture as a vector.
    Flatten,
    /// The mean of each channel.
    GlobalAvgPool,
    /// The maximum of each channel.
    GlobalMaxPool,
    /// The maximum of each window.
    MaxPool,
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
