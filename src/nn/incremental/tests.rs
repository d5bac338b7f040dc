//! Against computing everything anew, by the same code and by the programs.

use super::*;
use crate::nn::{BatchObjective, Flavor, Init, Program, Shape, model_text, zoo};

fn network(text: &str, input: [usize; 3], classes: usize) -> Network {
    let shape = Shape::image(input[0], input[1], input[2]);
    let text = format!("input = {input:?}\n{text}");
    Network::build(model_text::parse(&text, &shape, classes).unwrap()).unwrap()
}

fn stage(conv: &str, relu: bool, input: [usize; 3], classes: usize) -> Network {
    let conv = format!("[[layer]]\nkind = \"conv2d\"\n{conv}\n");
    let relu = if relu { "[[layer]]\nkind = \"relu\"\n" } else { "" };
    let head = format!("[[layer]]\nkind = \"flatten\"\n[[layer]]\nkind = \"dense\"\noutputs = {classes}\n");
    network(&(conv + relu + &head), input, classes)
}

/// Odd shapes: name, network, batch.
fn cases() -> Vec<(&'static str, Network, usize)> {
    let dense = "[[layer]]\nkind = \"flatten\"\n[[layer]]\nkind = \"dense\"\noutputs = 11\n";
    vec![
        ("padded", stage("outputs = 5\nkernel = 3\npadding = 1", true, [3, 7, 5], 3), 17),
        ("strided", stage("outputs = 3\nkernel = [3, 2]\nstride = [3, 2]", true, [2, 10, 9], 10), 1),
        ("without a bias", stage("outputs = 2\nkernel = 5\npadding = [2, 4]\nbias = false", true, [1, 3, 13], 2), 33),
        ("without a ReLU", stage("outputs = 4\nkernel = 1", false, [2, 4, 4], 13), 16),
        ("a head", network(dense, [3, 5, 9], 11), 19),
        ("a small head", network(dense, [1, 2, 3], 11), 5),
    ]
}

fn batch(network: &Network, rows: usize, seed: usize) -> (Array2<f32>, Vec<u32>) {
    let elements = network.shapes()[0].elements();
    let x = Array2::from_shape_fn((rows, elements), |(b, i)| ((b * 131 + i * 17 + seed) as f32 * 0.37).sin());
    (x, (0..rows).map(|b| (b * 7 % network.num_classes()) as u32).collect())
}

/// A generator that is good enough to choose indices.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n
    }
}

/// The elements that a trial changes: a few anywhere, a filter, or everything.
fn neighbourhood(network: &Network, draw: &mut Draw) -> Vec<usize> {
    let all = network.parameters();
    let parameters = all[draw.below(all.len())];
    match draw.below(20) {
        0 => (0..network.theta_len()).collect(),
        1..8 => (0..=draw.below(4)).map(|_| draw.below(network.theta_len())).collect(),
        _ => parameters.filter(draw.below(parameters.outputs)).collect(),
    }
}

#[test]
fn thousands_of_trials_have_the_bits_of_computing_anew() {
    for (name, network, rows) in cases() {
        let (x, labels) = batch(&network, rows, 0);
        let mut theta = Init::Uniform.draw(&network, 3);
        let [mut tracked, mut fresh] = [0, 1].map(|_| Incremental::new(&network).unwrap());
        tracked.assign(x.view(), &labels);
        fresh.assign(x.view(), &labels);
        tracked.loss(&theta);
        let mut draw = Draw(7);
        for trial in 0..2000 {
            let changed = neighbourhood(&network, &mut draw);
            let old: Vec<f32> = changed.iter().map(|i| theta[*i]).collect();
            changed.iter().for_each(|i| theta[*i] += (draw.below(2001) as f32 - 1000.0) * 1e-4);
            let loss = tracked.loss_if(&theta, &changed);
            if trial % 9 == 0 {
                assert_eq!(loss, fresh.loss(&theta), "{name}, trial {trial}");
            }
            if draw.below(3) == 0 {
                tracked.keep();
                assert_eq!(tracked.tally().mean_loss(), Some(loss));
            } else {
                tracked.undo();
                // From the last: an index may be there twice.
                changed.iter().zip(&old).rev().for_each(|(i, old)| theta[*i] = *old);
            }
        }
        fresh.loss(&theta);
        assert_eq!(tracked.tally(), fresh.tally(), "{name}");
        let mut values = [0, 1].map(|_| Array2::zeros((rows, tracked.plan.inputs)));
        tracked.value(values[0].view_mut());
        fresh.value(values[1].view_mut());
        assert_eq!(values[0], values[1], "{name}");
    }
}

#[test]
fn losses_and_values_are_those_of_the_programs() {
    for (name, network, rows) in cases() {
        let theta = Init::Uniform.draw(&network, 5);
        let mut objective = Incremental::new(&network).unwrap();
        // A larger batch before: nothing of it may stay.
        for (rows, seed) in [(rows + 20, 1), (rows, 2)] {
            let (x, labels) = batch(&network, rows, seed);
            objective.assign(x.view(), &labels);
            let loss = objective.loss(&theta);
            for flavor in [Flavor::Fused, Flavor::Naive] {
                let program = Program::compile(&network, flavor);
                let expected = BatchObjective::new(&program, x.view(), &labels).tally(&theta);
                let away = (loss / expected.mean_loss().unwrap() - 1.0).abs();
                assert!(away < 1e-4, "{name}, {flavor:?}: {away}");
                assert_eq!(objective.tally().samples, expected.samples);
            }
            let Some(value) = objective.trunk() else { continue };
            let naive = Program::compile(&network, Flavor::Naive);
            let mut workspace = naive.forward_workspace(rows);
            workspace.assign(0, x.view());
            let samples: Vec<u32> = (0..rows as u32).collect();
            naive.forward(&crate::nn::Context::eval(&samples, &[]), &theta, &mut workspace);
            let mut got = Array2::zeros((rows, objective.plan.inputs));
            objective.value(got.view_mut());
            let away = (&got - &workspace.value(value)).iter().fold(0.0f32, |most, d| most.max(d.abs()));
            assert!(away < 1e-5, "{name}: {away}");
        }
    }
}

#[test]
fn other_networks_are_left_to_the_programs() {
    let picture = Shape::image(3, 8, 8);
    for spec in [zoo::vgg5(&picture, 3), zoo::img_cnn(&picture, 3), Ok(zoo::mlp(4, &[5], 3, &Default::default()))] {
        assert!(Incremental::new(&Network::build(spec.unwrap()).unwrap()).is_none());
    }
}

#[test]
fn a_loss_that_is_no_number_is_seen_and_forgotten() {
    let (_, network, rows) = cases().swap_remove(0);
    let (x, labels) = batch(&network, rows, 0);
    let mut objective = Incremental::new(&network).unwrap();
    objective.assign(x.view(), &labels);
    let mut theta = Init::Uniform.draw(&network, 3);
    let before = objective.loss(&theta);
    let old = std::mem::replace(&mut theta[0], f32::NAN);
    assert!(objective.loss_if(&theta, &[0]).is_nan());
    objective.undo();
    theta[0] = old;
    assert_eq!(objective.loss_if(&theta, &[]), before);
}

#[test]
fn every_stage_of_the_chain_is_computed_incrementally() {
    let network = Network::build(zoo::by_name("greenai_chain", &Shape::image(3, 32, 32), 10).unwrap()).unwrap();
    let cuts = network.cuts();
    let ends = cuts.iter().copied().chain([network.nodes().len()]);
    let mut from = 0;
    for end in ends {
        let part = network.part(&(from..end).collect::<Vec<_>>()).unwrap();
        assert!(Incremental::new(&part.network).is_some(), "nodes {from} to {end}");
        from = end;
    }
}
