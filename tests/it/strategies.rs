//! The tables of trainings on one rank and on threads, and the one hash of deterministic training.

use super::comm_threads::{BUFFERED, RENDEZVOUS, run_table};
use crate::cases::equivalence::CASES;
use crate::cases::iris::{Iris, RULES, hyper};
use crate::cases::training::{reference, train};
use crate::cases::{local_sgd, offload, pictures, split};
use goai::comm::{Solo, run_threads};
use goai::strategy::{Hyper, Strategy, TrainError};

#[test]
fn one_rank_is_equivalent() {
    for (name, case) in CASES {
        println!("solo: {name}");
        case(&Solo::new());
    }
}

#[test]
fn threads_are_equivalent() {
    (1..=5).for_each(|ranks| run_table(CASES, ranks, BUFFERED));
}

#[test]
fn threads_are_equivalent_with_forced_rendezvous() {
    run_table(CASES, 3, RENDEZVOUS);
}

#[test]
fn pictures_are_equivalent() {
    for (name, case) in pictures::CASES {
        println!("solo: {name}");
        case(&Solo::new());
    }
    (1..=4).for_each(|ranks| run_table(pictures::CASES, ranks, BUFFERED));
}

#[test]
fn local_steps_and_their_averaging() {
    (1..=5).for_each(|ranks| run_table(local_sgd::CASES, ranks, BUFFERED));
    run_table(local_sgd::CASES, 3, RENDEZVOUS);
}

#[test]
fn networks_split_between_devices_and_a_server() {
    (2..=5).for_each(|ranks| run_table(split::CASES, ranks, BUFFERED));
    run_table(split::CASES, 3, RENDEZVOUS);
}

#[test]
fn tasks_of_a_network_on_any_ranks() {
    (1..=6).for_each(|ranks| run_table(offload::CASES, ranks, BUFFERED));
    run_table(offload::CASES, 3, RENDEZVOUS);
}

#[test]
fn one_hash_at_any_number_of_ranks_in_every_mode() {
    let iris = Iris::load();
    let runs = [1, 2, 3, 5, 20].map(|ranks| (Strategy::AllReduce, ranks)).into_iter();
    let runs: Vec<_> = runs.chain([2, 3, 5, 20].map(|ranks| (Strategy::SendRecv, ranks))).collect();
    for (rule, rate) in RULES {
        let hyper = Hyper { micro_chunk: Some(4), ..hyper(rule, rate, 80, 4) };
        let task = iris.task(hyper.clone());
        let expected = reference(&task).last.unwrap().weights_hash;
        for (strategy, ranks) in &runs {
            let hashes =
                run_threads(*ranks, BUFFERED, |comm| train(*strategy, &task, comm).unwrap().last.unwrap().weights_hash);
            let name = strategy.name();
            assert!(hashes.iter().all(|hash| *hash == expected), "{rule:?} {name} {ranks}: {hashes:x?} {expected:x}");
        }
    }
}

#[test]
fn the_bits_of_a_deterministic_training_depend_on_what_they_should() {
    let iris = Iris::load();
    let base = Hyper { micro_chunk: Some(4), ..hyper(RULES[0].0, 0.1, 12, 1) };
    let hash = |hyper: Hyper| reference(&iris.task(hyper)).last.unwrap().weights_hash;
    for other in [
        Hyper { seed: 8, ..base.clone() },
        Hyper { global_batch: 16, ..base.clone() },
        Hyper { epochs: 2, ..base.clone() },
    ] {
        assert_ne!(hash(other.clone()), hash(base.clone()), "{other:?}");
    }
}

#[test]
fn iris_is_learned_in_every_mode() {
    let iris = Iris::load();
    let task = iris.task(hyper(goai::optim::Rule::Adam, 0.01, 12, 40));
    for (strategy, ranks) in [(Strategy::Single, 1), (Strategy::AllReduce, 4), (Strategy::SendRecv, 4)] {
        let fits = run_threads(ranks, BUFFERED, |comm| train(strategy, &task, comm).unwrap());
        let record = fits[0].last.as_ref().unwrap();
        assert!(record.train_acc > 0.93, "{}: {}", strategy.name(), record.train_acc);
        assert!(fits[0].test.accuracy().unwrap() > 0.8);
        assert!((0.0..=1.0).contains(&fits[0].comm_share) && fits[0].loop_s > 0.0);
    }
}

/// The only step's loss is that of the initial weights: its update is what diverges.
#[test]
fn weights_that_diverge_in_the_last_step_are_no_result() {
    let iris = Iris::load();
    let task = iris.task(hyper(goai::optim::Rule::Sgd, 1e42, iris.train.labels.len(), 1));
    for error in run_threads(3, BUFFERED, |comm| train(Strategy::AllReduce, &task, comm).unwrap_err()) {
        assert!(matches!(error, TrainError::Diverged { epoch: 1, step: 1, .. }), "{error}");
    }
}
