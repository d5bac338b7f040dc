//! Pipelines on emulated machines: real trainings take exactly the virtual times that the books and a pencil say.
//!
//! Block b of the chain takes the same measured time on every machine, for as many rows as a micro-batch has.

use super::comm_threads::{BUFFERED, RENDEZVOUS};
use super::delayed::Delayed;
use crate::cases::iris::{Iris, hyper};
use crate::cases::training::Recorder;
use goai::comm::{Communicator, Emulated, ThreadOptions, run_threads};
use goai::data::Dataset;
use goai::device::{Clock, Devices, EmulatedClock, Link, Machine, Pace, Power, Profile, Table};
use goai::event::{Event, HeadRecord, MachineRecord, StageRecord, SweepRow};
use goai::nn::{Network, with_exits, zoo};
use goai::optim::metropolis::{Neighbourhood, Proposer};
use goai::optim::{Metropolis, Rule};
use goai::plan::pipeline::{self as plan, ScheduleKind};
use goai::strategy::{Exits, Hyper, Learn, Pipeline, Strategy, Sureness, Task, fit};
use goai::units::{Seconds, Watts};
use serde_json::Value;

/// Rows of a batch, or of a micro-batch.
const ROWS: usize = 2;
const HEADER: f64 = 32.0;
const POWER: Power = Power { compute: Watts(8.0), idle: Watts(2.0), send: Watts(3.0), receive: Watts(2.5) };

fn instant() -> Link {
    Link::new(f64::INFINITY, Seconds(0.0))
}

/// Machines with these times for the blocks of the chain, forward and backward, and `rows` rows.
fn machines(forward: &[f64], backward: &[f64], rows: usize, link: Link) -> Devices {
    let cumulative = |times: &[f64]| {
        let mut sum = 0.0;
        times
            .iter()
            .map(|time| {
                Seconds({
                    sum += time;
                    sum
                })
            })
            .collect()
    };
    let table = Table { batch: rows, forward: cumulative(forward), backward: cumulative(backward) };
    let mut profile = Profile { power: POWER, ..Profile::new("board", 1.0) };
    profile.measured.insert("chain".into(), table);
    Devices::new("toy", vec![profile; forward.len()], link)
}

/// A chain of so many blocks, with so many samples to train on and to validate with.
fn chain(blocks: usize, width: usize, train: usize, validation: usize) -> Iris {
    let iris = Iris::load();
    let options = zoo::MlpOptions::default();
    let first = |data: &Dataset, count| data.select(&(0..count).map(|i| i % data.len()).collect::<Vec<_>>());
    Iris {
        network: Network::build(zoo::mlp(4, &vec![width; blocks - 1], 3, &options)).unwrap(),
        train: first(&iris.train, train),
        validation: first(&iris.train, validation),
        test: iris.test,
    }
}

/// The same chain with an exit head in every stage.
fn headed(iris: Iris) -> Iris {
    let network = Network::build(with_exits(&iris.network, &iris.network.cuts())).unwrap();
    Iris { network, ..iris }
}

fn backprop(stages: usize, schedule: ScheduleKind, micro_batches: usize) -> Pipeline {
    let learn = Learn::Backprop { schedule, micro_batches };
    Pipeline { cuts: (1..stages).collect(), learn, window: 4, exits: None }
}

fn local(stages: usize, window: usize) -> Pipeline {
    Pipeline { cuts: (1..stages).collect(), learn: Learn::Local { preempt: false, replay: 0 }, window, exits: None }
}

/// Trains on emulated machines, one a stage; what rank 0 was told.
fn emulate(task: &Task, pipeline: &Pipeline, devices: &Devices, options: ThreadOptions, delay_ms: u64) -> Recorder {
    let jobs = run_threads(devices.profiles().len(), options, |comm| {
        let late = Delayed::new(comm, delay_ms);
        let task = Task { pipeline: Some(pipeline), hyper: task.hyper.clone(), ..*task };
        let clock = EmulatedClock::start(Machine::new(devices.profile(comm.rank()), "chain"), Pace::Virtual);
        let emulated = Emulated::new(&late, clock.machine().unwrap(), devices);
        let mut job = Recorder::default();
        fit(Strategy::Pipeline, &task, &emulated, &clock, &mut job).unwrap();
        job
    });
    jobs.into_iter().next().unwrap()
}

/// Every way to run that must not matter.
fn anyhow(task: &Task, pipeline: &Pipeline, devices: &Devices, check: impl Fn(&Recorder)) {
    for (options, delay_ms) in [(BUFFERED, 0), (RENDEZVOUS, 0), (BUFFERED, 2)] {
        check(&emulate(task, pipeline, devices, options, delay_ms));
    }
}

fn phases<'a>(job: &'a Recorder, name: &str) -> Vec<&'a [MachineRecord]> {
    let of = |event: &'a Event| match event {
        Event::Energy { phase, machines, .. } if *phase == name => Some(machines.as_slice()),
        _ => None,
    };
    job.events.iter().filter_map(of).collect()
}

fn stages<'a>(job: &'a Recorder) -> Vec<&'a [StageRecord]> {
    let of = |event: &'a Event| if let Event::Stages { stages, .. } = event { Some(stages.as_slice()) } else { None };
    job.events.iter().filter_map(of).collect()
}

fn exits(job: &Recorder) -> (&[HeadRecord], &[SweepRow]) {
    let mut all = job.events.iter().filter_map(|event| match event {
        Event::Exits { heads, sweep, .. } => Some((heads.as_slice(), sweep.as_slice())),
        _ => None,
    });
    all.next().expect("the test part was measured")
}

fn near(ours: f64, expected: f64, what: &str) {
    assert!((ours - expected).abs() <= 1e-9 * expected.abs(), "{what}: {ours} instead of {expected}");
}

/// Every epoch took so long, by the epoch's record, by every machine's, and by every stage's.
fn took(job: &Recorder, expected: f64, epochs: usize, what: &str) {
    let records =
        job.events.iter().filter_map(|event| if let Event::Epoch(record) = event { Some(record) } else { None });
    let times: Vec<f64> = records.map(|record| record.modelled_epoch_s.unwrap()).collect();
    assert_eq!(times.len(), epochs);
    times.iter().for_each(|time| near(*time, expected, what));
    for machine in phases(job, "train").into_iter().flatten() {
        near(machine.modelled_s.unwrap(), expected, what);
    }
    for stage in stages(job).into_iter().flatten() {
        near(stage.modelled_epoch_s.unwrap(), expected, what);
    }
}

fn oracle() -> Value {
    serde_json::from_str(include_str!("../oracles/pipeline.json")).unwrap()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("no {key} in {row}"))
}

/// (m+p-1)(tf+tb), one step an epoch; the bubble is (p-1)/(m+p-1) on every stage.
#[test]
fn uniform_stages_take_what_the_oracle_says() {
    for row in oracle()["uniform"].as_array().unwrap() {
        let (p, m) = (number(row, "p") as usize, number(row, "m") as usize);
        let (tf, tb, time) = (number(row, "tf"), number(row, "tb"), number(row, "time"));
        let devices = machines(&vec![tf; p], &vec![tb; p], ROWS, instant());
        let data = chain(p, 6, ROWS * m, 0);
        let task = data.task(hyper(Rule::Sgd, 0.1, ROWS * m, 2));
        for schedule in [ScheduleKind::Gpipe, ScheduleKind::OneForwardOneBackward] {
            anyhow(&task, &backprop(p, schedule, m), &devices, |job| {
                took(job, time, 2, &format!("{} {row}", schedule.name()));
                for stage in stages(job).into_iter().flatten() {
                    near(stage.modelled_busy_s.unwrap(), m as f64 * (tf + tb), "busy");
                    near(stage.modelled_bubble.unwrap(), (p as f64 - 1.0) / (m + p - 1) as f64, "bubble");
                }
            });
        }
        // As many steps take as many times as long: every step is flushed.
        let data = chain(p, 6, ROWS * m * 3, 0);
        let task = data.task(hyper(Rule::Sgd, 0.1, ROWS * m, 1));
        let job = emulate(&task, &backprop(p, ScheduleKind::OneForwardOneBackward, m), &devices, BUFFERED, 0);
        took(&job, 3.0 * time, 1, "three steps");
    }
}

/// m(F+B+W) + (p-1)(F+B-W); half of a measured backward is for either gradient.
#[test]
fn zero_bubble_takes_what_the_oracle_says() {
    for row in oracle()["zb_h1"]["cases"].as_array().unwrap() {
        let (p, m) = (number(row, "p") as usize, number(row, "m") as usize);
        assert_eq!(number(row, "B"), number(row, "W"));
        let devices = machines(&vec![number(row, "F"); p], &vec![2.0 * number(row, "B"); p], ROWS, instant());
        let data = chain(p, 6, ROWS * m, 0);
        let task = data.task(hyper(Rule::Sgd, 0.1, ROWS * m, 1));
        anyhow(&task, &backprop(p, ScheduleKind::ZeroBubbleH1, m), &devices, |job| {
            took(job, number(row, "time"), 1, &row.to_string());
        });
    }
}

/// Σt + (m-1) max t: learning that takes no time beyond the forward pass, and measuring, under either way of learning and
/// any window.
#[test]
fn forward_only_chains_take_what_the_oracle_says() {
    for row in oracle()["forward_only"].as_array().unwrap() {
        let times: Vec<f64> = row["t"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
        let (p, m, time) = (times.len(), number(row, "m") as usize, number(row, "time"));
        let devices = machines(&times, &vec![0.0; p], ROWS, instant());
        let data = headed(chain(p, 6, ROWS * m, ROWS * m));
        let task = data.task(hyper(Rule::Sgd, 0.1, ROWS, 2));
        let measured = |job: &Recorder, epochs: usize, what: &str| {
            let measured = phases(job, "measure");
            assert_eq!(measured.len(), epochs);
            measured.into_iter().flatten().for_each(|machine| near(machine.modelled_s.unwrap(), time, what));
        };
        for window in [1, 2, 1000] {
            anyhow(&task, &local(p, window), &devices, |job| {
                took(job, time, 2, &format!("window {window}"));
                measured(job, 2, "measuring");
            });
        }
        let data = chain(p, 6, ROWS * m, ROWS * m);
        let task = data.task(hyper(Rule::Sgd, 0.1, ROWS * m, 1));
        let job = emulate(&task, &backprop(p, ScheduleKind::Gpipe, m), &devices, BUFFERED, 0);
        measured(&job, 1, "measuring under backprop");
    }
}

/// Local learning hands a batch on behind its forward pass: equal stages take (p-1)·tf + m(tf+tb).
#[test]
fn local_learning_overlaps_backward_with_the_next_stage() {
    let (p, m, tf, tb) = (4, 9, 1.0, 2.0);
    let devices = machines(&[tf; 4], &[tb; 4], ROWS, instant());
    let data = headed(chain(p, 6, ROWS * m, 0));
    let task = data.task(hyper(Rule::Sgd, 0.1, ROWS, 1));
    anyhow(&task, &local(p, 3), &devices, |job| {
        took(job, 3.0 * tf + 9.0 * (tf + tb), 1, "local learning");
        stages(job).into_iter().flatten().for_each(|stage| near(stage.modelled_busy_s.unwrap(), 27.0, "busy"));
    });
}

/// Two stages of 1 s, 4 batches. A batch of one row is 6 activations, a label and a header, 60 bytes: 1 s at 60 B/s, and 2 s
/// on its way. A credit is 48 bytes: 0.1 s at 480 B/s, and 0.4 s on its way.
///
/// ```text
/// window 1   first   sends from   1     4.5   8     11.5   (a credit arrives 0.5 s after a batch is taken up)
///            second  takes it up  4     7.5   11    14.5   and is done at 15.5
/// window 2   first   sends from   1     2     4.5   5.5
///            second  takes it up  4     5     7.5   8.5    and is done at  9.5
/// window 4   first   sends from   1     2     3     4
///            second  takes it up  4     5     6     7      and is done at  8
/// ```
///
/// Energy under window 1, W·s computing, idle, sending, receiving above idling: first 8·4 + 2·11.5 + 1·4 + 0.5·0.4, second
/// 8·4 + 2·11.5 + 1·0.4 + 0.5·4.
#[test]
fn a_slow_link_and_a_small_window_by_hand() {
    let devices = machines(&[1.0, 1.0], &[0.0, 0.0], 1, instant())
        .with_link(0, 1, Link::new(60.0, Seconds(2.0)))
        .with_link(1, 0, Link::new(480.0, Seconds(0.4)));
    let data = headed(chain(2, 6, 4, 0));
    let task = data.task(hyper(Rule::Sgd, 0.1, 1, 1));
    for (window, time) in [(1, 15.5), (2, 9.5), (4, 8.0)] {
        anyhow(&task, &local(2, window), &devices, |job| {
            took(job, time, 1, &format!("window {window}"));
            let machines = phases(job, "train")[0];
            let expected = [[32.0, 2.0 * (time - 4.0), 4.0, 0.2], [32.0, 2.0 * (time - 4.0), 0.4, 2.0]];
            for (machine, [compute, idle, send, receive]) in machines.iter().zip(expected) {
                near(machine.modelled_compute_j.unwrap(), compute, "compute");
                near(machine.modelled_idle_j.unwrap(), idle, "idle");
                near(machine.modelled_send_j.unwrap(), send, "send");
                near(machine.modelled_receive_j.unwrap(), receive, "receive");
            }
        });
    }
}

/// Three stages of 1, 2 and 3 s a sample. A sample is 30, then 20 activations, a label and a header: 1 s on either link, and
/// 0.5 s on its way. So the heads answer at 1, 1 + 1.5 + 2 and 4.5 + 1.5 + 3 s.
///
/// Joules above idling: the first stage computes for 8 (answer) and sends for 1; the second receives for 0.5, computes for
/// 16 (answer at 9 + 16.5) and sends for 1; the third receives for 0.5 and computes for 24 (answer at 26.5 + 24.5).
#[test]
fn ways_to_the_heads_by_hand() {
    let (iris, devices) = (three_stages(), three_machines());
    anyhow(&iris.task(hyper(Rule::Adam, 0.02, 12, 1)), &local(3, 2), &devices, |job| {
        let (heads, _) = exits(job);
        for (head, (latency, joules)) in heads.iter().zip([(1.0, 8.0), (4.5, 25.5), (9.0, 51.0)]) {
            near(head.latency_s.unwrap(), latency, "latency");
            near(head.energy_j.unwrap(), joules, "energy");
        }
    });
}

fn three_stages() -> Iris {
    let iris = Iris::load();
    let network = Network::build(with_exits(&iris.network, &iris.network.cuts())).unwrap();
    Iris { network, ..iris }
}

fn three_machines() -> Devices {
    let bytes = |width: f64| 4.0 * (width + 1.0) + HEADER;
    machines(&[1.0, 2.0, 3.0], &[0.0; 3], 1, instant()).with_link(0, 1, Link::new(bytes(30.0), Seconds(0.5))).with_link(
        1,
        2,
        Link::new(bytes(20.0), Seconds(0.5)),
    )
}

/// E[T] = Σ exitᵢ · time to i, against sending every test sample through the chain alone, with that threshold.
///
/// Behind the exit a message without rows goes on, so that the later stages know: its header's time on each link is no part
/// of the sample's latency, and is taken off here; links without cost need no correction, of times or of energies.
#[test]
fn a_sweep_s_expected_latency_is_the_mean_of_single_samples() {
    let iris = three_stages();
    let hyper = || hyper(Rule::Adam, 0.02, 12, 4);
    let free = machines(&[1.0, 2.0, 3.0], &[0.0; 3], 1, instant());
    let forwarding = |width: f64| 0.5 + HEADER / (4.0 * (width + 1.0) + HEADER);
    let slow = [forwarding(30.0) + forwarding(20.0), forwarding(20.0), 0.0];
    for (devices, behind) in [(free, [0.0; 3]), (three_machines(), slow)] {
        let whole = emulate(&iris.task(hyper()), &local(3, 2), &devices, BUFFERED, 0);
        let (_, sweep) = exits(&whole);
        let mut left_early = 0.0;
        for row in sweep.iter().filter(|row| [0.4, 0.5, 0.6, 0.8].contains(&row.threshold)) {
            let exits = Exits { sureness: Sureness::Confidence, thresholds: vec![row.threshold] };
            let pipeline = Pipeline { exits: Some(exits), ..local(3, 2) };
            let (mut shares, mut seconds, mut joules, mut right) = ([0.0; 3], 0.0, 0.0, 0.0);
            let count = iris.test.len() as f64;
            for i in 0..iris.test.len() {
                let one = iris.test.select(&[i]);
                let task = Task { validation: &one, test: &one, ..iris.task(hyper()) };
                let job = emulate(&task, &pipeline, &devices, BUFFERED, 0);
                let last = *stages(&job).last().unwrap();
                let at = last.iter().position(|stage| stage.exit_share == Some(1.0)).expect("it left somewhere");
                shares[at] += 1.0 / count;
                let machines = *phases(&job, "measure").last().unwrap();
                seconds += (machines[0].modelled_s.unwrap() - behind[at]) / count;
                joules += machines.iter().map(|m| m.modelled_compute_j.unwrap()).sum::<f64>() / count;
                let record = job.events.iter().rev().find_map(|e| if let Event::Epoch(r) = e { Some(r) } else { None });
                right += record.unwrap().test_acc.unwrap() / count;
            }
            shares.iter().zip(&row.exit_shares).for_each(|(ours, theirs)| near(*theirs, *ours, "exit shares"));
            near(row.latency_s.unwrap(), seconds, "expected latency");
            near(row.accuracy, right, "accuracy");
            if behind[0] == 0.0 {
                near(row.energy_j.unwrap(), joules, "expected energy");
            }
            left_early += shares[0] * shares[1] * shares[2];
        }
        assert!(left_early > 0.0, "no threshold at which samples leave everywhere: {sweep:?}");
    }
}

/// Replicas and schedules change the times, and delays do not: two chains side by side take what one of them takes.
#[test]
fn replicas_side_by_side_take_one_chain_s_time() {
    let (p, m) = (2, 4);
    let single = machines(&[1.0; 2], &[2.0; 2], ROWS, instant());
    let devices = Devices::new("toy", vec![single.profile(0).clone(); 2 * p], instant());
    let data = chain(p, 6, 2 * ROWS * m, 0);
    let task = data.task(hyper(Rule::Sgd, 0.1, 2 * ROWS * m, 1));
    for schedule in [ScheduleKind::Gpipe, ScheduleKind::OneForwardOneBackward] {
        anyhow(&task, &backprop(p, schedule, m), &devices, |job| took(job, 15.0, 1, schedule.name()));
    }
}

/// Unequal stages, links that take time, few and many micro-batches: the real run is where the event simulator says.
#[test]
fn any_chain_takes_what_the_simulator_says() {
    let mut state = 7u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..12 {
        let (p, m, width) = (2 + draw(4) as usize, 1 + draw(9) as usize, 6);
        let mut times = |most| (0..p).map(|_| (1 + draw(most)) as f64 / 4.0).collect::<Vec<f64>>();
        let (forward, backward, bandwidth, latency) = (times(8), times(12), times(8), times(3));
        let mut devices = machines(&forward, &backward, ROWS, instant());
        // Bytes of a micro-batch's activations with their labels, and of their gradient.
        let (down, up) = ((ROWS * 4 * (width + 1)) as f64 + HEADER, (ROWS * 4 * width) as f64 + HEADER);
        for s in 0..p {
            let link = || Link::new(60.0 * bandwidth[s], Seconds(latency[s]));
            for to in [s.checked_sub(1), Some(s + 1).filter(|to| *to < p)].into_iter().flatten() {
                devices = devices.with_link(s, to, link());
            }
        }
        let data = chain(p, width, ROWS * m, 0);
        let task = data.task(hyper(Rule::Sgd, 0.1, ROWS * m, 1));
        let seconds = |times: &[f64], share: f64| times.iter().map(|t| Seconds(t * share)).collect::<Vec<_>>();
        let send = |s: usize| plan::Link {
            activations: Seconds(down / (60.0 * bandwidth[s])),
            gradient: Seconds(up / (60.0 * bandwidth[s])),
            latency: Seconds(latency[s]),
        };
        let durations = plan::Durations {
            forward: seconds(&forward, 1.0),
            backward_input: seconds(&backward, 0.5),
            backward_params: seconds(&backward, 0.5),
            send: Some((0..p).map(send).collect()),
        };
        for schedule in ScheduleKind::ALL {
            let timeline = plan::Schedule::new(*schedule, p, m as u32).simulate(&durations).unwrap();
            let what = format!("{} p={p} m={m} {durations:?}", schedule.name());
            let job = emulate(&task, &backprop(p, *schedule, m), &devices, BUFFERED, 0);
            took(&job, timeline.makespan.0, 1, &what);
            for (stage, bubble) in stages(&job)[0].iter().zip(&timeline.bubble) {
                assert!((stage.modelled_bubble.unwrap() - bubble).abs() < 1e-9, "{what}: {stage:?}");
            }
        }
    }
}

/// A newer batch ends the proposals on an older one: by virtual time, so that delays, window and machine change nothing.
/// The first stage is 4 times as fast as the second, which so makes about a quarter of its proposals.
#[test]
fn preemption_is_decided_on_virtual_time() {
    let mut sampler = Metropolis { iterations: 20, ..Metropolis::greenai() };
    sampler.groups.iter_mut().for_each(|group| {
        (group.lambda, group.proposer, group.neighbourhood) =
            (10.0, Proposer::Student(1e-2), Neighbourhood::Elements(5));
    });
    let data = headed(chain(3, 6, 40, 0));
    let hyper = Hyper { sampler: Some(sampler), ..hyper(Rule::Sgd, 0.1, 4, 2) };
    let task = data.task(hyper);
    let devices = machines(&[1.0, 4.0, 2.0], &[0.0; 3], 4, Link::new(1000.0, Seconds(0.25)));
    for window in [1, 3] {
        let pipeline = |preempt| Pipeline { learn: Learn::Local { preempt, replay: 0 }, ..local(3, window) };
        let figures = |job: &Recorder| {
            let records =
                job.events.iter().filter_map(|e| if let Event::Epoch(record) = e { Some(record) } else { None });
            let epochs: Vec<_> = records.map(|r| (r.weights_hash, r.modelled_epoch_s.unwrap().to_bits())).collect();
            let proposals: Vec<u64> = stages(job).into_iter().flatten().map(|stage| stage.proposals).collect();
            (epochs, proposals)
        };
        let expected = figures(&emulate(&task, &pipeline(true), &devices, BUFFERED, 0));
        for _ in 0..3 {
            anyhow(&task, &pipeline(true), &devices, |job| assert_eq!(figures(job), expected, "window {window}"));
        }
        let patient = figures(&emulate(&task, &pipeline(false), &devices, BUFFERED, 0));
        assert_eq!(patient.1, [200; 6], "10 batches, 20 proposals each");
        assert_eq!((expected.1[0], expected.1[3]), (200, 200), "nothing newer comes to the first stage");
        // The last batch of each epoch has no newer one: 20 proposals come of it alone.
        assert!(expected.1[1] < 100 && expected.1[1] > 25, "the second stage is left behind: {:?}", expected.1);
    }
}
