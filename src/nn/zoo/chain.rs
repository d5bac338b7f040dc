//! Layers one after the other, each sized by the one before; branches that meet again, and exit heads beside them.

use crate::nn::layers::{
    Add, AvgPool, BatchNorm, Concat, Conv2d, Dense, Flatten, GlobalAvgPool, LayerKind, MaxPool, Relu,
};
use crate::nn::spec::INPUT;
use crate::nn::window::picture;
use crate::nn::{Loss, NetError, NodeSpec, OutputSpec, Shape, Spec};

/// A value of a network in the making, for layers to go back to.
#[derive(Clone)]
pub(super) struct Place {
    name: String,
    shape: Shape,
}

/// A network in the making.
pub(super) struct Chain {
    input: Shape,
    /// The value that the next layer reads.
    at: Place,
    nodes: Vec<NodeSpec>,
    outputs: Vec<OutputSpec>,
}

impl Chain {
    /// Begins at an input.
    pub fn new(input: &Shape) -> Self {
        let at = Place { name: INPUT.to_string(), shape: input.clone() };
        Self { input: input.clone(), at, nodes: Vec::new(), outputs: Vec::new() }
    }

    /// The value that the next layer reads.
    pub fn here(&self) -> Place {
        self.at.clone()
    }

    /// Lets the next layer read a value from before: a branch begins.
    pub fn back_to(self, place: &Place) -> Self {
        Self { at: place.clone(), ..self }
    }

    fn then(self, name: &str, layer: LayerKind) -> Result<Self, NetError> {
        let before = [self.here()];
        self.reading(name, layer, &before)
    }

    fn reading(mut self, name: &str, layer: LayerKind, places: &[Place]) -> Result<Self, NetError> {
        let (inputs, shapes): (Vec<_>, Vec<_>) = places.iter().cloned().map(|place| (place.name, place.shape)).unzip();
        self.at = Place { name: name.into(), shape: layer.as_layer().output(name, &shapes)? };
        self.nodes.push(NodeSpec { name: name.into(), layer, inputs });
        Ok(self)
    }

    /// The sum of values of one shape.
    pub fn add(self, name: &str, places: &[Place]) -> Result<Self, NetError> {
        self.reading(name, LayerKind::Add(Add {}), places)
    }

    /// Values joined along their channels.
    pub fn concat(self, name: &str, places: &[Place]) -> Result<Self, NetError> {
        self.reading(name, LayerKind::Concat(Concat {}), places)
    }

    /// A square convolution with stride 1.
    pub fn conv(self, name: &str, outputs: usize, kernel: usize, padding: usize) -> Result<Self, NetError> {
        self.conv_by(name, outputs, [kernel, 1, padding])
    }

    /// A square convolution: its kernel, stride and padding.
    pub fn conv_by(self, name: &str, outputs: usize, sizes: [usize; 3]) -> Result<Self, NetError> {
        self.convolve(name, outputs, sizes, true)
    }

    /// As [`Chain::conv_by`] without a bias, which a normalization behind it would take away again.
    pub fn bare_conv(self, name: &str, outputs: usize, sizes: [usize; 3]) -> Result<Self, NetError> {
        self.convolve(name, outputs, sizes, false)
    }

    fn convolve(self, name: &str, outputs: usize, sizes: [usize; 3], bias: bool) -> Result<Self, NetError> {
        let [inputs, ..] = picture(name, "conv2d", &self.at.shape)?;
        let [kernel, stride, padding] = sizes.map(|n| [n, n]);
        self.then(name, LayerKind::Conv2d(Conv2d { inputs, outputs, kernel, stride, padding, bias }))
    }

    /// Batch normalization of a picture.
    pub fn norm(self, name: &str) -> Result<Self, NetError> {
        let [channels, ..] = picture(name, "batch_norm", &self.at.shape)?;
        self.then(name, LayerKind::BatchNorm(BatchNorm { channels, eps: 1e-5 }))
    }

    /// A rectifier.
    pub fn relu(self, name: &str) -> Result<Self, NetError> {
        self.then(name, LayerKind::Relu(Relu {}))
    }

    /// The maximum of each 2 x 2 window.
    pub fn pool(self, name: &str) -> Result<Self, NetError> {
        self.pool_by(name, [2, 2, 0])
    }

    /// The maximum of each square window: its kernel, stride and padding.
    pub fn pool_by(self, name: &str, sizes: [usize; 3]) -> Result<Self, NetError> {
        let [kernel, stride, padding] = sizes.map(|n| [n, n]);
        self.then(name, LayerKind::MaxPool(MaxPool { kernel, stride, padding }))
    }

    /// The mean of each square window: its kernel, stride and padding.
    pub fn mean_by(self, name: &str, sizes: [usize; 3]) -> Result<Self, NetError> {
        let [kernel, stride, padding] = sizes.map(|n| [n, n]);
        self.then(name, LayerKind::AvgPool(AvgPool { kernel, stride, padding }))
    }

    /// The mean of each channel: from a picture of any size to a vector.
    pub fn mean(self, name: &str) -> Result<Self, NetError> {
        self.then(name, LayerKind::GlobalAvgPool(GlobalAvgPool {}))
    }

    /// From a picture to a vector.
    pub fn flatten(self, name: &str) -> Result<Self, NetError> {
        self.then(name, LayerKind::Flatten(Flatten {}))
    }

    /// An exit head on the picture so far: flattened, and a fully connected layer to the classes with its own loss. What
    /// comes next reads the picture.
    pub fn exit(self, flatten: &str, name: &str, classes: usize) -> Result<Self, NetError> {
        let picture = self.here();
        let mut chain = self.flatten(flatten)?.dense(name, classes)?;
        chain.outputs.push(OutputSpec { node: name.into(), loss: Loss::CrossEntropy });
        Ok(chain.back_to(&picture))
    }

    /// A fully connected layer.
    pub fn dense(self, name: &str, outputs: usize) -> Result<Self, NetError> {
        let inputs = self.at.shape.elements();
        self.then(name, LayerKind::Dense(Dense { inputs, outputs }))
    }

    /// The network, trained with cross-entropy.
    pub fn spec(mut self, name: &str) -> Spec {
        self.outputs.push(OutputSpec { node: self.at.name, loss: Loss::CrossEntropy });
        Spec { name: name.into(), input: self.input, nodes: self.nodes, outputs: self.outputs }
    }
}
