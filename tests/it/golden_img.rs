//! The networks for pictures against PyTorch's numbers, at their real sizes; `tools/golden_img.py` made them and
//! explains the formula from which both sides take weights and pictures.

use goai::nn::{Context, Flavor, Network, Phase, Program, Shape, Tensor, zoo};
use ndarray::Array2;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Share of a step's moments in the running statistics: PyTorch's momentum of batch-norm, and ours.
const MOMENTS_SHARE: f32 = 0.1;

#[derive(Deserialize)]
struct Golden {
    network: String,
    input: Vec<usize>,
    classes: usize,
    batch: usize,
    lr: f32,
    losses: Vec<f64>,
    statistics: BTreeMap<String, Vec<f32>>,
}

/// Numbers in [-1, 1): the upper 24 bits of splitmix64.
fn noise(stream: u64, i: usize) -> f32 {
    let z = ((stream << 40) + i as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let z = z ^ (z >> 31);
    (z >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn fill(t: usize, tensor: &Tensor, values: &mut [f32]) {
    let fan_in = (values.len() / tensor.shape[0]) as f64;
    let (scale, shift) = match tensor.shape.len() {
        _ if tensor.is_bias => (0.1, 0.0),
        1 => (0.25, 1.0),
        _ => ((6.0 / fan_in).sqrt() as f32, 0.0),
    };
    for (i, value) in values.iter_mut().enumerate() {
        *value = noise(t as u64, i) * scale + shift;
    }
}

/// The losses of the first steps, and σ after them.
fn train(golden: &Golden, network: &Network, flavor: Flavor, steps: usize) -> (Vec<f64>, Vec<f32>) {
    let program = Program::compile(network, flavor);
    let mut workspace = program.workspace(golden.batch);
    let mut theta = vec![f32::NAN; network.theta_len()];
    for (t, tensor) in network.tensors().enumerate() {
        fill(t, tensor, &mut theta[tensor.span.range()]);
    }
    let mut sigma = network.initial_sigma();
    let mut grad = vec![f32::NAN; theta.len()];
    let mut losses = Vec::new();
    for step in 0..steps {
        let ids: Vec<u32> = (0..golden.batch).map(|b| (golden.batch * (step % 2) + b) as u32).collect();
        let labels: Vec<u32> = ids.iter().map(|p| p % golden.classes as u32).collect();
        let rows = Array2::from_shape_fn((ids.len(), network.shapes()[0].elements()), |(b, i)| {
            noise(1000 + u64::from(ids[b]), i) + labels[b] as f32 / golden.classes as f32
        });
        workspace.assign(0, rows.view());
        let context = Context { phase: Phase::Train, ..Context::eval(&ids, &sigma) };
        let tally = program.loss_and_grad(&context, &theta, &mut workspace, &labels, &mut grad);
        losses.push(tally.mean_loss().unwrap());
        let rate = golden.lr / golden.batch as f32;
        theta.iter_mut().zip(&grad).for_each(|(theta, grad)| *theta -= rate * grad);
        for (running, moment) in sigma.iter_mut().zip(workspace.moments()) {
            *running += MOMENTS_SHARE * (moment - *running);
        }
    }
    (losses, sigma)
}

fn check(text: &str, flavor: Flavor, steps: usize) {
    let golden: Golden = serde_json::from_str(text).unwrap();
    let name = &golden.network;
    let network = Network::build(zoo::by_name(name, &Shape(golden.input.clone()), golden.classes).unwrap()).unwrap();
    assert_eq!(golden.losses.len(), 10);
    let (losses, sigma) = train(&golden, &network, flavor, steps);
    // What is not a number is as wrong as can be.
    let off = |a: f64, b: f64| if a.is_nan() { f64::INFINITY } else { (a - b).abs() / b.abs() };
    let worst = losses.iter().zip(&golden.losses).map(|(a, b)| off(*a, *b)).fold(0.0, f64::max);
    println!("{name} {flavor:?}: losses of {steps} steps off by {worst:.1e}");
    assert!(losses.len() == steps && worst < 1e-3, "{name} {flavor:?}: {losses:?} against {:?}", golden.losses);
    assert_eq!(network.statistics().count(), golden.statistics.len());
    for tensor in network.statistics().filter(|_| steps == golden.losses.len()) {
        let expected = &golden.statistics[&tensor.name];
        let ours = &sigma[tensor.span.range()];
        assert_eq!(ours.len(), expected.len(), "{}", tensor.name);
        for (a, b) in ours.iter().zip(expected) {
            assert!((a - b).abs() < 1e-3 * b.abs().max(0.1), "{name} {flavor:?} {}: {a} against {b}", tensor.name);
        }
    }
}

#[test]
fn img_cnn_is_pytorchs() {
    check(include_str!("../golden/img_cnn.json"), Flavor::Fused, 10);
    check(include_str!("../golden/img_cnn.json"), Flavor::Naive, 2);
}

#[test]
fn vgg5_and_its_running_statistics_are_pytorchs() {
    check(include_str!("../golden/vgg5.json"), Flavor::Fused, 10);
    check(include_str!("../golden/vgg5.json"), Flavor::Naive, 3);
}
