//! The convolutions as their definitions say, on whole tensors: the oracles of the fast kernels.

use super::{ConvKernel, ConvShape, Isa, Post};
use crate::nn::kernels::grid::Grid;

/// `W * x + b` of `x [C, H, W]`, rounded once: `z [O, Hz, Wz]`.
pub(in super::super) fn forward(shape: &ConvShape, theta: &[f32], x: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
    let [zh, zw] = sums(shape, [h, w]);
    let bias = &theta[shape.outputs * shape.inputs * shape.kernel[0] * shape.kernel[1]..];
    let mut z: Vec<f64> = (0..shape.outputs * zh * zw).map(|i| f64::from(bias[i / (zh * zw)])).collect();
    each(shape, [h, w], |at_w, at_x, at_z| z[at_z] += f64::from(theta[at_w]) * f64::from(x[at_x]));
    z.into_iter().map(|z| z as f32).collect()
}

/// `Wᵀ * dz` of `dz [O, Hz, Wz]`, rounded once: `dx [C, H, W]`.
pub(in super::super) fn grad_input(shape: &ConvShape, theta: &[f32], dz: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
    let mut dx = vec![0.0; shape.inputs * h * w];
    each(shape, [h, w], |at_w, at_x, at_z| dx[at_x] += f64::from(theta[at_w]) * f64::from(dz[at_z]));
    dx.into_iter().map(|x: f64| x as f32).collect()
}

/// ReLU and the maximum of each 2 x 2 of `z [O, Hz, Wz]`, and which it is.
pub(in super::super) fn relu_pool(z: &[f32], [h, w]: [usize; 2]) -> (Vec<f32>, Vec<u8>) {
    let planes = z.chunks_exact(h * w);
    let windows =
        planes.flat_map(|plane| (0..(h / 2) * (w / 2)).map(move |i| (plane, i / (w / 2) * 2, i % (w / 2) * 2)));
    windows
        .map(|(plane, y, x)| {
            let four = [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)].map(|(y, x)| plane[y * w + x]);
            let max = four.into_iter().fold(f32::MIN, f32::max);
            let first = four.iter().position(|z| *z == max).expect("the maximum is one of them");
            if max > 0.0 { (max, first as u8) } else { (0.0, 4) }
        })
        .unzip()
}

/// Height and width of the sums.
pub(in super::super) fn sums(shape: &ConvShape, size: [usize; 2]) -> [usize; 2] {
    std::array::from_fn(|i| (size[i] + 2 * shape.padding[i] - shape.kernel[i]) / shape.stride[i] + 1)
}

/// Every product of the convolution: indices of the weight, the input and the sum.
fn each(shape: &ConvShape, [h, w]: [usize; 2], mut product: impl FnMut(usize, usize, usize)) {
    let ([zh, zw], [kh, kw]) = (sums(shape, [h, w]), shape.kernel);
    for o in 0..shape.outputs {
        for (zy, zx) in (0..zh * zw).map(|i| (i / zw, i % zw)) {
            for (ky, kx) in (0..kh * kw).map(|i| (i / kw, i % kw)) {
                let y = (zy * shape.stride[0] + ky).wrapping_sub(shape.padding[0]);
                let x = (zx * shape.stride[1] + kx).wrapping_sub(shape.padding[1]);
                if y < h && x < w {
                    for c in 0..shape.inputs {
                        product(
                            ((o * shape.inputs + c) * kh + ky) * kw + kx,
                            (c * h + y) * w + x,
                            (o * zh + zy) * zw + zx,
                        );
                    }
                }
            }
        }
    }
}

/// The kernel for pictures of this size, its margins as wide as they must be. Input channels that are not whole
/// registers are kept without a gap if `dense`.
pub(in super::super) fn kernel(isa: Isa, shape: ConvShape, [h, w]: [usize; 2], post: Post, dense: bool) -> ConvKernel {
    let size = [shape.inputs, h, w];
    let halo = shape.padding[0].max(shape.padding[1]);
    let [zh, zw] = sums(&shape, [h, w]);
    let back = (0..2).map(|i| (shape.kernel[i] - 1).saturating_sub(shape.padding[i])).max().expect("two axes");
    let pooled = if post == Post::ReluPool { [shape.outputs, zh / 2, zw / 2] } else { [shape.outputs, zh, zw] };
    ConvKernel {
        isa,
        shape,
        x: if dense { Grid::dense(size, halo) } else { Grid::new(size, halo) },
        z: Grid::new([shape.outputs, zh, zw], back),
        y: Grid::new(pooled, 1),
        post,
    }
}

/// `planes [C, H, W]` in a grid that is otherwise zero.
pub(in super::super) fn to_grid(grid: &Grid, planes: &[f32]) -> Vec<f32> {
    let mut to = vec![0.0; grid.len()];
    places(grid, |plane, at| to[at] = planes[plane]);
    to
}

/// What a grid holds as `[C, H, W]`.
pub(in super::super) fn from_grid<T: Copy + Default>(grid: &Grid, from: &[T]) -> Vec<T> {
    let mut planes = vec![T::default(); grid.channels * grid.height * grid.width];
    places(grid, |plane, at| planes[plane] = from[at]);
    planes
}

fn places(grid: &Grid, mut place: impl FnMut(usize, usize)) {
    for i in 0..grid.channels * grid.height * grid.width {
        let (c, y, x) = (i / grid.width / grid.height, i / grid.width % grid.height, i % grid.width);
        place(i, grid.at(y, x) + c);
    }
}
