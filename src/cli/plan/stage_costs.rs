//! Measured here: what the stages of a pipeline take, each run for itself as it would run there, with what it copies into messages and out
//! of them.

use super::subject::Subject;
use crate::data::Visit;
use crate::nn::{Context, Flavor, Init, Network, Phase, Program, Team, Workspace};
use crate::optim::{Optimizer, Step};
use crate::plan::scale::StageCost;
use crate::strategy::{Hyper, team};
use crate::units::{Bytes, Seconds};
use ndarray::ArrayView2;
use std::time::{Duration, Instant};

/// How long a stage is measured.
const BUDGET: Duration = Duration::from_millis(100);

/// How a stage goes backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// By its own exit head; nothing leaves it.
    Local,
    /// In one piece.
    Whole,
    /// The gradient of the input first, that of the parameters later.
    Halves,
}

/// The stages on pieces of so many rows, while as many others compute, too.
pub fn measure(
    subject: &Subject,
    hyper: &Hyper,
    stages: &[Network],
    way: Way,
    rows: usize,
    threads: usize,
    beside: usize,
) -> Vec<StageCost> {
    let stage = |index: usize| {
        let alone = || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build();
            let _pool = pool.ok();
            here(subject, hyper, stages, index, way, rows)
        };
        let all: Vec<StageCost> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..beside).map(|_| scope.spawn(alone)).collect();
            started.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let mean = |of: fn(&StageCost) -> Seconds| {
            Seconds(all.iter().map(|cost| of(cost).0).sum::<f64>() / all.len().max(1) as f64)
        };
        StageCost {
            forward: mean(|cost| cost.forward),
            backward_input: mean(|cost| cost.backward_input),
            backward_params: mean(|cost| cost.backward_params),
            update: mean(|cost| cost.update),
            ..all.first().copied().unwrap_or_default()
        }
    };
    (0..stages.len()).map(stage).collect()
}

/// One stage on the threads that this thread has.
pub fn here(subject: &Subject, hyper: &Hyper, stages: &[Network], index: usize, way: Way, rows: usize) -> StageCost {
    let network = &stages[index];
    let mut bench = Bench::new(network, hyper, way, rows, index > 0);
    let (start, mut times) = (Instant::now(), [const { Vec::new() }; 4]);
    let mut warm = false;
    while !warm || times[0].len() < 3 || (start.elapsed() < BUDGET && times[0].len() < 10_000) {
        let round = bench.round(subject, index, way, times[0].len() as u64);
        if std::mem::replace(&mut warm, true) {
            times.iter_mut().zip(round).for_each(|(times, time)| times.push(time));
        }
    }
    let [forward, backward_input, backward_params, update] = times.map(|times| Seconds(middle(times)));
    let handed_on = network.exports().first().map_or(0, |value| network.shapes()[*value].elements());
    let payload = Bytes(4 * (network.theta_len() + network.sigma_len()) as u64);
    StageCost { forward, backward_input, backward_params, update, handed_on, payload }
}

/// A stage with all that it works on.
struct Bench {
    program: Program,
    theta: Vec<f32>,
    sigma: Vec<f32>,
    grad: Vec<f32>,
    spare: Vec<f32>,
    labels: Vec<u32>,
    samples: Vec<u32>,
    /// A message's rows: what comes from the stage before and goes back to it, what goes to the next and comes from it.
    arrived: Vec<f32>,
    given_back: Vec<f32>,
    handed_on: Vec<f32>,
    returned: Vec<f32>,
    ws: Workspace,
    optimizer: Box<dyn Optimizer>,
}

impl Bench {
    fn new(network: &Network, hyper: &Hyper, way: Way, rows: usize, fed: bool) -> Self {
        let mut program = Program::compile(network, Flavor::Fused);
        if fed && way != Way::Local {
            program = program.with_input_gradients();
        }
        if way == Way::Halves {
            program = program.with_kept_gradients();
        }
        let len = network.theta_len();
        let exported = network.exports().first().map_or(0, |value| network.shapes()[*value].elements());
        Self {
            given_back: vec![0.0; if fed { rows * network.shapes()[0].elements() } else { 0 }],
            arrived: vec![0.5; if fed { rows * network.shapes()[0].elements() } else { 0 }],
            handed_on: vec![0.0; rows * exported],
            returned: vec![1e-3; rows * exported],
            ws: program.workspace(rows),
            theta: Init::He.draw(network, 1),
            sigma: network.initial_sigma(),
            grad: vec![0.0; len],
            spare: vec![0.0; len],
            labels: vec![0; rows],
            samples: (0..rows as u32).collect(),
            optimizer: hyper.rule.build(len, hyper.weight_decay),
            program,
        }
    }

    /// Seconds of forward, of both parts of backward, and of an update.
    fn round(&mut self, subject: &Subject, index: usize, way: Way, number: u64) -> [f64; 4] {
        let Self {
            program,
            theta,
            sigma,
            grad,
            spare,
            labels,
            samples,
            arrived,
            given_back,
            handed_on,
            returned,
            ws,
            optimizer,
        } = self;
        let (train, seed, rows) = (&*subject.parts.train, subject.config.seed, samples.len());
        let len = train.len().max(1);
        let team: &dyn Team = team();
        let start = Instant::now();
        ws.begin(rows);
        match index {
            0 => {
                let visit = Visit { seed, epoch: Some(number) };
                ws.fill(0, team, &|b, layout, row| {
                    // Others than the last time: these are not in the caches.
                    train.load((number as usize * rows + b) % len, visit, layout, row);
                });
            }
            _ => {
                let dims = program.network().shapes()[0].elements();
                ws.fill(0, team, &|b, layout, row| layout.scatter(&arrived[b * dims..][..dims], row));
            }
        }
        let context = &Context { phase: Phase::Train, seed, epoch: 0, samples, sigma, team };
        program.forward(context, theta, ws);
        if !program.network().outputs().is_empty() {
            program.losses(ws, labels);
        }
        let exported = program.network().exports().first().copied();
        if let Some(value) = exported {
            copy_rows(ws.value(value), handed_on);
        }
        let forward = start.elapsed();
        let start = Instant::now();
        if let Some(value) = exported.filter(|_| way != Way::Local) {
            // What the next stage would send back.
            let mut gradient = ws.output(value).1;
            let dims = gradient.ncols();
            for (mut row, from) in gradient.outer_iter_mut().zip(returned.chunks_exact(dims)) {
                row.as_slice_mut().expect("a row is contiguous").copy_from_slice(from);
            }
        }
        match way {
            Way::Local => program.backward(context, theta, ws, grad, &mut |_, _| {}),
            Way::Whole => program.backward_adding(context, theta, ws, grad, spare),
            Way::Halves => program.backward_input(context, theta, ws),
        }
        if index > 0 && way != Way::Local {
            copy_rows(ws.gradient(0), given_back);
        }
        let backward = start.elapsed().as_secs_f64();
        let start = Instant::now();
        if way == Way::Halves {
            program.backward_params_adding(context, theta, ws, grad, spare);
        }
        let params = start.elapsed().as_secs_f64();
        let start = Instant::now();
        optimizer.step(Step { number: number + 1, rate: 0.0, scale: 1.0 }, grad, theta, team);
        let (input, params) = if way == Way::Halves { (backward, params) } else { (0.0, backward) };
        [forward.as_secs_f64(), input, params, start.elapsed().as_secs_f64()]
    }
}

/// Copies rows that may lie apart one behind the other, as for a message.
fn copy_rows(rows: ArrayView2<f32>, to: &mut [f32]) {
    for (row, to) in rows.outer_iter().zip(to.chunks_exact_mut(rows.ncols())) {
        to.copy_from_slice(row.to_slice().expect("a row is contiguous"));
    }
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
