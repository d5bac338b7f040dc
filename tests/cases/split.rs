//! The table: split learning equals what one rank, or ranks that add up their gradients, make of the same task.

use super::Case;
use super::collectives::same_everywhere;
use super::conv::Conv;
use super::iris::{Iris, hyper};
use super::training::{Recorder, bits, distance, reference};
use goai::comm::Communicator;
use goai::data::Visit;
use goai::data::order::{StepPlan, epoch_order};
use goai::device::RealClock;
use goai::event::{Event, SplitRecord};
use goai::nn::{Alone, Context, Flavor, Network, Phase, Program};
use goai::optim::{Rule, Step};
use goai::strategy::{Ending, Fit, Protocol, Split, SplitCuts, Strategy, Task, TrainError, Turn, fit};
use std::num::NonZeroU64;

pub const CASES: &[Case] = &[
    ("one device at every cut is one rank", one_device),
    ("devices that are averaged after every step are ranks that add up their gradients", one_step),
    ("a device after the other is one rank on their samples", sequential),
    ("devices with samples of their own train on each of them once an epoch", shards),
    ("the same devices give the same bits", repeats),
    ("a split that was stopped goes on to the same bits", resuming),
    ("a device leaves and the others go on", leaving),
    ("a split that diverges ends everywhere", divergence),
];

/// A way to split, at one cut for all.
fn split(protocol: Protocol, cuts: Vec<usize>, round_steps: Option<u64>) -> Split {
    let round_steps = round_steps.map(|steps| NonZeroU64::new(steps).unwrap());
    Split { protocol, cuts: SplitCuts::Fixed(cuts), round_steps, shards: None }
}

fn blocks(network: &Network) -> usize {
    network.cuts().len() + 1
}

/// Trains, and checks what holds for every split.
fn run(comm: &dyn Communicator, task: &Task, split: &Split, job: &mut Recorder) -> Result<Fit, TrainError> {
    let task = Task { split: Some(split), hyper: task.hyper.clone(), ..*task };
    let fit = fit(Strategy::Split, &task, comm, &RealClock::start(), job)?;
    same_everywhere(comm, bytemuck::cast_slice(&fit.theta), "θ");
    same_everywhere(comm, bytemuck::cast_slice(&fit.sigma), "σ");
    if let Some(record) = &fit.last {
        assert_eq!(record.weights_hash, xxhash_rust::xxh3::xxh3_64(bytemuck::cast_slice(&fit.theta)));
        assert_eq!(record.ranks.len(), comm.size());
    }
    Ok(fit)
}

fn train(comm: &dyn Communicator, task: &Task, split: &Split) -> (Fit, Recorder) {
    let mut job = Recorder::default();
    let fit = run(comm, task, split, &mut job).unwrap();
    (fit, job)
}

/// What devices did in every round.
fn rounds(job: &Recorder) -> Vec<&[SplitRecord]> {
    let rounds = job.events.iter().filter_map(|event| match event {
        Event::Round { devices, .. } => Some(devices.as_slice()),
        _ => None,
    });
    rounds.collect()
}

fn one_device(comm: &dyn Communicator) {
    if comm.size() != 2 {
        return;
    }
    let (iris, dropout) = (Iris::load(), Conv::new(true, true));
    let (plain, normed) = (Conv::named("vgg5_plain"), Conv::named("vgg5"));
    for (name, task) in [
        ("iris_mlp", iris.task(hyper(Rule::Adam, 0.01, 12, 5))),
        ("vgg5_plain", plain.task(hyper(Rule::Momentum(0.9), 0.01, 12, 10))),
        ("vgg5", normed.task(hyper(Rule::Sgd, 0.05, 12, 10))),
        ("with dropout", dropout.task(hyper(Rule::Momentum(0.9), 0.01, 13, 3))),
    ] {
        let one = reference(&task);
        for cut in 0..=blocks(task.network) {
            for protocol in [Protocol::Ares, Protocol::Sequential, Protocol::SplitFedV1, Protocol::SplitFedV2] {
                if protocol != Protocol::Ares && cut != 1 {
                    continue;
                }
                let (fit, job) = train(comm, &task, &split(protocol, vec![cut], Some(3)));
                let distance = distance(&fit.theta, &one.theta);
                assert!(distance <= 1e-5, "{name} cut {cut} {}: {distance:e}", protocol.name());
                assert_eq!((fit.cursor, fit.test.samples), (one.cursor, one.test.samples));
                if fit.sigma.len() > 1 {
                    assert!(super::training::distance(&fit.sigma, &one.sigma) <= 1e-5, "{name} cut {cut}");
                }
                if comm.rank() == 0 {
                    let losses = [&fit, &one].map(|fit| fit.last.as_ref().unwrap().train_loss);
                    assert!((losses[0] - losses[1]).abs() < 1e-4, "{name} cut {cut}: {losses:?}");
                    assert_eq!(rounds(&job).iter().map(|r| r[0].samples).sum::<u64>(), one.cursor.samples);
                }
            }
        }
    }
}

fn one_step(comm: &dyn Communicator) {
    if comm.size() < 2 {
        return;
    }
    let (devices, iris, pictures) = (comm.size() - 1, Iris::load(), Conv::named("vgg5_plain"));
    for (rule, rate) in [(Rule::Sgd, 0.05), (Rule::Momentum(0.9), 0.02)] {
        let mut tasks = vec![iris.task(hyper(rule, rate, 12, 5))];
        // Two devices say of convolutions what more of them would, and take a fraction of the time.
        tasks.extend((devices == 2).then(|| pictures.task(hyper(rule, rate, 12, 10))));
        for task in tasks {
            let (one, all) = (reference(&task), blocks(task.network));
            let ragged: Vec<usize> = (0..devices).map(|device| (device * 2 + 1) % (all + 1)).collect();
            for split in [
                split(Protocol::Ares, ragged, Some(1)),
                split(Protocol::SplitFedV1, vec![1; devices], Some(1)),
                split(Protocol::Federated, vec![all; devices], Some(1)),
            ] {
                let (fit, job) = train(comm, &task, &split);
                let distance = distance(&fit.theta, &one.theta);
                assert!(distance <= 1e-5, "{rule:?} {split:?}: {distance:e}");
                if comm.rank() == 0 {
                    assert_eq!(rounds(&job).len() as u64, one.cursor.step);
                }
            }
        }
    }
}

/// One network on the devices' slices of every round, one device after the other.
fn in_turn(task: &Task, devices: usize, round_steps: usize) -> Vec<f32> {
    let (network, hyper) = (task.network, &task.hyper);
    let program = Program::compile(network, Flavor::Naive);
    let (mut workspace, mut grad) = (program.workspace(hyper.global_batch), vec![0.0; network.theta_len()]);
    let plan = StepPlan::new(task.train.len(), hyper.global_batch);
    let (mut theta, mut order) = (hyper.init.draw(network, hyper.seed), Vec::new());
    let mut optimizer = hyper.rule.build(theta.len(), 0.0);
    for epoch in 0..hyper.epochs {
        epoch_order(task.train.len(), hyper.seed, epoch, &mut order);
        for round in (0..plan.steps()).collect::<Vec<_>>().chunks(round_steps) {
            for (device, s) in (0..devices).flat_map(|device| round.iter().map(move |s| (device, *s))) {
                let samples = &order[plan.slice(s, devices, device)];
                if samples.is_empty() {
                    continue;
                }
                let visit = Visit { seed: hyper.seed, epoch: Some(epoch) };
                let labels: Vec<u32> = samples.iter().map(|i| task.train.label(*i as usize)).collect();
                workspace.begin(samples.len());
                workspace.fill(0, &Alone, &|b, layout, row| task.train.load(samples[b] as usize, visit, layout, row));
                let context =
                    Context { phase: Phase::Train, seed: hyper.seed, epoch, samples, sigma: &[], team: &Alone };
                program.loss_and_grad(&context, &theta, &mut workspace, &labels, &mut grad);
                let step = Step { number: 1, rate: hyper.schedule.rate, scale: 1.0 / samples.len() as f64 };
                optimizer.step(step, &grad, &mut theta, &Alone);
            }
        }
    }
    theta
}

fn sequential(comm: &dyn Communicator) {
    if comm.size() < 2 {
        return;
    }
    let (devices, iris) = (comm.size() - 1, Iris::load());
    let task = iris.task(hyper(Rule::Momentum(0.9), 0.02, 12, 3));
    let expected = in_turn(&task, devices, 4);
    for cut in 0..=blocks(task.network) {
        let (fit, _) = train(comm, &task, &split(Protocol::Sequential, vec![cut; devices], Some(4)));
        let distance = distance(&fit.theta, &expected);
        assert!(distance <= 1e-5, "cut {cut}: {distance:e}");
    }
}

fn shards(comm: &dyn Communicator) {
    if comm.size() < 2 {
        return;
    }
    let (devices, iris) = (comm.size() - 1, Iris::load());
    let all: Vec<u32> = (0..iris.train.labels.len() as u32).collect();
    // The first device has half of the samples more than one step, the others share the rest; the last may have none.
    let (first, rest) = all.split_at(70);
    let mut shards = vec![first.to_vec()];
    shards.extend(rest.chunks(rest.len().div_ceil((devices - 1).max(1))).map(<[u32]>::to_vec));
    shards.resize(devices, Vec::new());
    let samples: usize = shards.iter().map(Vec::len).sum();
    let task = iris.task(hyper(Rule::Sgd, 0.05, 6 * devices, 2));
    for protocol in [Protocol::Ares, Protocol::SplitFedV1, Protocol::SplitFedV2, Protocol::Sequential] {
        let split = Split { shards: Some(shards.clone()), ..split(protocol, vec![2; devices], Some(5)) };
        let (fit, job) = train(comm, &task, &split);
        assert_eq!(fit.cursor.samples, 2 * samples as u64, "{}", protocol.name());
        if comm.rank() == 0 {
            for (device, shard) in shards.iter().enumerate() {
                let of_device = rounds(&job).iter().map(|round| round[device].samples).sum::<u64>();
                assert_eq!(of_device, 2 * shard.len() as u64, "{}", protocol.name());
            }
        }
    }
}

fn repeats(comm: &dyn Communicator) {
    if comm.size() < 2 {
        return;
    }
    let (devices, pictures) = (comm.size() - 1, Conv::new(true, true));
    let task = pictures.task(hyper(Rule::Momentum(0.9), 0.02, 4 * devices, 2));
    for protocol in [Protocol::Ares, Protocol::SplitFedV1, Protocol::SplitFedV2, Protocol::Sequential] {
        let split = split(protocol, vec![1; devices], Some(2));
        let [first, second] = [(); 2].map(|()| bits(&train(comm, &task, &split).0.theta));
        assert!(first == second, "{}", protocol.name());
    }
}

fn resuming(comm: &dyn Communicator) {
    if comm.size() < 2 {
        return;
    }
    let (devices, pictures) = (comm.size() - 1, Conv::new(true, true));
    let task = || pictures.task(hyper(Rule::Momentum(0.9), 0.02, 12, 3));
    let all = blocks(task().network);
    let ragged: Vec<usize> = (0..devices).map(|device| (device * 2 + 1) % (all + 1)).collect();
    // Who wishes, before which step: between two rounds, within one, and at the end of an epoch.
    for (split, rank, step) in [
        (split(Protocol::Ares, ragged.clone(), Some(2)), 0, 4),
        (split(Protocol::Ares, ragged.clone(), Some(4)), comm.size() - 1, 6),
        (split(Protocol::Ares, ragged, None), comm.size() - 1, 7),
        (split(Protocol::SplitFedV1, vec![1; devices], Some(3)), comm.size() - 1, 4),
        (split(Protocol::SplitFedV2, vec![1; devices], Some(3)), comm.size() - 1, 4),
        (split(Protocol::Sequential, vec![1; devices], Some(3)), comm.size() - 1, 4),
        (split(Protocol::Sequential, vec![1; devices], None), 0, 5),
        (split(Protocol::Federated, vec![all; devices], Some(3)), comm.size() - 1, 4),
    ] {
        let (whole, _) = train(comm, &task(), &split);
        let mut job = Recorder { wish: (comm.rank() == rank).then_some((step, Turn::Stop)), ..Recorder::default() };
        let stopped = run(comm, &task(), &split, &mut job).unwrap();
        assert_eq!(stopped.ending, Ending::Stopped, "{split:?} at {step}");
        // The server alone saves, and alone goes on from a snapshot.
        let saved = job.snapshot.as_ref().map(|snapshot| snapshot.cursor);
        assert_eq!(saved, (comm.rank() == 0).then_some(stopped.cursor));
        let task = Task { resume: job.snapshot.as_ref(), ..task() };
        let (fit, _) = train(comm, &task, &split);
        assert_eq!((fit.ending, fit.cursor), (Ending::Finished, whole.cursor));
        assert!(bits(&fit.theta) == bits(&whole.theta), "{split:?} stopped at {step}");
    }
}

fn leaving(comm: &dyn Communicator) {
    if comm.size() < 3 {
        return;
    }
    let iris = Iris::load();
    let devices = comm.size() - 1;
    let task = iris.task(hyper(Rule::Sgd, 0.02, 6 * devices, 4));
    for protocol in [Protocol::Ares, Protocol::SplitFedV1, Protocol::SplitFedV2] {
        let leaves = comm.rank() == devices;
        let mut job = Recorder { wish: leaves.then_some((3, Turn::Leave)), ..Recorder::default() };
        let fit = run(comm, &task, &split(protocol, vec![1; devices], Some(2)), &mut job).unwrap();
        // The samples of a step are dealt to those that are there.
        assert_eq!((fit.ending, fit.cursor.samples), (Ending::Finished, 4 * iris.train.labels.len() as u64));
        if comm.rank() == 0 {
            let last = rounds(&job).last().unwrap().len();
            assert_eq!(last, devices - 1, "{}", protocol.name());
        }
    }
}

fn divergence(comm: &dyn Communicator) {
    if comm.size() < 2 {
        return;
    }
    let (devices, iris) = (comm.size() - 1, Iris::load());
    let task = iris.task(hyper(Rule::Sgd, 1e38, 12, 3));
    for cut in [0, 1, blocks(task.network)] {
        let split = split(Protocol::Ares, vec![cut; devices], None);
        let error = run(comm, &task, &split, &mut Recorder::default()).unwrap_err();
        assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
        comm.barrier().unwrap();
    }
}
