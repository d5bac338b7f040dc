//! Networks that are ready against the naive program, whole and in parts.

use super::*;
use crate::nn::{Alone, Context, Flavor, Init, Program, model_text};
use ndarray::{Array2, ArrayView2};

/// Name, input and text of networks that have all there is to bring together, in sizes that fit badly.
const NETWORKS: &[(&str, [usize; 3], &str)] = &[
    (
        "shortcuts",
        [3, 33, 29],
        "conv2d outputs=20 kernel=7 stride=2 padding=3 bias=false; batch_norm; relu; max_pool kernel=3 stride=2 padding=1 name='stem'
        conv2d outputs=8 kernel=1 bias=false; batch_norm; relu; conv2d outputs=8 kernel=3 padding=1 bias=false; batch_norm
        relu; conv2d outputs=40 kernel=1 bias=false; batch_norm name='main'; conv2d from='stem' outputs=40 kernel=1 bias=false
        batch_norm name='side'; add from=['main','side']; relu name='block'; conv2d outputs=40 kernel=3 padding=1; batch_norm name='again'
        add from=['block','again'] name='both'; relu; conv2d outputs=24 kernel=3 stride=2 padding=1; dropout rate=0.3; relu
        global_avg_pool; flatten; dense outputs=9; batch_norm; relu; dense",
    ),
    (
        "branches",
        [5, 13, 11],
        "batch_norm name='start'; conv2d outputs=19 kernel=1 name='a'; conv2d from='start' outputs=5 kernel=3 padding=1
        relu name='b'; max_pool from='start' kernel=3 stride=1 padding=1; conv2d outputs=16 kernel=1; batch_norm name='c'
        avg_pool from='start' kernel=3 stride=1 padding=1 name='d'; concat from=['a','b','c','d']; relu name='all'
        conv2d outputs=45 kernel=1 name='same'; add from=['all','same','all']; relu name='twice'; add from=['twice','same'] name='sum'
        avg_pool kernel=[2,3] stride=[2,1]; sigmoid; conv2d outputs=7 kernel=5 padding=2 stride=[1,2]; batch_norm; tanh
        global_max_pool; dense outputs=20; tanh; dense outputs=5; sigmoid; dense",
    ),
    (
        "pools",
        [3, 45, 38],
        "conv2d outputs=16 kernel=3 padding=1; relu; max_pool kernel=2; conv2d outputs=33 kernel=3 padding=1; batch_norm; relu
        max_pool kernel=2; conv2d outputs=20 kernel=3 padding=1; max_pool kernel=2; relu; batch_norm; flatten
        dense outputs=31; relu; dropout rate=0.5; dense",
    ),
    (
        "wide",
        [320, 7, 7],
        "conv2d outputs=50 kernel=3 padding=1 bias=false; batch_norm; relu; max_pool kernel=2; flatten; dense outputs=130; relu
        dense",
    ),
];

/// A network out of the short form above.
fn network([c, h, w]: [usize; 3], text: &str) -> Network {
    let layers = text.split(['\n', ';']).map(|layer| {
        let mut words = layer.split_whitespace();
        let kind = words.next().expect("a kind");
        let settings: String = words.map(|word| format!("{word}\n")).collect();
        format!("[[layer]]\nkind = '{kind}'\n{settings}")
    });
    let text = format!("input = [{c}, {h}, {w}]\n{}", layers.collect::<String>());
    Network::build(model_text::parse(&text, &Shape::image(c, h, w), 3).unwrap()).unwrap()
}

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// θ and σ of which no number is a special one.
fn parameters(network: &Network) -> (Vec<f32>, Vec<f32>) {
    let mut theta = Init::He.draw(network, 3);
    theta.iter_mut().zip(noise(network.theta_len(), 8)).for_each(|(theta, noise)| *theta += 0.1 * noise);
    let sigma = noise(network.sigma_len(), 5).into_iter().map(|s| s.abs() + 0.3).collect();
    (theta, sigma)
}

fn near(got: ArrayView2<f32>, expected: ArrayView2<f32>, what: &str) {
    assert_eq!(got.dim(), expected.dim(), "{what}");
    let largest = expected.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 1e-5 * (1.0 + largest), "{what}: {got} at {i}, not {expected}");
    }
}

#[test]
fn a_ready_network_and_every_part_of_it_computes_what_the_naive_one_does() {
    const ROWS: usize = 3;
    for (name, input, text) in NETWORKS {
        let network = network(*input, text);
        let (theta, sigma) = parameters(&network);
        let x = Array2::from_shape_vec(
            (ROWS, network.shapes()[0].elements()),
            noise(ROWS * input.iter().product::<usize>(), 1),
        );
        let naive = Program::compile(&network, Flavor::Naive);
        let mut ws = naive.forward_workspace(ROWS);
        ws.assign(0, x.unwrap().view());
        naive.forward(&Context::eval(&[0; ROWS], &sigma), &theta, &mut ws);
        let nodes: Vec<usize> = (0..network.nodes().len()).collect();
        for from in 0..nodes.len() {
            for to in from + 1..=nodes.len() {
                let part = network.part(&nodes[from..to]).unwrap();
                let of = |spans: &[Span], all: &[f32]| -> Vec<f32> {
                    spans.iter().flat_map(|span| &all[span.range()]).copied().collect()
                };
                let ready = Inference::new(&part.network, &of(&part.theta, &theta), &of(&part.sigma, &sigma));
                let mut answers = ready.answers(ROWS + 1);
                // The second pass finds the memory as the first one left it.
                for rows in [ROWS, 2] {
                    let whole: Vec<_> = part.inputs.iter().map(|value| ws.value(*value)).collect();
                    for (i, rows_of) in whole.iter().enumerate() {
                        answers.assign(i, rows_of.slice(ndarray::s![..rows, ..]));
                    }
                    ready.run(&mut answers, &Alone);
                    for (inner, value) in part.network.exports().iter().zip(&part.outputs) {
                        let what = format!("{name} nodes {from}..{to} value {}", network.value_name(*value));
                        near(answers.value(*inner), ws.value(*value).slice(ndarray::s![..rows, ..]), &what);
                    }
                    for output in part.network.outputs() {
                        let value = network.num_inputs() + nodes[from + output.value - part.inputs.len()];
                        let what = format!("{name} nodes {from}..{to} output {}", network.value_name(value));
                        near(answers.value(output.value), ws.value(value).slice(ndarray::s![..rows, ..]), &what);
                    }
                }
            }
        }
    }
}

#[test]
fn what_can_run_together_does() {
    let steps = |name: &str| {
        let (_, input, text) = NETWORKS.iter().find(|network| network.0 == name).unwrap();
        let network = network(*input, text);
        let (theta, sigma) = parameters(&network);
        let ready = Inference::new(&network, &theta, &sigma);
        let cost: crate::nn::Cost = ready.steps().iter().map(|step| step.cost).sum();
        assert!(cost.forward.0 <= network.cost().forward.0);
        ready.steps().into_iter().map(|step| step.name).collect::<Vec<_>>().join(" | ")
    };
    assert_eq!(
        steps("shortcuts"),
        "conv1 + bn1 + relu1 | stem | conv2 + bn2 + relu2 | conv3 + bn3 + relu3 | conv4 + main | \
        conv5 + side + add1 + block | conv6 + again + both + relu5 | conv7 | relu6 | pool2 | fc1 + bn7 + relu7 | fc2"
    );
    assert_eq!(
        steps("pools"),
        "conv1 + relu1 + pool1 | conv2 + bn1 + relu2 + pool2 | conv3 + pool3 | relu3 | bn2 | change of layout | \
        fc1 + relu4 | fc2"
    );
    // Sums in several pieces, with registers that are wide enough.
    let pool = if crate::nn::kernels::Isa::detect().lanes() == 16 { " | pool1" } else { " + pool1" };
    assert_eq!(steps("wide"), format!("conv1 + bn1 + relu1{pool} | change of layout | fc1 + relu2 | fc2"));
}

/// Threads of its own, which take tasks from the end.
struct Three;

impl Team for Three {
    fn size(&self) -> usize {
        3
    }

    fn run(&self, tasks: usize, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for thread in 0..3 {
                scope.spawn(move || (thread..tasks).step_by(3).rev().for_each(work));
            }
        });
    }
}

#[test]
fn a_team_changes_no_bit() {
    for (name, input, text) in NETWORKS {
        let network = network(*input, text);
        let (theta, sigma) = parameters(&network);
        let ready = Inference::new(&network, &theta, &sigma);
        let mut answers = ready.answers(2);
        let mut run = |team: &dyn Team| {
            let x = noise(2 * input.iter().product::<usize>(), 4);
            answers.assign(0, ArrayView2::from_shape((2, x.len() / 2), &x).unwrap());
            ready.run(&mut answers, team);
            answers.value(network.outputs()[0].value).to_owned()
        };
        assert_eq!(run(&Alone), run(&Three), "{name}");
    }
}

#[test]
fn values_share_memory() {
    let (_, input, text) = NETWORKS[0];
    let network = network(input, text);
    let (theta, sigma) = parameters(&network);
    let ready = Inference::new(&network, &theta, &sigma);
    let apart: usize = ready.plan.slots.iter().map(|slot| slot.len(4)).sum();
    assert!(ready.answer_bytes(4) < 4 * apart as u64 * 3 / 4, "{} of {}", ready.answer_bytes(4), 4 * apart);
}

#[test]
fn threads_share_a_ready_network() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Inference>();
    is_shared::<Answers>();
}
