//! What stages of a pipeline rely on: backward in two halves, and cuts that leave no trace in the bits.

use super::part::tests::{with_heads, with_shortcut};
use super::*;
use ndarray::Array2;

fn rows(network: &Network, batch: usize) -> Array2<f32> {
    let dims = network.shapes()[0].elements();
    Array2::from_shape_fn((batch, dims), |(b, i)| ((b * dims + i) * 7919 % 2003) as f32 / 1001.5 - 1.0)
}

/// One program on one batch, from its inputs to all gradients.
struct Run<'a> {
    program: &'a Program,
    context: Context<'a>,
    theta: &'a [f32],
    labels: &'a [u32],
}

impl Run<'_> {
    /// Forward, and the gradients where others leave them: of the losses, and of `from_outside` times each export.
    fn to_the_turn(&self, ws: &mut Workspace, x: &Array2<f32>, from_outside: f32) {
        ws.assign(0, x.view());
        self.program.forward(&self.context, self.theta, ws);
        for output in 0..self.program.network().outputs().len() {
            self.program.tally_and_gradient(ws, output, self.labels);
        }
        for export in self.program.network().exports() {
            let (value, mut gradient) = ws.output(*export);
            gradient.assign(&(&value * from_outside));
        }
    }
}

/// Compares `backward` with its two halves, between which another micro-batch runs in a workspace of its own.
fn check_split(network: &Network, flavor: Flavor, input_gradients: bool) {
    let name = format!("{} {flavor:?}, input gradients: {input_gradients}", network.spec().name);
    let (theta, sigma) = (Init::Uniform.draw(network, 3), network.initial_sigma());
    let batch = 5;
    let samples: Vec<u32> = (0..batch as u32).collect();
    let classes = network.outputs().first().map_or(1, |o| network.shapes()[o.value].elements());
    let labels: Vec<u32> = samples.iter().map(|s| s % classes as u32).collect();
    let compile = || {
        let program = Program::compile(network, flavor);
        if input_gradients { program.with_input_gradients() } else { program }
    };
    let (whole, split) = (compile(), compile().with_kept_gradients());
    assert!(split.workspace_bytes(batch, true) >= whole.workspace_bytes(batch, true));
    let context = Context { phase: Phase::Train, ..Context::eval(&samples, &sigma) };
    let run = |program| Run { program, context, theta: &theta, labels: &labels };
    let batches = [rows(network, batch), rows(network, batch).mapv(|x| 0.3 - x)];

    let expected = batches.each_ref().map(|x| {
        let (mut ws, mut grad) = (whole.workspace(batch), vec![f32::NAN; theta.len()]);
        run(&whole).to_the_turn(&mut ws, x, 0.5);
        whole.backward(&context, &theta, &mut ws, &mut grad, &mut |_, _| {});
        (grad, input_gradients.then(|| ws.gradient(0).to_owned()))
    });
    let mut spaces = batches.each_ref().map(|_| split.workspace(batch));
    // Twice, as nothing may be left over.
    for _ in 0..2 {
        for (ws, x) in spaces.iter_mut().zip(&batches) {
            run(&split).to_the_turn(ws, x, 0.5);
            split.backward_input(&context, &theta, ws);
        }
        for (ws, (expected, inputs)) in spaces.iter_mut().zip(&expected) {
            assert_eq!(input_gradients.then(|| ws.gradient(0).to_owned()), *inputs, "{name}");
            let mut grad = vec![f32::NAN; theta.len()];
            split.backward_params(&context, &theta, ws, &mut grad);
            assert_eq!(&grad, expected, "{name}");
        }
    }
}

#[test]
fn backward_in_two_halves_is_backward_bit_for_bit() {
    let picture = Shape::image(2, 14, 12);
    let zoo = [zoo::img_cnn, zoo::vgg5, zoo::vgg5_plain, zoo::greenai_chain].map(|make| make(&picture, 3).unwrap());
    let table = gradient_check::cases().into_iter().filter(|(_, dims, ..)| *dims < 1000).map(|(_, _, _, spec)| spec);
    for spec in zoo.into_iter().chain([with_shortcut(), with_heads()]).chain(table) {
        let network = Network::build(spec).unwrap();
        for flavor in [Flavor::Fused, Flavor::Naive] {
            check_split(&network, flavor, false);
            check_split(&network, flavor, true);
        }
    }
}

#[test]
fn parts_split_too_with_what_comes_from_outside() {
    let picture = Shape::image(2, 14, 12);
    let plain = Network::build(zoo::vgg5(&picture, 3).unwrap()).unwrap();
    let exits = with_exits(&plain, &plain.cuts());
    for spec in [zoo::greenai_chain(&picture, 3).unwrap(), with_heads(), exits] {
        let network = Network::build(spec).unwrap();
        let ends: Vec<usize> = network.cuts().into_iter().chain([network.nodes().len()]).collect();
        let mut from = 0;
        for end in ends {
            let part = network.part(&(from..end).collect::<Vec<_>>()).unwrap().network;
            check_split(&part, Flavor::Fused, from > 0);
            check_split(&part, Flavor::Naive, from > 0);
            from = end;
        }
    }
}

/// Loss, θ's gradient, and the values of all outputs, of a network in two halves.
fn halves(network: &Network, cut: usize, batch: usize, theta: &[f32]) -> (Vec<f32>, Vec<Array2<f32>>) {
    let nodes: Vec<usize> = (0..network.nodes().len()).collect();
    let parts = [network.part(&nodes[..cut]).unwrap().network, network.part(&nodes[cut..]).unwrap().network];
    let sigma = network.initial_sigma();
    let (front_theta, back_theta) = theta.split_at(parts[0].theta_len());
    let (front_sigma, back_sigma) = sigma.split_at(parts[0].sigma_len());
    let (samples, labels) = ids(batch);
    let context = |sigma| Context { phase: Phase::Train, ..Context::eval(&samples, sigma) };
    let (front, back) =
        (Program::compile(&parts[0], Flavor::Fused), Program::compile(&parts[1], Flavor::Fused).with_input_gradients());
    let (mut fws, mut bws) = (front.workspace(batch), back.workspace(batch));
    let mut grad = vec![f32::NAN; theta.len()];
    let (front_grad, back_grad) = grad.split_at_mut(front_theta.len());
    let x = rows(network, batch);
    let front_run = Run { program: &front, context: context(front_sigma), theta: front_theta, labels: &labels };
    front_run.to_the_turn(&mut fws, &x, 0.0);
    let export = parts[0].exports()[0];
    bws.assign(0, fws.value(export));
    back.loss_and_grad(&context(back_sigma), back_theta, &mut bws, &labels, back_grad);
    fws.output(export).1.assign(&bws.gradient(0));
    front.backward(&front_run.context, front_theta, &mut fws, front_grad, &mut |_, _| {});
    let values = |part: &Network, ws: &Workspace| -> Vec<Array2<f32>> {
        part.outputs().iter().map(|output| ws.value(output.value).to_owned()).collect()
    };
    (grad, [values(&parts[0], &fws), values(&parts[1], &bws)].concat())
}

fn ids(batch: usize) -> (Vec<u32>, Vec<u32>) {
    ((0..batch as u32).collect(), (0..batch as u32).map(|b| b * 7 % 3).collect())
}

#[test]
fn a_cut_between_steps_leaves_every_bit_as_it_is() {
    let picture = || Shape::image(3, 20, 23);
    for (name, input, within) in [
        ("iris_mlp", Shape::vector(4), &[][..]),
        ("img_cnn", picture(), &[0, 2, 4]),
        ("vgg5", picture(), &[0, 2]),
        ("vgg5_plain", picture(), &[0, 2]),
        ("mnist_cnn", picture(), &[0, 2]),
        ("greenai_chain", picture(), &[]),
    ] {
        let network = Network::build(zoo::by_name(name, &input, 3).unwrap()).unwrap();
        assert_eq!(network.cuts_within_steps(), within, "{name}");
        let whole = Program::compile(&network, Flavor::Fused);
        let (theta, sigma) = (Init::Uniform.draw(&network, 2), network.initial_sigma());
        for batch in [4, 8] {
            let (samples, labels) = ids(batch);
            let context = Context { phase: Phase::Train, ..Context::eval(&samples, &sigma) };
            let mut ws = whole.workspace(batch);
            ws.assign(0, rows(&network, batch).view());
            let mut expected = vec![f32::NAN; theta.len()];
            whole.loss_and_grad(&context, &theta, &mut ws, &labels, &mut expected);
            for (index, cut) in network.cuts().into_iter().enumerate() {
                let (grad, values) = halves(&network, cut, batch, &theta);
                let outputs = network.outputs().iter().map(|output| ws.value(output.value));
                let same = grad == expected && outputs.eq(values.iter().map(|value| value.view()));
                let different = grad.iter().zip(&expected).filter(|(a, b)| a != b).count();
                assert!(
                    same || within.contains(&index),
                    "{name} batch {batch}: cut {index} changes {different} elements"
                );
            }
        }
    }
}
