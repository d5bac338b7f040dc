//! Grids on threads, and the laws of their steps on the virtual clock.

use super::comm_threads::{BUFFERED, RENDEZVOUS, run_table};
use crate::cases::grid::{CASES, grid};
use crate::cases::iris::hyper;
use crate::cases::training::Recorder;
use goai::comm::{Communicator, Emulated, run_threads};
use goai::data::Dataset;
use goai::device::{Clock, Delay, Devices, EmulatedClock, Link, Machine, Pace, Profile};
use goai::event::Event;
use goai::nn::{Network, zoo};
use goai::optim::Rule as Descent;
use goai::plan::quorum::Rule;
use goai::strategy::{Grid, Shards, Strategy, Task, fit};
use goai::units::Seconds;
use serde_json::Value;

#[test]
fn grids_on_threads() {
    (1..=5).for_each(|ranks| run_table(CASES, ranks, BUFFERED));
}

#[test]
fn grids_with_forced_rendezvous() {
    run_table(CASES, 4, RENDEZVOUS);
}

/// Rows with two numbers each.
fn rows(count: usize) -> Dataset {
    let mut text = String::from("a,b,label\n");
    for i in 0..count {
        text.push_str(&format!("{},{},{}\n", i % 7, i % 5, if i % 2 == 0 { "x" } else { "y" }));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    std::fs::write(&path, text).unwrap();
    goai::data::source::load(path.to_str().unwrap(), dir.path(), None).unwrap()
}

/// Modelled seconds of an epoch, and its steps, on workers that lose time by a law and take none else.
fn epoch(grid: &Grid, workers: usize, samples: usize, batch: usize) -> (f64, f64) {
    let (train, none) = (rows(samples), rows(2).select(&[]));
    let network = Network::build(zoo::mlp(2, &[2, 2], 2, &zoo::MlpOptions::default())).unwrap();
    let devices = Devices::new(
        "instant",
        vec![Profile::new("instant", f64::INFINITY); workers + 1],
        Link::new(f64::INFINITY, Seconds(0.0)),
    );
    let results = run_threads(workers + 1, BUFFERED, |comm| {
        let clock = EmulatedClock::start(Machine::new(devices.profile(comm.rank()), "mlp"), Pace::Virtual);
        let emulated = Emulated::new(comm, clock.machine().unwrap(), &devices);
        let task = Task {
            network: &network,
            train: &train,
            validation: &none,
            test: &none,
            hyper: hyper(Descent::Sgd, 1e-3, batch, 1),
            pipeline: None,
            grid: Some(grid),
            split: None,
            resume: None,
        };
        let mut job = Recorder::default();
        fit(Strategy::SendRecv, &task, &emulated, &clock, &mut job).unwrap();
        job.events.iter().find_map(|event| match event {
            Event::Epoch(record) => Some((record.modelled_epoch_s.unwrap(), record.step as f64)),
            _ => None,
        })
    });
    results[0].unwrap()
}

fn exponential(grid: Grid) -> Grid {
    Grid { delay: Some(Delay::parse("exp:1").unwrap()), ..grid }
}

/// `Σ 1/iᵖ` for `from < i ≤ to`.
fn harmonic(from: usize, to: usize, power: i32) -> f64 {
    (from + 1..=to).map(|i| (i as f64).powi(-power)).sum()
}

/// Every row of the oracle: mean seconds a step against the formula, within three standard errors.
#[test]
fn steps_take_the_time_that_order_statistics_say() {
    const STEPS: usize = 600;
    let oracle: Value = serde_json::from_str(include_str!("../oracles/ksync.json")).unwrap();
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap();
    let check = |name: &str, grid: Grid, workers: usize, expected: f64, variance: f64| {
        let k = grid.k;
        let (seconds, steps) = match grid.shards {
            Some(_) => epoch(&grid, workers, k * STEPS, 1),
            None => epoch(&grid, workers, k * STEPS, k),
        };
        let (mean, tolerance) = (seconds / steps, 3.0 * (variance / steps).sqrt());
        assert!((mean - expected).abs() <= tolerance, "{name}, P {workers}, K {k}: {mean}, {expected} ± {tolerance}");
    };
    for case in oracle["cases"].as_array().unwrap() {
        let (p, k) = (number(case, "P") as usize, number(case, "K") as usize);
        let (sync, batch) = (number(case, "k_sync"), number(case, "k_batch_sync"));
        let (of_sync, of_batch) = (harmonic(p - k, p, 2), k as f64 / (p * p) as f64);
        check("k-sync", exponential(grid(Rule::KSync, k)), p, sync, of_sync);
        check("k-async", exponential(grid(Rule::KAsync, k)), p, sync, of_sync);
        check("k-batch", exponential(grid(Rule::KBatch, k)), p, batch, of_batch);
        check("k-batch-async", exponential(grid(Rule::KBatchAsync, k)), p, batch, of_batch);
    }
    for case in oracle["daig"]["cases"].as_array().unwrap() {
        let (m, k) = (number(case, "M") as usize, number(case, "K") as usize);
        let shards = Shards { count: k * STEPS, batch: 1, epochs: 1 };
        let grid = Grid { shards: Some(shards), ..exponential(grid(Rule::Shards, k)) };
        let variance = (k - m) as f64 / (m * m) as f64 + harmonic(0, m, 2);
        check("shards", grid, m, number(case, "E_T"), variance);
    }
}

/// One of eight workers takes ten times as long: K-batch hardly notices, the lock-step waits for it. Where all tasks take
/// the same time, that holds for a K that the seven others deliver in whole rounds.
#[test]
fn a_straggler_costs_k_batch_little_and_the_lock_step_all() {
    let rate = |rule, k: usize, delay: &str| {
        let grid = Grid { delay: Some(Delay::parse(delay).unwrap()), ..grid(rule, k) };
        let samples = 200 * k;
        samples as f64 / epoch(&grid, 8, samples, k).0
    };
    for (law, even, slow) in
        [("equal", "const:1", "3=const:10;*=const:1"), ("exponential", "exp:1", "3=exp:10;*=exp:1")]
    {
        for k in [7, 14] {
            let of = |rule, k| rate(rule, k, slow) / rate(rule, k, even);
            let (batch, full) = (of(Rule::KBatch, k), of(Rule::KSync, 8));
            println!("{law} times, one of 8 workers ten times slower: k-batch, K = {k}: {batch:.2}, full: {full:.2}");
            assert!(batch >= 0.8, "{law} {k}: {batch}");
            assert!(full <= 0.35, "{law}: {full}");
        }
    }
}
