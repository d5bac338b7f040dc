//! Reference networks: one file a family, one line in the table.

mod chain;
mod cnn;
mod greenai_chain;
mod mlp;
mod openface;
mod resnet;
mod vgg;
mod vgg5;
mod width;

pub use cnn::{img_cnn, mnist_cnn};
pub use greenai_chain::greenai_chain;
pub use mlp::{Hidden, MlpOptions, mlp};
pub use openface::openface;
pub use resnet::resnet50;
pub use vgg::{vgg16, vgg16_19};
pub use vgg5::{vgg5, vgg5_plain};
pub use width::Width;

use super::nearest::{did_you_mean, shown};
use super::{NetError, Shape, Spec};

/// How a network of the table is made, from its input and its classes.
enum Make {
    /// As wide as it is.
    Fixed(fn(&Shape, usize) -> Result<Spec, NetError>),
    /// In any width.
    Wide(fn(&Shape, usize, Width) -> Result<Spec, NetError>),
}

use Make::{Fixed, Wide};

/// Every network that has a name of its own, with the samples and classes that it was made for.
const NETWORKS: &[(&str, &[usize], usize, Make)] = &[
    ("iris_mlp", &[4], 3, Fixed(|input, classes| Ok(named("iris_mlp", input, &[30, 20], classes)))),
    ("img_mlp", &[3, 150, 150], 6, Fixed(|input, classes| Ok(named("img_mlp", input, &[40, 10], classes)))),
    ("img_cnn", &[3, 150, 150], 6, Fixed(img_cnn)),
    ("mnist_cnn", &[1, 28, 28], 10, Fixed(mnist_cnn)),
    ("vgg5", &[3, 32, 32], 10, Fixed(vgg5)),
    ("vgg5_plain", &[3, 32, 32], 10, Fixed(vgg5_plain)),
    ("greenai_chain", &[3, 32, 32], 10, Fixed(greenai_chain)),
    ("vgg16", &[3, 224, 224], 1000, Wide(vgg16)),
    ("vgg16_19", &[3, 224, 224], 1000, Wide(vgg16_19)),
    ("resnet50", &[3, 224, 224], 1000, Wide(resnet50)),
    ("openface", &[3, 96, 96], 128, Wide(openface)),
];

/// An MLP with sigmoids; a picture goes in as it is.
fn named(name: &str, input: &Shape, hidden: &[usize], classes: usize) -> Spec {
    let mlp = mlp(input.elements(), hidden, classes, &MlpOptions::default());
    Spec { name: name.into(), input: input.clone(), ..mlp }
}

/// The names that [`by_name`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    NETWORKS.iter().map(|(name, ..)| *name)
}

/// The names of the networks that have a width.
pub fn wide_names() -> impl Iterator<Item = &'static str> {
    NETWORKS.iter().filter(|(.., make)| matches!(make, Wide(_))).map(|(name, ..)| *name)
}

/// The shape of the samples that a network was made for; none of an unknown one.
pub fn default_input(name: &str) -> Option<Shape> {
    NETWORKS.iter().find(|(known, ..)| *known == name).map(|(_, input, ..)| Shape(input.to_vec()))
}

/// The classes that a network was made for; none of an unknown one.
pub fn default_classes(name: &str) -> Option<usize> {
    NETWORKS.iter().find(|(known, ..)| *known == name).map(|(_, _, classes, _)| *classes)
}

/// The network of this name for samples of shape `input` and `classes` classes.
///
/// # Errors
/// A name that is none, and an input that the network cannot read.
pub fn by_name(name: &str, input: &Shape, classes: usize) -> Result<Spec, NetError> {
    by_name_with_width(name, input, classes, 1.0)
}

/// As [`by_name`], with the channels of the inner layers multiplied by `width`.
///
/// # Errors
/// As [`by_name`]; a width that is no number above 0, and one other than 1 of a network that has none.
pub fn by_name_with_width(name: &str, input: &Shape, classes: usize, width: f64) -> Result<Spec, NetError> {
    let width = Width::new(width)?;
    match NETWORKS.iter().find(|(known, ..)| *known == name) {
        Some((.., Wide(make))) => make(input, classes, width),
        Some((.., Fixed(make))) if width == Width::FULL => make(input, classes),
        Some(_) => Err(NetError::NoWidth { name: name.into(), wide: wide_names().collect::<Vec<_>>().join(", ") }),
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
        let (cifar, photo) = (Shape::image(3, 32, 32), Shape::image(3, 224, 224));
        let cases = [
            // Name, input, classes, parameters, running statistics, blocks, forward MFLOP.
            ("iris_mlp", Shape::vector(4), 3, 833, 0, 3, 0),
            ("img_mlp", Shape::image(3, 150, 150), 6, 2_700_516, 0, 3, 5),
            ("img_cnn", Shape::image(3, 150, 150), 6, 2_678_694, 0, 8, 128),
            ("mnist_cnn", Shape::image(1, 28, 28), 10, 28_938, 0, 5, 5),
            ("vgg5", cifar.clone(), 10, 582_346, 320, 7, 17),
            ("vgg5_plain", cifar.clone(), 10, 582_026, 0, 7, 17),
            ("greenai_chain", cifar, 10, 485_906, 0, 5, 49),
            // Published: 15.47 and 4.09 G multiplications of vgg16 and resnet50, each with an addition, and the parameters
            // of all but the join. What is above that is normalization (9 FLOP an element), activation and pooling.
            ("vgg16", photo.clone(), 1000, 138_357_544, 0, 21, 30_960),
            ("vgg16_19", photo.clone(), 1000, 14_714_688 + 20_024_384 + 226_403_304, 0, 4, 70_203),
            ("resnet50", photo, 1000, 25_557_032, 2 * 26_560, 20, 8_295),
            ("openface", Shape::image(3, 96, 96), 128, 3_733_968, 2 * 4_656, 14, 420),
        ];
        assert!(cases.iter().map(|case| case.0).eq(names()));
        for (name, input, classes, parameters, statistics, blocks, megaflops) in cases {
            assert_eq!((default_input(name).as_ref(), default_classes(name)), (Some(&input), Some(classes)));
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
        for name in wide_names() {
            let narrow = by_name_with_width(name, &Shape::image(3, 64, 64), 7, 0.125).unwrap();
            assert_eq!(narrow.name, format!("{name}_x0.125"));
            let (narrow, full) = (Network::build(narrow).unwrap(), by_name(name, &Shape::image(3, 64, 64), 7).unwrap());
            let share = Network::build(full).unwrap().cost().forward.0 as f64 / narrow.cost().forward.0 as f64;
            assert!((25.0..64.0).contains(&share) && narrow.num_classes() == 7, "{name}: {share}");
        }
        let message = by_name_with_width("vgg5", &Shape::image(3, 32, 32), 7, 0.5).unwrap_err().to_string();
        assert!(message.contains("vgg5 comes in one width; width applies to vgg16, vgg16_19, resnet50, openface"));
        for name in names() {
            by_name(name, &Shape::image(1, 41, 33), 2).and_then(Network::build).unwrap();
        }
        for (name, input, expected) in [
            ("img_cnn", Shape::vector(67_500), "'conv1': a conv2d layer reads pictures"),
            (
                "img_cnn",
                Shape::image(3, 7, 7),
                "'pool3': a max_pool layer has a kernel of 2x2, larger than its input of 1x1",
            ),
            ("img_cn", Shape::image(3, 7, 7), "did you mean img_cnn?"),
            ("lenet", Shape::image(3, 7, 7), "no network named 'lenet'; choose one of iris_mlp, img_mlp"),
        ] {
            let message = by_name(name, &input, 6).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
