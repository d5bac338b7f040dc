//! Local learning: each stage is, bit for bit, what a plain loop over the stages makes of it, whatever the window, the
//! delays and the machines; and its messages are what they are said to be.

use super::comm_threads::{BUFFERED, RENDEZVOUS};
use super::delayed::Delayed;
use crate::cases::conv::Conv;
use crate::cases::iris::{Iris, RULES, hyper};
use crate::cases::training::{Recorder, bits};
use goai::comm::{Communicator, Emulated, ThreadOptions, run_threads};
use goai::data::Visit;
use goai::data::order::{StepPlan, epoch_order};
use goai::device::{Clock, Devices, EmulatedClock, Link, Machine, Pace, Profile, RealClock};
use goai::event::{Event, StageRecord};
use goai::nn::{Alone, Context, Flavor, Network, Phase, Program, with_exits};
use goai::optim::{Rule, Step};
use goai::strategy::{Cursor, Ending, Fit, Hyper, Learn, Pipeline, Strategy, Task, Turn, fit};
use goai::units::Seconds;
use ndarray::Array2;

/// Share of a step's moments in the running statistics.
const MOMENTS_SHARE: f32 = 0.1;
const HEADER: u64 = 32;

/// What a stage reads in a step.
struct Batch {
    epoch: u64,
    step: u64,
    rate: f64,
    samples: Vec<u32>,
    labels: Vec<u32>,
    rows: Array2<f32>,
}

fn local(cuts: Vec<usize>, window: usize, replay: usize) -> Pipeline {
    Pipeline { cuts, learn: Learn::Local { preempt: false, replay }, window, exits: None }
}

/// The network with an exit head before every cut; cuts are numbers of blocks.
fn with_heads(network: &Network, cuts: &[usize]) -> Network {
    let nodes: Vec<usize> = cuts.iter().map(|cut| network.cuts()[cut - 1]).collect();
    Network::build(with_exits(network, &nodes)).unwrap()
}

/// The batches that the first stage reads.
fn batches(task: &Task) -> Vec<Batch> {
    let (hyper, mut order, mut all) = (&task.hyper, Vec::new(), Vec::new());
    let plan = StepPlan::new(task.train.len(), hyper.global_batch);
    let dims = task.network.shapes()[0].elements();
    let program = Program::compile(task.network, Flavor::Naive);
    let mut ws = program.workspace(hyper.global_batch);
    for epoch in 0..hyper.epochs {
        epoch_order(task.train.len(), hyper.seed, epoch, &mut order);
        for s in 0..plan.steps() {
            let samples = order[plan.run(s)].to_vec();
            let visit = Visit { seed: hyper.seed, epoch: Some(epoch) };
            ws.begin(samples.len());
            ws.fill(0, &Alone, &|b, layout, row| task.train.load(samples[b] as usize, visit, layout, row));
            let rows = ws.value(0).to_owned();
            assert_eq!(rows.ncols(), dims);
            let labels = samples.iter().map(|i| task.train.label(*i as usize)).collect();
            let span = 1.0 / plan.steps() as f64;
            let rate = hyper.schedule.at(epoch as f64 + s as f64 * span, span);
            all.push(Batch { epoch, step: all.len() as u64 + 1, rate, samples, labels, rows });
        }
    }
    all
}

/// Batches that are learned from again: the one read least, of these the oldest; the newest is not. Full, it forgets the one
/// read most, of these the oldest.
struct Memory {
    room: usize,
    /// Which batch, and how often it was read.
    kept: Vec<(usize, u64)>,
}

impl Memory {
    fn next(&mut self, newest: usize) -> Option<usize> {
        if self.room == 0 {
            return None;
        }
        if self.kept.len() == self.room {
            let most = self.kept.iter().map(|(_, reads)| *reads).max()?;
            let oldest = self.kept.iter().filter(|(_, reads)| *reads == most).map(|(batch, _)| *batch).min()?;
            self.kept.retain(|(batch, _)| *batch != oldest);
        }
        self.kept.push((newest, 0));
        let old = || self.kept.iter().filter(|(batch, _)| *batch != newest);
        let least = old().map(|(_, reads)| *reads).min()?;
        let again = old().filter(|(_, reads)| *reads == least).map(|(batch, _)| *batch).min()?;
        self.kept.iter_mut().find(|(batch, _)| *batch == again)?.1 += 1;
        Some(again)
    }
}

/// The reference: stage after stage, each goes through all batches and writes down what it hands on.
fn one_by_one(task: &Task, pipeline: &Pipeline) -> (Vec<f32>, Vec<f32>) {
    let (network, hyper) = (task.network, &task.hyper);
    let (mut theta, mut sigma) = (hyper.init.draw(network, hyper.seed), network.initial_sigma());
    let Learn::Local { replay, .. } = pipeline.learn else { panic!("local learning") };
    let mut batches = batches(task);
    let ends: Vec<usize> =
        pipeline.cuts.iter().map(|cut| network.cuts()[cut - 1]).chain([network.nodes().len()]).collect();
    let mut start = 0;
    for (stage, end) in ends.into_iter().enumerate() {
        let part = network.part(&(start..end).collect::<Vec<_>>()).unwrap();
        let whole = |spans: &[goai::nn::Span]| {
            let (from, len) = (spans[0].start, spans.iter().map(|span| span.len).sum::<usize>());
            from..from + len
        };
        let (of_theta, of_sigma) = (whole(&part.theta), whole(&part.sigma));
        // The first stage reads data, and keeps none of it.
        let replay = if stage == 0 { 0 } else { replay };
        batches = learn(task, &part.network, &mut theta[of_theta], &mut sigma[of_sigma], batches, replay);
        start = end;
    }
    (theta, sigma)
}

fn learn(
    task: &Task,
    network: &Network,
    theta: &mut [f32],
    sigma: &mut [f32],
    mut batches: Vec<Batch>,
    replay: usize,
) -> Vec<Batch> {
    let hyper = &task.hyper;
    let program = Program::compile(network, Flavor::Fused);
    let mut ws = program.workspace(hyper.global_batch);
    let mut rule = hyper.rule.build(theta.len(), hyper.weight_decay);
    let mut memory = Memory { room: replay, kept: Vec::new() };
    let (mut grad, mut handed_on) = (vec![0.0; theta.len()], Vec::new());
    for at in 0..batches.len() {
        let now = &batches[at];
        let again = memory.next(at).map(|old| &batches[old]);
        for (batch, again) in [Some(now), again].into_iter().flatten().zip([false, true]) {
            ws.assign(0, batch.rows.view());
            {
                let frozen = sigma.to_vec();
                let context = Context {
                    phase: Phase::Train,
                    seed: hyper.seed,
                    epoch: now.epoch,
                    ..Context::eval(&batch.samples, &frozen)
                };
                program.forward(&context, theta, &mut ws);
                if let (false, Some(export)) = (again, network.exports().first()) {
                    handed_on.push(ws.value(*export).to_owned());
                }
                program.losses(&mut ws, &batch.labels);
                program.backward(&context, theta, &mut ws, &mut grad, &mut |_, _| {});
            }
            let rows = batch.samples.len();
            let step = Step { number: now.step, rate: now.rate, scale: 1.0 / rows as f64 };
            rule.step(step, &grad, theta, &Alone);
            for (running, moment) in sigma.iter_mut().zip(ws.moments()) {
                *running += MOMENTS_SHARE * (moment * rows as f32 / rows as f32 - *running);
            }
        }
    }
    for (batch, rows) in batches.iter_mut().zip(handed_on) {
        batch.rows = rows;
    }
    batches
}

/// How the ranks run, apart from what they compute.
#[derive(Clone, Copy)]
struct Way {
    options: ThreadOptions,
    delay_ms: u64,
    emulated: bool,
}

const PLAIN: Way = Way { options: BUFFERED, delay_ms: 0, emulated: false };

/// Trains the stages on threads; every rank's result, with what it was told.
fn run(task: &Task, pipeline: &Pipeline, way: Way, wish: Option<(usize, u64)>) -> Vec<(Fit, Recorder)> {
    let ranks = pipeline.stages();
    let profiles = (0..ranks).map(|rank| Profile::new("toy", 1e9 / (rank + 1) as f64)).collect();
    let devices = Devices::new("toy", profiles, Link::new(1e6, Seconds(0.001)));
    run_threads(ranks, way.options, |comm| {
        let comm = Delayed::new(comm, way.delay_ms);
        let task = Task { pipeline: Some(pipeline), hyper: task.hyper.clone(), ..*task };
        let wish = wish.filter(|(rank, _)| *rank == comm.rank()).map(|(_, step)| (step, Turn::Stop));
        let mut job = Recorder { wish, ..Recorder::default() };
        let fit = match way.emulated {
            false => fit(Strategy::Pipeline, &task, &comm, &RealClock::start(), &mut job),
            true => {
                let clock = EmulatedClock::start(Machine::new(devices.profile(comm.rank()), "toy"), Pace::Virtual);
                let emulated = Emulated::new(&comm, clock.machine().unwrap(), &devices);
                fit(Strategy::Pipeline, &task, &emulated, &clock, &mut job)
            }
        };
        (fit.unwrap(), job)
    })
}

fn check(task: &Task, pipeline: &Pipeline, way: Way, expected: &(Vec<f32>, Vec<f32>)) -> Vec<Vec<StageRecord>> {
    let all = run(task, pipeline, way, None);
    let name = &task.network.spec().name;
    for (rank, (fit, _)) in all.iter().enumerate() {
        assert!(bits(&fit.theta) == bits(&expected.0), "{name} {pipeline:?} rank {rank}: other weights");
        assert!(bits(&fit.sigma) == bits(&expected.1), "{name} {pipeline:?} rank {rank}: other statistics");
    }
    stage_records(&all[0].1)
}

fn stage_records(job: &Recorder) -> Vec<Vec<StageRecord>> {
    let of = |event: &Event| if let Event::Stages { stages, .. } = event { Some(stages.clone()) } else { None };
    job.events.iter().filter_map(of).collect()
}

fn iris_with_heads(cuts: &[usize]) -> Iris {
    let iris = Iris::load();
    Iris { network: with_heads(&iris.network, cuts), ..iris }
}

#[test]
fn every_stage_is_a_plain_loop_s() {
    for cuts in [vec![1], vec![2], vec![1, 2]] {
        let iris = iris_with_heads(&cuts);
        for ((rule, rate), batch) in RULES.into_iter().zip([12, 7, 50]) {
            let task = iris.task(Hyper { weight_decay: 1e-3, ..hyper(rule, rate, batch, 2) });
            let mut before = Vec::new();
            for replay in [0, 1, 3] {
                let pipeline = |window| local(cuts.clone(), window, replay);
                let expected = one_by_one(&task, &pipeline(1));
                // With room for one there is nothing older to learn from.
                assert_eq!(before == expected.0, replay == 1, "replay {replay}");
                before = expected.0.clone();
                for window in [1, 2, 7, 1000] {
                    check(&task, &pipeline(window), PLAIN, &expected);
                    check(&task, &pipeline(window), Way { options: RENDEZVOUS, ..PLAIN }, &expected);
                    check(&task, &pipeline(window), Way { emulated: true, ..PLAIN }, &expected);
                }
            }
        }
    }
}

#[test]
fn stages_of_pictures_are_a_plain_loop_s() {
    let normed = Conv::new(true, true);
    let nets = [(normed, vec![1]), (Conv::named("vgg5"), vec![2, 4]), (Conv::named("img_cnn"), vec![2, 4, 6])];
    for ((data, cuts), (rule, rate)) in nets.into_iter().zip(RULES) {
        let data = Conv { network: with_heads(&data.network, &cuts), ..data };
        let task = data.task(hyper(rule, rate / 4.0, 13, 2));
        for (replay, window) in [(0, 1), (2, 3)] {
            let pipeline = local(cuts.clone(), window, replay);
            let expected = one_by_one(&task, &pipeline);
            check(&task, &pipeline, PLAIN, &expected);
            check(&task, &pipeline, Way { options: RENDEZVOUS, emulated: true, ..PLAIN }, &expected);
        }
    }
}

/// The five boards with the heads that they have.
#[test]
fn the_five_stage_chain_is_a_plain_loop_s() {
    let data = Conv::named("greenai_chain");
    let task = data.task(hyper(Rule::Sgd, 0.02, 20, 1));
    let pipeline = local(vec![1, 2, 3, 4], 2, 0);
    let records = check(&task, &pipeline, PLAIN, &one_by_one(&task, &pipeline));
    assert!(records.iter().flatten().all(|record| record.batches == 3 && record.val_acc.is_some()));
}

#[test]
fn real_delays_change_nothing() {
    let cuts = vec![1, 2];
    let iris = iris_with_heads(&cuts);
    let task = iris.task(hyper(Rule::Adam, 0.01, 20, 1));
    let expected = one_by_one(&task, &local(cuts.clone(), 1, 1));
    for (window, delay_ms) in [(1, 4), (3, 4), (2, 9)] {
        for emulated in [false, true] {
            let way = Way { delay_ms, emulated, ..PLAIN };
            check(&task, &local(cuts.clone(), window, 1), way, &expected);
            check(&task, &local(cuts.clone(), window, 1), Way { options: RENDEZVOUS, ..way }, &expected);
        }
    }
}

/// Messages by hand, on all stages and epochs: a batch costs its activations, 4 bytes a label, and a header; a credit 16
/// bytes and a header. 120 samples in batches of 16 are 8 batches.
#[test]
fn all_batches_reach_the_last_stage_and_cost_what_they_hold() {
    let cuts = vec![1, 2];
    let iris = iris_with_heads(&cuts);
    let (samples, batches) = (120u64, 8u64);
    let task = iris.task(hyper(Rule::Sgd, 0.1, 16, 3));
    for window in [1, 3, 50] {
        let all = run(&task, &local(cuts.clone(), window, 0), PLAIN, None);
        let epochs = stage_records(&all[0].1);
        assert_eq!(epochs.len(), 3);
        for (stage, record) in epochs.iter().flat_map(|stages| stages.iter().enumerate()) {
            assert_eq!((record.stage, record.rank, record.replica), (stage, stage, 0));
            assert_eq!((record.batches, record.samples), (batches, samples), "every batch comes to every stage");
            assert_eq!(record.bytes_up, 0, "nothing flows back");
            assert_eq!(record.bytes_control, if stage == 0 { 0 } else { batches * (16 + HEADER) });
            let width = [30, 20, 0][stage];
            let down = if stage == 2 { 0 } else { samples * 4 * (width + 1) + batches * HEADER };
            assert_eq!(record.bytes_down, down, "stage {stage}");
            const { assert!(HEADER <= 64) };
            for figure in [record.train_loss, record.val_loss, record.train_acc, record.val_acc] {
                assert!(figure.is_some_and(f64::is_finite), "{record:?}");
            }
        }
        let last = all[0].0.last.as_ref().unwrap();
        assert_eq!((last.samples, last.step), (3 * samples, 3 * batches));
        assert!(all.iter().all(|(fit, _)| fit.cursor == all[0].0.cursor && fit.test.samples == iris.test.len() as u64));
    }
}

/// Whoever wishes it, and wherever the others are: all stages end behind the same batch, not before the wish, and go on
/// from there to the same bits.
#[test]
fn a_wish_stops_all_stages_behind_one_batch() {
    let cuts = vec![1, 2];
    let iris = iris_with_heads(&cuts);
    let task = iris.task(hyper(Rule::Momentum(0.9), 0.05, 12, 4));
    let pipeline = local(cuts, 2, 0);
    let whole = run(&task, &pipeline, PLAIN, None);
    for (rank, step) in [(0, 0), (0, 13), (1, 4), (2, 5), (2, 9), (1, 19), (2, 0)] {
        for delay_ms in [0, 3] {
            let all = run(&task, &pipeline, Way { delay_ms, ..PLAIN }, Some((rank, step)));
            let end = all[0].0.cursor;
            assert!(end.step > step && end.step <= step + 2 + 2 * 3, "wished at {step} on {rank}, ended at {end:?}");
            for (fit, job) in &all {
                assert_eq!((fit.ending, fit.cursor), (Ending::Stopped, end), "wished at {step} on {rank}");
                assert_eq!(job.turns.len() as u64, end.step, "a turn a batch");
                assert_eq!(job.saves, [end]);
                assert_eq!(end.samples, end.step * 12);
            }
            let snapshot = all[0].1.snapshot.as_ref();
            let resumed = Task { resume: snapshot, hyper: task.hyper.clone(), ..task };
            let resumed = run(&resumed, &pipeline, PLAIN, None);
            assert!(resumed.iter().all(|(fit, _)| bits(&fit.theta) == bits(&whole[0].0.theta)), "went on otherwise");
        }
    }
}

/// A stop in the last batch of the last epoch is no stop.
#[test]
fn a_wish_in_the_last_batch_comes_too_late() {
    let iris = iris_with_heads(&[1]);
    let task = iris.task(hyper(Rule::Sgd, 0.05, 12, 1));
    for rank in [0, 1] {
        for (fit, _) in run(&task, &local(vec![1], 2, 0), PLAIN, Some((rank, 9))) {
            assert_eq!(fit.cursor, Cursor { epoch: 1, step: 10, samples: 120, step_in_epoch: 0 });
            assert_eq!(fit.ending, Ending::Finished);
        }
    }
}
