//! What a training step costs, as ratios measured side by side: `make bench`.
//!
//! Rounds of both sides are interleaved and the median of the paired ratios is printed, because single
//! times say little on a shared machine.

use goai::comm::{Communicator, Reduce, ThreadOptions, Values, run_threads};
use goai::data::{Dataset, source};
use goai::nn::{BatchObjective, Flavor, Init, Network, Program, zoo};
use goai::strategy::{Hyper, Job, JobError, State, Strategy, Task, Turn, fit};
use goai::{comm::Solo, device::RealClock, event::Event, optim};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 11;

/// Median of a's time over b's, with the least and the largest.
fn ratio(mut a: impl FnMut(), mut b: impl FnMut()) -> (f64, f64, f64) {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    a();
    b();
    let mut ratios: Vec<f64> = (0..ROUNDS).map(|_| time(&mut a) / time(&mut b)).collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1])
}

fn print(what: &str, (median, least, most): (f64, f64, f64)) {
    println!("{what:<62} {median:>7.2}x  ({least:.2} to {most:.2}, {ROUNDS} rounds)");
}

struct Silent;

impl Job for Silent {
    fn emit(&mut self, _: Event) {}

    fn turn(&mut self, _: &State) -> Result<Turn, JobError> {
        Ok(Turn::GoOn)
    }
}

fn train(data: &Dataset, network: &Network, micro_chunk: Option<usize>, epochs: u64) {
    let empty = data.select(&[]);
    let schedule = optim::Schedule { rate: 0.01, warmup: 0.0, epochs: epochs as f64, shape: optim::Shape::Constant };
    let hyper = Hyper {
        epochs,
        global_batch: 4,
        sampler: None,
        rule: optim::Rule::Adam,
        weight_decay: 0.0,
        schedule,
        seed: 1,
        init: Init::Glorot,
        micro_chunk,
        local: None,
    };
    let task = Task {
        network,
        train: data,
        validation: &empty,
        test: &empty,
        hyper,
        pipeline: None,
        grid: None,
        split: None,
        resume: None,
    };
    fit(Strategy::Single, &task, &Solo::new(), &RealClock::start(), &mut Silent).expect("iris trains");
}

fn main() {
    let data = source::load("iris", Path::new("datasets"), None).expect("iris is compiled in");
    let network = Network::build(zoo::mlp(4, &[30, 20], 3, &zoo::MlpOptions::default())).expect("a sound network");
    let theta = Init::Glorot.draw(&network, 1);

    for rows in [4, 32] {
        let batch = data.select(&(0..rows).collect::<Vec<_>>());
        let mut gradients = [Flavor::Naive, Flavor::Fused].map(|flavor| {
            let program = Program::compile(&network, flavor);
            let (theta, batch) = (theta.clone(), batch.clone());
            move || {
                let mut objective = BatchObjective::new(&program, batch.features.view(), &batch.labels);
                let mut grad = vec![0.0; theta.len()];
                for _ in 0..2000 {
                    black_box(objective.loss_and_grad(&theta, &mut grad));
                }
            }
        });
        let [naive, fused] = &mut gradients;
        print(&format!("iris gradient, {rows} rows: naive layers / fused program"), ratio(naive, fused));
    }

    let deterministic = || train(&data, &network, Some(4), 60);
    print(
        "iris training, one rank: --deterministic / plain",
        ratio(deterministic, || train(&data, &network, None, 60)),
    );

    let reduce =
        |kind: fn(&dyn Communicator)| move || drop(run_threads(2, ThreadOptions::default(), |comm| kind(comm)));
    let integers = reduce(|comm| {
        let mut values = vec![1i64; 837];
        (0..500).for_each(|_| comm.all_reduce(Values::I64(&mut values), Reduce::Max).expect("both ranks are here"));
    });
    let floats = reduce(|comm| {
        let mut values = vec![1.0f32; 837];
        (0..500).for_each(|_| comm.all_reduce(Values::F32(&mut values), Reduce::Max).expect("both ranks are here"));
    });
    print("all-reduce of 837 values, 2 threads: 64-bit / 32-bit", ratio(integers, floats));
}
