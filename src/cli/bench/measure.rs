//! The measuring behind `bench compute`.
//!
//! Each part of each step is timed in turn with a loop of multiply-adds on the same core, and of the ratios the median
//! is taken: the clock and the neighbors of a core change within a second.

use crate::nn::kernels::Isa;
use crate::nn::kernels::peak::Peak;
use crate::nn::{Alone, Context, Flavor, Init, Network, Pass, Phase, Program, StepInfo, Workspace};
use crate::strategy;
use crate::units::Flops;
use serde::Serialize;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long the steps are measured, and then the whole; the machine decides how many rounds that is.
const BUDGET: Duration = Duration::from_millis(2500);
/// The fewest and the most rounds.
const ROUNDS: std::ops::RangeInclusive<usize> = 3..=10_000;
/// Rounds of the multiply-add loop: some tens of microseconds.
const PEAK: usize = 20_000;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub model: String,
    pub batch: usize,
    pub threads: usize,
    pub instruction_set: &'static str,
    pub peak_gflops: f64,
    pub rows: Vec<Row>,
    pub rounds: usize,
    pub step_ms: f64,
    pub samples_per_s: f64,
    pub workspace_bytes: u64,
    pub parameter_bytes: u64,
}

/// One direction of one step.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub step: String,
    pub direction: &'static str,
    pub us_per_sample: f64,
    /// Of the direct form; none where no arithmetic is counted.
    pub gflops: Option<f64>,
    pub share_of_peak: Option<f64>,
}

/// Seconds of one call, and FLOP/s of the peak just before it.
type Turn = (f64, f64);

/// Random samples and labels, and all that a pass needs.
struct Training<'a> {
    program: &'a Program,
    theta: Vec<f32>,
    sigma: Vec<f32>,
    grad: Vec<f32>,
    labels: Vec<u32>,
    samples: Vec<u32>,
    ws: Workspace,
}

/// Measures a network.
///
/// # Errors
/// When the threads cannot be started.
pub(super) fn measure(network: &Network, batch: usize, threads: usize) -> Result<Figures, rayon::ThreadPoolBuildError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let program = Program::compile(network, Flavor::Fused);
    let mut training = Training::new(&program, batch);
    let (turns, rounds) = training.profile();
    let peaks = turns.values().flatten().map(|turn| turn.1).collect();
    let seconds = pool.install(|| training.whole());
    Ok(Figures {
        model: network.spec().name.clone(),
        batch,
        threads,
        instruction_set: Isa::detect().name(),
        peak_gflops: median(peaks) / 1e9,
        rows: rows(&program.steps(), &turns, batch),
        rounds,
        step_ms: seconds * 1e3,
        samples_per_s: batch as f64 / seconds,
        workspace_bytes: program.workspace_bytes(batch, true),
        parameter_bytes: 4 * network.theta_len() as u64,
    })
}

impl<'a> Training<'a> {
    fn new(program: &'a Program, batch: usize) -> Self {
        let network = program.network();
        let mut ws = program.workspace(batch);
        ws.begin(batch);
        let dims = network.shapes()[0].elements();
        ws.fill(0, &Alone, &|b, layout, to| {
            for i in 0..dims {
                to[layout.at(i)] = ((b * dims + i) * 7919 % 2003) as f32 / 1001.5 - 1.0;
            }
        });
        Self {
            program,
            theta: Init::He.draw(network, 1),
            sigma: network.initial_sigma(),
            grad: vec![0.0; network.theta_len()],
            labels: (0..batch).map(|b| (b % network.num_classes()) as u32).collect(),
            samples: (0..batch as u32).collect(),
            ws,
        }
    }

    /// Every part of every step on one thread, in turn with the peak.
    fn profile(&mut self) -> (BTreeMap<(usize, Pass), Vec<Turn>>, usize) {
        let peak = Peak::new(PEAK);
        let isa = Isa::detect();
        let mut turns: BTreeMap<(usize, Pass), Vec<Turn>> = BTreeMap::new();
        let rounds = repeat(|| {
            let Self { program, theta, sigma, grad, labels, samples, ws } = self;
            let context = &Context { phase: Phase::Train, seed: 1, epoch: 0, samples, sigma, team: &Alone };
            program.profile(context, theta, ws, labels, grad, &mut |step, pass, work| {
                // The fastest of three: in a slower one the core worked for somebody else.
                let spin = || seconds(&mut || _ = black_box(peak.spin(isa)));
                let least = (0..3).map(|_| spin()).fold(f64::MAX, f64::min);
                let turn = (seconds(work), peak.flops(isa) / least);
                turns.entry((step, pass)).or_default().push(turn);
            });
        });
        (turns, rounds)
    }

    /// Seconds of a whole step on the threads of the pool that it is called in.
    fn whole(&mut self) -> f64 {
        let mut times = Vec::new();
        repeat(|| {
            let Self { program, theta, sigma, grad, labels, samples, ws } = self;
            let team = strategy::team();
            let context = &Context { phase: Phase::Train, seed: 1, epoch: 0, samples, sigma, team };
            times.push(seconds(&mut || _ = black_box(program.loss_and_grad(context, theta, ws, labels, grad))));
        });
        median(times)
    }
}

/// Calls `round` until the budget is used up, and once before to warm up. Gives the number of rounds, that one included.
fn repeat(mut round: impl FnMut()) -> usize {
    round();
    let start = Instant::now();
    let mut rounds = 1;
    while rounds < *ROUNDS.end() && (rounds < *ROUNDS.start() || start.elapsed() < BUDGET) {
        round();
        rounds += 1;
    }
    rounds
}

fn seconds(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A line for each direction of each step, forward first.
fn rows(steps: &[StepInfo], turns: &BTreeMap<(usize, Pass), Vec<Turn>>, batch: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let of = |pass| turns.get(&(i, pass)).cloned();
        let mut push = |direction, turns: Option<Vec<Turn>>, flops: Flops| {
            if let Some(turns) = turns {
                rows.push(row(&step.name, direction, &turns, flops.0 as f64 * batch as f64, batch));
            }
        };
        let (params, both) = (of(Pass::GradParams), of(Pass::Backward));
        push("forward", of(Pass::Forward), step.cost.forward);
        // The second pass repeats the first: what it takes longer is the gradient of the input.
        let input = match (&params, both) {
            (Some(params), Some(both)) => {
                Some(params.iter().zip(both).map(|(params, both)| ((both.0 - params.0).max(0.0), both.1)).collect())
            }
            (_, both) => both,
        };
        push("grad params", params, step.cost.grad_params);
        push("grad input", input, step.cost.grad_input);
    }
    rows
}

fn row(step: &str, direction: &'static str, turns: &[Turn], flops: f64, batch: usize) -> Row {
    let time = median(turns.iter().map(|turn| turn.0).collect());
    // What the peak would have done in that time; the same turn's, for the clock changes.
    let possible = median(turns.iter().map(|(time, peak)| time * peak).collect());
    let counted = flops > 0.0 && time > 0.0;
    Row {
        step: step.to_owned(),
        direction,
        us_per_sample: time / batch as f64 * 1e6,
        gflops: counted.then(|| flops / time / 1e9),
        share_of_peak: counted.then_some(flops / possible),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Cost;

    #[test]
    fn the_second_pass_is_charged_with_what_it_takes_longer() {
        let cost = Cost { forward: Flops(4), grad_params: Flops(6), grad_input: Flops(8), ..Cost::default() };
        let step = |name: &str, cost| StepInfo { name: name.into(), cost };
        let steps = [step("a", cost), step("b", Cost::default())];
        let turns = BTreeMap::from([
            ((0, Pass::Forward), vec![(1e-9, 8e9), (2e-9, 8e9), (9e-9, 8e9)]),
            ((0, Pass::GradParams), vec![(3e-9, 8e9)]),
            ((0, Pass::Backward), vec![(5e-9, 8e9)]),
            ((1, Pass::Backward), vec![(7e-9, 8e9)]),
        ]);
        let rows = rows(&steps, &turns, 2);
        let names: Vec<(&str, &str)> = rows.iter().map(|row| (row.step.as_str(), row.direction)).collect();
        assert_eq!(names, [("a", "forward"), ("a", "grad params"), ("a", "grad input"), ("b", "grad input")]);
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
        assert!(near(rows[0].gflops.unwrap(), 4.0) && near(rows[0].share_of_peak.unwrap(), 0.5));
        assert!(near(rows[2].us_per_sample, 1e-3) && near(rows[2].gflops.unwrap(), 8.0));
        assert_eq!((rows[3].gflops, rows[3].share_of_peak), (None, None));
    }
}
