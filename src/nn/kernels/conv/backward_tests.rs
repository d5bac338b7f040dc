//! The backward convolutions of every instruction set against loops over the definition, in f64.

use super::{ConvKernel, ConvShape, DEAD, Post};
use crate::nn::kernels::Isa;
use crate::nn::kernels::grid::Grid;

/// Kernel, stride, padding, channels in and out, height and width of the input.
type Sizes = ([usize; 2], [usize; 2], [usize; 2], [usize; 2], [usize; 2]);

/// Shapes that the sparse forms do not take.
const DENSE: &[Sizes] = &[
    ([1, 1], [1, 1], [0, 0], [16, 32], [5, 7]),
    ([1, 1], [2, 3], [0, 1], [3, 16], [9, 8]),
    ([3, 3], [1, 1], [1, 1], [3, 16], [12, 9]),
    ([3, 3], [1, 1], [1, 1], [64, 64], [8, 8]),
    ([3, 3], [2, 2], [1, 1], [17, 17], [11, 10]),
    ([5, 5], [1, 1], [2, 2], [8, 48], [7, 13]),
    ([5, 5], [3, 2], [0, 5], [16, 16], [9, 11]),
    ([2, 3], [1, 2], [1, 0], [1, 32], [6, 40]),
    ([2, 3], [3, 1], [1, 1], [48, 16], [23, 3]),
    ([11, 11], [3, 3], [2, 2], [3, 32], [31, 29]),
    ([11, 11], [1, 1], [5, 5], [16, 16], [1, 1]),
    ([11, 11], [1, 1], [5, 5], [32, 32], [8, 8]),
    ([11, 9], [2, 3], [6, 4], [16, 16], [5, 7]),
];

/// Shapes that they take: input channels, output channels, padding, height, width.
const SPARSE: &[Sizes] = &[
    ([3, 3], [1, 1], [1, 1], [16, 16], [4, 4]),
    ([3, 3], [1, 1], [1, 1], [16, 32], [13, 75]),
    ([3, 3], [1, 1], [1, 1], [32, 64], [37, 37]),
    ([3, 3], [1, 1], [1, 1], [32, 96], [16, 16]),
    ([3, 3], [1, 1], [0, 0], [48, 17], [7, 40]),
    ([3, 3], [1, 1], [0, 0], [16, 16], [3, 3]),
    ([3, 3], [1, 1], [2, 2], [16, 16], [1, 1]),
    ([3, 3], [1, 1], [2, 1], [17, 16], [5, 8]),
    ([3, 3], [1, 1], [1, 3], [32, 16], [1, 39]),
    ([3, 3], [1, 1], [5, 0], [64, 32], [9, 5]),
    ([3, 3], [1, 1], [1, 1], [3, 16], [40, 37]),
    ([3, 3], [1, 1], [1, 1], [1, 16], [9, 8]),
    ([3, 3], [1, 1], [0, 2], [8, 48], [6, 11]),
    ([3, 3], [1, 1], [1, 1], [5, 16], [6, 11]),
];

fn kernel(isa: Isa, (kernel, stride, padding, [inputs, outputs], [h, w]): Sizes, post: Post, raw: bool) -> ConvKernel {
    let shape = ConvShape { inputs, outputs, kernel, stride, padding };
    let fits = |size: usize, axis: usize| (size + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1;
    let (zh, zw) = (fits(h, 0), fits(w, 1));
    let pooled = if post == Post::ReluPool { 2 } else { 1 };
    let halo = padding[0].max(padding[1]);
    let x = if raw { Grid::dense([inputs, h, w], halo) } else { Grid::new([inputs, h, w], halo) };
    let z = Grid::new([outputs, zh, zw], 2);
    ConvKernel { isa, shape, x, z, y: Grid::new([outputs, zh / pooled, zw / pooled], 1), post }
}

/// Numbers between -1 and 1 that look random.
fn numbers(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2654435761) | 1;
    move || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A picture with numbers in its channels, and zeros in the margin and behind the channels.
fn picture(grid: &Grid, mut number: impl FnMut() -> f32) -> Vec<f32> {
    let mut picture = vec![0.0; grid.len()];
    for y in 0..grid.height {
        for x in 0..grid.width {
            let at = grid.at(y, x);
            picture[at..at + grid.channels].fill_with(&mut number);
        }
    }
    picture
}

/// Calls `term(weight's index, input's index, output's index)` for every product of the convolution.
fn products(k: &ConvKernel, mut term: impl FnMut(usize, usize, usize)) {
    let ([kh, kw], [sy, sx], [py, px]) = (k.shape.kernel, k.shape.stride, k.shape.padding);
    for zy in 0..k.z.height {
        for zx in 0..k.z.width {
            for tap in 0..kh * kw {
                let (y, x) = ((zy * sy + tap / kw).wrapping_sub(py), (zx * sx + tap % kw).wrapping_sub(px));
                if y >= k.x.height || x >= k.x.width {
                    continue;
                }
                for o in 0..k.shape.outputs {
                    for i in 0..k.shape.inputs {
                        term((o * k.shape.inputs + i) * kh * kw + tap, k.x.at(y, x) + i, k.z.at(zy, zx) + o);
                    }
                }
            }
        }
    }
}

fn naive_grad(k: &ConvKernel, x: &[f32], dz: &[f32]) -> Vec<f64> {
    let mut grad = vec![0.0; k.shape.outputs * k.shape.inputs * k.shape.kernel[0] * k.shape.kernel[1]];
    products(k, |w, i, o| grad[w] += f64::from(x[i]) * f64::from(dz[o]));
    let pixels = |o| (0..k.z.height * k.z.width).map(move |p| k.z.at(p / k.z.width, p % k.z.width) + o);
    grad.extend((0..k.shape.outputs).map(|o| pixels(o).map(|at| f64::from(dz[at])).sum::<f64>()));
    grad
}

fn close(what: &str, k: &ConvKernel, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1e-3_f64, |max, w| max.max(w.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*got) - want).abs() <= 1e-5 * scale, "{what} {i}: {got}, not {want}, of {k:?}");
    }
}

fn unpacked(k: &ConvKernel, acc: &[f32]) -> Vec<f32> {
    let [kh, kw] = k.shape.kernel;
    let mut grad = vec![f32::NAN; k.shape.outputs * (k.shape.inputs * kh * kw + 1)];
    k.unpack_grad(acc, &mut grad);
    grad
}

/// Every case on every instruction set, with the input's channels padded or not.
fn each(cases: &[Sizes], post: Post, mut test: impl FnMut(ConvKernel)) {
    for isa in Isa::all() {
        for sizes in cases {
            test(kernel(isa, *sizes, post, false));
            if sizes.3[0] % 16 != 0 {
                test(kernel(isa, *sizes, post, true));
            }
        }
    }
}

#[test]
fn the_dense_gradient_of_the_weights_is_the_definition_and_is_added() {
    each(DENSE, Post::None, |k| {
        let (x, dz) = (picture(&k.x, numbers(1)), picture(&k.z, numbers(2)));
        let mut acc = vec![0.0; k.grad_len()];
        k.grad_weights(&x, &dz, &mut acc);
        let want = naive_grad(&k, &x, &dz);
        close("dW", &k, &unpacked(&k, &acc), &want);
        k.grad_weights(&x, &dz, &mut acc);
        close("2 dW", &k, &unpacked(&k, &acc), &want.iter().map(|w| 2.0 * w).collect::<Vec<_>>());
    });
}

/// A gradient after pooling and where the maxima were; a fifth of the windows is dead.
fn pooled(k: &ConvKernel) -> (Vec<f32>, Vec<u8>) {
    let mut number = numbers(3);
    let argmax = (0..k.argmax_len()).map(|_| ((number() + 1.0) * 2.5) as u8).map(|a| a.min(DEAD)).collect();
    (picture(&k.y, numbers(4)), argmax)
}

#[test]
fn unpooling_puts_each_gradient_where_the_maximum_was() {
    each(SPARSE, Post::ReluPool, |k| {
        let (dy, argmax) = pooled(&k);
        let mut dz = picture(&k.z, || f32::NAN);
        k.unpool(&dy, &argmax, &mut dz);
        for (y, x, c) in (0..k.z.height * k.z.width * k.z.channels)
            .map(|i| (i / k.z.channels / k.z.width, i / k.z.channels % k.z.width, i % k.z.channels))
        {
            let inside = y / 2 < k.y.height && x / 2 < k.y.width;
            let here = (2 * (y % 2) + x % 2) as u8;
            let is = |_: &()| argmax[((y / 2) * k.y.width + x / 2) * k.y.depth + c] == here;
            let want = inside.then_some(()).filter(is).map_or(0.0, |()| dy[k.y.at(y / 2, x / 2) + c]);
            assert_eq!(dz[k.z.at(y, x) + c], want);
        }
        assert_eq!(dz[..k.z.at(0, 0)].iter().find(|v| **v != 0.0), None, "the margin");
    });
}

#[test]
fn the_sparse_gradient_of_the_weights_is_the_dense_one_unpooled() {
    each(SPARSE, Post::ReluPool, |k| {
        assert!(k.prefers_sparse());
        let (x, (dy, argmax)) = (picture(&k.x, numbers(1)), pooled(&k));
        let mut dz = vec![0.0; k.z.len()];
        k.unpool(&dy, &argmax, &mut dz);
        let want = naive_grad(&k, &x, &dz);
        let mut acc = vec![0.0; k.grad_len()];
        let mut scratch = vec![u32::MAX; k.scratch_len()];
        k.sparse_grad_weights(&x, &dy, &argmax, &mut scratch, &mut acc);
        close("sparse dW", &k, &unpacked(&k, &acc), &want);
        // Both forms add to one accumulator.
        k.grad_weights(&x, &dz, &mut acc);
        close("sparse + dense dW", &k, &unpacked(&k, &acc), &want.iter().map(|w| 2.0 * w).collect::<Vec<_>>());
    });
}

#[test]
fn the_sparse_gradient_of_the_input_is_the_definition_and_leaves_the_margin_zero() {
    each(SPARSE, Post::ReluPool, |k| {
        if k.packed_sparse_len() == 0 {
            return;
        }
        let (dy, argmax) = pooled(&k);
        let mut dz = vec![0.0; k.z.len()];
        k.unpool(&dy, &argmax, &mut dz);
        let mut number = numbers(5);
        let theta: Vec<f32> = (0..k.shape.outputs * (k.shape.inputs * 9 + 1)).map(|_| number()).collect();
        let mut want = vec![0.0; k.x.len()];
        products(&k, |w, i, o| want[i] += f64::from(theta[w]) * f64::from(dz[o]));
        let mut packed = vec![f32::NAN; k.packed_sparse_len()];
        k.pack_sparse(&theta, &mut packed);
        let mut dx = picture(&Grid { channels: k.x.depth, ..k.x }, || f32::NAN);
        k.sparse_grad_input(&packed, &dy, &argmax, &mut dx);
        close("dX", &k, &dx, &want);
    });
}

/// `<dW, V> = <dz, conv(x; V)>` and `<dX, u> = <dz, conv(u; W)>`.
#[test]
fn the_gradients_are_adjoint_to_the_convolution() {
    each(SPARSE, Post::ReluPool, |k| {
        if k.packed_sparse_len() == 0 {
            return;
        }
        let (x, (dy, argmax)) = (picture(&k.x, numbers(6)), pooled(&k));
        let mut number = numbers(7);
        let theta: Vec<f32> = (0..k.shape.outputs * k.shape.inputs * 9).map(|_| number()).collect();
        let mut dz = vec![0.0; k.z.len()];
        k.unpool(&dy, &argmax, &mut dz);
        let mut wanted = 0.0;
        products(&k, |w, i, o| wanted += f64::from(theta[w]) * f64::from(x[i]) * f64::from(dz[o]));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let mut acc = vec![0.0; k.grad_len()];
        k.sparse_grad_weights(&x, &dy, &argmax, &mut vec![0; k.scratch_len()], &mut acc);
        let (mut packed, mut dx) = (vec![0.0; k.packed_sparse_len()], vec![0.0; k.x.len()]);
        k.pack_sparse(&theta, &mut packed);
        k.sparse_grad_input(&packed, &dy, &argmax, &mut dx);
        for got in [dot(&unpacked(&k, &acc), &theta), dot(&dx, &x)] {
            assert!((got - wanted).abs() < 1e-3 * wanted.abs().max(10.0), "{got}, not {wanted}, of {k:?}");
        }
    });
}

#[test]
fn relu_lets_the_gradient_through_where_the_output_is_positive() {
    each(&DENSE[..4], Post::Relu, |k| {
        let (y, dy) = (picture(&k.y, numbers(8)), picture(&k.y, numbers(9)));
        let mut dz = picture(&k.z, || f32::NAN);
        k.relu_backward(&y, &dy, &mut dz);
        for p in 0..k.z.height * k.z.width {
            let (a, b) = (k.z.at(p / k.z.width, p % k.z.width), k.y.at(p / k.z.width, p % k.z.width));
            for c in 0..k.z.channels {
                assert_eq!(dz[a + c], if y[b + c] > 0.0 { dy[b + c] } else { 0.0 });
            }
        }
    });
}
