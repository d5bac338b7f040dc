//! Our layers, losses and rules against PyTorch's numbers; `tools/golden.py` made them and explains the file.

use goai::nn::zoo::{self, Hidden, MlpOptions};
use goai::nn::{Alone, Context, Flavor, Loss, Network, Phase, Program};
use goai::optim::{Rule, Step};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    widths: Vec<usize>,
    epsilon: f64,
    weights0: Vec<f32>,
    inputs: Vec<Vec<Vec<f32>>>,
    labels: Vec<Vec<u32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    hidden: String,
    output: String,
    standardise: bool,
    loss: String,
    optimizer: String,
    lr: f64,
    mu: Option<f64>,
    losses: Vec<f64>,
    gradient0: Vec<f32>,
    weights20: Vec<f32>,
}

impl Case {
    fn network(&self, widths: &[usize]) -> Network {
        let hidden = match self.hidden.as_str() {
            "sigmoid" => Hidden::Sigmoid,
            "tanh" => Hidden::Tanh,
            "relu" => Hidden::Relu,
            other => panic!("{other}"),
        };
        let (loss, output) = match self.loss.as_str() {
            "cross_entropy" => (Loss::CrossEntropy, "none"),
            "l2" => (Loss::L2, "sigmoid"),
            other => panic!("{other}"),
        };
        assert_eq!(self.output, output, "the zoo's mlp decides the output by the loss");
        let [inputs, hidden_widths @ .., classes] = widths else { panic!("{widths:?}") };
        let options = MlpOptions { hidden, loss, standardize: self.standardise };
        Network::build(zoo::mlp(*inputs, hidden_widths, *classes, &options)).unwrap()
    }

    fn rule(&self) -> Rule {
        match self.optimizer.as_str() {
            "sgd" => Rule::Sgd,
            "momentum" => Rule::Momentum(self.mu.unwrap()),
            "adam" => Rule::Adam,
            other => panic!("{other}"),
        }
    }
}

/// What our program makes of a case: its losses, its first gradient, its last weights.
struct Ours {
    losses: Vec<f64>,
    gradient0: Vec<f32>,
    weights20: Vec<f32>,
}

fn train(golden: &Golden, case: &Case, flavor: Flavor) -> Ours {
    let network = case.network(&golden.widths);
    let program = Program::compile(&network, flavor);
    let mut workspace = program.workspace(golden.inputs[0].len());
    let mut optimizer = case.rule().build(network.theta_len(), 0.0);
    let mut theta = golden.weights0.clone();
    let mut grad = vec![f32::NAN; theta.len()];
    let mut ours = Ours { losses: Vec::new(), gradient0: Vec::new(), weights20: Vec::new() };
    for (number, (inputs, labels)) in (1..).zip(golden.inputs.iter().zip(&golden.labels)) {
        let rows = ndarray::Array2::from_shape_fn((inputs.len(), inputs[0].len()), |(b, i)| inputs[b][i]);
        workspace.assign(0, rows.view());
        let ids: Vec<u32> = (0..labels.len() as u32).collect();
        let context = Context { phase: Phase::Train, ..Context::eval(&ids, &[]) };
        let tally = program.loss_and_grad(&context, &theta, &mut workspace, labels, &mut grad);
        ours.losses.push(tally.mean_loss().unwrap());
        grad.iter_mut().for_each(|g| *g /= inputs.len() as f32);
        if number == 1 {
            ours.gradient0.clone_from(&grad);
        }
        optimizer.step(Step { number, rate: case.lr, scale: 1.0 }, &grad, &mut theta, &Alone);
    }
    ours.weights20 = theta;
    ours
}

/// The largest difference, relative to the largest expected magnitude.
fn worst(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |max, v| max.max(v.abs()));
    let worst = got.iter().zip(expected).map(|(g, e)| f64::from((g - e).abs()));
    // NaN must not pass as 0.
    worst.fold(0.0, |max, d| if d.is_nan() { f64::INFINITY } else { d.max(max) }) / f64::from(largest)
}

#[test]
fn losses_gradients_and_weights_are_pytorchs() {
    let golden: Golden = serde_json::from_str(include_str!("../golden/iris_mlp.json")).unwrap();
    assert_eq!((golden.epsilon, golden.inputs.len(), golden.weights0.len()), (1e-5, 20, 833));
    let names: Vec<&str> = golden.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["sgd", "momentum", "adam", "sgd_l2", "adam_tanh", "sgd_relu", "sgd_standardised"]);
    for case in &golden.cases {
        for flavor in [Flavor::Fused, Flavor::Naive] {
            let ours = train(&golden, case, flavor);
            let gradient = worst(&ours.gradient0, &case.gradient0);
            let losses = ours.losses.iter().zip(&case.losses).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let weights = worst(&ours.weights20, &case.weights20);
            println!(
                "{:17} {flavor:?}: gradient {gradient:.1e}, losses {losses:.1e}, weights {weights:.1e}",
                case.name
            );
            assert_eq!(ours.losses.len(), case.losses.len());
            assert!(gradient < 1e-5, "{} {flavor:?}: first gradient off by {gradient:e}", case.name);
            assert!(losses < 1e-5, "{} {flavor:?}: losses off by {losses:e}", case.name);
            assert!(weights < 1e-4, "{} {flavor:?}: weights off by {weights:e}", case.name);
        }
    }
}
