//! The convolution of pictures.

use crate::nn::layer::one_input;
use crate::nn::window::{Window, ones, pair, picture, sizes};
use crate::nn::{At, Context, Cost, Inputs, Layer, NetError, Shape, TensorSpec};
use crate::units::{Bytes, Flops};
use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

/// Cross-correlation with zero padding, as PyTorch's `Conv2d`.
///
/// # Shapes
/// `x`: `[B, I, H, W]`, `W`: `[O, I, kh, kw]`, `b`: `[O]`, `y`: `[B, O, H', W']` with
/// `H' = ⌊(H + 2 ph - kh) / sh⌋ + 1`, `W'` likewise. θ holds `W`, then `b` unless `bias` is false.
///
/// # Math
/// `y[o, v, u] = b[o] + Σ_{i,j,k} W[o, i, j, k] x[i, v sh + j - ph, u sw + k - pw]`, with `x = 0` outside the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Height and width of the kernel; one number means both.
    #[serde(deserialize_with = "pair")]
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    #[serde(default = "ones", deserialize_with = "pair")]
    pub stride: [usize; 2],
    /// Vertical and horizontal padding with zeros, on both sides.
    #[serde(default, deserialize_with = "pair")]
    pub padding: [usize; 2],
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

fn yes() -> bool {
    true
}

impl Conv2d {
    fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, padding: self.padding }
    }

    /// Elements of the weight; a product that overflows is refused where the tensors are laid out.
    fn weights(&self) -> usize {
        let area = self.kernel[0].saturating_mul(self.kernel[1]);
        self.outputs.saturating_mul(self.inputs).saturating_mul(area)
    }

    /// Visits every product of the sum: `visit(w, x, y)` for each weight `w` that carries input `x` to output `y`.
    ///
    /// Forward adds `W x` to `y`, its adjoint `W dy` to `dx`, and the gradient `x dy` to `dW`: the same triples, so
    /// the three cannot disagree about what lies where.
    #[inline(always)]
    fn products(&self, x: &Shape, mut visit: impl FnMut(usize, usize, usize)) {
        let (window, [_, h, w]) = (self.window(), sizes(x));
        let [rows, columns] = window.places([h, w]).expect("the input was checked");
        let ([kh, kw], [sh, sw], [ph, pw]) = (self.kernel, self.stride, self.padding);
        for o in 0..self.outputs {
            for i in 0..self.inputs {
                for j in 0..kh {
                    for k in 0..kw {
                        let weight = ((o * self.inputs + i) * kh + j) * kw + k;
                        for v in window.inside(0, j, h, rows) {
                            let from = (i * h + v * sh + j - ph) * w;
                            let to = (o * rows + v) * columns;
                            for u in window.inside(1, k, w, columns) {
                                visit(weight, from + u * sw + k - pw, to + u);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn output(&self, node: &str, inputs: &[Shape]) -> Result<Shape, NetError> {
        let x = one_input(node, self.kind(), inputs)?;
        let [channels, h, w] = picture(node, self.kind(), x)?;
        if channels != self.inputs {
            return Err(NetError::Unfit {
                node: node.into(),
                layer: self.kind(),
                why: format!("with {} input channels cannot read a tensor of {x}", self.inputs),
                cure: "give it as many inputs as the tensor has channels",
            });
        }
        let [rows, columns] = self.window().check(node, self.kind(), [h, w])?;
        Ok(Shape::image(self.outputs, rows, columns))
    }

    fn tensors(&self, _inputs: &[Shape]) -> Vec<TensorSpec> {
        let [kh, kw] = self.kernel;
        let area = kh.saturating_mul(kw);
        let (fan_in, fan_out) = (self.inputs.saturating_mul(area), self.outputs.saturating_mul(area));
        let tensor = |name, shape| TensorSpec { name, shape, fan_in, fan_out, constant: None };
        let mut tensors = vec![tensor("weight", vec![self.outputs, self.inputs, kh, kw])];
        if self.bias {
            tensors.push(tensor("bias", vec![self.outputs]));
        }
        tensors
    }

    fn begins_block(&self) -> bool {
        true
    }

    fn cost(&self, _inputs: &[Shape], output: &Shape) -> Cost {
        let weights = self.weights() as u64;
        let places = (output.elements() / self.outputs.max(1)) as u64;
        let product = Flops(weights.saturating_mul(places).saturating_mul(2));
        Cost {
            forward: product,
            grad_input: product,
            grad_params: product,
            activations: Bytes((output.elements() as u64).saturating_mul(4)),
            parameters: Bytes(
                weights.saturating_add(if self.bias { self.outputs as u64 } else { 0 }).saturating_mul(4),
            ),
        }
    }

    fn forward(&self, _: &Context, x: Inputs, theta: &[f32], mut y: ArrayViewMut2<f32>) {
        let (weight, bias) = theta.split_at(self.weights());
        let mut sums = vec![0.0f64; y.ncols()];
        let places = sums.len() / self.outputs;
        for (image, mut y) in x.get(0).rows().into_iter().zip(y.rows_mut()) {
            let image = image.to_slice().expect("rows are contiguous");
            sums.fill(0.0);
            for (plane, b) in sums.chunks_mut(places).zip(bias) {
                plane.fill(f64::from(*b));
            }
            self.products(x.shape(0), |w, x, y| sums[y] += f64::from(weight[w]) * f64::from(image[x]));
            y.iter_mut().zip(&sums).for_each(|(y, sum)| *y = *sum as f32);
        }
    }

    fn grad_input(&self, _: &Context, at: At, dy: ArrayView2<f32>, _: usize, mut dx: ArrayViewMut2<f32>) {
        let weight = &at.theta[..self.weights()];
        let mut sums = vec![0.0f64; dx.ncols()];
        for (dy, mut dx) in dy.rows().into_iter().zip(dx.rows_mut()) {
            let dy = dy.to_slice().expect("rows are contiguous");
            sums.fill(0.0);
            self.products(at.x.shape(0), |w, x, y| sums[x] += f64::from(weight[w]) * f64::from(dy[y]));
            dx.iter_mut().zip(&sums).for_each(|(dx, sum)| *dx = *sum as f32);
        }
    }

    fn grad_params(&self, _: &Context, at: At, dy: ArrayView2<f32>, dtheta: &mut [f32]) {
        let mut sums = vec![0.0f64; dtheta.len()];
        let (dw, db) = sums.split_at_mut(self.weights());
        let places = dy.ncols() / self.outputs;
        for (image, dy) in at.x.get(0).rows().into_iter().zip(dy.rows()) {
            let image = image.to_slice().expect("rows are contiguous");
            let dy = dy.to_slice().expect("rows are contiguous");
            self.products(at.x.shape(0), |w, x, y| dw[w] += f64::from(image[x]) * f64::from(dy[y]));
            for (db, plane) in db.iter_mut().zip(dy.chunks(places)) {
                *db += plane.iter().map(|dy| f64::from(*dy)).sum::<f64>();
            }
        }
        dtheta.iter_mut().zip(&sums).for_each(|(d, sum)| *d = *sum as f32);
    }
}
