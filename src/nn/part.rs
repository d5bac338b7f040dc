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
    /// The whole's values that the part hands on, ascending.
    pub outputs: Vec<ValueId>,
    /// The spans of the whole's θ that the part holds, one a node, in order.
    pub theta: Vec<Span>,
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
        Ok(Part {
            network: Network::build_with_inputs(spec, named)?,
            inputs,
            outputs,
            theta: nodes.iter().map(|n| self.nodes()[*n].theta).collect(),
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
    /// What stands before the first block belongs to it. Returns, for each `p` from 1 to the number of blocks - 1, the
    /// number of nodes before the cut.
    pub fn cuts(&self) -> Vec<usize> {
        let first = self.num_inputs();
        (0..self.nodes().len())
            .filter(|n| self.layer(*n).begins_block())
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Context, Flavor, Init, Program, zoo};
    use ndarray::{Array2, Axis};

    /// Two halves, the first's output handed to the second, give the whole's loss and gradient.
    #[test]
    fn two_halves_equal_the_whole_at_every_cut() {
        let network = Network::build(zoo::mlp(5, &[7, 9, 4], 3, &zoo::MlpOptions::default())).unwrap();
        assert_eq!(network.cuts(), [2, 4, 6]);
        let theta = Init::Glorot.draw(&network, 3);
        let x = Array2::from_shape_fn((6, 5), |(i, j)| (i as f32 - j as f32) / 3.0);
        let labels = [0, 1, 2, 0, 1, 2];
        let samples: Vec<u32> = (0..6).collect();
        let context = Context::eval(&samples, &[]);
        let whole = Program::compile(&network, Flavor::Fused);
        let mut ws = whole.workspace(6);
        ws.assign(0, x.view());
        let mut expected = vec![0.0; theta.len()];
        let tally = whole.loss_and_grad(&context, &theta, &mut ws, &labels, &mut expected);

        for cut in network.cuts() {
            let nodes: Vec<usize> = (0..network.nodes().len()).collect();
            let (front, back) = (network.part(&nodes[..cut]).unwrap(), network.part(&nodes[cut..]).unwrap());
            assert_eq!(front.outputs, back.inputs);
            let middle = front.network.theta_len();
            assert_eq!(back.theta[0].start, middle);
            let (front, back) = (
                Program::compile(&front.network, Flavor::Fused),
                Program::compile(&back.network, Flavor::Fused).with_input_gradients(),
            );
            let (mut fws, mut bws) = (front.workspace(6), back.workspace(6));
            fws.assign(0, x.view());
            front.forward(&context, &theta[..middle], &mut fws);
            let last = cut;
            bws.assign(0, fws.value(last));
            let mut grad = vec![0.0; theta.len()];
            let (grad_front, grad_back) = grad.split_at_mut(middle);
            let got = back.loss_and_grad(&context, &theta[middle..], &mut bws, &labels, grad_back);
            fws.output(last).1.assign(&bws.gradient(0));
            front.backward(&context, &theta[..middle], &mut fws, grad_front, &mut |_, _| {});
            assert_eq!(got, tally);
            assert_eq!(grad, expected, "cut after {cut} nodes");
            assert_eq!(x.len_of(Axis(0)), 6);
        }
    }
}
