//! Layers one after the other, each sized by the one before.

use crate::nn::layers::{BatchNorm, Conv2d, Dense, Flatten, LayerKind, MaxPool, Relu};
use crate::nn::window::picture;
use crate::nn::{Loss, NetError, Shape, Spec};

/// A network in the making.
pub(super) struct Chain {
    input: Shape,
    shape: Shape,
    layers: Vec<(String, LayerKind)>,
}

impl Chain {
    /// Begins at an input.
    pub fn new(input: &Shape) -> Self {
        Self { input: input.clone(), shape: input.clone(), layers: Vec::new() }
    }

    fn then(mut self, name: &str, layer: LayerKind) -> Result<Self, NetError> {
        self.shape = layer.as_layer().output(name, &[self.shape])?;
        self.layers.push((name.into(), layer));
        Ok(self)
    }

    /// A square convolution with stride 1.
    pub fn conv(self, name: &str, outputs: usize, kernel: usize, padding: usize) -> Result<Self, NetError> {
        let [inputs, ..] = picture(name, "conv2d", &self.shape)?;
        let [kernel, stride, padding] = [kernel, 1, padding].map(|n| [n, n]);
        self.then(name, LayerKind::Conv2d(Conv2d { inputs, outputs, kernel, stride, padding, bias: true }))
    }

    /// Batch normalization of a picture.
    pub fn norm(self, name: &str) -> Result<Self, NetError> {
        let [channels, ..] = picture(name, "batch_norm", &self.shape)?;
        self.then(name, LayerKind::BatchNorm(BatchNorm { channels, eps: 1e-5 }))
    }

    /// A rectifier.
    pub fn relu(self, name: &str) -> Result<Self, NetError> {
        self.then(name, LayerKind::Relu(Relu {}))
    }

    /// The maximum of each 2 x 2 window.
    pub fn pool(self, name: &str) -> Result<Self, NetError> {
        self.then(name, LayerKind::MaxPool(MaxPool { kernel: [2, 2], stride: [2, 2], padding: [0, 0] }))
    }

    /// From a picture to a vector.
    pub fn flatten(self) -> Result<Self, NetError> {
        self.then("flatten1", LayerKind::Flatten(Flatten {}))
    }

    /// A fully connected layer.
    pub fn dense(self, name: &str, outputs: usize) -> Result<Self, NetError> {
        let inputs = self.shape.elements();
        self.then(name, LayerKind::Dense(Dense { inputs, outputs }))
    }

    /// The network, trained with cross-entropy.
    pub fn spec(self, name: &str) -> Spec {
        Spec::chain(name, self.input, self.layers, Loss::CrossEntropy)
    }
}
