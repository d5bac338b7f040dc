//! Task graphs are whole, in order, and compute what their network computes.

use super::*;
use crate::nn::layers::{Add, Concat, Dense, LayerKind, Relu};
use crate::nn::{Context, Flavor, Init, Loss, NodeSpec, OutputSpec, Program, Shape, Spec, model_text, zoo};
use crate::rng::{Purpose, below, stream};
use ndarray::Array2;
use std::collections::HashMap;

const BOTH: [Granularity; 2] = [Granularity::Layer, Granularity::Block];
const SEED: u64 = 5;

fn wide(name: &str, size: usize, classes: usize, width: f64) -> Network {
    Network::build(zoo::by_name_with_width(name, &Shape::image(3, size, size), classes, width).unwrap()).unwrap()
}

/// Every node is in one task, every tensor goes forward and to each reader once, and nothing is lost of the work.
fn check_whole(network: &Network, granularity: Granularity) -> OffloadGraph {
    let name = format!("{} {granularity:?}", network.spec().name);
    let it = OffloadGraph::of(network, granularity).unwrap();
    let (graph, count) = (&it.graph, it.nodes.len());
    assert_eq!((graph.tasks().len(), graph.tensors().len()), (count, it.values.len()), "{name}");
    assert_eq!(
        (graph.tasks()[it.input()].name.as_str(), graph.tasks()[it.answer()].name.as_str()),
        ("input", "answer")
    );
    assert!(it.nodes[0].is_empty() && it.nodes[count - 1].is_empty(), "{name}");
    let mut held: Vec<usize> = it.nodes.concat();
    held.sort_unstable();
    assert!(held.into_iter().eq(0..network.nodes().len()), "{name}");
    assert!(it.nodes.iter().all(|nodes| nodes.is_sorted()), "{name}");
    for (tensor, value) in graph.tensors().iter().zip(&it.values) {
        assert!(tensor.to.is_sorted_by(|a, b| a < b) && tensor.to[0] > tensor.from, "{name}");
        assert_eq!(tensor.bytes.0, 4 * network.shapes()[*value].elements() as u64, "{name}");
    }
    assert_eq!(graph.reads(it.answer()).len(), 1, "{name}");
    assert_eq!(graph.tasks().iter().map(|task| task.flops.0).sum::<u64>(), network.cost().forward.0, "{name}");
    let memory: u64 = graph.tasks().iter().map(|task| task.memory.0).sum();
    assert!(memory > 4 * network.theta_len() as u64, "{name}");
    it
}

/// Runs the tasks one after the other, each with its own weights alone, on what tensors bring; gives the answer.
fn run_tasks(network: &Network, it: &OffloadGraph, x: &Array2<f32>) -> Array2<f32> {
    let first = network.num_inputs();
    let mut tensors: HashMap<ValueId, Array2<f32>> = HashMap::from([(0, x.clone())]);
    for task in it.graph.order().iter().copied().filter(|task| !it.nodes[*task].is_empty()) {
        let part = network.part(&it.nodes[task]).unwrap();
        let read: Vec<ValueId> = it.graph.reads(task).iter().map(|tensor| it.values[*tensor]).collect();
        assert_eq!(part.inputs, read);
        let (theta, sigma) = (Init::He.draw_part(network, &it.nodes[task], SEED), part.network.initial_sigma());
        let program = Program::compile(&part.network, Flavor::Fused);
        let mut ws = program.forward_workspace(x.nrows());
        for (i, value) in part.inputs.iter().enumerate() {
            ws.assign(i, tensors[value].view());
        }
        let samples: Vec<u32> = (0..x.nrows() as u32).collect();
        program.forward(&Context::eval(&samples, &sigma), &theta, &mut ws);
        for value in it.graph.makes(task).iter().map(|tensor| it.values[*tensor]) {
            let place = it.nodes[task].binary_search(&(value - first)).unwrap();
            tensors.insert(value, ws.value(part.network.num_inputs() + place).to_owned());
        }
    }
    tensors[&it.values[it.graph.reads(it.answer())[0]]].clone()
}

/// The network's last output, computed as one program.
fn run_whole(network: &Network, x: &Array2<f32>) -> Array2<f32> {
    let (theta, sigma) = (Init::He.draw(network, SEED), network.initial_sigma());
    let program = Program::compile(network, Flavor::Fused);
    let mut ws = program.forward_workspace(x.nrows());
    ws.assign(0, x.view());
    let samples: Vec<u32> = (0..x.nrows() as u32).collect();
    program.forward(&Context::eval(&samples, &sigma), &theta, &mut ws);
    ws.value(network.outputs().last().unwrap().value).to_owned()
}

fn check_answer(network: &Network, it: &OffloadGraph, rows: usize) {
    let name = &network.spec().name;
    let x = Array2::from_shape_fn((rows, network.shapes()[0].elements()), |(b, i)| {
        ((b * 31 + i) * 7919 % 2003) as f32 / 1001.5 - 1.0
    });
    let (expected, got) = (run_whole(network, &x), run_tasks(network, it, &x));
    let largest = expected.iter().fold(0.0f32, |largest, y| largest.max(y.abs()));
    assert!(largest.is_finite() && largest > 0.0, "{name}: {largest}");
    let away = expected.iter().zip(&got).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(away <= 1e-5 * largest, "{name}: {away:e} of {largest:e}");
}

#[test]
fn the_published_networks_have_tasks_of_both_sizes() {
    for (name, size, classes, counts) in [
        ("vgg16", 224, 1000, [37, 16]),
        ("vgg16_19", 224, 1000, [75, 33]),
        ("resnet50", 224, 1000, [174, 54]),
        ("openface", 96, 128, [129, 47]),
    ] {
        let network = wide(name, size, classes, 1.0);
        let tasks = BOTH.map(|granularity| check_whole(&network, granularity).nodes.len() - 2);
        assert_eq!(tasks, counts, "{name}");
    }
}

#[test]
fn tasks_one_after_the_other_are_the_network() {
    for (name, size, rows) in [("vgg16", 32, 2), ("vgg16_19", 32, 1), ("resnet50", 64, 1), ("openface", 64, 2)] {
        let network = wide(name, size, 10, 0.125);
        for granularity in BOTH {
            check_answer(&network, &check_whole(&network, granularity), rows);
        }
    }
}

/// The names of the nodes of each task, in order.
fn named(network: &Network, it: &OffloadGraph) -> Vec<(String, String)> {
    let names = |nodes: &[usize]| nodes.iter().map(|n| network.spec().nodes[*n].name.as_str()).collect::<Vec<_>>();
    it.graph.tasks().iter().zip(&it.nodes).map(|(task, nodes)| (task.name.clone(), names(nodes).join(" "))).collect()
}

#[test]
fn what_follows_a_convolution_runs_with_it() {
    let cases: [(&str, &[&str]); 3] = [
        ("vgg16", &["features.2 features.3 features.4", "features.28 features.29 features.30 flatten", "classifier.6"]),
        (
            "resnet50",
            &[
                "conv1 bn1 relu maxpool",
                "layer1.0.downsample.0 layer1.0.downsample.1",
                "layer1.0.conv3 layer1.0.bn3 layer1.0.add layer1.0.relu3",
                "layer4.2.conv3 layer4.2.bn3 layer4.2.add layer4.2.relu3 avgpool",
            ],
        ),
        (
            "openface",
            &[
                "conv3 conv3.bn conv3.relu pool2",
                "inception_3a.pool inception_3a.pool_proj inception_3a.pool_proj.bn inception_3a.pool_proj.relu",
                "inception_3c.pool",
                "inception_3c.join",
                "inception_5b.join avgpool",
            ],
        ),
    ];
    for (name, expected) in cases {
        let network = wide(name, 64, 10, 0.125);
        let tasks = named(&network, &OffloadGraph::of(&network, Granularity::Block).unwrap());
        for nodes in expected {
            let head = nodes.split(' ').find(|name| !name.ends_with(".pool") || !nodes.contains(' ')).unwrap();
            assert!(tasks.iter().any(|task| task.0 == head && task.1 == *nodes), "{nodes}: {tasks:#?}");
        }
    }
}

#[test]
fn exit_heads_are_tasks_and_the_last_output_is_the_answer() {
    let network = Network::build(zoo::greenai_chain(&Shape::image(3, 24, 24), 4).unwrap()).unwrap();
    for granularity in BOTH {
        let it = check_whole(&network, granularity);
        check_answer(&network, &it, 2);
        // The head reads the picture that the next stage reads, and flattens it itself.
        let flattens = named(&network, &it).iter().filter(|(_, nodes)| nodes.starts_with("flatten")).count();
        assert_eq!(flattens, 5);
        let heads = it.graph.tasks().iter().filter(|task| task.name.starts_with("head")).count();
        assert_eq!(heads, 5);
    }
    let text = "input = [3]\n[[layer]]\nkind = \"dense\"\nname = \"answer\"\n";
    let taken = Network::build(model_text::parse(text, &Shape::vector(3), 2).unwrap()).unwrap();
    let message = OffloadGraph::of(&taken, Granularity::Layer).unwrap_err().to_string();
    assert!(message.contains("two tasks named 'answer'"), "{message}");
}

/// A graph in which any node may read any earlier ones.
fn random(seed: u64) -> Network {
    let mut rng = stream(seed, Purpose::Synthetic, 0, 0);
    let mut below = |n: usize| below(&mut rng, n as u64) as usize;
    let (mut names, mut widths, mut nodes) = (vec!["input".to_owned()], vec![4], Vec::new());
    for n in 0..3 + below(12) {
        let [a, b] = [below(names.len()), below(names.len())];
        let (layer, inputs, width) = match below(5) {
            0 | 1 => (LayerKind::Dense(Dense { inputs: widths[a], outputs: 4 }), vec![a], 4),
            2 => (LayerKind::Relu(Relu {}), vec![a], widths[a]),
            3 if a != b => (LayerKind::Concat(Concat {}), vec![a, b], widths[a] + widths[b]),
            _ if a != b && widths[a] == widths[b] => (LayerKind::Add(Add {}), vec![a, b], widths[a]),
            _ => (LayerKind::Dense(Dense { inputs: widths[b], outputs: 4 }), vec![b], 4),
        };
        let inputs = inputs.into_iter().map(|input| names[input].clone()).collect();
        names.push(format!("n{n}"));
        widths.push(width);
        nodes.push(NodeSpec { name: names[n + 1].clone(), layer, inputs });
    }
    let outputs = vec![OutputSpec { node: names[names.len() - 1].clone(), loss: Loss::CrossEntropy }];
    Network::build(Spec { name: format!("random {seed}"), input: Shape::vector(4), nodes, outputs }).unwrap()
}

#[test]
fn blocks_of_any_graph_wait_for_no_cycle() {
    for seed in 0..2000 {
        let network = random(seed);
        let it = check_whole(&network, Granularity::Block);
        if seed < 100 {
            check_answer(&network, &it, 3);
        }
    }
}
