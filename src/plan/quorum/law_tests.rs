//! The laws of ksync.json: steps of exponential workers, event by event, against their expectation.

use super::tests::terms;
use super::*;
use crate::rng::{Purpose, stream, unit};
use crate::units::Seconds;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const ORACLE: &str = include_str!("../../../tests/oracles/ksync.json");
const STEPS: usize = 20_000;

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} in {row}"))
}

fn rows<'a>(of: &'a Value, key: &str) -> &'a Vec<Value> {
    of[key].as_array().filter(|rows| !rows.is_empty()).unwrap_or_else(|| panic!("{key} in the oracle"))
}

/// Draws how long a chunk takes.
type Law = fn(&mut ChaCha8Rng) -> f64;

fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    -unit(rng).ln()
}

/// The mean time of a step: workers take what `law` says for each chunk, and drop at once what they are called off.
fn mean_step(rule: Rule, k: usize, workers: usize, law: Law) -> f64 {
    let mut rng = stream(11, Purpose::Order, k as u64, workers as u64);
    // More chunks than are needed: the tail of a pass follows another law.
    let mut quorum = Quorum::new(terms(rule, k, (STEPS + 2) * k + workers), workers).unwrap();
    // Positive times are ordered as their bits are.
    let mut results: BinaryHeap<Reverse<(u64, usize, usize, u64)>> = BinaryHeap::new();
    let mut now = 0.0;
    quorum.begin_pass(&[], Seconds(now));
    while quorum.version() < STEPS as u64 {
        while let Some(action) = quorum.next_action() {
            match action {
                Action::Assign { worker, chunk, version, .. } => {
                    results.push(Reverse(((now + law(&mut rng)).to_bits(), worker, chunk, version)));
                }
                Action::Close { .. } => quorum.on(Event::Applied, Seconds(now)),
                Action::Drop { .. } | Action::PassOver | Action::NobodyLeft => panic!("{action:?}"),
                Action::Take { .. } | Action::Park { .. } => {}
            }
        }
        let Reverse((time, worker, chunk, version)) = results.pop().unwrap();
        if quorum.busy(worker).is_some_and(|job| job.is(chunk, version, 0)) {
            now = f64::from_bits(time);
            quorum.on(Event::Arrived { worker, chunk, version, attempt: 0 }, Seconds(now));
        }
    }
    now / STEPS as f64
}

fn check(what: &str, mean: f64, expected: f64, variance: f64) {
    let tolerance = 3.0 * (variance / STEPS as f64).sqrt();
    assert!((mean - expected).abs() <= tolerance, "{what}: {mean} for {expected}, tolerance {tolerance}");
}

fn inverse_squares(range: std::ops::RangeInclusive<usize>) -> f64 {
    range.map(|i| 1.0 / (i * i) as f64).sum()
}

#[test]
fn the_k_rules_take_as_long_as_dutta_et_al_say() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    for row in rows(&oracle, "cases") {
        let [p, k] = ["P", "K"].map(|key| number(row, key) as usize);
        let [sync, batch] = ["k_sync", "k_batch_sync"].map(|key| number(row, key));
        let (sync_variance, batch_variance) = (inverse_squares(p - k + 1..=p), k as f64 / (p * p) as f64);
        for rule in [Rule::KSync, Rule::KAsync] {
            check(rule.name(), mean_step(rule, k, p, exponential), sync, sync_variance);
        }
        for rule in [Rule::KBatch, Rule::KBatchAsync] {
            check(rule.name(), mean_step(rule, k, p, exponential), batch, batch_variance);
        }
    }
}

#[test]
fn k_batch_async_takes_k_mean_times_over_p_under_any_law() {
    // Law, its mean, its variance: of many renewals a step has K Var(X) / P² of them.
    let uniform = |rng: &mut ChaCha8Rng| 0.5 + unit(rng);
    let shifted = |rng: &mut ChaCha8Rng| 1.0 + 0.5 * exponential(rng);
    let laws: [(Law, f64, f64); 2] = [(uniform, 1.0, 1.0 / 12.0), (shifted, 1.5, 0.25)];
    for (law, mean, variance) in laws {
        for (k, p) in [(4, 8), (12, 16)] {
            let mean_time = mean_step(Rule::KBatchAsync, k, p, law);
            check("any law", mean_time, k as f64 * mean / p as f64, k as f64 * variance / (p * p) as f64);
        }
    }
}

#[test]
fn daigs_shards_take_as_long_as_their_rule_says() {
    let oracle: Value = serde_json::from_str(ORACLE).unwrap();
    for row in rows(&oracle["daig"], "cases") {
        let [m, k] = ["M", "K"].map(|key| number(row, key) as usize);
        let variance = (k - m) as f64 / (m * m) as f64 + inverse_squares(1..=m);
        check("shards", mean_step(Rule::Shards, k, m, exponential), number(row, "E_T"), variance);
    }
}
