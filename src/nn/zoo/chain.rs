//! Layers one after the other, each sized by the one before, and exit heads beside them.

use crate::nn::layers::{BatchNorm, Conv2d, Dense, Flatten, LayerKind, MaxPool, Relu};
use crate::nn::spec::INPUT;
use crate::nn::window::picture;
use crate::nn::{Loss, NetError, NodeSpec, OutputSpec, Shape, Spec};

/// A network in the making.
pub(super) struct Chain {
    input: Shape,
    shape: Shape,
    /// The value that the next layer reads.
    last: String,
    nodes: Vec<NodeSpec>,
    outputs: Vec<OutputSpec>,
}

impl Chain {
    /// Begins at an input.
    pub fn new(input: &Shape) -> Self {
        let (shape, last) = (input.clone(), INPUT.to_string());
        Self { input: input.clone(), shape, last, nodes: Vec::new(), outputs: Vec::new() }
    }

    fn then(mut self, name: &str, layer: LayerKind) -> Result<Self, NetError> {
        self.shape = layer.as_layer().output(name, &[self.shape])?;
        let inputs = vec![std::mem::replace(&mut self.last, name.into())];
        self.nodes.push(NodeSpec { name: name.into(), layer, inputs });
        Ok(self)
    }

    /// A square convolution with stride 1.
    pub fn conv(self, name: &str, outputs: usize, kernel: usize, padding: usize) -> Result<Self, NetError> {
        self.conv_by(name, outputs, [kernel, 1, padding])
    }

    /// A square convolution: its kernel, stride and padding.
    pub fn conv_by(self, name: &str, outputs: usize, sizes: [usize; 3]) -> Result<Self, NetError> {
        let [inputs, ..] = picture(name, "conv2d", &self.shape)?;
        let [kernel, stride, padding] = sizes.map(|n| [n, n]);
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
    pub fn flatten(self, name: &str) -> Result<Self, NetError> {
        self.then(name, LayerKind::Flatten(Flatten {}))
    }

    /// An exit head on the picture so far: flattened, and a fully connected layer to the classes with its own loss. What
    /// comes next reads the picture.
    pub fn exit(self, flatten: &str, name: &str, classes: usize) -> Result<Self, NetError> {
        let (shape, last) = (self.shape.clone(), self.last.clone());
        let mut chain = self.flatten(flatten)?.dense(name, classes)?;
        chain.outputs.push(OutputSpec { node: name.into(), loss: Loss::CrossEntropy });
        Ok(Self { shape, last, ..chain })
    }

    /// A fully connected layer.
    pub fn dense(self, name: &str, outputs: usize) -> Result<Self, NetError> {
        let inputs = self.shape.elements();
        self.then(name, LayerKind::Dense(Dense { inputs, outputs }))
    }

    /// The network, trained with cross-entropy.
    pub fn spec(mut self, name: &str) -> Spec {
        self.outputs.push(OutputSpec { node: self.last, loss: Loss::CrossEntropy });
        Spec { name: name.into(), input: self.input, nodes: self.nodes, outputs: self.outputs }
    }
}
