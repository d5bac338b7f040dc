//! The table: a network cut into stages with gradients that flow back is the network that one rank trains, whichever the
//! schedule, the cuts and the number of replicas.

use super::Case;
use super::collectives::same_everywhere;
use super::conv::Conv;
use super::iris::{Iris, RULES, hyper};
use super::training::{Recorder, bits, distance, reference, train};
use goai::comm::{Communicator, Reduce, Values};
use goai::device::RealClock;
use goai::event::Event;
use goai::nn::{Network, zoo};
use goai::optim::Rule;
use goai::plan::pipeline::ScheduleKind;
use goai::strategy::{Ending, Fit, Hyper, Learn, Pipeline, Strategy, Task, TrainError, Turn, fit};

pub const CASES: &[Case] = &[
    ("50 steps of every rule and schedule equal one rank's", fifty_steps),
    ("50 steps on pictures equal one rank's", fifty_steps_on_pictures),
    ("every place to cut gives the same training", every_cut),
    ("fewer samples than micro-batches and replicas", uneven_steps),
    ("deterministic pipelines have one rank's bits", deterministic),
    ("deterministic pipelines on pictures have one rank's bits", deterministic_on_pictures),
    ("a chain with exit heads is trained through all of them", chain_with_exits),
    ("one rank's wish stops all stages at one step", stopping),
    ("a pipeline that was stopped goes on to the same bits, cut elsewhere too", resuming),
    ("divergence is found by all stages at one step", divergence),
    ("a rerun of a pipeline gives the same bits", reruns),
];

/// The numbers of stages that this world's ranks make up: 4 ranks are 4 stages, or 2 stages with 2 replicas each.
pub fn stages(comm: &dyn Communicator, network: &Network) -> Vec<usize> {
    let size = comm.size();
    (1..=size.min(network.cuts().len() + 1)).filter(|s| size.is_multiple_of(*s) && (*s > 1 || size == 1)).collect()
}

/// Cuts into stages of as many blocks each as can be; `whole` leaves convolutions their poolings.
pub fn even_cuts(network: &Network, stages: usize, whole: bool) -> Option<Vec<usize>> {
    let (blocks, within) = (network.cuts().len() + 1, network.cuts_within_steps());
    let may: Vec<usize> = (1..blocks).filter(|cut| !whole || !within.contains(&(cut - 1))).collect();
    (may.len() + 1 >= stages).then(|| (1..stages).map(|s| may[s * (may.len() + 1) / stages - 1]).collect())
}

pub fn backprop(cuts: Vec<usize>, schedule: ScheduleKind, micro_batches: usize) -> Pipeline {
    Pipeline { cuts, learn: Learn::Backprop { schedule, micro_batches }, window: 2, exits: None }
}

/// Trains the pipeline and checks that every rank has the whole's weights.
fn train_whole(comm: &dyn Communicator, task: &Task, pipeline: &Pipeline) -> Fit {
    let mut job = Recorder::default();
    let task = Task { pipeline: Some(pipeline), hyper: task.hyper.clone(), ..*task };
    let fit = fit(Strategy::Pipeline, &task, comm, &RealClock::start(), &mut job).unwrap();
    same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ");
    same_everywhere(comm, bytemuck::cast_slice(&fit.sigma), "σ");
    let hash = xxhash_rust::xxh3::xxh3_64(bytemuck::cast_slice(&fit.theta));
    assert_eq!(fit.last.as_ref().map(|record| record.weights_hash), Some(hash));
    check_stages(comm, &job, pipeline, task.train.len() as u64);
    fit
}

/// Every replica of a stage had its part of an epoch, and nobody but the first and last stage sends one way only.
fn check_stages(comm: &dyn Communicator, job: &Recorder, pipeline: &Pipeline, samples: u64) {
    let records: Vec<_> = job
        .events
        .iter()
        .filter_map(|e| if let Event::Stages { stages, .. } = e { Some(stages) } else { None })
        .collect();
    let (count, replicas) = (pipeline.stages(), comm.size() / pipeline.stages());
    for record in records.into_iter().flat_map(|stages| stages.chunks(replicas)) {
        assert_eq!(record.iter().map(|r| r.samples).sum::<u64>(), samples, "{record:?}");
        for r in record.iter().filter(|r| r.samples > 0) {
            assert_eq!((r.bytes_down > 0, r.bytes_up > 0), (r.stage + 1 < count, r.stage > 0), "{r:?}");
            assert_eq!(r.bytes_control, 0);
        }
    }
}

/// What one rank alone makes of a task: rank 0 does it, for all have the same to compare with.
fn alone(comm: &dyn Communicator, task: &Task) -> Option<Fit> {
    (comm.rank() == 0).then(|| reference(task))
}

/// What one rank alone makes of a task, against what the stages make of it.
fn compare(comm: &dyn Communicator, task: &Task, pipeline: &Pipeline, one: &Option<Fit>, exact: bool) {
    let fit = train_whole(comm, task, pipeline);
    let Some(one) = one else { return };
    let what = || format!("{pipeline:?} of {} on {} ranks, {:?}", task.network.spec().name, comm.size(), task.hyper);
    assert_eq!((fit.ending, fit.cursor), (Ending::Finished, one.cursor));
    assert_eq!((fit.test.samples, fit.test.correct), (one.test.samples, one.test.correct), "{}", what());
    if exact {
        assert!(bits(&fit.theta) == bits(&one.theta), "other bits: {}", what());
        assert!(bits(&fit.sigma) == bits(&one.sigma), "other statistics: {}", what());
        return;
    }
    let off = distance(&fit.theta, &one.theta);
    assert!(off <= 1e-5, "{off:e}: {}", what());
    // Of several heads, one rank's validation loss is the sum; a pipeline's is that of the head where a sample leaves.
    let heads = task.network.outputs().len();
    let val_loss = |loss: Option<f64>| if heads == 1 { loss.unwrap() } else { 0.0 };
    let of = |fit: &Fit| fit.last.as_ref().map(|r| [r.train_loss, val_loss(r.val_loss), r.train_acc]).unwrap();
    for (ours, theirs) in of(&fit).into_iter().zip(of(one)) {
        assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}: {}", what());
    }
}

fn fifty_steps(comm: &dyn Communicator) {
    let iris = Iris::load();
    for (rule, rate) in RULES {
        let task = iris.task(Hyper { weight_decay: 1e-3, ..hyper(rule, rate, 12, 5) });
        let one = alone(comm, &task);
        assert!(one.iter().all(|one| one.cursor.step == 50));
        for stages in stages(comm, &iris.network) {
            let cuts = even_cuts(&iris.network, stages, false).expect("as many blocks");
            for schedule in ScheduleKind::ALL {
                compare(comm, &task, &backprop(cuts.clone(), *schedule, 3), &one, false);
            }
        }
    }
}

/// 50 steps and more on the stages of this network: all schedules, each with a rule of its own.
pub fn on_pictures(comm: &dyn Communicator, data: &Conv, batch: usize, micro_batches: usize) {
    for (schedule, (rule, rate)) in ScheduleKind::ALL.iter().zip(RULES) {
        let epochs = 50u64.div_ceil(60u64.div_ceil(batch as u64));
        let task = data.task(hyper(rule, rate / 4.0, batch, epochs));
        let one = alone(comm, &task);
        assert!(one.iter().all(|one| one.cursor.step >= 50));
        for stages in stages(comm, &data.network) {
            let cuts = even_cuts(&data.network, stages, false).expect("as many blocks");
            compare(comm, &task, &backprop(cuts, *schedule, micro_batches), &one, false);
        }
    }
}

fn fifty_steps_on_pictures(comm: &dyn Communicator) {
    on_pictures(comm, &Conv::named("img_cnn"), 4, 2);
    on_pictures(comm, &Conv::named("vgg5_plain"), 4, 2);
}

/// Every cut of two stages, and every schedule; more micro-batches than stages, and fewer.
fn every_cut(comm: &dyn Communicator) {
    if !comm.size().is_multiple_of(2) {
        return;
    }
    for name in ["img_cnn", "greenai_chain"] {
        let data = Conv::named(name);
        let task = data.task(hyper(Rule::Momentum(0.9), 0.01, 12, 1));
        let one = alone(comm, &task);
        for cut in 1..=data.network.cuts().len() {
            let schedule = ScheduleKind::ALL[cut % 3];
            compare(comm, &task, &backprop(vec![cut], schedule, 1 + cut % 4), &one, false);
        }
    }
}

/// Epochs that end with a batch of fewer samples than there are micro-batches and replicas: 120 = 17·7 + 1 = 10·11 + 10.
fn uneven_steps(comm: &dyn Communicator) {
    let iris = Iris::load();
    for (batch, micro_batches) in [(7, 4), (11, 11), (119, 8), (2, 5), (1, 1), (1000, 7)] {
        for micro_chunk in [None, Some(2)] {
            let task = iris.task(Hyper { micro_chunk, ..hyper(Rule::Adam, 0.01, batch, 1) });
            let one = alone(comm, &task);
            for stages in stages(comm, &iris.network) {
                let cuts = even_cuts(&iris.network, stages, false).expect("as many blocks");
                let schedule = ScheduleKind::ALL[(batch + stages) % 3];
                compare(comm, &task, &backprop(cuts, schedule, micro_batches), &one, micro_chunk.is_some());
            }
        }
    }
}

fn deterministic(comm: &dyn Communicator) {
    let iris = Iris::load();
    for ((rule, rate), (batch, micro_chunk)) in RULES.into_iter().zip([(16, 4), (30, 4), (7, 3)]) {
        let task = iris.task(Hyper { micro_chunk: Some(micro_chunk), ..hyper(rule, rate, batch, 3) });
        let one = alone(comm, &task);
        for stages in stages(comm, &iris.network) {
            let cuts = even_cuts(&iris.network, stages, true).expect("no step has two blocks");
            for schedule in ScheduleKind::ALL {
                compare(comm, &task, &backprop(cuts.clone(), *schedule, 1), &one, true);
            }
        }
    }
}

/// With batch normalization and dropout, too: the running statistics are the same bits.
fn deterministic_on_pictures(comm: &dyn Communicator) {
    let nets = [Conv::new(true, true), Conv::named("img_cnn"), Conv::named("vgg5"), Conv::named("vgg5_plain")];
    for (data, (batch, micro_chunk)) in nets.iter().zip([(12, 4), (7, 3), (10, 4), (12, 3)]) {
        let steps = 60usize.div_ceil(batch);
        for (schedule, (rule, rate)) in ScheduleKind::ALL.iter().zip(RULES) {
            let hyper = Hyper { micro_chunk: Some(micro_chunk), ..hyper(rule, rate / 4.0, batch, 1) };
            let task = data.task(hyper);
            let one = alone(comm, &task);
            assert!(one.iter().all(|one| one.cursor.step as usize == steps));
            for stages in stages(comm, &data.network) {
                let Some(cuts) = even_cuts(&data.network, stages, true) else { continue };
                compare(comm, &task, &backprop(cuts, *schedule, 1), &one, true);
            }
        }
    }
}

/// The five-board chain under gradients that flow back: its five losses add up, on one rank and on stages.
fn chain_with_exits(comm: &dyn Communicator) {
    let data = Conv::named("greenai_chain");
    for micro_chunk in [None, Some(3)] {
        let task = data.task(Hyper { micro_chunk, ..hyper(Rule::Sgd, 0.02, 6, 1) });
        let one = alone(comm, &task);
        for stages in stages(comm, &data.network) {
            let Some(cuts) = even_cuts(&data.network, stages, micro_chunk.is_some()) else { continue };
            for schedule in [ScheduleKind::OneForwardOneBackward, ScheduleKind::ZeroBubbleH1] {
                let pipeline = backprop(cuts.clone(), schedule, 2);
                let fit = train_whole(comm, &task, &pipeline);
                let Some(one) = &one else { continue };
                match micro_chunk {
                    Some(_) => assert!(bits(&fit.theta) == bits(&one.theta), "other bits: {pipeline:?}"),
                    None => assert!(distance(&fit.theta, &one.theta) <= 1e-5, "{pipeline:?}"),
                }
            }
        }
    }
}

fn agreed(comm: &dyn Communicator, step: u64) -> u64 {
    let mut steps = [step as i64, -(step as i64)];
    comm.all_reduce(Values::I64(&mut steps), Reduce::Max).unwrap();
    assert_eq!(steps[0], -steps[1], "stages ended at different steps");
    step
}

fn stopping(comm: &dyn Communicator) {
    let iris = Iris::load();
    for stages in stages(comm, &iris.network) {
        for (wishing, step, micro_chunk) in [(0, 0, None), (comm.size() - 1, 4, Some(4)), (comm.size() / 2, 9, None)] {
            let cuts = even_cuts(&iris.network, stages, false).expect("as many blocks");
            let pipeline = backprop(cuts, ScheduleKind::OneForwardOneBackward, 4);
            let hyper = Hyper { micro_chunk, ..hyper(Rule::Momentum(0.9), 0.05, 12, 3) };
            let wish = (comm.rank() == wishing).then_some((step, Turn::Stop));
            let mut job = Recorder { wish, ..Recorder::default() };
            let task = Task { pipeline: Some(&pipeline), ..iris.task(hyper) };
            let fit = fit(Strategy::Pipeline, &task, comm, &RealClock::start(), &mut job).unwrap();
            assert_eq!((fit.ending, agreed(comm, fit.cursor.step)), (Ending::Stopped, step + 1));
            assert!(!job.saves.is_empty() && job.saves.iter().all(|cursor| cursor.step == step + 1), "{:?}", job.saves);
            same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ after a stop");
        }
    }
}

/// The state is the whole's: it goes on in one rank, and one rank's goes on in stages.
fn resuming(comm: &dyn Communicator) {
    let data = Conv::new(true, false);
    for (rule, micro_chunk, stop) in [(Rule::Adam, None, 2), (Rule::Momentum(0.9), Some(4), 4), (Rule::Sgd, Some(5), 0)]
    {
        let hyper = Hyper { micro_chunk, ..hyper(rule, 0.02, 12, 2) };
        let one = alone(comm, &data.task(hyper.clone()));
        for stages in stages(comm, &data.network) {
            let Some(cuts) = even_cuts(&data.network, stages, true) else { continue };
            let pipeline = backprop(cuts, ScheduleKind::ALL[stop as usize % 3], 3);
            let task = || Task { pipeline: Some(&pipeline), ..data.task(hyper.clone()) };
            let whole = train(Strategy::Pipeline, &task(), comm).unwrap();
            let mut job = Recorder { wish: Some((stop, Turn::Stop)), ..Recorder::default() };
            fit(Strategy::Pipeline, &task(), comm, &RealClock::start(), &mut job).unwrap();
            let snapshot = job.snapshot.expect("stopping saves");
            let resumed = train(Strategy::Pipeline, &Task { resume: Some(&snapshot), ..task() }, comm).unwrap();
            assert_eq!(resumed.cursor, whole.cursor);
            assert!(bits(&resumed.theta) == bits(&whole.theta), "{rule:?} stopped at {stop}: θ");
            assert!(bits(&resumed.sigma) == bits(&whole.sigma), "{rule:?} stopped at {stop}: σ");
            if let (Some(one), true) = (&one, micro_chunk.is_some()) {
                let alone = reference(&Task { resume: Some(&snapshot), ..data.task(hyper.clone()) });
                assert!(bits(&alone.theta) == bits(&one.theta), "{rule:?} stopped at {stop}, ended on one rank");
            }
        }
    }
}

fn divergence(comm: &dyn Communicator) {
    let iris = Iris::load();
    for stages in stages(comm, &iris.network) {
        for micro_chunk in [None, Some(4)] {
            let cuts = even_cuts(&iris.network, stages, false).expect("as many blocks");
            let pipeline = backprop(cuts, ScheduleKind::ZeroBubbleH1, 3);
            let hyper = Hyper { micro_chunk, ..hyper(Rule::Sgd, 1e38, 12, 5) };
            let task = Task { pipeline: Some(&pipeline), ..iris.task(hyper) };
            let error = train(Strategy::Pipeline, &task, comm).unwrap_err();
            let TrainError::Diverged { step, .. } = error else { panic!("{error}") };
            assert!(error.is_agreed() && agreed(comm, step) > 1);
        }
    }
}

fn reruns(comm: &dyn Communicator) {
    let options = zoo::MlpOptions::default();
    let network = Network::build(zoo::mlp(4, &[40, 50, 20, 10], 3, &options)).unwrap();
    let iris = Iris { network, ..Iris::load() };
    let task = iris.task(hyper(Rule::Adam, 0.01, 18, 2));
    for stages in stages(comm, &iris.network) {
        let cuts = even_cuts(&iris.network, stages, false).expect("as many blocks");
        for schedule in ScheduleKind::ALL {
            let pipeline = backprop(cuts.clone(), *schedule, 3);
            let runs = [0, 1].map(|_| bits(&train_whole(comm, &task, &pipeline).theta));
            assert!(runs[0] == runs[1], "other bits in a rerun: {pipeline:?}");
        }
    }
}
