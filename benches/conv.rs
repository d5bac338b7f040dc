//! What the convolutions reach of a core's multiply-add peak: `cargo bench --bench conv [-- layer [instruction set]]`.
//!
//! Peak and kernel are measured in turns of a few milliseconds; of each turn counts the fastest call, for in the
//! others the processor may have worked for somebody else, and of the paired shares the median, for the clock and the
//! neighbors change within a second.

use goai::nn::kernels::Isa;
use goai::nn::kernels::conv::{ConvKernel, ConvShape, Post};
use goai::nn::kernels::grid::Grid;
use goai::nn::kernels::peak::Peak;
use std::hint::black_box;
use std::time::Instant;

/// Pairs of turns.
const PAIRS: usize = 61;
/// Seconds of a turn.
const TURN: f64 = 2e-3;
/// The fewest calls of a turn.
const CALLS: usize = 3;
/// Pictures that a kernel takes one after the other, so that no picture stays in the cache.
const PICTURES: usize = 16;

/// Name, channels in and out, kernel, padding, height and width, what follows.
type Layer = (&'static str, [usize; 2], usize, usize, usize, Post);

const LAYERS: &[Layer] = &[
    ("img_cnn conv1", [3, 16], 3, 1, 150, Post::ReluPool),
    ("img_cnn conv2", [16, 32], 3, 1, 75, Post::ReluPool),
    ("img_cnn conv3", [32, 64], 3, 1, 37, Post::ReluPool),
    ("vgg5 conv1", [3, 32], 3, 1, 32, Post::None),
    ("vgg5 conv2", [32, 64], 3, 1, 16, Post::None),
    ("vgg5 conv3", [64, 64], 3, 1, 8, Post::None),
    ("vgg5_plain conv1", [3, 32], 3, 1, 32, Post::ReluPool),
    ("vgg5_plain conv2", [32, 64], 3, 1, 16, Post::ReluPool),
    ("vgg5_plain conv3", [64, 64], 3, 1, 8, Post::Relu),
    ("mnist_cnn conv1", [1, 16], 5, 2, 28, Post::ReluPool),
    ("mnist_cnn conv2", [16, 32], 5, 2, 14, Post::ReluPool),
    ("greenai conv2", [32, 32], 11, 5, 8, Post::Relu),
];

fn kernel(isa: Isa, &(_, [inputs, outputs], k, pad, size, post): &Layer) -> ConvKernel {
    let shape = ConvShape { inputs, outputs, kernel: [k; 2], stride: [1; 2], padding: [pad; 2] };
    let x = [inputs, size, size];
    let sums = size + 2 * pad + 1 - k;
    let pooled = if post == Post::ReluPool { sums / 2 } else { sums };
    ConvKernel {
        isa,
        shape,
        x: if inputs < 16 { Grid::dense(x, pad) } else { Grid::new(x, pad) },
        z: Grid::new([outputs, sums, sums], k - 1 - pad),
        y: Grid::new([outputs, pooled, pooled], 1),
        post,
    }
}

/// Multiplications and additions of the sums that one direction needs; those that pooling drops are not counted.
fn flops(kernel: &ConvKernel, forward: bool) -> f64 {
    let pool = forward && kernel.post == Post::ReluPool;
    let even = |n: usize| if pool { n / 2 * 2 } else { n };
    let taps = kernel.shape.kernel[0] * kernel.shape.kernel[1];
    let sums = even(kernel.z.height) * even(kernel.z.width) * kernel.shape.outputs;
    (2 * sums * kernel.shape.inputs * taps) as f64
}

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect()
}

/// A buffer that begins with a cache line.
fn aligned<T: Clone>(buffer: &mut Vec<T>, fill: T) -> usize {
    buffer.extend(std::iter::repeat_n(fill, 64));
    buffer.as_ptr().align_offset(64)
}

fn filled(n: usize) -> (Vec<f32>, usize) {
    let mut buffer = Vec::with_capacity(n + 64);
    let at = aligned(&mut buffer, 0.0);
    buffer.truncate(at);
    buffer.extend(numbers(n));
    (buffer, at)
}

/// FLOP/s of the fastest call of `work`, which does `flops`, in one turn.
fn rate(flops: f64, work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    let (mut least, mut calls) = (f64::MAX, 0);
    while start.elapsed().as_secs_f64() < TURN || calls < CALLS {
        calls += 1;
        let start = Instant::now();
        work();
        least = least.min(start.elapsed().as_secs_f64());
    }
    flops / least
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn report(name: &str, direction: &str, isa: Isa, flops: f64, mut work: impl FnMut()) {
    let peak = Peak::new(20_000);
    let mut spin = || {
        black_box(peak.spin(isa));
    };
    work();
    let pairs: Vec<_> = (0..PAIRS).map(|_| (rate(peak.flops(isa), &mut spin), rate(flops, &mut work))).collect();
    let of = |what: fn(&(f64, f64)) -> f64| median(pairs.iter().map(what).collect());
    println!(
        "{name:<18} {direction:<10} {:<9} {:>7.1} GFLOP/s {:>5.1} % of {:.1}   {:>8.1} us",
        isa.name(),
        of(|pair| pair.1) / 1e9,
        of(|pair| 100.0 * pair.1 / pair.0),
        of(|pair| pair.0) / 1e9,
        flops / of(|pair| pair.1) * 1e6,
    );
}

fn measure(layer: &Layer, isa: Isa) {
    let kernel = kernel(isa, layer);
    let theta =
        numbers(kernel.shape.outputs * (kernel.shape.inputs * kernel.shape.kernel.iter().product::<usize>() + 1));
    let (mut x, at_x) = filled(kernel.x.len() * PICTURES);
    let (mut y, at_y) = filled(kernel.y.len() * PICTURES);
    let (dz, at_z) = filled(kernel.z.len() * PICTURES);
    let mut argmax = vec![0; kernel.y.len()];
    let (mut packed, at) = filled(kernel.packed_len());
    kernel.pack(&theta, &mut packed[at..]);
    let mut picture = (0..PICTURES).cycle();
    let mut next = || picture.next().expect("it goes round");
    report(layer.0, "forward", isa, flops(&kernel, true), || {
        let i = next();
        let x = &x[at_x + i * kernel.x.len()..][..kernel.x.len()];
        kernel.forward(&packed[at..], x, &mut y[at_y + i * kernel.y.len()..][..kernel.y.len()], &mut argmax);
    });
    if kernel.shape.inputs < 16 {
        return;
    }
    let (mut packed, at) = filled(kernel.packed_backward_len());
    kernel.pack_backward(&theta, &mut packed[at..]);
    report(layer.0, "grad input", isa, flops(&kernel, false), || {
        let i = next();
        let dz = &dz[at_z + i * kernel.z.len()..][..kernel.z.len()];
        kernel.grad_input(&packed[at..], dz, &mut x[at_x + i * kernel.x.len()..][..kernel.x.len()]);
    });
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |i: usize, name: &str| wanted.get(i).is_none_or(|part| name.contains(part.as_str()));
    for isa in Isa::all().filter(|isa| is_wanted(1, isa.name())) {
        for layer in LAYERS.iter().filter(|layer| is_wanted(0, layer.0)) {
            measure(layer, isa);
        }
    }
}
