//! Parts of a network: stages, split halves, offload tasks.

use super::spec::INPUT;
use super::{NetError, Network, OutputSpec, Shape, Span, Spec, ValueId};

/// A partial network with its place in the whole.
#[derive(Debug, Clone)]
pub struct Part {
    /// The part as a network of its own; its inputs are the tensors that cross into it.
    pub network: Network,
    /// The whole's values that cross into the part, in the order of its inputs.
    pub inputs: Vec<ValueId>,
    /// The whole's values that the part hands on, ascending; the part calls them [`Network::exports`].
    pub outputs: Vec<ValueId>,
    /// The spans of the whole's θ that the part holds, one a node, in order.
    pub theta: Vec<Span>,
    /// The spans of the whole's σ that the part holds, one a node, in order.
    pub sigma: Vec<Span>,
}

impl Network {
    /// The part that consists of `nodes`, ascending indices.
    ///
    /// # Errors
    /// When the part is no network by itself.
    ///
    /// # Panics
    /// If the nodes are not ascending indices of this network.
    pub fn part(&self, nodes: &[usize]) -> Result<Part, NetError> {
        assert!(nodes.is_sorted_by(|a, b| a < b), "nodes in ascending order: {nodes:?}");
        let first = self.num_inputs();
        let inside = |value: ValueId| value >= first && nodes.binary_search(&(value - first)).is_ok();
        let mut inputs: Vec<ValueId> =
            nodes.iter().flat_map(|n| &self.nodes()[*n].inputs).copied().filter(|v| !inside(*v)).collect();
        inputs.sort_unstable();
        inputs.dedup();
        let mut outputs: Vec<ValueId> = (0..self.nodes().len())
            .filter(|n| nodes.binary_search(n).is_err())
            .flat_map(|n| &self.nodes()[n].inputs)
            .chain(self.exports())
            .copied()
            .filter(|v| inside(*v))
            .collect();
        outputs.sort_unstable();
        outputs.dedup();
        let named: Vec<(String, Shape)> =
            inputs.iter().map(|v| (self.value_name(*v).to_string(), self.shapes()[*v].clone())).collect();
        let spec = Spec {
            name: self.spec().name.clone(),
            input: named.first().map_or(Shape(vec![]), |(_, shape)| shape.clone()),
            nodes: nodes.iter().map(|n| self.spec().nodes[*n].clone()).collect(),
            outputs: self.part_outputs(&inside),
        };
        let place = |value: &ValueId| nodes.binary_search(&(value - first)).expect("a value made inside");
        let exports = outputs.iter().map(|value| inputs.len() + place(value)).collect();
        Ok(Part {
            network: Network::build_with_inputs(spec, named)?.exporting(exports),
            inputs,
            outputs,
            theta: nodes.iter().map(|n| self.nodes()[*n].theta).collect(),
            sigma: nodes.iter().map(|n| self.nodes()[*n].sigma).collect(),
        })
    }

    fn part_outputs(&self, inside: &dyn Fn(ValueId) -> bool) -> Vec<OutputSpec> {
        let pairs = self.outputs().iter().zip(&self.spec().outputs);
        pairs.filter(|(o, _)| inside(o.value)).map(|(_, spec)| spec.clone()).collect()
    }

    /// The name of a value: its node's, or `input`.
    pub fn value_name(&self, value: ValueId) -> &str {
        match value.checked_sub(self.num_inputs()) {
            Some(node) => &self.spec().nodes[node].name,
            None => INPUT,
        }
    }

    /// The cuts: cut `p` keeps the first `p` trunk blocks, and exactly one tensor crosses it.
    ///
    /// What stands before the first block belongs to it, and an exit head to the block before it. Returns, for each `p`
    /// from 1 to the number of blocks - 1, the number of nodes before the cut.
    pub fn cuts(&self) -> Vec<usize> {
        let (first, trunk) = (self.num_inputs(), self.trunk());
        (0..self.nodes().len())
            .filter(|n| trunk[*n] && self.layer(*n).begins_block())
            .skip(1)
            .filter(|n| {
                let reads = self.nodes()[*n..].iter().flat_map(|node| &node.inputs);
                let mut crossing: Vec<_> = reads.filter(|v| **v < first + n).collect();
                crossing.sort_unstable();
                crossing.dedup();
                crossing.len() == 1
            })
            .collect()
    }

    /// For each node, whether the last output, or what other parts read, depends on it: all but exit heads.
    fn trunk(&self) -> Vec<bool> {
        let first = self.num_inputs();
        let last = self.outputs().last().map(|output| output.value);
        let ends: Vec<ValueId> =
            if self.exports().is_empty() { last.into_iter().collect() } else { self.exports().into() };
        let mut trunk = vec![ends.is_empty(); self.nodes().len()];
        ends.iter().filter_map(|value| value.checked_sub(first)).for_each(|node| trunk[node] = true);
        for n in (0..trunk.len()).rev().filter(|_| !ends.is_empty()) {
            if trunk[n] {
                self.nodes()[n].inputs.iter().filter_map(|v| v.checked_sub(first)).for_each(|node| trunk[node] = true);
            }
        }
        trunk
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nn::{Context, Flavor, Init, Phase, Program, model_text, with_exits, zoo};
    use ndarray::Array2;

    /// Two halves, the first's output handed to the second, give the whole's loss and gradient.
    #[test]
    fn two_halves_equal_the_whole_at_every_cut() {
        let picture = Shape::image(2, 8, 8);
        let mlp = Network::build(zoo::mlp(5, &[7, 9, 4], 3, &zoo::MlpOptions::default())).unwrap();
        for (spec, cuts) in [
            (mlp.spec().clone(), &[2, 4, 6][..]),
            (zoo::img_cnn(&picture, 3).unwrap(), &[2, 3, 5, 6, 8, 10, 12]),
            (zoo::vgg5(&picture, 3).unwrap(), &[3, 4, 7, 8, 12, 13]),
            (with_shortcut(), &[4, 5, 8]),
            (with_heads(), &[5, 9, 13]),
            (zoo::greenai_chain(&Shape::image(2, 14, 17), 3).unwrap(), &[4, 8, 12, 17]),
            (with_exits(&mlp, &mlp.cuts()), &[3, 6, 9]),
        ] {
            let network = Network::build(spec).unwrap();
            assert_eq!(network.cuts(), cuts, "{}", network.spec().name);
            [Flavor::Fused, Flavor::Naive].iter().for_each(|flavor| check_halves(&network, *flavor));
        }
    }

    /// Dropout, batch-norm and a shortcut, across which no cut goes.
    pub(in crate::nn) fn with_shortcut() -> Spec {
        let text = "input = [3, 4, 2]\n[[layer]]\nkind = \"dropout\"\nrate = 0.2\n\
            [[layer]]\nkind = \"conv2d\"\noutputs = 3\nkernel = 3\npadding = 1\n[[layer]]\nkind = \"batch_norm\"\n\
            [[layer]]\nkind = \"add\"\nfrom = [\"bn1\", \"dropout1\"]\n[[layer]]\nkind = \"avg_pool\"\nkernel = 2\n\
            [[layer]]\nkind = \"dense\"\noutputs = 5\n[[layer]]\nkind = \"batch_norm\"\n[[layer]]\nkind = \"dropout\"\n\
            rate = 0.5\n[[layer]]\nkind = \"dense\"\n";
        let spec = model_text::parse(text, &Shape::image(3, 4, 2), 3).unwrap();
        Spec { name: "with a shortcut".into(), ..spec }
    }

    /// Exit heads that read what crosses the cuts: a picture, a pooled one that its head flattens, and a vector.
    pub(in crate::nn) fn with_heads() -> Spec {
        let conv = "[[layer]]\nkind = \"conv2d\"\noutputs = 5\nkernel = 3\npadding = 1\n[[layer]]\nkind = \"relu\"\n";
        let head = "[[layer]]\nkind = \"flatten\"\n[[layer]]\nkind = \"dense\"\noutputs = 3\nexit = true\n";
        let text = format!(
            "input = [2, 6, 4]\n{conv}[[layer]]\nkind = \"batch_norm\"\n{head}[[layer]]\nfrom = \"bn1\"\nkind = \"conv2d\"\n\
            kernel = 3\noutputs = 4\n[[layer]]\nkind = \"relu\"\n{head}[[layer]]\nfrom = \"relu2\"\nkind = \"dense\"\n\
            outputs = 7\n[[layer]]\nkind = \"tanh\"\n[[layer]]\nkind = \"dense\"\nexit = true\noutputs = 3\n[[layer]]\n\
            from = \"act1\"\nkind = \"softmax\"\n[[layer]]\nkind = \"dense\"\n"
        );
        let spec = model_text::parse(&text, &Shape::image(2, 6, 4), 3).unwrap();
        assert_eq!(spec.outputs.len(), 4);
        Spec { name: "with heads".into(), ..spec }
    }

    fn check_halves(network: &Network, flavor: Flavor) {
        let name = &format!("{} {flavor:?}", network.spec().name);
        let theta = Init::Glorot.draw(network, 3);
        let sigma = network.initial_sigma();
        let x = Array2::from_shape_fn((6, network.shapes()[0].elements()), |(i, j)| {
            ((i as f32 - j as f32) / 3.0).sin() + i as f32 / 5.0
        });
        let labels = [0, 1, 2, 0, 1, 2];
        let samples: Vec<u32> = (0..6).collect();
        let context = Context { phase: Phase::Train, ..Context::eval(&samples, &sigma) };
        let whole = Program::compile(network, flavor);
        let mut ws = whole.workspace(6);
        ws.assign(0, x.view());
        let mut expected = vec![0.0; theta.len()];
        let tally = whole.loss_and_grad(&context, &theta, &mut ws, &labels, &mut expected);

        for cut in network.cuts() {
            let nodes: Vec<usize> = (0..network.nodes().len()).collect();
            let (front, back) = (network.part(&nodes[..cut]).unwrap(), network.part(&nodes[cut..]).unwrap());
            assert_eq!(front.outputs, back.inputs);
            let &[last] = front.network.exports() else { panic!("{name}: one tensor crosses") };
            assert_eq!((last, back.network.exports().len()), (front.outputs[0], 0));
            let middle = front.network.theta_len();
            assert_eq!(back.theta[0].start, middle);
            assert_eq!(back.sigma[0].start, front.network.sigma_len());
            let (front_sigma, back_sigma) = sigma.split_at(front.network.sigma_len());
            let front_context = Context { sigma: front_sigma, ..context };
            let back_context = Context { sigma: back_sigma, ..context };
            let (front, back) = (
                Program::compile(&front.network, flavor),
                Program::compile(&back.network, flavor).with_input_gradients(),
            );
            let (mut fws, mut bws) = (front.workspace(6), back.workspace(6));
            fws.assign(0, x.view());
            front.forward(&front_context, &theta[..middle], &mut fws);
            bws.assign(0, fws.value(last));
            let mut grad = vec![0.0; theta.len()];
            let (grad_front, grad_back) = grad.split_at_mut(middle);
            let got = back.loss_and_grad(&back_context, &theta[middle..], &mut bws, &labels, grad_back);
            fws.output(last).1.assign(&bws.gradient(0));
            let heads = 0..front.network().outputs().len();
            let early: f64 = heads.map(|output| front.tally_and_gradient(&mut fws, output, &labels).loss).sum();
            front.backward(&front_context, &theta[..middle], &mut fws, grad_front, &mut |_, _| {});
            assert_eq!((got.correct, got.samples), (tally.correct, tally.samples), "{name}");
            assert!((early + got.loss - tally.loss).abs() < 1e-5 * tally.loss, "{name}");
            // Not bit by bit: a cut between a convolution and its pooling has gradients summed in another order.
            let square = |v: f32| f64::from(v) * f64::from(v);
            let away: f64 = grad.iter().zip(&expected).map(|(a, b)| square(a - b)).sum();
            let norm: f64 = expected.iter().map(|b| square(*b)).sum();
            assert!(away <= 1e-12 * norm, "{name}: cut after {cut} nodes: {:e}", (away / norm).sqrt());
            let moments = [fws.moments(), bws.moments()].concat();
            let equal = moments.iter().zip(ws.moments()).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()));
            assert!(equal, "{name}: cut after {cut} nodes");
        }
    }
}
