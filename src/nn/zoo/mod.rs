//! Reference networks: one file a family, one line in the table.

mod chain;
mod cnn;
mod greenai_chain;
mod mlp;
mod vgg5;

pub use cnn::{img_cnn, mnist_cnn};
pub use greenai_chain::greenai_chain;
pub use mlp::{Hidden, MlpOptions, mlp};
pub use vgg5::{vgg5, vgg5_plain};

use super::nearest::{did_you_mean, shown};
use super::{NetError, Shape, Spec};

type Make = fn(&Shape, usize) -> Result<Spec, NetError>;

/// Every network that has a name of its own.
const NETWORKS: &[(&str, Make)] = &[
    ("iris_mlp", |input, classes| Ok(named("iris_mlp", input, &[30, 20], classes))),
    ("img_mlp", |input, classes| Ok(named("img_mlp", input, &[40, 10], classes))),
    ("img_cnn", img_cnn),
    ("mnist_cnn", mnist_cnn),
    ("vgg5", vgg5),
    ("vgg5_plain", vgg5_plain),
    ("greenai_chain", greenai_chain),
];

/// An MLP with sigmoids; a picture goes in as it is.
fn named(name: &str, input: &Shape, hidden: &[usize], classes: usize) -> Spec {
    let mlp = mlp(input.elements(), hidden, classes, &MlpOptions::default());
    Spec { name: name.into(), input: input.clone(), ..mlp }
}

/// The names that [`by_name`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    NETWORKS.iter().map(|(name, _)| *name)
}

/// The network of this name for samples of shape `input` and `classes` classes.
///
/// # Errors
/// A name that is none, and an input that the network cannot read.
pub fn by_name(name: &str, input: &Shape, classes: usize) -> Result<Spec, NetError> {
    match NETWORKS.iter().find(|(known, _)| *known == name) {
        Some((_, make)) => make(input, classes),
        None => Err(NetError::UnknownNetwork {
            name: shown(name),
            question: did_you_mean(name, names()),
            known: names().collect::<Vec<_>>().join(", "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Network;

    #[test]
    fn every_network_has_the_sizes_of_its_paper() {
        let cifar = Shape::image(3, 32, 32);
        let cases = [
            // Name, input, classes, parameters, running statistics, blocks, forward MFLOP.
            ("iris_mlp", Shape::vector(4), 3, 833, 0, 3, 0),
            ("img_mlp", Shape::image(3, 150, 150), 6, 2_700_516, 0, 3, 5),
            ("img_cnn", Shape::image(3, 150, 150), 6, 2_678_694, 0, 8, 128),
            ("mnist_cnn", Shape::image(1, 28, 28), 10, 28_938, 0, 5, 5),
            ("vgg5", cifar.clone(), 10, 582_346, 320, 7, 17),
            ("vgg5_plain", cifar.clone(), 10, 582_026, 0, 7, 17),
            ("greenai_chain", cifar, 10, 485_906, 0, 5, 49),
        ];
        assert!(cases.iter().map(|case| case.0).eq(names()));
        for (name, input, classes, parameters, statistics, blocks, megaflops) in cases {
            let network = Network::build(by_name(name, &input, classes).unwrap()).unwrap();
            assert_eq!(network.spec().name, name);
            assert_eq!((network.theta_len(), network.sigma_len()), (parameters, statistics), "{name}");
            assert_eq!(network.cuts().len() + 1, blocks, "{name}");
            assert_eq!(network.cost().forward.0 / 1_000_000, megaflops, "{name}");
            assert_eq!(network.num_classes(), classes);
        }
    }

    #[test]
    fn the_chain_is_cut_behind_its_heads() {
        let network = Network::build(greenai_chain(&Shape::image(3, 32, 32), 10).unwrap()).unwrap();
        let name = |n: usize| network.spec().nodes[n].name.as_str();
        let around: Vec<_> = network.cuts().iter().map(|n| (name(*n - 1), name(*n))).collect();
        assert_eq!(around, [("head1", "conv2"), ("head2", "conv3"), ("head3", "conv4"), ("flatten5", "head5")]);
        let outputs: Vec<&str> = network.spec().outputs.iter().map(|output| output.node.as_str()).collect();
        assert_eq!(outputs, ["head1", "head2", "head3", "head4", "head5"]);
        assert!(network.outputs().iter().all(|output| network.shapes()[output.value] == Shape::vector(10)));
        assert_eq!(network.shapes()[1], Shape::image(32, 8, 8));
    }

    #[test]
    fn vgg5_is_cut_before_its_pools_convolutions_and_dense_layers() {
        let network = Network::build(vgg5(&Shape::image(3, 32, 32), 10).unwrap()).unwrap();
        let begins: Vec<&str> = network.cuts().iter().map(|n| network.spec().nodes[*n].name.as_str()).collect();
        assert_eq!(begins, ["pool1", "conv2", "pool2", "conv3", "fc1", "fc2"]);
        let names: Vec<&str> = network.statistics().map(|t| t.name.as_str()).take(2).collect();
        assert_eq!(names, ["bn1.running_mean", "bn1.running_var"]);
    }

    #[test]
    fn other_sizes_fit_and_impossible_ones_say_why() {
        for name in names() {
            by_name(name, &Shape::image(1, 41, 17), 2).and_then(Network::build).unwrap();
        }
        for (name, input, expected) in [
            ("img_cnn", Shape::vector(67_500), "'conv1': a conv2d layer reads pictures"),
            (
                "img_cnn",
                Shape::image(3, 7, 7),
                "'pool3': a max_pool layer has a kernel of 2x2, larger than its input of 1x1",
            ),
            ("img_cn", Shape::image(3, 7, 7), "did you mean img_cnn?"),
            ("resnet", Shape::image(3, 7, 7), "no network named 'resnet'; choose one of iris_mlp, img_mlp"),
        ] {
            let message = by_name(name, &input, 6).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
