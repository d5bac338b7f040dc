//! Proposals a second on one thread, incremental against computing the whole stage:
//! `cargo bench --bench proposals [-- batch]`.
//!
//! The stages are greenai_chain's first (3x32x32, stride 3), an inner one (32x8x8, padding 5) and its last (a head alone). Both
//! ways run in turns of a fraction of a second with the same draws; of each counts the fastest turn.

use goai::nn::{
    BatchObjective, Flavor, Incremental, Init, Network, Objective, ParameterKind, Program, Shape, model_text,
};
use goai::optim::metropolis::{Metropolis, Sampler};
use ndarray::Array2;
use std::time::Instant;

/// Turns of each way.
const TURNS: u64 = 5;
/// Seconds that a turn lasts at least.
const TURN: f64 = 0.25;

const FIRST: &str = "[[layer]]\nkind = \"conv2d\"\noutputs = 32\nkernel = 11\nstride = 3\n[[layer]]\nkind = \"relu\"\n";
const INNER: &str =
    "[[layer]]\nkind = \"conv2d\"\noutputs = 32\nkernel = 11\npadding = 5\n[[layer]]\nkind = \"relu\"\n";
const HEAD: &str = "[[layer]]\nkind = \"flatten\"\n[[layer]]\nkind = \"dense\"\noutputs = 10\n";

fn main() {
    let batch = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(64);
    println!("{:<8}{:>8}{:>16}{:>16}{:>8}   batch {batch}", "stage", "kind", "whole 1/s", "incremental 1/s", "ratio");
    for (name, text, input) in [("first", FIRST, [3, 32, 32]), ("inner", INNER, [32, 8, 8]), ("last", "", [32, 8, 8])] {
        let shape = Shape::image(input[0], input[1], input[2]);
        let text = format!("input = {input:?}\n{text}{HEAD}");
        let network = Network::build(model_text::parse(&text, &shape, 10).expect("a model")).expect("a network");
        let x = Array2::from_shape_fn((batch, shape.elements()), |(b, i)| ((b * 31 + i * 7) as f32 * 0.37).sin());
        let labels: Vec<u32> = (0..batch as u32).map(|b| b % 10).collect();
        let program = Program::compile(&network, Flavor::Fused);
        let mut whole = BatchObjective::new(&program, x.view(), &labels);
        let mut incremental = Incremental::new(&network).expect("a stage");
        incremental.assign(x.view(), &labels);
        for kind in [ParameterKind::Conv, ParameterKind::Dense] {
            if network.parameters().iter().all(|p| p.kind != kind) {
                continue;
            }
            let mut best = [0.0f64; 2];
            for _ in 0..TURNS {
                best[0] = best[0].max(rate(&network, kind, &mut whole));
                best[1] = best[1].max(rate(&network, kind, &mut incremental));
            }
            let [old, new] = best;
            println!("{name:<8}{:>8}{old:>16.0}{new:>16.0}{:>8.1}", format!("{kind:?}"), new / old);
        }
    }
}

/// Proposals a second of the original's rule on layers of one kind.
fn rate(network: &Network, kind: ParameterKind, objective: &mut dyn Objective) -> f64 {
    let mut rule = Metropolis::greenai();
    rule.groups.retain(|group| group.kind == kind);
    let mut sampler = Sampler::new(&rule, &network.parameters(), 1).expect("a sampler");
    let mut theta = Init::He.draw(network, 1);
    let mut loss = objective.loss(&theta);
    let (begin, mut done) = (Instant::now(), 0u64);
    while begin.elapsed().as_secs_f64() < TURN {
        let proposal = sampler.propose(0, done, &mut theta);
        let new = objective.loss_if(&theta, sampler.changed());
        if proposal.accepts(loss, new) {
            loss = new;
            objective.keep();
            sampler.keep();
        } else {
            objective.undo();
            sampler.undo(&mut theta);
        }
        done += 1;
    }
    done as f64 / begin.elapsed().as_secs_f64()
}
