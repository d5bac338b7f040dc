//! Measured here: seconds of training steps, taken by the training loop itself on a part of the samples.

use super::subject::Subject;
use crate::comm::Solo;
use crate::data::{Layout, Samples, Visit};
use crate::device::RealClock;
use crate::event::Event;
use crate::nn::Network;
use crate::optim::{Schedule, Shape};
use crate::strategy::{self, Hyper, Job, JobError, Pipeline, State, Strategy, Task, Turn};
use crate::units::Seconds;
use std::time::{Duration, Instant};

/// How long a kind of step is measured.
const BUDGET: Duration = Duration::from_millis(250);

/// What was measured of a kind of step.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepTime {
    /// Its mean time: of an epoch's steps, the median over epochs.
    pub seconds: Seconds,
    /// The standard deviation of its times, without the longest hundredth.
    pub jitter: Seconds,
}

/// Steps of so many rows on so many threads, while as many others do the same; the mean of all of them.
pub fn measure(subject: &Subject, hyper: &Hyper, rows: usize, threads: usize, beside: usize) -> StepTime {
    let alone = || {
        // The rank's own thread is one of its threads, as in training.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build();
        let _pool = pool.ok();
        here(subject, hyper, rows)
    };
    let all: Vec<StepTime> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..beside).map(|_| scope.spawn(alone)).collect();
        started.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mean = |of: fn(&StepTime) -> f64| Seconds(all.iter().map(of).sum::<f64>() / all.len().max(1) as f64);
    StepTime { seconds: mean(|time| time.seconds.0), jitter: mean(|time| time.jitter.0) }
}

/// The same on the threads that this thread has.
pub fn here(subject: &Subject, hyper: &Hyper, rows: usize) -> StepTime {
    looped(subject, hyper, rows, None)
}

/// A step of this network in the loop of a pipeline, all stages of which are one rank's.
pub fn in_one_stage(subject: &Subject, hyper: &Hyper, rows: usize, network: &Network, pipeline: &Pipeline) -> Seconds {
    looped(subject, hyper, rows, Some((network, pipeline))).seconds
}

fn looped(subject: &Subject, hyper: &Hyper, rows: usize, chain: Option<(&Network, &Pipeline)>) -> StepTime {
    // Chains are measured in several ways.
    let budget = if chain.is_some() { BUDGET / 3 } else { BUDGET };
    let samples: &dyn Samples = &*subject.parts.train;
    let whole = samples.len() / rows.max(1);
    // Short epochs first, to see how many steps are enough.
    let short = || epochs(subject, hyper, (rows, 2.min(whole.max(1))), budget / 5, chain);
    let first = short();
    let fits = (budget.as_secs_f64() / 4.0 / first.seconds.0.max(1e-9)) as usize;
    if fits > 2 {
        return epochs(subject, hyper, (rows, fits.min(whole.max(1))), budget, chain);
    }
    // Steps are long, or something came between: the middle one of three tells.
    let mut three = [first, short(), short()];
    three.sort_by(|a, b| a.seconds.0.total_cmp(&b.seconds.0));
    three[1]
}

fn epochs(
    subject: &Subject,
    hyper: &Hyper,
    (rows, steps): (usize, usize),
    budget: Duration,
    chain: Option<(&Network, &Pipeline)>,
) -> StepTime {
    let samples: &dyn Samples = &*subject.parts.train;
    let few = Few { samples, len: (rows * steps).min(samples.len()) };
    let none = Few { samples, len: 0 };
    // The weights stay as they are: nothing may diverge while it is timed.
    let schedule = Schedule { rate: 0.0, shape: Shape::Constant, ..hyper.schedule };
    let task = Task {
        network: chain.map_or(subject.network, |chain| chain.0),
        train: &few,
        validation: &none,
        test: &none,
        hyper: Hyper {
            epochs: u64::MAX,
            global_batch: rows,
            schedule,
            micro_chunk: None,
            local: None,
            ..hyper.clone()
        },
        pipeline: chain.map(|chain| chain.1),
        grid: None,
        split: None,
        resume: None,
    };
    let mut watch = StopWatch { end: None, budget, last: None, gaps: Vec::new(), epochs: Vec::new() };
    // Steps that cannot be taken are told of when they are to be.
    let strategy = if chain.is_some() { Strategy::Pipeline } else { Strategy::Single };
    let _ = strategy::fit(strategy, &task, &Solo::new(), &RealClock::start(), &mut watch);
    watch.result(few.len.div_ceil(rows.max(1)))
}

/// The first of some samples.
pub struct Few<'a> {
    /// All of them.
    pub samples: &'a dyn Samples,
    /// How many.
    pub len: usize,
}

impl Samples for Few<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn load(&self, i: usize, visit: Visit, layout: Layout, row: &mut [f32]) {
        self.samples.load(i, visit, layout, row);
    }

    fn label(&self, i: usize) -> u32 {
        self.samples.label(i)
    }
}

/// Looks at the time at every step, and ends the training when enough was seen.
struct StopWatch {
    end: Option<Instant>,
    budget: Duration,
    last: Option<Instant>,
    gaps: Vec<f64>,
    epochs: Vec<f64>,
}

/// Most steps that are looked at one by one.
const MOST: usize = 100_000;

impl Job for StopWatch {
    fn emit(&mut self, event: Event) {
        if let Event::Epoch(record) = event {
            self.epochs.push(record.epoch_s);
            self.last = None;
        }
    }

    fn turn(&mut self, state: &State) -> Result<Turn, JobError> {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now)
            && self.gaps.len() < MOST
        {
            self.gaps.push((now - last).as_secs_f64());
        }
        // Begins behind the first epoch, which warms up.
        if self.end.is_none() && !self.epochs.is_empty() {
            self.end = Some(now + self.budget);
            self.gaps.clear();
        }
        let over = self.end.is_some_and(|end| now >= end) && self.epochs.len() > 1 && state.cursor.step_in_epoch == 0;
        Ok(if over { Turn::Stop } else { Turn::GoOn })
    }
}

impl StopWatch {
    fn result(mut self, steps: usize) -> StepTime {
        let warm = if self.epochs.len() > 1 { &mut self.epochs[1..] } else { &mut self.epochs[..] };
        warm.sort_by(f64::total_cmp);
        let seconds = warm.get(warm.len() / 2).copied().unwrap_or(f64::NAN) / steps.max(1) as f64;
        self.gaps.sort_by(f64::total_cmp);
        let kept = &self.gaps[..self.gaps.len() - self.gaps.len().div_ceil(100).min(self.gaps.len())];
        let mean = kept.iter().sum::<f64>() / kept.len().max(1) as f64;
        let variance = kept.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / kept.len().max(1) as f64;
        StepTime { seconds: Seconds(seconds), jitter: Seconds(variance.sqrt()) }
    }
}
