//! The table: on pictures, too, the same network comes out, whichever way and on however many ranks.
//!
//! A batch is normalized over what one pass sees of it. So with batch normalization plain sums depend on the number of
//! ranks, and only deterministic ones are compared with one rank's.

use super::Case;
use super::collectives::same_everywhere;
use super::conv::{Conv, TRAIN};
use super::equivalence::strategies;
use super::iris::{RULES, hyper};
use super::training::{Recorder, bits, distance, reference, train};
use goai::comm::Communicator;
use goai::device::RealClock;
use goai::optim::Rule;
use goai::strategy::{Fit, Hyper, Strategy, Task, Turn, fit};

pub const CASES: &[Case] = &[
    ("50 steps on pictures equal one rank's", fifty_steps),
    ("deterministic sums give one rank's bits on pictures", deterministic),
    ("a rerun on pictures gives the same bits", reruns),
    ("a stopped training on pictures goes on to the same bits", resuming),
];

/// Trains and checks that all ranks hold the same weights and running statistics.
fn train_together(comm: &dyn Communicator, strategy: Strategy, task: &Task) -> Fit {
    let fit = train(strategy, task, comm).unwrap();
    same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ");
    same_everywhere(comm, bytemuck::cast_slice(&fit.sigma), "σ");
    fit
}

/// Every bit that a training leaves: θ, then σ.
fn all_bits(fit: &Fit) -> [Vec<u32>; 2] {
    [bits(&fit.theta), bits(&fit.sigma)]
}

fn fifty_steps(comm: &dyn Communicator) {
    for (dropout, (rule, rate)) in [(false, RULES[0]), (true, RULES[1]), (true, RULES[2])] {
        let data = Conv::new(false, dropout);
        let hyper = hyper(rule, rate / 2.0, 12, 10);
        let one = reference(&data.task(hyper.clone()));
        let start = reference(&data.task(Hyper { epochs: 0, ..hyper.clone() }));
        assert!(distance(&start.theta, &one.theta) > 1e-2, "nothing was learned");
        for strategy in strategies(comm) {
            let fit = train_together(comm, strategy, &data.task(hyper.clone()));
            assert_eq!((fit.cursor.step, fit.cursor, fit.test.samples), (50, one.cursor, 12));
            let distance = distance(&fit.theta, &one.theta);
            assert!(distance <= 1e-5, "{} {rule:?}: {distance:e}", strategy.name());
        }
    }
}

fn deterministic(comm: &dyn Communicator) {
    let data = Conv::new(true, true);
    for ((rule, rate), batch, micro_chunk) in [(RULES[0], 12, 4), (RULES[1], 7, 3), (RULES[2], 30, 8), (RULES[2], 2, 1)]
    {
        let hyper = Hyper { micro_chunk: Some(micro_chunk), ..hyper(rule, rate, batch, 2) };
        let one = reference(&data.task(hyper.clone()));
        assert!(one.sigma != data.network.initial_sigma(), "the running statistics stand still");
        for strategy in strategies(comm) {
            let fit = train_together(comm, strategy, &data.task(hyper.clone()));
            let (name, ranks) = (strategy.name(), comm.size());
            assert!(all_bits(&fit) == all_bits(&one), "{name} on {ranks}: other bits, {hyper:?}");
        }
    }
}

fn reruns(comm: &dyn Communicator) {
    let data = Conv::new(true, true);
    for strategy in strategies(comm) {
        let hyper = hyper(Rule::Momentum(0.9), 0.02, 18, 3);
        let runs = [0, 1, 2].map(|_| all_bits(&train_together(comm, strategy, &data.task(hyper.clone()))));
        assert!(runs.iter().all(|run| *run == runs[0]), "{}: other bits", strategy.name());
    }
}

/// Stopped within an epoch, at its end, and after the first step.
fn resuming(comm: &dyn Communicator) {
    let data = Conv::new(true, true);
    let steps = TRAIN as u64 / 12;
    for strategy in strategies(comm) {
        for (rule, micro_chunk, stop) in
            [(Rule::Adam, None, 2), (Rule::Momentum(0.9), Some(4), steps - 1), (Rule::Sgd, Some(5), 0)]
        {
            let hyper = Hyper { micro_chunk, ..hyper(rule, 0.02, 12, 2) };
            let whole = train_together(comm, strategy, &data.task(hyper.clone()));
            let mut job = Recorder { wish: Some((stop, Turn::Stop)), ..Recorder::default() };
            fit(strategy, &data.task(hyper.clone()), comm, &RealClock::start(), &mut job).unwrap();
            let snapshot = job.snapshot.expect("stopping saves");
            let resumed = train(strategy, &Task { resume: Some(&snapshot), ..data.task(hyper.clone()) }, comm).unwrap();
            assert_eq!(resumed.cursor, whole.cursor);
            assert!(all_bits(&resumed) == all_bits(&whole), "{strategy:?} {rule:?} stopped at {stop}");
            // σ is part of it: without it the training would go on, to something else.
            let mut lost = snapshot;
            lost.slices.iter_mut().find(|(name, _)| name == "sigma").unwrap().1 = data.network.initial_sigma();
            let other = train(strategy, &Task { resume: Some(&lost), ..data.task(hyper.clone()) }, comm).unwrap();
            assert!(bits(&other.sigma) != bits(&whole.sigma));
        }
    }
}
