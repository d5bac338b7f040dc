//! The fast convolutions against their definitions.

use super::naive::{self, from_grid, to_grid};
use super::*;

/// Inputs, outputs, kernel, stride, padding, height and width.
type Case = (usize, usize, [usize; 2], [usize; 2], [usize; 2], [usize; 2]);

const CASES: &[Case] = &[
    (1, 1, [1, 1], [1, 1], [0, 0], [1, 1]),
    (1, 16, [5, 5], [1, 1], [2, 2], [28, 28]),
    (3, 16, [3, 3], [1, 1], [1, 1], [11, 31]),
    (3, 8, [3, 3], [1, 1], [1, 1], [2, 40]),
    (3, 32, [11, 11], [3, 3], [0, 0], [32, 32]),
    (3, 17, [2, 3], [2, 1], [0, 1], [7, 9]),
    (8, 3, [3, 3], [1, 1], [0, 0], [5, 6]),
    (16, 16, [3, 3], [2, 2], [1, 1], [9, 10]),
    (16, 32, [3, 3], [1, 1], [1, 1], [13, 37]),
    (17, 48, [1, 1], [1, 1], [2, 2], [3, 4]),
    (32, 16, [1, 1], [3, 2], [0, 0], [8, 7]),
    (32, 32, [11, 11], [1, 1], [5, 5], [8, 8]),
    (32, 64, [3, 3], [1, 1], [1, 1], [6, 26]),
    (48, 17, [2, 3], [3, 3], [5, 4], [4, 5]),
    (16, 1, [5, 5], [2, 3], [4, 1], [1, 17]),
    (48, 48, [3, 3], [1, 1], [2, 2], [1, 1]),
    (1, 17, [3, 2], [1, 2], [1, 0], [40, 2]),
];

const POSTS: [Post; 3] = [Post::None, Post::Relu, Post::ReluPool];
/// What the margins hold before, to see that nobody wrote there.
const MARK: f32 = 1234.5;

fn each(mut test: impl FnMut(&str, ConvKernel, [usize; 2])) {
    for &(inputs, outputs, kernel, stride, padding, size) in CASES {
        let shape = ConvShape { inputs, outputs, kernel, stride, padding };
        for isa in Isa::all() {
            for (post, dense) in POSTS.into_iter().flat_map(|post| [(post, false), (post, true)]) {
                let kernel = naive::kernel(isa, shape, size, post, dense);
                test(&format!("{} {shape:?} {size:?} {post:?} dense: {dense}", isa.name()), kernel, size);
            }
        }
    }
}

fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn theta(shape: &ConvShape) -> Vec<f32> {
    random(shape.outputs * (shape.inputs * shape.kernel[0] * shape.kernel[1] + 1), 7)
}

fn planes(grid: &Grid) -> usize {
    grid.channels * grid.height * grid.width
}

/// How the places of the maxima of `y` are kept, `[height, width, depth]` and what [`Grid::len`] adds.
fn places(y: &Grid) -> Grid {
    Grid { halo: 0, ..*y }
}

fn forward(kernel: &ConvKernel, theta: &[f32], x: &[f32]) -> (Vec<f32>, Vec<u8>) {
    let mut packed = vec![f32::NAN; kernel.packed_len()];
    kernel.pack(theta, &mut packed);
    let (mut y, mut argmax) = (vec![MARK; kernel.y.len()], vec![99; places(&kernel.y).len()]);
    kernel.forward(&packed, &to_grid(&kernel.x, x), &mut y, &mut argmax);
    (y, argmax)
}

fn grad_input(kernel: &ConvKernel, theta: &[f32], dz: &[f32]) -> Vec<f32> {
    let mut packed = vec![f32::NAN; kernel.packed_backward_len()];
    kernel.pack_backward(theta, &mut packed);
    let mut dx = vec![MARK; kernel.x.len()];
    kernel.grad_input(&packed, &to_grid(&kernel.z, dz), &mut dx);
    dx
}

/// Compares the pixels, and that the margin is untouched and the channels behind the last are zero.
fn compare(grid: &Grid, got: &[f32], expected: &[f32], what: &str) {
    for (i, (got, expected)) in from_grid(grid, got).iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 2e-5 * (1.0 + expected.abs()), "{what}: {got} at {i}, not {expected}");
    }
    let mut rest = got.to_vec();
    for at in (0..grid.height).flat_map(|y| (0..grid.width).map(move |x| grid.at(y, x))) {
        assert!(got[at + grid.channels..at + grid.depth].iter().all(|x| *x == 0.0), "{what}: gap");
        rest[at..at + grid.depth].fill(MARK);
    }
    assert!(rest.iter().all(|x| *x == MARK), "{what}: margin");
}

#[test]
fn forward_is_the_definition() {
    each(|what, kernel, size| {
        let (theta, x) = (theta(&kernel.shape), random(planes(&kernel.x), 3));
        let z = naive::forward(&kernel.shape, &theta, &x, size);
        let (y, argmax) = forward(&kernel, &theta, &x);
        match kernel.post {
            Post::None => compare(&kernel.y, &y, &z, what),
            Post::Relu => compare(&kernel.y, &y, &z.iter().map(|z| z.max(0.0)).collect::<Vec<_>>(), what),
            Post::ReluPool => {
                let (pooled, at) = naive::relu_pool(&z, naive::sums(&kernel.shape, size));
                compare(&kernel.y, &y, &pooled, what);
                assert_eq!(from_grid(&places(&kernel.y), &argmax), at, "{what}");
            }
        }
        if kernel.post != Post::ReluPool {
            assert!(argmax.iter().all(|at| *at == 99), "{what}");
        }
    });
}

#[test]
fn grad_input_is_the_definition() {
    each(|what, kernel, size| {
        let (theta, dz) = (theta(&kernel.shape), random(planes(&kernel.z), 4));
        let expected = naive::grad_input(&kernel.shape, &theta, &dz, size);
        compare(&kernel.x, &grad_input(&kernel, &theta, &dz), &expected, what);
    });
}

#[test]
fn the_gradient_is_the_adjoint() {
    each(|what, kernel, _| {
        if kernel.post != Post::None {
            return;
        }
        let mut theta = theta(&kernel.shape);
        let weights = theta.len() - kernel.shape.outputs;
        theta[weights..].fill(0.0);
        let (x, dz) = (random(planes(&kernel.x), 5), random(planes(&kernel.z), 6));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let size = |a: &[f32]| dot(a, a).sqrt();
        let z = from_grid(&kernel.y, &forward(&kernel, &theta, &x).0);
        let dx = from_grid(&kernel.x, &grad_input(&kernel, &theta, &dz));
        let (a, b) = (dot(&z, &dz), dot(&x, &dx));
        assert!((a - b).abs() <= 1e-6 * (size(&z) * size(&dz)).max(1.0), "{what}: {a} and {b}");
    });
}

#[test]
fn a_pixel_has_the_same_bits_wherever_its_row_is_cut() {
    let shape = ConvShape { inputs: 16, outputs: 32, kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
    let theta = theta(&shape);
    let row = random(16 * 5 * 70, 8);
    for isa in Isa::all() {
        let widths = (1..70).map(|width| {
            let kernel = naive::kernel(isa, shape, [5, width], Post::None, false);
            let x: Vec<f32> = row.chunks_exact(70).flat_map(|row| &row[..width]).copied().collect();
            (width, from_grid(&kernel.y, &forward(&kernel, &theta, &x).0))
        });
        let all: Vec<_> = widths.collect();
        let (last, whole) = all.last().expect("there are widths");
        for (width, z) in &all {
            for (part, whole) in z.chunks_exact(*width).zip(whole.chunks_exact(*last)) {
                assert_eq!(part[..width - 1], whole[..width - 1], "{} {width}", isa.name());
            }
        }
    }
}

#[test]
fn maxima_are_those_of_the_same_sums_bit_for_bit() {
    for (inputs, outputs) in [(3, 16), (1, 16), (3, 32)] {
        let shape = ConvShape { inputs, outputs, kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
        let theta = theta(&shape);
        for (isa, width) in Isa::all().flat_map(|isa| (2..64).map(move |width| (isa, width))) {
            let (x, size) = (random(inputs * 5 * width, 9), [5, width]);
            let of = |post| {
                let kernel = naive::kernel(isa, shape, size, post, true);
                let (y, argmax) = forward(&kernel, &theta, &x);
                (from_grid(&kernel.y, &y), from_grid(&places(&kernel.y), &argmax[..]))
            };
            let (pooled, at) = of(Post::ReluPool);
            assert_eq!((pooled, at), naive::relu_pool(&of(Post::None).0, size), "{} {shape:?} {width}", isa.name());
        }
    }
}

#[test]
fn the_first_of_equal_sums_is_the_maximum_and_nan_does_not_vanish() {
    let shape = ConvShape { inputs: 1, outputs: 2, kernel: [1, 1], stride: [1, 1], padding: [0, 0] };
    for isa in Isa::all() {
        let kernel = naive::kernel(isa, shape, [3, 5], Post::ReluPool, true);
        let x = [2.0, 2.0, -1.0, 0.0, 9.0, 2.0, 2.0, 3.0, 3.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
        let (y, argmax) = forward(&kernel, &[1.0, -1.0, 0.0, 0.0], &x);
        assert_eq!(from_grid(&kernel.y, &y), [2.0, 3.0, 0.0, 1.0], "{}", isa.name());
        assert_eq!(from_grid(&places(&kernel.y), &argmax), [0, 2, 4, 0], "{}", isa.name());
        for post in POSTS {
            let kernel = naive::kernel(isa, shape, [3, 5], post, true);
            let (y, _) = forward(&kernel, &[f32::NAN, -1.0, 0.0, 0.0], &x);
            assert!(y[kernel.y.at(0, 0)].is_nan() && !y[kernel.y.at(0, 0) + 1].is_nan(), "{} {post:?}", isa.name());
        }
    }
}
