//! How near the backward convolutions come to this core's peak: `cargo bench --bench conv_backward [-- WORD...]`
//! (lines that contain all words).
//!
//! Each kernel is timed in slices of about two milliseconds, in turn with a loop of multiply-adds on the same
//! instruction set; the median of the paired ratios is printed, in processor time, because other programs run beside
//! it. The sparse forms are credited with the operations of the dense ones.
#![allow(unsafe_code)] // reading the thread's clock

use goai::nn::kernels::Isa;
use goai::nn::kernels::conv::{ConvKernel, ConvShape, DEAD, Post};
use goai::nn::kernels::grid::Grid;
use goai::nn::kernels::simd::{Kernel, Simd};
use std::hint::black_box;
use std::ops::{Deref, DerefMut};

const ROUNDS: usize = 25;
const SLICE: f64 = 2e-3;
/// Pictures that are worked on in turn, as in a batch.
const PICTURES: usize = 8;
/// Of the pooled elements; what random weights and pictures give.
const LIVE: f32 = 0.7;

/// Layer, channels in and out, height and width, what follows.
const LAYERS: &[(&str, usize, usize, usize, Post)] = &[
    ("img_cnn conv1", 3, 16, 150, Post::ReluPool),
    ("img_cnn conv2", 16, 32, 75, Post::ReluPool),
    ("img_cnn conv3", 32, 64, 37, Post::ReluPool),
    ("vgg5_plain conv1", 3, 32, 32, Post::Relu),
    ("vgg5_plain conv2", 32, 64, 16, Post::ReluPool),
    ("vgg5_plain conv3", 64, 64, 8, Post::Relu),
    ("vgg5 conv1", 3, 32, 32, Post::None),
    ("vgg5 conv2", 32, 64, 16, Post::None),
    ("vgg5 conv3", 64, 64, 8, Post::None),
];

/// Independent multiply-adds, as many under way as a tile has accumulators.
struct Peak(usize);

impl Kernel for Peak {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (a, b) = (s.splat(black_box(0.999)), s.splat(black_box(1e-3)));
        let mut sums = [s.zero(); 12];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, a, b);
            }
        }
        sums.iter().map(|sum| s.lanes(*sum)[0]).sum()
    }
}

struct Lanes;

impl Kernel for Lanes {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        S::LANES
    }
}

/// Seconds of processor time of this thread.
fn clock() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to the place it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn seconds(work: &mut dyn FnMut(), times: usize) -> f64 {
    let start = clock();
    (0..times).for_each(|_| work());
    (clock() - start) / times as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(isa: Isa, what: &str, flops: f64, work: &mut dyn FnMut()) {
    let line = format!("{} {what}", isa.name());
    if !std::env::args().skip(1).all(|word| word.starts_with('-') || line.contains(&word)) {
        return;
    }
    const STEPS: usize = 10_000;
    let step_flops = (2 * 12 * STEPS * isa.run(Lanes)) as f64;
    let mut peak = || {
        black_box(isa.run(Peak(black_box(STEPS))));
    };
    let times = |once: f64| ((SLICE / once) as usize).max(1);
    let (peaks, works) = (times(seconds(&mut peak, 3)), times(seconds(work, 3)));
    let pairs: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (seconds(&mut peak, peaks), seconds(work, works))).collect();
    let share = median(pairs.iter().map(|(p, w)| flops / w / (step_flops / p)).collect());
    let time = median(pairs.iter().map(|(_, w)| *w).collect());
    let top = median(pairs.iter().map(|(p, _)| step_flops / p).collect());
    let us = time * 1e6;
    println!(
        "{:<9} {what:<32} {us:>8.1} us {:>7.1} of {:>5.1} GFLOP/s {:>6.1} %",
        isa.name(),
        flops / time * 1e-9,
        top * 1e-9,
        share * 100.0
    );
}

fn numbers() -> impl FnMut() -> f32 {
    let mut state = 1_u32;
    move || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 8) as f32 / (1 << 24) as f32
    }
}

/// Floats that begin with a cache line, as in a workspace.
#[derive(Clone)]
struct Aligned(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(align(64))]
#[allow(dead_code)] // read through the slice below
struct Line([f32; 16]);

impl Aligned {
    fn new(len: usize, mut number: impl FnMut() -> f32) -> Self {
        Self((0..len.div_ceil(16)).map(|_| Line(std::array::from_fn(|_| number()))).collect())
    }
}

impl Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: a line is sixteen floats without a gap.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), 16 * self.0.len()) }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), 16 * self.0.len()) }
    }
}

fn layer(isa: Isa, (name, inputs, outputs, size, post): (&str, usize, usize, usize, Post)) {
    let shape = ConvShape { inputs, outputs, kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
    let x = if inputs == 3 { Grid::dense([3, size, size], 1) } else { Grid::new([inputs, size, size], 1) };
    let z = Grid::new([outputs, size, size], 1);
    let pooled = if post == Post::ReluPool { size / 2 } else { size };
    let k = ConvKernel { isa, shape, x, z, y: Grid::new([outputs, pooled, pooled], 1), post };
    let mut number = numbers();
    let mut pictures =
        |len: usize| -> Vec<Vec<f32>> { (0..PICTURES).map(|_| (0..len).map(|_| number() - 0.5).collect()).collect() };
    let (xs, mut dzs, dys) = (pictures(x.len()), pictures(z.len()), pictures(k.y.len()));
    let theta = pictures(outputs * inputs * 9).remove(0);
    let mut acc = Aligned::new(k.grad_len(), || 0.0);
    let flops = 2.0 * (size * size * 9 * inputs * outputs) as f64;
    let mut i = 0;
    let mut next = move || {
        i = (i + 1) % PICTURES;
        i
    };
    measure(isa, &format!("{name} dW dense"), flops, &mut || {
        let i = next();
        k.grad_weights(&xs[i], &dzs[i], &mut acc);
    });
    if post == Post::Relu {
        measure(isa, &format!("{name} ReLU backward"), flops, &mut || {
            let i = next();
            k.relu_backward(&dys[i], &dys[(i + 1) % PICTURES], &mut dzs[i]);
        });
    }
    if !k.prefers_sparse() {
        return;
    }
    let kinds = |number: f32| if number < LIVE { (number * 4.0 / LIVE) as u8 } else { DEAD };
    let mut number = numbers();
    let argmax: Vec<Vec<u8>> = (0..PICTURES).map(|_| (0..k.argmax_len()).map(|_| kinds(number())).collect()).collect();
    let mut scratch = vec![0; k.scratch_len()];
    measure(isa, &format!("{name} unpool"), flops, &mut || {
        let i = next();
        k.unpool(&dys[i], &argmax[i], &mut dzs[i]);
    });
    measure(isa, &format!("{name} dW sparse"), flops, &mut || {
        let i = next();
        k.sparse_grad_weights(&xs[i], &dys[i], &argmax[i], &mut scratch, &mut acc);
    });
    if k.packed_sparse_len() > 0 {
        let (mut packed, mut dxs) = (Aligned::new(k.packed_sparse_len(), || 0.0), xs.clone());
        k.pack_sparse(&theta, &mut packed);
        measure(isa, &format!("{name} dX sparse"), flops, &mut || {
            let i = next();
            k.sparse_grad_input(&packed, &dys[i], &argmax[i], &mut dxs[i]);
        });
    }
}

fn main() {
    for isa in Isa::all() {
        LAYERS.iter().for_each(|of| layer(isa, *of));
    }
}
