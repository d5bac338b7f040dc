//! The fully connected layer.

use crate::nn::layer::one_input;
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape, TensorSpec};
use crate::units::{Bytes, Flops};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis};
use serde::{Deserialize, Serialize};

/// `y = x Wᵀ + b`.
///
/// # Shapes
/// `x`: `[B, in]`, `W`: `[out, in]`, `b`: `[out]`, `y`: `[B, out]`. θ holds `W`, then `b`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
}

impl Dense {
    fn weight<'a>(&self, theta: &'a [f32]) -> ArrayView2<'a, f32> {
        ArrayView2::from_shape((self.outputs, self.inputs), &theta[..self.outputs * self.inputs])
            .expect("the span was computed from these sizes")
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        let x = one_input(node, self.kind(), inputs)?;
        if x.elements() != self.inputs {
            return Err(NetError::InputShape {
                node: node.into(),
                layer: self.kind(),
                expected: self.inputs.to_string(),
                got: x.clone(),
            });
        }
        Ok(Shape::vector(self.outputs))
    }

    fn tensors(&self, _inputs: &[Shape]) -> Vec<TensorSpec> {
        let tensor =
            |name, shape| TensorSpec { name, shape, fan_in: self.inputs, fan_out: self.outputs, constant: None };
        vec![tensor("weight", vec![self.outputs, self.inputs]), tensor("bias", vec![self.outputs])]
    }

    fn begins_block(&self) -> bool {
        true
    }

    fn cost(&self, _inputs: &[Shape], _output: &Shape) -> Cost {
        let product = Flops(2 * (self.inputs * self.outputs) as u64);
        Cost {
            forward: product,
            grad_input: product,
            grad_params: product,
            activations: Bytes(4 * self.outputs as u64),
            parameters: Bytes(4 * (self.inputs * self.outputs + self.outputs) as u64),
        }
    }

    fn forward(&self, _: &Context, x: Inputs, theta: &[f32], mut y: ArrayViewMut2<f32>) {
        let bias = ArrayView1::from(&theta[self.outputs * self.inputs..]);
        y.assign(&bias);
        general_mat_mul(1.0, &x.get(0), &self.weight(theta).t(), 1.0, &mut y);
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        general_mat_mul(1.0, &dy, &self.weight(at.theta), 0.0, &mut dx);
    }

    fn grad_params(&self, _: &Context, at: At, dy: ArrayView2<f32>, dtheta: &mut [f32]) {
        let (dw, db) = dtheta.split_at_mut(self.outputs * self.inputs);
        let mut dw =
            ArrayViewMut2::from_shape((self.outputs, self.inputs), dw).expect("the span was computed from these sizes");
        general_mat_mul(1.0, &dy.t(), &at.x.get(0), 0.0, &mut dw);
        ArrayViewMut1::from(db).assign(&dy.sum_axis(Axis(0)));
    }
}
