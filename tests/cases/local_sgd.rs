//! The table: steps of every rank's own, and their averaging.

use super::Case;
use super::collectives::same_everywhere;
use super::conv::Conv;
use super::equivalence::{agreed, strategies};
use super::iris::{Iris, RULES, hyper};
use super::training::{Recorder, bits, distance, reference, train};
use goai::comm::{Communicator, Solo};
use goai::data::Visit;
use goai::data::order::{StepPlan, epoch_order};
use goai::device::RealClock;
use goai::event::{EpochRecord, Event};
use goai::nn::{Alone, Context, Flavor, Phase, Program};
use goai::optim::{Rule, Step};
use goai::strategy::{Ending, Fit, Hyper, Local, Strategy, Task, TrainError, Turn, fit};
use std::num::NonZeroU64;

pub const CASES: &[Case] = &[
    ("an averaging after every step is a sum of gradients", one_step),
    ("local steps are those of a plain loop", plain_loop),
    ("a rank alone does not notice its averagings", alone),
    ("bytes fall by the local steps", bytes),
    ("records come where the ranks meet", records),
    ("a wish waits for the averaging", stopping),
    ("a training by local steps goes on to the same bits", resuming),
    ("divergence is found at one averaging", divergence),
    ("what local steps cannot give is refused by all", refusals),
];

fn steps(n: u64) -> Option<Local> {
    Some(Local::Steps(NonZeroU64::new(n).unwrap()))
}

fn epochs(n: u64) -> Option<Local> {
    Some(Local::Epochs(NonZeroU64::new(n).unwrap()))
}

/// Trains and checks that all ranks hold the same weights, the ones whose hash the record has.
fn train_together(comm: &dyn Communicator, strategy: Strategy, task: &Task) -> Fit {
    let fit = train(strategy, task, comm).unwrap();
    same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ");
    same_everywhere(comm, bytemuck::cast_slice(&fit.sigma), "σ");
    let hash = xxhash_rust::xxh3::xxh3_64(bytemuck::cast_slice(&fit.theta));
    assert_eq!(fit.last.as_ref().map(|record| record.weights_hash), Some(hash));
    fit
}

fn one_step(comm: &dyn Communicator) {
    let iris = Iris::load();
    // With two samples most ranks of a larger world have none.
    for (batch, passes) in [(12, 5), (60, 25), (2, 1)] {
        let hyper = Hyper { weight_decay: 1e-3, ..hyper(Rule::Sgd, 0.1, batch, passes) };
        let one = reference(&iris.task(hyper.clone()));
        for strategy in strategies(comm) {
            let task = iris.task(Hyper { local: steps(1), ..hyper.clone() });
            let fit = train_together(comm, strategy, &task);
            assert_eq!(fit.cursor, one.cursor);
            // A rank without samples does not decay its weights, and has no weight in the average.
            let distance = distance(&fit.theta, &one.theta);
            assert!(distance <= 1e-5, "{}, {batch} samples: {distance:e}", strategy.name());
            let losses = [&fit, &one].map(|fit| fit.last.as_ref().unwrap().train_loss);
            assert!((losses[0] - losses[1]).abs() < 1e-5, "{losses:?}");
        }
    }
}

/// Local SGD as it is written in the papers, one rank after the other; `meets` says after which epoch and step.
fn by_hand(task: &Task, ranks: usize, meets: &dyn Fn(u64, usize, usize) -> bool) -> Vec<f32> {
    let (network, hyper) = (task.network, &task.hyper);
    let program = Program::compile(network, Flavor::Naive);
    let (mut workspace, mut grad) = (program.workspace(hyper.global_batch), vec![0.0; network.theta_len()]);
    let plan = StepPlan::new(task.train.len(), hyper.global_batch);
    let build = |_| (hyper.init.draw(network, hyper.seed), hyper.rule.build(network.theta_len(), 0.0), 0usize);
    let mut replicas: Vec<_> = (0..ranks).map(build).collect();
    let (mut order, mut number) = (Vec::new(), 0);
    for epoch in 0..hyper.epochs {
        epoch_order(task.train.len(), hyper.seed, epoch, &mut order);
        for s in 0..plan.steps() {
            number += 1;
            for (rank, (theta, optimizer, seen)) in replicas.iter_mut().enumerate() {
                let samples = &order[plan.slice(s, ranks, rank)];
                if samples.is_empty() {
                    continue;
                }
                let visit = Visit { seed: hyper.seed, epoch: Some(epoch) };
                let labels: Vec<u32> = samples.iter().map(|i| task.train.label(*i as usize)).collect();
                workspace.begin(samples.len());
                workspace.fill(0, &Alone, &|b, layout, row| task.train.load(samples[b] as usize, visit, layout, row));
                let phase = Phase::Train;
                let context = Context { phase, seed: hyper.seed, epoch, samples, sigma: &[], team: &Alone };
                program.loss_and_grad(&context, theta, &mut workspace, &labels, &mut grad);
                let step = Step { number, rate: hyper.schedule.rate, scale: 1.0 / samples.len() as f64 };
                optimizer.step(step, &grad, theta, &Alone);
                *seen += samples.len();
            }
            if meets(epoch, s, plan.steps()) {
                average(&mut replicas);
            }
        }
    }
    replicas.swap_remove(0).0
}

type Replica = (Vec<f32>, Box<dyn goai::optim::Optimizer>, usize);

fn average(replicas: &mut [Replica]) {
    let total: usize = replicas.iter().map(|(_, _, seen)| seen).sum();
    let shares: Vec<f64> = replicas.iter().map(|(_, _, seen)| *seen as f64 / total as f64).collect();
    let mean = |vectors: Vec<&[f32]>| -> Vec<f32> {
        let at = |i| vectors.iter().zip(&shares).map(|(vector, share)| f64::from(vector[i]) * share).sum::<f64>();
        (0..vectors[0].len()).map(|i| at(i) as f32).collect()
    };
    let theta = mean(replicas.iter().map(|(theta, ..)| theta.as_slice()).collect());
    let memory = |v: usize| mean(replicas.iter().map(|(_, optimizer, _)| optimizer.state()[v].1).collect());
    let memory: Vec<Vec<f32>> = (0..replicas[0].1.state().len()).map(memory).collect();
    for (mine, optimizer, seen) in replicas {
        mine.copy_from_slice(&theta);
        for ((_, vector), mean) in optimizer.state_mut().into_iter().zip(&memory) {
            vector.copy_from_slice(mean);
        }
        *seen = 0;
    }
}

fn plain_loop(comm: &dyn Communicator) {
    let iris = Iris::load();
    type Meets = fn(u64, usize, usize) -> bool;
    let schemes: [(Option<Local>, Meets); 4] = [
        (steps(1), |_, _, _| true),
        (steps(4), |_, s, steps| (s + 1) % 4 == 0 || s + 1 == steps),
        (steps(100), |_, s, steps| s + 1 == steps),
        (epochs(2), |epoch, s, steps| s + 1 == steps && (epoch == 1 || epoch == 2)),
    ];
    for (rule, rate) in RULES {
        for (local, meets) in schemes {
            for batch in [12, 7] {
                let task = iris.task(Hyper { local, ..hyper(rule, rate, batch, 3) });
                let fit = train_together(comm, Strategy::AllReduce, &task);
                let by_hand = by_hand(&task, comm.size(), &meets);
                let distance = distance(&fit.theta, &by_hand);
                assert!(distance <= 1e-5, "{rule:?} {local:?}, {batch} samples: {distance:e}");
                if local != steps(1) && comm.size() > 1 {
                    let summed = train_together(comm, Strategy::AllReduce, &iris.task(hyper(rule, rate, batch, 3)));
                    assert!(bits(&summed.theta) != bits(&fit.theta), "{local:?} made no difference");
                }
            }
        }
    }
}

/// With batch normalization and dropout, too.
fn alone(_: &dyn Communicator) {
    let (iris, pictures, solo) = (Iris::load(), Conv::new(true, true), Solo::new());
    for (rule, rate) in RULES {
        for local in [steps(1), steps(2), steps(5), epochs(1), epochs(2)] {
            let hyper = Hyper { local, ..hyper(rule, rate / 2.0, 7, 3) };
            let summed = Hyper { local: None, ..hyper.clone() };
            for (own, summed) in [
                (train(Strategy::Single, &iris.task(hyper.clone()), &solo), reference(&iris.task(summed.clone()))),
                (train(Strategy::AllReduce, &pictures.task(hyper.clone()), &solo), reference(&pictures.task(summed))),
            ] {
                let own = own.unwrap();
                assert_eq!((own.cursor, own.ending), (summed.cursor, summed.ending));
                assert!(bits(&own.theta) == bits(&summed.theta), "{rule:?} {local:?}: other weights");
                assert!(bits(&own.sigma) == bits(&summed.sigma), "{rule:?} {local:?}: other statistics");
            }
        }
    }
}

fn epoch_records(comm: &dyn Communicator, task: &Task) -> Vec<EpochRecord> {
    let mut job = Recorder::default();
    fit(Strategy::AllReduce, task, comm, &RealClock::start(), &mut job).unwrap();
    let record = |event| if let Event::Epoch(record) = event { Some(record) } else { None };
    job.events.into_iter().filter_map(record).collect()
}

fn bytes(comm: &dyn Communicator) {
    let iris = Iris::load();
    // 12 samples a step, 10 steps an epoch, 833 parameters and 4 numbers.
    for (rule, local, exchanges, floats) in [
        (Rule::Sgd, None, 10, 837),
        (Rule::Sgd, steps(1), 10, 837),
        (Rule::Sgd, steps(5), 2, 837),
        (Rule::Sgd, steps(4), 3, 837),
        (Rule::Sgd, epochs(1), 1, 837),
        (Rule::Momentum(0.9), steps(5), 2, 837 + 833),
        (Rule::Adam, steps(10), 1, 837 + 2 * 833),
    ] {
        for record in epoch_records(comm, &iris.task(Hyper { local, ..hyper(rule, 0.01, 12, 2) })) {
            for rank in &record.ranks {
                assert_eq!(rank.bytes_sent, exchanges * floats * 4, "{local:?}, rank {}", rank.rank);
            }
        }
    }
}

fn records(comm: &dyn Communicator) {
    let iris = Iris::load();
    for (local, expected) in [
        (steps(4), vec![(1, 3, 120), (2, 6, 240), (3, 9, 360), (4, 12, 480), (5, 15, 600)]),
        (epochs(1), vec![(1, 3, 120), (2, 6, 240), (3, 9, 360), (4, 12, 480), (5, 15, 600)]),
        (epochs(2), vec![(2, 6, 240), (4, 12, 480), (5, 15, 600)]),
        (epochs(7), vec![(5, 15, 600)]),
    ] {
        let records = epoch_records(comm, &iris.task(Hyper { local, ..hyper(Rule::Adam, 0.01, 50, 5) }));
        let met: Vec<_> = records.iter().map(|r| (r.epoch, r.step, r.samples)).collect();
        assert_eq!(met, expected, "{local:?}");
        let mut before = 0;
        for record in records {
            let trained: u64 = record.ranks.iter().map(|rank| rank.samples).sum();
            assert_eq!(trained, record.samples - before, "{local:?}: every sample is trained once an epoch");
            before = record.samples;
            let (loss, share) = (record.train_loss, record.train_acc);
            assert!(loss.is_finite() && loss > 0.0 && (0.0..=1.0).contains(&share), "{local:?}: {loss} {share}");
        }
    }
}

fn stopping(comm: &dyn Communicator) {
    let iris = Iris::load();
    for (local, wish, step) in [
        (steps(4), 0, 4),
        (steps(4), 3, 4),
        (steps(4), 4, 8),
        (steps(4), 9, 10),
        (epochs(1), 3, 10),
        (epochs(2), 3, 20),
        (epochs(2), 25, 30),
    ] {
        for strategy in strategies(comm) {
            let task = iris.task(Hyper { local, ..hyper(Rule::Momentum(0.9), 0.05, 12, 3) });
            for turn in [Turn::Stop, Turn::Save] {
                let wish = (comm.rank() + 1 == comm.size()).then_some((wish, turn));
                let mut job = Recorder { wish, ..Recorder::default() };
                let fit = fit(strategy, &task, comm, &RealClock::start(), &mut job).unwrap();
                let saves: Vec<u64> = job.saves.iter().map(|cursor| cursor.step).collect();
                assert_eq!(saves, [step], "{local:?} {wish:?}");
                let stopped = turn == Turn::Stop && step < 30;
                let expected = if stopped { (Ending::Stopped, step) } else { (Ending::Finished, 30) };
                assert_eq!((fit.ending, agreed(comm, fit.cursor).step), expected, "{local:?}");
                let saved = &job.snapshot.unwrap().slices;
                for (name, slice) in saved {
                    same_everywhere(comm, bytemuck::cast_slice(slice), name);
                }
            }
        }
    }
}

fn resuming(comm: &dyn Communicator) {
    let iris = Iris::load();
    for (rule, local, stop) in [
        (Rule::Adam, steps(4), 1),
        (Rule::Adam, steps(4), 8),
        (Rule::Momentum(0.9), steps(3), 13),
        (Rule::Sgd, steps(100), 2),
        (Rule::Adam, epochs(2), 0),
    ] {
        let task = || iris.task(Hyper { local, ..hyper(rule, 0.05, 12, 3) });
        let whole = train_together(comm, Strategy::AllReduce, &task());
        let mut job = Recorder { wish: Some((stop, Turn::Stop)), ..Recorder::default() };
        fit(Strategy::AllReduce, &task(), comm, &RealClock::start(), &mut job).unwrap();
        let snapshot = job.snapshot.expect("stopping saves");
        let resumed = train_together(comm, Strategy::AllReduce, &Task { resume: Some(&snapshot), ..task() });
        assert_eq!(resumed.cursor, whole.cursor);
        assert!(bits(&resumed.theta) == bits(&whole.theta), "{rule:?} {local:?} stopped at {stop}");
    }
}

fn divergence(comm: &dyn Communicator) {
    let iris = Iris::load();
    for strategy in strategies(comm) {
        for (local, met) in [(steps(4), 4), (epochs(2), 20)] {
            let task = iris.task(Hyper { local, ..hyper(Rule::Sgd, 1e38, 12, 5) });
            let error = train(strategy, &task, comm).unwrap_err();
            let TrainError::Diverged { step, .. } = error else { panic!("{error}") };
            assert!(error.is_agreed() && step == met, "{local:?}: at step {step}");
        }
    }
}

fn refusals(comm: &dyn Communicator) {
    let iris = Iris::load();
    for local in [steps(2), epochs(1)] {
        let task = iris.task(Hyper { local, micro_chunk: Some(4), ..hyper(Rule::Sgd, 0.1, 12, 1) });
        let error = train(Strategy::AllReduce, &task, comm).unwrap_err();
        let message = error.to_string();
        assert!(error.is_agreed() && message.contains("leave out --local-steps"), "{message}");
    }
}
