//! A node's parameters as a sampler sees them: which elements of θ belong together.

use super::layers::LayerKind;
use super::{Network, Span};

/// The kind of layer that parameters belong to; samplers have settings for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// A convolution.
    Conv,
    /// A dense layer.
    Dense,
    /// Any other layer with parameters.
    Other,
}

/// The parameters of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// The node.
    pub node: usize,
    /// Its kind.
    pub kind: ParameterKind,
    /// Its weights, the same number for each output.
    pub weight: Span,
    /// One bias an output, where it has any.
    pub bias: Option<Span>,
    /// How many outputs it has: channels of a convolution.
    pub outputs: usize,
}

impl Parameters {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.weight.len + self.bias.map_or(0, |bias| bias.len)
    }

    /// Parameters of one output.
    pub fn filter_len(&self) -> usize {
        self.weight.len / self.outputs + usize::from(self.bias.is_some())
    }

    /// The place in θ of parameter `i` of all: weights, then biases.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn index(&self, i: usize) -> usize {
        match i.checked_sub(self.weight.len) {
            None => self.weight.start + i,
            Some(i) => {
                let bias = self.bias.filter(|bias| i < bias.len);
                bias.expect("a parameter of this node").start + i
            }
        }
    }

    /// The places in θ of all that feeds output `o`: its weights, then its bias.
    pub fn filter(&self, o: usize) -> impl Iterator<Item = usize> {
        let len = self.weight.len / self.outputs;
        let first = self.weight.start + o * len;
        (first..first + len).chain(self.bias.map(|bias| bias.start + o))
    }
}

impl Network {
    /// The parameters of each node that has any, in the order of θ.
    pub fn parameters(&self) -> Vec<Parameters> {
        let nodes = self.nodes().iter().zip(&self.spec().nodes).enumerate();
        nodes
            .filter_map(|(node, (place, spec))| {
                let weight = place.tensors.first()?;
                let kind = match spec.layer {
                    LayerKind::Conv2d(_) => ParameterKind::Conv,
                    LayerKind::Dense(_) => ParameterKind::Dense,
                    _ => ParameterKind::Other,
                };
                let bias = place.tensors.get(1).map(|bias| bias.span);
                Some(Parameters { node, kind, weight: weight.span, bias, outputs: weight.shape[0] })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Shape, model_text, zoo};

    #[test]
    fn filters_cover_a_networks_parameters_once() {
        let text = "input = [3, 7, 5]\n[[layer]]\nkind = \"conv2d\"\noutputs = 4\nkernel = 3\nbias = false\n\
            [[layer]]\nkind = \"batch_norm\"\n[[layer]]\nkind = \"flatten\"\n[[layer]]\nkind = \"dense\"\noutputs = 2\n";
        let picture = Shape::image(3, 7, 5);
        for (spec, kinds) in [
            (model_text::parse(text, &picture, 2).unwrap(), "[Conv, Other, Dense]"),
            (zoo::mlp(5, &[7], 3, &zoo::MlpOptions::default()), "[Dense, Dense]"),
        ] {
            let network = Network::build(spec).unwrap();
            let all = network.parameters();
            assert_eq!(format!("{:?}", all.iter().map(|p| p.kind).collect::<Vec<_>>()), kinds);
            let mut seen: Vec<usize> = all.iter().flat_map(|p| (0..p.outputs).flat_map(|o| p.filter(o))).collect();
            let listed: Vec<usize> = all.iter().flat_map(|p| (0..p.count()).map(|i| p.index(i))).collect();
            assert!(all.iter().all(|p| p.filter(p.outputs - 1).count() == p.filter_len()));
            seen.sort_unstable();
            assert_eq!(seen, (0..network.theta_len()).collect::<Vec<_>>());
            assert_eq!(listed, seen);
        }
    }
}
