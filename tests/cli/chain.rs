//! What the chain of five boards learns from real pictures, where there are any.

use crate::run::{Launch, Run, skip};
use std::time::Duration;

/// CIFAR-10, in the folder that this variable names; a subset is enough.
const DATA: &str = "GOAI_TEST_DATA";

/// The final figures of a run on the emulated boards; none without data.
fn chain(options: &str) -> Option<serde_json::Value> {
    let Ok(data) = std::env::var(DATA) else {
        skip("the chain on CIFAR-10", &format!("{DATA} names no folder with cifar-10-batches-bin"));
        return None;
    };
    let run = Run::new(&format!("--mode pipeline --dataset cifar10 --devices greenai {options}"));
    let run = run.arg("--data-dir").arg(data).within(Duration::from_secs(20 * 60));
    Some(run.launch(Launch::Threads(5)).ok().json()["final"].clone())
}

#[test]
#[ignore = "minutes of training on real pictures (GOAI_TEST_DATA=DIR make test-long)"]
fn every_batch_reaches_the_last_stage_and_the_best_learns() {
    let Some(figures) = chain("") else { return };
    let stages = figures["stages"].as_array().expect("five stages");
    let of = |stage: usize, key: &str| stages[stage][key].as_f64();
    assert!((0..5).all(|stage| of(stage, "batches") == of(0, "batches")), "{stages:?}");
    assert!((0..5).all(|stage| of(stage, "bytes_up") == Some(0.0)), "nothing flows back: {stages:?}");
    let best = (0..5).filter_map(|stage| of(stage, "val_acc")).fold(0.0, f64::max);
    assert!(best >= 0.5, "best validation accuracy {best}");
    assert!(figures["test_acc"].as_f64().expect("a test part") >= 0.5, "{figures}");
}

#[test]
#[ignore = "minutes of proposals on real pictures (GOAI_TEST_DATA=DIR make test-long)"]
fn proposals_learn_clearly() {
    let Some(figures) = chain("--optimizer mcmc --epochs 25") else { return };
    let stages = figures["stages"].as_array().expect("five stages");
    let learned = |stage: &serde_json::Value| {
        let (loss, right) = (stage["val_loss"].as_f64().unwrap(), stage["val_acc"].as_f64().unwrap());
        loss < 10f64.ln() - 0.15 && right > 0.2 && stage["proposals"].as_f64() > Some(0.0)
    };
    assert!(stages.iter().any(learned), "{stages:?}");
}
