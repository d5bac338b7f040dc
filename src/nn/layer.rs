//! The contract of a layer: three functions side by side over slices of the workspace.

use super::{Context, Cost, NetError, Shape};
use ndarray::{ArrayView2, ArrayViewMut2};

/// A parameter tensor that a layer asks for, in PyTorch's layout.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// Its name inside the layer: `weight` or `bias`.
    pub name: &'static str,
    /// Its shape: dense weight `[out, in]`.
    pub shape: Vec<usize>,
    /// Inputs that feed one output, for initialization.
    pub fan_in: usize,
    /// Outputs that one input feeds.
    pub fan_out: usize,
    /// The value it starts with, where it is not drawn.
    pub constant: Option<f32>,
}

/// The input tensors of a node: row-major `[B, D]` views of the workspace.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub(super) values: &'a [f32],
    pub(super) places: &'a [super::program::Place],
    pub(super) shapes: &'a [Shape],
    pub(super) ids: &'a [usize],
    pub(super) batch: usize,
}

impl<'a> Inputs<'a> {
    /// The number of inputs.
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// The shape of one sample of input `i`.
    pub fn shape(&self, i: usize) -> &'a Shape {
        &self.shapes[self.ids[i]]
    }

    /// Input `i` as `[B, D]`.
    pub fn get(&self, i: usize) -> ArrayView2<'a, f32> {
        self.places[self.ids[i]].view(self.values, self.batch)
    }
}

/// What a backward function may look at: the inputs and outputs of the forward pass, and θ.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The inputs of the forward pass.
    pub x: Inputs<'a>,
    /// The output of the forward pass, `[B, D']`.
    pub y: ArrayView2<'a, f32>,
    /// The shape of one sample of it.
    pub shape: &'a Shape,
    /// The layer's span of θ.
    pub theta: &'a [f32],
}

/// A map over a span of θ.
///
/// Forward, gradient with respect to the input and gradient with respect to the parameters are
/// separate functions because zero-bubble pipeline schedules need them apart. All three write
/// (never add to) what they are given, and allocate nothing that lasts.
pub trait Layer: Send + Sync {
    /// The kind's name, as in a model file.
    fn kind(&self) -> &'static str;

    /// The shape of the output for inputs of these shapes.
    ///
    /// # Errors
    /// When the layer cannot take them; `node` is only for the message.
    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError>;

    /// The parameter tensors, in their order inside the layer's span of θ.
    fn tensors(&self, _inputs: &[Shape]) -> Vec<TensorSpec> {
        Vec::new()
    }

    /// The running statistics, in their order inside the layer's span of σ.
    fn statistics(&self, _inputs: &[Shape]) -> Vec<TensorSpec> {
        Vec::new()
    }

    /// Writes the moments of this batch that the running statistics follow. Asked for after a forward pass that
    /// trains, of layers that have statistics.
    ///
    /// # Shapes
    /// `moments`: as the layer's span of σ.
    fn moments(&self, _context: &Context, _x: Inputs, _moments: &mut [f32]) {}

    /// Whether a new trunk block begins here; an activation belongs to the block before it.
    fn begins_block(&self) -> bool {
        false
    }

    /// Arithmetic and memory for one sample.
    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost;

    /// Writes `y = f(x; θ)`.
    ///
    /// # Shapes
    /// `x`: `[B, D]` each, `y`: `[B, D']`.
    fn forward(&self, context: &Context, x: Inputs, theta: &[f32], y: ArrayViewMut2<f32>);

    /// Writes `dx = (∂y/∂x_input)ᵀ dy`.
    ///
    /// # Shapes
    /// `dy`: `[B, D']`, `dx`: `[B, D]`.
    fn grad_input(&self, context: &Context, at: At, dy: ArrayView2<f32>, input: usize, dx: ArrayViewMut2<f32>);

    /// Writes `dθ = (∂y/∂θ)ᵀ dy`, summed over the batch.
    fn grad_params(&self, _context: &Context, _at: At, _dy: ArrayView2<f32>, _dtheta: &mut [f32]) {}
}

/// Checks that a layer got exactly one input.
pub(super) fn one_input<'a>(node: &str, layer: &'static str, inputs: &'a [Shape]) -> Result<&'a Shape, NetError> {
    match inputs {
        [x] => Ok(x),
        _ => Err(NetError::InputCount { node: node.into(), layer, expected: 1, got: inputs.len() }),
    }
}

/// Checks that a layer got at least two inputs; gives the first.
pub(super) fn several_inputs<'a>(node: &str, layer: &'static str, inputs: &'a [Shape]) -> Result<&'a Shape, NetError> {
    match inputs {
        [first, _, ..] => Ok(first),
        _ => Err(NetError::Unfit {
            node: node.into(),
            layer,
            why: format!("joins two tensors or more, and got {}", inputs.len()),
            cure: "name the nodes that it reads",
        }),
    }
}
