//! The dense layer's three products: the program's kernels against GEMM libraries, on one core.
//!
//! `taskset -c 1 cargo run --release [IN,OUT,BATCH ...]`. All candidates take turns, round after round, and so does a loop of
//! nothing but multiply-adds, because the clock of a shared machine drifts; what counts is the thread's processor time; medians over the rounds.

use goai::nn::kernels::simd::{Kernel, Simd};
use goai::nn::kernels::{Activation, DenseKernel, Isa};
use goai::nn::{Alone, Context, Flavor, Init, Network, Program, zoo};
use goai::optim::{Rule, Step};
use std::hint::black_box;

/// Processor seconds of this thread: on a busy machine others' turns do not count.
struct Instant(f64);

impl Instant {
    fn now() -> Self {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        Self(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
    }

    fn elapsed_s(&self) -> f64 {
        Self::now().0 - self.0
    }
}

const ROUNDS: usize = 21;
const SHAPES: [[usize; 3]; 15] = [
    [20736, 128, 4],
    [20736, 128, 8],
    [20736, 128, 32],
    [20736, 128, 64],
    [4096, 128, 64],
    [67500, 40, 4],
    [67500, 40, 32],
    [128, 128, 32],
    [256, 128, 32],
    [128, 6, 32],
    [128, 10, 64],
    [2048, 1000, 32],
    [512, 512, 32],
    [512, 512, 512],
    [1024, 1024, 1024],
];

/// Multiply-adds on registers alone: what the core can do.
struct Peak;

impl Kernel for Peak {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let mut sums = [s.zero(); 12];
        let (a, b) = (s.splat(black_box(0.5)), s.splat(black_box(0.25)));
        let start = Instant::now();
        for _ in 0..200_000 {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, a, b);
            }
        }
        let seconds = start.elapsed_s();
        let mut total = s.zero();
        for sum in sums {
            total = s.add(total, sum);
        }
        black_box(s.lanes(total));
        (200_000 * 12 * 2 * S::LANES) as f64 / seconds / 1e9
    }
}

/// `dst[m, n] = Σ_k lhs(m, k) rhs(k, n)`, with row and column strides.
#[derive(Clone, Copy)]
struct Product {
    m: usize,
    n: usize,
    k: usize,
    dst: (*mut f32, isize, isize),
    lhs: (*const f32, isize, isize),
    rhs: (*const f32, isize, isize),
}

fn library(name: &str, p: Product) {
    let Product { m, n, k, dst, lhs, rhs } = p;
    match name {
        "matrixmultiply" => unsafe {
            matrixmultiply::sgemm(m, k, n, 1.0, lhs.0, lhs.1, lhs.2, rhs.0, rhs.1, rhs.2, 0.0, dst.0, dst.1, dst.2);
        },
        "gemm" => unsafe {
            gemm::gemm(
                m,
                n,
                k,
                dst.0,
                dst.2,
                dst.1,
                false,
                lhs.0,
                lhs.2,
                lhs.1,
                rhs.0,
                rhs.2,
                rhs.1,
                0.0f32,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        },
        _ => unsafe {
            let dst = faer::MatMut::from_raw_parts_mut(dst.0, m, n, dst.1, dst.2);
            let lhs = faer::MatRef::from_raw_parts(lhs.0, m, k, lhs.1, lhs.2);
            let rhs = faer::MatRef::from_raw_parts(rhs.0, k, n, rhs.1, rhs.2);
            faer::linalg::matmul::matmul(dst, faer::Accum::Replace, lhs, rhs, 1.0f32, faer::Par::Seq);
        },
    }
}

/// Floats that begin on a cache line.
struct Aligned(Vec<f32>, usize);

impl Aligned {
    fn new(floats: Vec<f32>) -> Self {
        let mut memory = vec![0.0; floats.len() + 16];
        let start = memory.as_ptr().align_offset(64);
        memory[start..start + floats.len()].copy_from_slice(&floats);
        Self(memory, start)
    }

    fn slice(&mut self) -> &mut [f32] {
        let end = self.0.len() - 16 + self.1;
        &mut self.0[self.1..end]
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn measure([inputs, outputs, batch]: [usize; 3]) {
    let (ldx, ldy) = (inputs.next_multiple_of(8), outputs.next_multiple_of(8));
    let fill = |len: usize| (0..len).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>();
    let theta = fill((inputs + 1) * outputs);
    let mut dtheta = theta.clone();
    // As in a workspace: rows begin on cache lines where their length allows it. θ is any vector.
    let [mut x, mut y, mut dz, mut dx] = [ldx, ldy, ldy, ldx].map(|stride| Aligned::new(fill(batch * stride)));
    let (x, y, dz, dx) = (x.slice(), y.slice(), dz.slice(), dx.slice());
    let (inp, ldx, ldy) = (inputs as isize, ldx as isize, ldy as isize);
    let products = [
        Product {
            m: batch,
            n: outputs,
            k: inputs,
            dst: (y.as_mut_ptr(), ldy, 1),
            lhs: (x.as_ptr(), ldx, 1),
            rhs: (theta.as_ptr(), 1, inp),
        },
        Product {
            m: batch,
            n: inputs,
            k: outputs,
            dst: (dx.as_mut_ptr(), ldx, 1),
            lhs: (dz.as_ptr(), ldy, 1),
            rhs: (theta.as_ptr(), inp, 1),
        },
        Product {
            m: outputs,
            n: inputs,
            k: batch,
            dst: (dtheta.as_mut_ptr(), inp, 1),
            lhs: (dz.as_ptr(), 1, ldy),
            rhs: (x.as_ptr(), ldx, 1),
        },
    ];
    let flops = 2.0 * (inputs * outputs * batch) as f64;
    let wanted = std::env::var("ISA").ok();
    let isas: Vec<Isa> = Isa::all().filter(|isa| wanted.as_ref().is_none_or(|w| isa.name() == w)).collect();
    let libraries = ["gemm", "faer", "matrixmultiply"];
    let calls = (2e7 / flops).ceil() as usize;
    for (pass, what) in ["y", "dx", "dW"].into_iter().enumerate() {
        let mut times = vec![Vec::new(); isas.len() + libraries.len()];
        let mut peaks = vec![Vec::new(); isas.len()];
        let product = products[pass];
        let mut own_dtheta = dtheta.clone();
        for _ in 0..=ROUNDS {
            for (i, isa) in isas.iter().enumerate() {
                let kernel = DenseKernel::new(*isa, inputs, outputs, 0);
                let mut packed = vec![0.0; kernel.packed_len()];
                let mut work = || match pass {
                    0 => kernel.forward(&Alone, Activation::Identity, &theta, &mut packed, x, &mut *y, batch),
                    1 => kernel.grad_input(&Alone, &theta, dz, &mut *dx, batch),
                    _ => kernel.grad_params(&Alone, x, dz, &mut own_dtheta, batch),
                };
                work();
                let start = Instant::now();
                (0..calls).for_each(|_| work());
                times[i].push(start.elapsed_s() / calls as f64);
                peaks[i].push(isa.run(Peak));
            }
            for (i, name) in libraries.iter().enumerate() {
                library(name, product);
                let start = Instant::now();
                (0..calls).for_each(|_| library(name, product));
                times[isas.len() + i].push(start.elapsed_s() / calls as f64);
            }
        }
        let names = isas.iter().map(|isa| isa.name()).chain(libraries);
        print!("{inputs:>6} {outputs:>5} {batch:>5} {what:<3}");
        for (i, (name, times)) in names.zip(times).enumerate() {
            let speed = flops / median(times) / 1e9;
            let peak = peaks.get(i).map(|p| format!(" ({:>3.0} %)", 100.0 * speed / median(p.clone())));
            print!("  {name} {speed:>6.1}{}", peak.unwrap_or_default());
        }
        println!();
    }
}

/// Reading and writing alone, over as much memory as the largest weights.
fn stream() {
    let mut memory = vec![1.0f32; 2_700_000];
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut sums = [0.0f32; 64];
        for line in memory.chunks_exact(64) {
            sums.iter_mut().zip(line).for_each(|(sum, x)| *sum += x);
        }
        black_box(sums);
        reads.push(memory.len() as f64 * 4e-9 / start.elapsed_s());
        let start = Instant::now();
        black_box(&mut memory).fill(black_box(1.0));
        writes.push(memory.len() as f64 * 4e-9 / start.elapsed_s());
    }
    println!("10.8 MB: reads {:.1} GB/s, writes {:.1} GB/s", median(reads), median(writes));
}

/// A training step of the original's picture network (67500-40-10-6, plain descent, four pictures), and the same traffic to
/// and from memory alone: weights read, gradient written, both read and weights written.
fn step(batch: usize) {
    let network = Network::build(zoo::mlp(67500, &[40, 10], 6, &zoo::MlpOptions::default())).expect("a sound network");
    let program = Program::compile(&network, Flavor::Fused);
    let mut theta = Init::Glorot.draw(&network, 1);
    let mut grad = vec![0.0; theta.len()];
    let mut ws = program.workspace(batch);
    ws.input(0, batch).fill(0.5);
    let samples: Vec<u32> = (0..batch as u32).collect();
    let labels: Vec<u32> = samples.iter().map(|s| s % 6).collect();
    let mut sgd = Rule::Sgd.build(theta.len(), 0.0);
    let context = Context::eval(&samples, &[]);
    let mut times = vec![Vec::new(); 4];
    for number in 1..=ROUNDS as u64 {
        let mut lap = |i: usize, work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            times[i].push(start.elapsed_s());
        };
        lap(0, &mut || {
            program.loss_and_grad(&context, &theta, &mut ws, &labels, &mut grad);
        });
        let step = Step { number, rate: 0.01, scale: 1.0 / batch as f64 };
        lap(1, &mut || sgd.step(step, &grad, &mut theta, &Alone));
        lap(2, &mut || {
            let mut sums = [0.0f32; 64];
            for line in theta.chunks_exact(64) {
                sums.iter_mut().zip(line).for_each(|(sum, x)| *sum += x);
            }
            let value = black_box(sums)[0] * 1e-9;
            grad.iter_mut().enumerate().for_each(|(i, g)| *g = value * (i & 7) as f32);
        });
        lap(3, &mut || theta.iter_mut().zip(&grad).for_each(|(t, g)| *t -= 1e-6 * g));
    }
    let [pass, update, read_write, stream_update] = [0, 1, 2, 3].map(|i| 1e6 * median(times[i].clone()));
    println!(
        "67500-40-10-6, batch {batch}: forward and backward {pass:.0} us, update {update:.0} us: {:.0} images/s;",
        1e6 * batch as f64 / (pass + update)
    );
    println!(
        "    the memory traffic alone: {read_write:.0} us, {stream_update:.0} us; share {:.0} %",
        100.0 * (read_write + stream_update) / (pass + update)
    );
}

fn main() {
    for isa in Isa::all() {
        println!("{}: {:.1} GFLOP/s at most", isa.name(), median((0..ROUNDS).map(|_| isa.run(Peak)).collect()));
    }
    stream();
    [4, 32].into_iter().for_each(step);
    println!("   in   out batch    GFLOP/s (share of what the instruction set can do)");
    let wanted: Vec<[usize; 3]> = std::env::args()
        .skip(1)
        .map(|shape| {
            let numbers: Vec<usize> = shape.split(',').map(|n| n.parse().expect("a number")).collect();
            numbers.try_into().expect("IN,OUT,BATCH")
        })
        .collect();
    (if wanted.is_empty() { &SHAPES[..] } else { &wanted }).iter().for_each(|shape| measure(*shape));
}
