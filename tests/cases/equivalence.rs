//! The table: whichever way and on however many ranks, the same network comes out.

use super::Case;
use super::collectives::same_everywhere;
use super::iris::{Iris, RULES, hyper};
use super::scattered::Scattered;
use super::training::{Recorder, bits, distance, reference, train};
use goai::comm::{Communicator, Reduce, Values};
use goai::device::RealClock;
use goai::event::{EpochRecord, Event};
use goai::nn::{Network, zoo};
use goai::optim::Rule;
use goai::strategy::{Cursor, Ending, Fit, Hyper, Snapshot, Strategy, Task, TrainError, Turn, fit};

pub const CASES: &[Case] = &[
    ("50 steps of every rule equal one rank's", fifty_steps),
    ("a batch of two samples, however many ranks", two_samples),
    ("a batch of one sample", one_sample),
    ("the full batch", full_batch),
    ("a network of several buckets", buckets),
    ("batches that do not divide the epoch", uneven_steps),
    ("deterministic sums give one rank's bits", deterministic),
    ("a rerun gives the same bits", reruns),
    ("the epochs' records add up", records),
    ("one rank's wish stops all at one step", stopping),
    ("one rank's wish saves on all", saving),
    ("a training that was stopped goes on to the same bits", resuming),
    ("divergence is found by all at one step", divergence),
];

/// The ways that this world can train.
pub fn strategies(comm: &dyn Communicator) -> impl Iterator<Item = Strategy> {
    let size = comm.size();
    [Strategy::Single, Strategy::SendRecv, Strategy::AllReduce].into_iter().filter(move |s| s.trainers(size).is_ok())
}

/// Trains and checks that all ranks hold the same weights, the ones whose hash the record has.
fn train_together(comm: &dyn Communicator, strategy: Strategy, iris: &Iris, hyper: Hyper) -> Fit {
    let fit = train(strategy, &iris.task(hyper.clone()), comm).unwrap();
    same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ");
    let hash = xxhash_rust::xxh3::xxh3_64(bytemuck::cast_slice(&fit.theta));
    assert_eq!(fit.last.as_ref().map(|record| record.weights_hash), Some(hash));
    fit
}

/// Every way of training equals one rank alone, up to the order of sums.
fn equals_one_rank(comm: &dyn Communicator, hyper: Hyper, steps: u64) {
    let iris = Iris::load();
    let one = reference(&iris.task(hyper.clone()));
    for strategy in strategies(comm) {
        let fit = train_together(comm, strategy, &iris, hyper.clone());
        assert_eq!((fit.cursor.step, fit.cursor), (steps, one.cursor));
        let distance = distance(&fit.theta, &one.theta);
        assert!(distance <= 1e-5, "{} {hyper:?}: {distance:e}", strategy.name());
        let losses = [&fit, &one].map(|fit| fit.last.as_ref().unwrap().train_loss);
        assert!((losses[0] - losses[1]).abs() < 1e-5, "{losses:?}");
        assert_eq!(fit.test.samples, iris.test.len() as u64);
    }
}

fn fifty_steps(comm: &dyn Communicator) {
    for (rule, rate) in RULES {
        equals_one_rank(comm, hyper(rule, rate, 12, 5), 50);
        equals_one_rank(comm, Hyper { weight_decay: 1e-3, ..hyper(rule, rate, 60, 25) }, 50);
    }
}

fn two_samples(comm: &dyn Communicator) {
    equals_one_rank(comm, hyper(Rule::Sgd, 0.05, 2, 1), 60);
}

fn one_sample(comm: &dyn Communicator) {
    equals_one_rank(comm, hyper(Rule::Sgd, 0.02, 1, 1), 120);
}

fn full_batch(comm: &dyn Communicator) {
    equals_one_rank(comm, hyper(Rule::Sgd, 0.5, 120, 50), 50);
    // More than there are is all there are.
    equals_one_rank(comm, hyper(Rule::Sgd, 0.5, 1000, 5), 5);
}

/// Large enough for shared memory and for several buckets; both are the sum of one vector, and stop alike.
fn buckets(comm: &dyn Communicator) {
    let options = zoo::MlpOptions::default();
    let network = Network::build(zoo::mlp(4, &[700, 800], 3, &options)).unwrap();
    let iris = Iris { network, ..Iris::load() };
    let hyper = hyper(Rule::Sgd, 0.05, 12, 1);
    let one = reference(&iris.task(hyper.clone()));
    for comm in [comm, &Scattered(comm)] {
        let fit = train_together(comm, Strategy::AllReduce, &iris, hyper.clone());
        assert_eq!((fit.cursor, fit.test.samples), (one.cursor, one.test.samples));
        let distance = distance(&fit.theta, &one.theta);
        assert!(distance <= 1e-5, "{distance:e}");
        let again = train_together(comm, Strategy::AllReduce, &iris, hyper.clone());
        assert!(bits(&again.theta) == bits(&fit.theta), "other bits in a rerun");
        // More ranks than samples: some have no gradient, but a wish.
        let wish = (comm.rank() + 1 == comm.size()).then_some((2, Turn::Stop));
        let mut job = Recorder { wish, ..Recorder::default() };
        let task = iris.task(Hyper { global_batch: 2, ..hyper.clone() });
        let fit = goai::strategy::fit(Strategy::AllReduce, &task, comm, &RealClock::start(), &mut job).unwrap();
        assert_eq!((fit.ending, agreed(comm, fit.cursor).step), (Ending::Stopped, 3));
        same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ after a stop");
    }
}

fn uneven_steps(comm: &dyn Communicator) {
    for (batch, steps) in [(7, 18), (13, 10), (119, 2)] {
        equals_one_rank(comm, hyper(Rule::Momentum(0.9), 0.05, batch, 3), 3 * steps);
    }
}

fn deterministic(comm: &dyn Communicator) {
    let iris = Iris::load();
    for (rule, rate) in RULES {
        for (batch, micro_chunk) in [(16, 4), (30, 4), (7, 3), (5, 8), (2, 1)] {
            let hyper = Hyper { micro_chunk: Some(micro_chunk), ..hyper(rule, rate, batch, 2) };
            let one = reference(&iris.task(hyper.clone()));
            for strategy in strategies(comm) {
                let fit = train_together(comm, strategy, &iris, hyper.clone());
                let (name, ranks) = (strategy.name(), comm.size());
                assert!(bits(&fit.theta) == bits(&one.theta), "{name} on {ranks}: other bits, {hyper:?}");
            }
            // And it is the same training: only the sums are rounded another way.
            let plain = reference(&iris.task(Hyper { micro_chunk: None, ..hyper.clone() }));
            assert!(distance(&one.theta, &plain.theta) < 1e-4);
        }
    }
}

fn reruns(comm: &dyn Communicator) {
    let iris = Iris::load();
    for strategy in strategies(comm) {
        let hyper = hyper(Rule::Adam, 0.01, 18, 3);
        let thetas = [0, 1, 2].map(|_| train_together(comm, strategy, &iris, hyper.clone()).theta);
        assert!(thetas.iter().all(|theta| bits(theta) == bits(&thetas[0])), "{}: other bits", strategy.name());
    }
}

fn records(comm: &dyn Communicator) {
    let iris = Iris::load();
    for strategy in strategies(comm) {
        let mut job = Recorder::default();
        let fit = fit(strategy, &iris.task(hyper(Rule::Sgd, 0.1, 50, 2)), comm, &RealClock::start(), &mut job).unwrap();
        assert_eq!(
            (fit.ending, fit.cursor),
            (Ending::Finished, Cursor { epoch: 2, step: 6, samples: 240, step_in_epoch: 0 })
        );
        assert_eq!((job.turns.len(), job.saves.len()), (6, 0));
        let Some((Event::Started { parameters, train_samples, global_batch, steps_per_epoch, .. }, rest)) =
            job.events.split_first()
        else {
            panic!("training begins with another event: {:?}", job.events);
        };
        assert_eq!((*parameters, *train_samples, *global_batch, *steps_per_epoch), (833, 120, 50, 3));
        assert_eq!(rest.len(), 2);
        for (event, epoch) in rest.iter().zip(1..) {
            let Event::Epoch(record) = event else { panic!("{event:?}") };
            assert_eq!((record.epoch, record.step, record.samples), (epoch, 3 * epoch, 120 * epoch));
            check_record(comm, strategy, record);
        }
    }
}

fn check_record(comm: &dyn Communicator, strategy: Strategy, record: &EpochRecord) {
    let ranks: Vec<usize> = record.ranks.iter().map(|r| r.rank).collect();
    assert!(ranks.into_iter().eq(0..comm.size()));
    assert_eq!(record.ranks.iter().map(|r| r.samples).sum::<u64>(), 120, "every sample is trained once");
    assert_eq!(record.ranks.iter().map(|r| r.bytes_sent).sum::<u64>(), record.bytes_sent);
    let most = record.ranks.iter().map(|r| r.samples).max().unwrap();
    let trainers = strategy.trainers(comm.size()).unwrap();
    assert!(most as usize <= 120usize.div_ceil(trainers) + 3, "shares are balanced: {most} of 120 on {trainers}");
    if strategy == Strategy::SendRecv {
        assert_eq!(record.ranks[0].samples, 0, "the server does not train");
        // Three exchanges: a worker pushes one vector of 833 + 4 floats each, the server answers every worker.
        let message = 32 + 4 * 837;
        assert_eq!(record.ranks[1].bytes_sent, 3 * message);
        assert_eq!(record.ranks[0].bytes_sent, 3 * message * (comm.size() as u64 - 1));
    }
    let figures = [record.train_loss, record.val_loss.unwrap(), record.epoch_s, record.samples_per_s];
    assert!(figures.iter().all(|v| v.is_finite() && *v > 0.0), "{figures:?}");
    assert!((0.0..=1.0).contains(&record.train_acc) && (0.0..=1.0).contains(&record.val_acc.unwrap()));
}

/// Where this rank's turns ended, checked to be the same on all ranks.
pub fn agreed(comm: &dyn Communicator, cursor: Cursor) -> Cursor {
    let mut steps = [cursor.step as i64, -(cursor.step as i64)];
    comm.all_reduce(Values::I64(&mut steps), Reduce::Max).unwrap();
    assert_eq!(steps[0], -steps[1], "ranks ended at different steps");
    cursor
}

fn stopping(comm: &dyn Communicator) {
    let iris = Iris::load();
    for strategy in strategies(comm) {
        for micro_chunk in [None, Some(4)] {
            for (wishing, step) in [(0, 0), (comm.size() - 1, 4), (comm.size() / 2, 9)] {
                let hyper = Hyper { micro_chunk, ..hyper(Rule::Momentum(0.9), 0.05, 12, 3) };
                let wish = (comm.rank() == wishing).then_some((step, Turn::Stop));
                let mut job = Recorder { wish, ..Recorder::default() };
                let fit = fit(strategy, &iris.task(hyper.clone()), comm, &RealClock::start(), &mut job).unwrap();
                assert_eq!((fit.ending, agreed(comm, fit.cursor).step), (Ending::Stopped, step + 1));
                assert_eq!(job.saves.len(), 1);
                assert_eq!((job.saves[0].step, job.saves[0].samples), (step + 1, 12 * (step + 1)));
                assert_eq!(fit.cursor.epoch, (step + 1) / 10, "{:?}", fit.cursor);
                same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ after a stop");
            }
        }
    }
}

fn saving(comm: &dyn Communicator) {
    let iris = Iris::load();
    for strategy in strategies(comm) {
        let hyper = hyper(Rule::Sgd, 0.1, 40, 2);
        let wish = (comm.rank() + 1 == comm.size()).then_some((3, Turn::Save));
        let mut job = Recorder { wish, ..Recorder::default() };
        let saved = fit(strategy, &iris.task(hyper.clone()), comm, &RealClock::start(), &mut job).unwrap();
        let steps: Vec<u64> = job.saves.iter().map(|cursor| cursor.step).collect();
        assert_eq!((saved.ending, steps), (Ending::Finished, vec![4]));
        let undisturbed = train(strategy, &iris.task(hyper.clone()), comm).unwrap();
        assert!(bits(&saved.theta) == bits(&undisturbed.theta), "saving changed the training");
    }
}

/// Stopped within an epoch, at its end, and after the first step; plain and order-free; every rule.
fn resuming(comm: &dyn Communicator) {
    let iris = Iris::load();
    for strategy in strategies(comm) {
        for (rule, micro_chunk, stop) in [
            (Rule::Adam, None, 6),
            (Rule::Momentum(0.9), Some(4), 9),
            (Rule::Sgd, Some(5), 0),
            (Rule::Adam, Some(4), 13),
        ] {
            let hyper = Hyper { micro_chunk, ..hyper(rule, 0.05, 12, 2) };
            let whole = train(strategy, &iris.task(hyper.clone()), comm).unwrap();
            let mut job = Recorder { wish: Some((stop, Turn::Stop)), ..Recorder::default() };
            let task = iris.task(hyper.clone());
            fit(strategy, &task, comm, &RealClock::start(), &mut job).unwrap();
            let snapshot = job.snapshot.expect("stopping saves");
            let resumed = train(strategy, &Task { resume: Some(&snapshot), ..iris.task(hyper.clone()) }, comm).unwrap();
            assert_eq!(resumed.cursor, whole.cursor);
            assert!(bits(&resumed.theta) == bits(&whole.theta), "{strategy:?} {rule:?} stopped at {stop}");
        }
        let other = iris.task(hyper(Rule::Sgd, 0.1, 12, 1));
        let snapshot = Snapshot { cursor: Cursor::default(), slices: vec![("theta".into(), vec![0.0; 7])] };
        let error = train(strategy, &Task { resume: Some(&snapshot), ..other }, comm).unwrap_err();
        assert!(error.is_agreed() && error.to_string().contains("theta has 7 elements"), "{error}");
    }
}

fn divergence(comm: &dyn Communicator) {
    let iris = Iris::load();
    for strategy in strategies(comm) {
        for micro_chunk in [None, Some(4)] {
            let hyper = Hyper { micro_chunk, ..hyper(Rule::Sgd, 1e38, 12, 5) };
            let mut job = Recorder::default();
            let error = fit(strategy, &iris.task(hyper.clone()), comm, &RealClock::start(), &mut job).unwrap_err();
            let TrainError::Diverged { step, .. } = error else { panic!("{error}") };
            assert!(error.is_agreed() && agreed(comm, Cursor { step, ..Cursor::default() }).step > 1);
            assert_eq!(job.turns.len() as u64, step);
        }
    }
}
