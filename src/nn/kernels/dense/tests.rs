//! The dense kernels against plain loops, and on teams.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Numbers without a pattern that a wrong index could repeat.
fn numbers(len: usize, step: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * step).sin()).collect()
}

/// The three passes, one behind the other: y, dx, dW with db.
fn passes(isa: Isa, team: &dyn Team, [inputs, outputs, batch]: [usize; 3], f: Activation) -> [Vec<f32>; 3] {
    let kernel = DenseKernel::new(isa, inputs, outputs, 5);
    let d = kernel.dims(batch);
    let theta = numbers((inputs + 1) * outputs, 0.37);
    // What lies in the padding of a row must not matter.
    let mut x = numbers(batch * d.ldx, 0.11);
    x.chunks_exact_mut(d.ldx).for_each(|row| row[inputs..].fill(f32::NAN));
    let mut dz = numbers(batch * d.ldy, 0.23);
    dz.chunks_exact_mut(d.ldy).for_each(|row| row[outputs..].fill(f32::NAN));
    let mut packed = vec![f32::NAN; 5 + kernel.packed_len()];
    let (mut y, mut dx) = (vec![f32::NAN; batch * d.ldy], vec![f32::NAN; batch * d.ldx]);
    let mut dtheta = vec![f32::NAN; theta.len()];
    kernel.forward(team, f, &theta, &mut packed, &x, &mut y, batch);
    kernel.grad_input(team, &theta, &dz, &mut dx, batch);
    kernel.grad_params(team, &x, &dz, &mut dtheta, batch);
    let rows = |padded: Vec<f32>, stride: usize, len: usize| -> Vec<f32> {
        padded.chunks_exact(stride).flat_map(|row| row[..len].to_vec()).collect()
    };
    [rows(y, d.ldy, outputs), rows(dx, d.ldx, inputs), dtheta]
}

/// The same by plain loops, in double precision.
fn oracle([inputs, outputs, batch]: [usize; 3], f: Activation) -> [Vec<f64>; 3] {
    let d = DenseKernel::new(Isa::portable(), inputs, outputs, 0).dims(batch);
    let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect::<Vec<_>>();
    let theta = wide(numbers((inputs + 1) * outputs, 0.37));
    let (x, dz) = (wide(numbers(batch * d.ldx, 0.11)), wide(numbers(batch * d.ldy, 0.23)));
    let (x, dz) = (|b: usize, i: usize| x[b * d.ldx + i], |b: usize, o: usize| dz[b * d.ldy + o]);
    let w = |o: usize, i: usize| theta[o * inputs + i];
    let (mut y, mut dx, mut dtheta) = (vec![], vec![], vec![]);
    for b in 0..batch {
        y.extend((0..outputs).map(|o| {
            let z = (0..inputs).map(|i| x(b, i) * w(o, i)).sum::<f64>() + theta[inputs * outputs + o];
            if f == Activation::Relu { z.max(0.0) } else { z }
        }));
        dx.extend((0..inputs).map(|i| (0..outputs).map(|o| dz(b, o) * w(o, i)).sum::<f64>()));
    }
    for o in 0..outputs {
        dtheta.extend((0..inputs).map(|i| (0..batch).map(|b| dz(b, o) * x(b, i)).sum::<f64>()));
    }
    dtheta.extend((0..outputs).map(|o| (0..batch).map(|b| dz(b, o)).sum::<f64>()));
    [y, dx, dtheta]
}

#[test]
fn every_instruction_set_computes_what_plain_loops_do() {
    let layers =
        [(1, 1), (3, 5), (4, 30), (17, 33), (65, 67), (300, 70), (129, 513), (20_000, 1), (1, 20_000), (5000, 50)];
    for (inputs, outputs) in layers {
        for batch in [1, 2, 3, 4, 5, 6, 7, 8, 9, 32, 33, 70] {
            if inputs * outputs * batch > 5_000_000 {
                continue; // the plain loops are slow
            }
            let f = if batch % 2 == 0 { Activation::Relu } else { Activation::Identity };
            let shape = [inputs, outputs, batch];
            let expected = oracle(shape, f);
            for isa in Isa::all() {
                let got = passes(isa, &crate::nn::Alone, shape, f);
                for ((got, expected), what) in got.iter().zip(&expected).zip(["y", "dx", "dθ"]) {
                    let scale = expected.iter().fold(1.0, |largest: f64, e| largest.max(e.abs()));
                    assert_eq!(got.len(), expected.len());
                    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
                        let near = (f64::from(*g) - e).abs() < 1e-5 * scale;
                        assert!(near, "{} {shape:?} {what}[{i}]: {g} against {e}", isa.name());
                    }
                }
            }
        }
    }
}

/// Runs the tasks in reverse order.
struct Backwards;

impl Team for Backwards {
    fn size(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..tasks).rev().for_each(work);
    }
}

/// Three threads that take the tasks as they come.
struct Three;

impl Team for Three {
    fn size(&self) -> usize {
        3
    }

    fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some(task) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|task| *task < tasks) {
                        work(task);
                    }
                });
            }
        });
    }
}

#[test]
fn the_bits_do_not_depend_on_the_team() {
    for shape in [[20, 30, 5], [300, 70, 33], [5000, 100, 9], [1700, 140, 70]] {
        for isa in Isa::all() {
            let alone = passes(isa, &crate::nn::Alone, shape, Activation::Tanh);
            assert!(alone.iter().flatten().all(|x| x.is_finite()));
            assert_eq!(passes(isa, &Backwards, shape, Activation::Tanh), alone, "{} {shape:?}", isa.name());
            assert_eq!(passes(isa, &Three, shape, Activation::Tanh), alone, "{} {shape:?}", isa.name());
        }
    }
}
