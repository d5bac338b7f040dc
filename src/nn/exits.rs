//! Exit heads for a network that has none: each stage of a chain then has an answer, and a loss, of its own.

use super::layers::{Dense, Flatten, LayerKind};
use super::{Network, NodeSpec, OutputSpec, Spec, ValueId};
use std::ops::Range;

/// The network with an exit head before each cut whose stage has no output: a flattening, where a picture crosses, and a
/// dense layer to the number of classes, under the loss of the last output.
///
/// `cuts` are numbers of nodes before a cut, ascending, of [`Network::cuts`]. Cut `p` of the new network is cut `p` of
/// the old one, with the heads before it. The head of stage `s`, from 1, is `exit{s}`, and what flattens for it
/// `exit{s}_flatten`; its parameters lie in θ where the stage's do.
///
/// # Panics
/// If the network has no output, if the cuts are not ascending, or if not exactly one tensor crosses each.
pub fn with_exits(network: &Network, cuts: &[usize]) -> Spec {
    let old = network.spec();
    let last = network.outputs().last().expect("a network with an output");
    let (classes, loss) = (network.shapes()[last.value].elements(), last.loss);
    let mut nodes: Vec<NodeSpec> = Vec::with_capacity(old.nodes.len() + 2 * cuts.len());
    let mut outputs = Vec::new();
    let mut from = 0;
    for (cut, stage) in cuts.iter().copied().zip(1..) {
        assert!(from < cut && cut < old.nodes.len(), "cuts in ascending order: {cuts:?}");
        nodes.extend_from_slice(&old.nodes[from..cut]);
        let own = outputs_of(network, from..cut);
        if own.is_empty() {
            let name = format!("exit{stage}");
            nodes.extend(head(network, crossing(network, cut), &name, classes));
            outputs.push(OutputSpec { node: name, loss });
        }
        outputs.extend(own);
        from = cut;
    }
    nodes.extend_from_slice(&old.nodes[from..]);
    outputs.extend(outputs_of(network, from..old.nodes.len()));
    Spec { name: old.name.clone(), input: old.input.clone(), nodes, outputs }
}

/// The outputs among some nodes.
fn outputs_of(network: &Network, nodes: Range<usize>) -> Vec<OutputSpec> {
    let values = nodes.start + network.num_inputs()..nodes.end + network.num_inputs();
    let pairs = network.outputs().iter().zip(&network.spec().outputs);
    pairs.filter(|(output, _)| values.contains(&output.value)).map(|(_, spec)| spec.clone()).collect()
}

/// The one value that crosses a cut.
fn crossing(network: &Network, cut: usize) -> ValueId {
    let end = network.num_inputs() + cut;
    let mut values: Vec<ValueId> =
        network.nodes()[cut..].iter().flat_map(|node| &node.inputs).copied().filter(|value| *value < end).collect();
    values.sort_unstable();
    values.dedup();
    let &[value] = values.as_slice() else { panic!("{} tensors cross the cut after {cut} nodes", values.len()) };
    value
}

fn head(network: &Network, value: ValueId, name: &str, classes: usize) -> Vec<NodeSpec> {
    let shape = &network.shapes()[value];
    let mut from = network.value_name(value).to_string();
    let mut nodes = Vec::new();
    if shape.0.len() > 1 {
        let flatten = format!("{name}_flatten");
        let inputs = vec![std::mem::replace(&mut from, flatten.clone())];
        nodes.push(NodeSpec { name: flatten, layer: LayerKind::Flatten(Flatten {}), inputs });
    }
    let layer = LayerKind::Dense(Dense { inputs: shape.elements(), outputs: classes });
    nodes.push(NodeSpec { name: name.into(), layer, inputs: vec![from] });
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Shape, zoo};

    #[test]
    fn each_stage_gets_one_output_and_cuts_keep_their_meaning() {
        let cifar = || Shape::image(3, 32, 32);
        for (name, input) in [
            ("iris_mlp", Shape::vector(4)),
            ("img_cnn", cifar()),
            ("vgg5", cifar()),
            ("vgg5_plain", cifar()),
            ("mnist_cnn", cifar()),
            ("greenai_chain", cifar()),
        ] {
            let old = Network::build(zoo::by_name(name, &input, 5).unwrap()).unwrap();
            let cuts = old.cuts();
            let some: Vec<usize> = cuts.iter().copied().step_by(2).collect();
            for chosen in [cuts.clone(), some, vec![]] {
                let new = Network::build(with_exits(&old, &chosen)).unwrap();
                let places = new.cuts();
                let begin = |network: &Network, cuts: &[usize]| -> Vec<String> {
                    cuts.iter().map(|cut| network.spec().nodes[*cut].name.clone()).collect()
                };
                assert_eq!(begin(&new, &places), begin(&old, &cuts), "{name}");
                let at = |cut: &usize| places[cuts.iter().position(|c| c == cut).unwrap()];
                let ends: Vec<usize> = chosen.iter().map(at).chain([new.nodes().len()]).collect();
                let mut from = 0;
                for (stage, end) in ends.iter().copied().enumerate() {
                    let part = new.part(&(from..end).collect::<Vec<_>>()).unwrap();
                    let outputs = part.network.outputs();
                    // With few cuts, several of the chain's own heads are in a stage.
                    assert!(outputs.len() == 1 || name == "greenai_chain" && chosen != cuts, "{name} {stage}");
                    assert!(outputs.iter().all(|output| part.network.shapes()[output.value] == Shape::vector(5)));
                    assert_eq!(part.outputs.len(), usize::from(end < new.nodes().len()));
                    from = end;
                }
                if name == "greenai_chain" {
                    assert_eq!(new, old);
                }
                let trunk = old.spec().nodes.iter().all(|node| new.spec().nodes.contains(node));
                assert!(
                    trunk
                        && new.outputs().last().is_some_and(
                            |o| new.value_name(o.value) == old.value_name(old.outputs().last().unwrap().value)
                        )
                );
            }
        }
    }

    #[test]
    fn heads_have_their_names_and_sizes() {
        let old = Network::build(zoo::vgg5(&Shape::image(3, 8, 8), 4).unwrap()).unwrap();
        let new = Network::build(with_exits(&old, &[old.cuts()[1], old.cuts()[4]])).unwrap();
        let added: Vec<String> = (new.spec().nodes.iter())
            .filter(|node| !old.spec().nodes.contains(node))
            .map(|node| format!("{}({})", node.name, node.inputs.join(" ")))
            .collect();
        assert_eq!(added, ["exit1_flatten(pool1)", "exit1(exit1_flatten)", "exit2(flatten1)"]);
        assert_eq!(new.theta_len() - old.theta_len(), (32 * 16 + 1) * 4 + (64 * 4 + 1) * 4);
    }
}
