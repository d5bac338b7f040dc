//! The table: servers and workers that are not in lock-step.

use super::Case;
use super::collectives::same_everywhere;
use super::iris::{Iris, RULES, hyper};
use super::training::{Recorder, bits, distance, reference, train};
use goai::comm::Communicator;
use goai::data::Visit;
use goai::data::order::{balanced, epoch_order};
use goai::device::RealClock;
use goai::event::{EpochRecord, Event};
use goai::nn::{Alone, Context, Flavor, Phase, Program};
use goai::optim::{Rule as Descent, Step};
use goai::plan::quorum::Rule;
use goai::strategy::{Ending, Fit, Grid, Hyper, Shards, Strategy, Task, TrainError, Turn, fit};
use std::collections::BTreeMap;

pub const CASES: &[Case] = &[
    ("every rule applies every chunk once an epoch", every_rule),
    ("K-sync with all workers has the bits of the lock-step", lock_step),
    ("deterministic steps have one rank's bits under every synchronous rule", deterministic),
    ("shards of one batch have the bits of the lock-step", one_batch_shards),
    ("shards are trained for themselves and averaged", shards),
    ("one rank's wish stops all, and the training goes on to the same bits", resuming),
    ("a worker that leaves is not missed", leaving),
    ("divergence is found by all", divergence),
    ("terms that cannot work are refused by the server", refused),
];

/// A grid of this rule.
pub fn grid(rule: Rule, k: usize) -> Grid {
    Grid { rule, k, shards: None, straggler_factor: None, max_contributors: None, delay: None }
}

/// Trains on a grid, and checks what holds for all of them.
fn train_grid(comm: &dyn Communicator, task: &Task, grid: &Grid) -> (Fit, Recorder) {
    let mut job = Recorder::default();
    let fit = run(comm, task, grid, &mut job).unwrap();
    assert_eq!((fit.ending, fit.cursor.epoch), (Ending::Finished, task.hyper.epochs));
    assert_eq!(fit.cursor.samples, task.hyper.epochs * task.train.len() as u64);
    assert_eq!(fit.test.samples, task.test.len() as u64);
    if comm.rank() == 0 {
        assert_eq!(fit.last.as_ref().unwrap().epoch, task.hyper.epochs);
        check_ledger(&job, task.hyper.epochs);
    }
    (fit, job)
}

fn run(comm: &dyn Communicator, task: &Task, grid: &Grid, job: &mut Recorder) -> Result<Fit, TrainError> {
    let task = Task { grid: Some(grid), hyper: task.hyper.clone(), ..*task };
    let fit = fit(Strategy::SendRecv, &task, comm, &RealClock::start(), job)?;
    assert!(fit.lost.is_empty());
    same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ");
    same_everywhere(comm, bytemuck::cast_slice(&fit.sigma), "σ");
    Ok(fit)
}

/// Every chunk of every epoch is applied exactly once, in steps that follow one another.
fn check_ledger(job: &Recorder, epochs: u64) {
    let (mut chunks, mut last) = (BTreeMap::<u64, Vec<usize>>::new(), 0);
    for event in &job.events {
        if let Event::Applied(applied) = event {
            assert_eq!(applied.step, last + 1);
            last = applied.step;
            chunks.entry(applied.epoch).or_default().extend(applied.contributions.iter().map(|(chunk, ..)| *chunk));
        }
    }
    assert_eq!(chunks.len() as u64, epochs);
    for chunks in chunks.values_mut() {
        chunks.sort_unstable();
        assert!(chunks.iter().copied().eq(0..chunks.len()), "{chunks:?}");
    }
}

fn workers(comm: &dyn Communicator) -> Option<usize> {
    comm.size().checked_sub(1).filter(|workers| *workers > 0)
}

fn every_rule(comm: &dyn Communicator) {
    let Some(workers) = workers(comm) else { return };
    let iris = Iris::load();
    for rule in Rule::ALL {
        for k in [1, workers, workers + 2] {
            if rule.one_each() && k > workers {
                continue;
            }
            let shards = (*rule == Rule::Shards).then_some(Shards { count: 11, batch: 4, epochs: 2 });
            let grid = Grid { shards, straggler_factor: Some(1.5), ..grid(*rule, k) };
            let task = iris.task(hyper(Descent::Sgd, 0.02, 3 * k, 3));
            let (fit, job) = train_grid(comm, &task, &grid);
            if comm.rank() > 0 {
                continue;
            }
            let records: Vec<&EpochRecord> = job
                .events
                .iter()
                .filter_map(|e| if let Event::Epoch(record) = e { Some(record) } else { None })
                .collect();
            assert_eq!(records.len(), 3);
            assert!(records[2].train_loss < records[0].train_loss, "{rule:?}");
            let taken: u64 = records.iter().flat_map(|r| &r.ranks).filter_map(|r| r.grid).map(|grid| grid.taken).sum();
            let applied = |event: &Event| if let Event::Applied(a) = event { a.contributions.len() } else { 0 };
            assert_eq!(taken, job.events.iter().map(applied).sum::<usize>() as u64);
            assert_eq!(records[2].val_acc.is_some(), fit.last.unwrap().val_acc.is_some());
        }
    }
}

fn lock_step(comm: &dyn Communicator) {
    let Some(workers) = workers(comm) else { return };
    let iris = Iris::load();
    // The last batch of 50 is smaller, and 7 do not divide.
    for ((rule, rate), batch) in RULES.into_iter().zip([12, 50, 7]) {
        for micro_chunk in [None, Some(2)] {
            let hyper = Hyper { micro_chunk, ..hyper(rule, rate, batch.max(2 * workers), 4) };
            let task = iris.task(hyper);
            let full = train(Strategy::SendRecv, &task, comm).unwrap();
            let (fit, _) = train_grid(comm, &task, &grid(Rule::KSync, workers));
            assert!(bits(&fit.theta) == bits(&full.theta), "{rule:?}, {batch} samples, {micro_chunk:?}");
            assert_eq!(fit.cursor, full.cursor);
        }
    }
}

fn deterministic(comm: &dyn Communicator) {
    if workers(comm).is_none() {
        return;
    }
    let iris = Iris::load();
    for (rule, rate) in RULES {
        let hyper = Hyper { micro_chunk: Some(4), ..hyper(rule, rate, 40, 3) };
        let task = iris.task(hyper);
        let one = reference(&task);
        for quorum in [grid(Rule::KSync, 3), grid(Rule::KBatch, 3), grid(Rule::KBatch, 5)] {
            let (fit, _) = train_grid(comm, &task, &quorum);
            assert!(bits(&fit.theta) == bits(&one.theta), "{rule:?} {quorum:?}");
        }
    }
}

fn one_batch_shards(comm: &dyn Communicator) {
    let Some(workers) = workers(comm) else { return };
    let iris = Iris::load();
    let shards = iris.train.labels.len() / 4;
    for micro_chunk in [None, Some(2)] {
        let task = iris.task(Hyper { micro_chunk, ..hyper(Descent::Momentum(0.9), 0.05, 4 * workers, 4) });
        let full = train(Strategy::SendRecv, &task, comm).unwrap();
        let one_batch = Shards { count: shards, batch: 4, epochs: 1 };
        let grid = Grid { shards: Some(one_batch), straggler_factor: Some(1.5), ..grid(Rule::Shards, workers) };
        let (fit, _) = train_grid(comm, &task, &grid);
        assert!(bits(&fit.theta) == bits(&full.theta), "{micro_chunk:?}");
    }
}

/// Against plain loops: every shard of a step begins at the same weights, and the differences are averaged by samples.
fn shards(comm: &dyn Communicator) {
    if workers(comm).is_none() {
        return;
    }
    let (iris, k, shards) = (Iris::load(), 4, Shards { count: 7, batch: 5, epochs: 1 });
    let task = iris.task(hyper(Descent::Momentum(0.5), 0.05, 5, 3));
    let grid = Grid { shards: Some(shards), straggler_factor: Some(1.5), ..grid(Rule::Shards, k) };
    let (fit, _) = train_grid(comm, &task, &grid);
    let program = Program::compile(task.network, Flavor::Fused);
    let (samples, mut order) = (task.train.len(), Vec::new());
    let mut theta = task.hyper.init.draw(task.network, task.hyper.seed);
    let mut workspace = program.workspace(shards.batch);
    for epoch in 0..task.hyper.epochs {
        epoch_order(samples, task.hyper.seed, epoch, &mut order);
        let all: Vec<usize> = (0..shards.count).collect();
        for step in all.chunks(k) {
            let run = |shard: &usize| balanced(samples, shards.count, *shard);
            let total: usize = step.iter().map(|shard| run(shard).len()).sum();
            let mut mean = vec![0.0f32; theta.len()];
            for shard in step {
                let mut local = theta.clone();
                let mut rule = task.hyper.rule.build(theta.len(), 0.0);
                for (number, batch) in order[run(shard)].chunks(shards.batch).enumerate() {
                    let labels: Vec<u32> = batch.iter().map(|sample| task.train.label(*sample as usize)).collect();
                    workspace.begin(batch.len());
                    workspace.fill(0, &Alone, &|b, layout, row| {
                        task.train.load(batch[b] as usize, Visit::MEASURE, layout, row)
                    });
                    let (phase, seed, sigma, team) = (Phase::Train, task.hyper.seed, &[][..], &Alone);
                    let context = Context { phase, seed, epoch, samples: batch, sigma, team };
                    let mut grad = vec![0.0; theta.len()];
                    program.loss_and_grad(&context, &local, &mut workspace, &labels, &mut grad);
                    let scale = 1.0 / batch.len() as f64;
                    rule.step(Step { number: number as u64 + 1, rate: 0.05, scale }, &grad, &mut local, &Alone);
                }
                let share = run(shard).len() as f32 / total as f32;
                let changes = local.iter().zip(&theta).map(|(end, begin)| share * (end - begin));
                mean.iter_mut().zip(changes).for_each(|(mean, change)| *mean += change);
            }
            theta.iter_mut().zip(&mean).for_each(|(weight, change)| *weight += change);
        }
    }
    let distance = distance(&fit.theta, &theta);
    assert!(distance < 1e-6, "{distance:e}");
}

fn resuming(comm: &dyn Communicator) {
    let Some(workers) = workers(comm) else { return };
    let iris = Iris::load();
    // Who wishes, before which step: within an epoch, and at the end of one.
    for (grid, rank, step) in [
        (grid(Rule::KSync, workers), 0, 4),
        (grid(Rule::KSync, workers), comm.size() - 1, 7),
        (grid(Rule::KBatch, 2), 0, 9),
        (grid(Rule::KBatchAsync, 1), 0, 5),
    ] {
        // With micro-chunks timing changes no bit; asynchronous rules have none, and only have to come to an end.
        let micro_chunk = grid.rule.synchronous().then_some(2);
        let task = iris.task(Hyper { micro_chunk, ..hyper(Descent::Momentum(0.9), 0.05, 12.max(2 * workers), 3) });
        let (whole, _) = train_grid(comm, &task, &grid);
        let mut job = Recorder { wish: (comm.rank() == rank).then_some((step, Turn::Stop)), ..Recorder::default() };
        let stopped = run(comm, &task, &grid, &mut job).unwrap();
        assert_eq!(stopped.ending, Ending::Stopped, "{grid:?} at {step}");
        // The server alone saves, and alone goes on from a snapshot.
        assert_eq!(job.snapshot.as_ref().map(|snapshot| snapshot.cursor), (comm.rank() == 0).then_some(stopped.cursor));
        let resume = job.snapshot.clone();
        let task = Task { resume: resume.as_ref(), hyper: task.hyper.clone(), ..task };
        let mut second = Recorder::default();
        let fit = run(comm, &task, &grid, &mut second).unwrap();
        assert_eq!((fit.ending, fit.cursor.samples), (Ending::Finished, whole.cursor.samples));
        if grid.rule.synchronous() {
            assert!(bits(&fit.theta) == bits(&whole.theta), "{grid:?} stopped at {step}");
        }
        if comm.rank() == 0 {
            job.events.extend(second.events);
            check_ledger(&job, 3);
        }
    }
}

fn leaving(comm: &dyn Communicator) {
    if comm.size() < 3 {
        return;
    }
    let iris = Iris::load();
    for grid in [grid(Rule::KBatch, 3), grid(Rule::KSync, comm.size() - 1), grid(Rule::KBatchAsync, 1)] {
        let task = iris.task(hyper(Descent::Sgd, 0.02, 4 * grid.k, 4));
        let leaves = comm.rank() + 1 == comm.size();
        let mut job = Recorder { wish: leaves.then_some((3, Turn::Leave)), ..Recorder::default() };
        let fit = run(comm, &task, &grid, &mut job).unwrap();
        assert_eq!((fit.ending, fit.cursor.samples), (Ending::Finished, 4 * iris.train.labels.len() as u64));
        if comm.rank() == 0 {
            check_ledger(&job, 4);
        }
    }
}

fn divergence(comm: &dyn Communicator) {
    let Some(workers) = workers(comm) else { return };
    let iris = Iris::load();
    let task = iris.task(hyper(Descent::Sgd, 1e38, 12, 3));
    let grid = grid(Rule::KSync, workers);
    let error = run(comm, &task, &grid, &mut Recorder::default()).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
    comm.barrier().unwrap();
}

fn refused(comm: &dyn Communicator) {
    let Some(workers) = workers(comm) else { return };
    let iris = Iris::load();
    let task = iris.task(hyper(Descent::Sgd, 0.1, 100, 1));
    let grid = grid(Rule::KSync, workers + 1);
    assert!(grid.check(iris.train.labels.len(), &task.hyper, workers).is_err());
    assert!(grid.check(iris.train.labels.len(), &task.hyper, workers + 1).is_ok());
}
