//! Gradients against differences of the forward pass, and fast kernels against the layers.

use super::layers::*;
use super::*;
use crate::rng::{Purpose, stream};
use ndarray::Array2;
use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::Uniform;

/// The table: every layer, alone and in company, at shapes that do not fit the vector registers.
pub(super) fn cases() -> Vec<(&'static str, usize, usize, Spec)> {
    let dense = |i, o| LayerKind::Dense(Dense { inputs: i, outputs: o });
    let chain = |d: usize, layers: Vec<LayerKind>, loss| {
        let named = layers.into_iter().enumerate().map(|(i, l)| (format!("n{i}"), l)).collect();
        Spec::chain("case", Shape::vector(d), named, loss)
    };
    let (sigmoid, tanh, relu) = (LayerKind::Sigmoid(Sigmoid {}), LayerKind::Tanh(Tanh {}), LayerKind::Relu(Relu {}));
    let (softmax, standardize) = (LayerKind::Softmax(Softmax {}), LayerKind::Standardize(Standardize {}));
    let ce = Loss::CrossEntropy;
    let mut cases = vec![];
    for (i, o) in
        [(1, 2), (2, 2), (3, 5), (4, 3), (5, 4), (7, 8), (8, 7), (9, 17), (16, 16), (17, 2), (30, 20), (33, 31)]
    {
        cases.push(("dense", i, o, chain(i, vec![dense(i, o)], ce)));
        cases.push(("dense sigmoid L2", i, o, chain(i, vec![dense(i, o), sigmoid.clone()], Loss::L2)));
    }
    for d in [1, 3, 4, 8, 11, 30] {
        let deep =
            |act: &LayerKind| chain(d, vec![dense(d, 6), act.clone(), dense(6, 9), act.clone(), dense(9, 3)], ce);
        cases.push(("sigmoid net", d, 3, deep(&sigmoid)));
        cases.push(("tanh net", d, 3, deep(&tanh)));
        cases.push(("relu net", d, 3, deep(&relu)));
        cases.push(("softmax", d, 3, chain(d, vec![dense(d, 3), softmax.clone()], Loss::L2)));
        cases.push((
            "standardize",
            d,
            3,
            chain(d, vec![dense(d, 7), standardize.clone(), sigmoid.clone(), dense(7, 3)], ce),
        ));
    }
    cases.push(("wide dense", 4100, 3, chain(4100, vec![dense(4100, 4), tanh.clone(), dense(4, 3)], ce)));
    cases.push(("two exits and a shared value", 5, 3, two_exits()));
    cases.extend(super::picture_tests::cases());
    cases
}

/// A graph where one value feeds two nodes and two losses: the gradients must add.
fn two_exits() -> Spec {
    let node = |name: &str, layer, input: &str| NodeSpec { name: name.into(), layer, inputs: vec![input.into()] };
    let dense = |i, o| LayerKind::Dense(Dense { inputs: i, outputs: o });
    Spec {
        name: "two exits".into(),
        input: Shape::vector(5),
        nodes: vec![
            node("a", dense(5, 6), "input"),
            node("b", LayerKind::Tanh(Tanh {}), "a"),
            node("exit1", dense(6, 3), "b"),
            node("c", dense(6, 4), "b"),
            node("d", LayerKind::Sigmoid(Sigmoid {}), "c"),
            node("exit2", dense(4, 3), "d"),
        ],
        outputs: ["exit1", "exit2"].map(|n| OutputSpec { node: n.into(), loss: Loss::CrossEntropy }).to_vec(),
    }
}

fn data(batch: usize, dims: usize, classes: usize, seed: u64) -> (Array2<f32>, Vec<u32>) {
    let mut rng = stream(seed, Purpose::Order, 0, 0);
    let x = Array2::random_using((batch, dims), Uniform::new(-1.0, 1.0).unwrap(), &mut rng);
    (x, (0..batch as u32).map(|b| b % classes as u32).collect())
}

/// Fourth-order central difference: with f32 forward passes its error is about 1e-5, not 1e-2.
fn difference(objective: &mut BatchObjective, theta: &[f32], i: usize, h: f32) -> f64 {
    let mut at = |k: f32| {
        let mut moved = theta.to_vec();
        moved[i] += k * h;
        objective.loss(&moved)
    };
    (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / f64::from(12.0 * h)
}

#[test]
fn gradients_equal_differences_for_every_layer_and_shape() {
    for (name, dims, classes, spec) in cases() {
        let network = Network::build(spec).unwrap();
        let theta = Init::Uniform.draw(&network, 5);
        let has_kinks = ["relu net", "max pool"].contains(&name);
        let (mut compared, mut all) = (0, 0);
        for batch in [1, 3, 5] {
            let (x, labels) = data(batch, dims, classes, dims as u64);
            let program = Program::compile(&network, Flavor::Fused);
            let mut objective = BatchObjective::new(&program, x.view(), &labels).in_phase(Phase::Train);
            let mut grad = vec![f32::NAN; theta.len()];
            objective.loss_and_grad(&theta, &mut grad);
            let stride = (theta.len() / 60).max(1);
            for i in (0..theta.len()).step_by(stride) {
                let expected = difference(&mut objective, &theta, i, 1.0 / 32.0);
                all += 1;
                // A kink inside the stencil spoils the difference, not the gradient; most show in another width.
                if has_kinks && (expected - difference(&mut objective, &theta, i, 1.0 / 80.0)).abs() > 1e-4 {
                    continue;
                }
                compared += 1;
                let error = (f64::from(grad[i]) - expected).abs();
                let allowed = if has_kinks { 3e-2 } else { 2e-4 };
                assert!(
                    error < allowed,
                    "{name} {dims}->{classes} batch {batch}: grad[{i}] = {} but {expected}",
                    grad[i]
                );
            }
        }
        assert!(compared * 3 > all, "{name}: only {compared} of {all} have no kink near");
    }
}

#[test]
fn fused_programs_equal_naive_ones() {
    for (name, dims, classes, spec) in cases() {
        let network = Network::build(spec).unwrap();
        let theta = Init::Uniform.draw(&network, 6);
        for batch in [1, 2, 4, 7, 13] {
            let (x, labels) = data(batch, dims, classes, 9);
            let mut grads = [Flavor::Fused, Flavor::Naive].map(|flavor| {
                let program = Program::compile(&network, flavor);
                let mut objective = BatchObjective::new(&program, x.view(), &labels).in_phase(Phase::Train);
                let mut grad = vec![f32::NAN; theta.len()];
                let loss = objective.loss_and_grad(&theta, &mut grad);
                grad.push(loss as f32);
                grad
            });
            let naive = grads[1].split_off(0);
            for (i, (a, b)) in grads[0].iter().zip(&naive).enumerate() {
                assert!((a - b).abs() < 3e-6 * (1.0 + b.abs()), "{name} batch {batch} [{i}]: {a} against {b}");
            }
        }
    }
}
