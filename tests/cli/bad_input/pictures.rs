//! Mistakes with pictures and the networks that read them.

use super::{Case, case};
use crate::pictures::with_set;
use crate::run::{Launch, Run};
use goai::data::synth::Kind;

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let ask = |args: &str, code, parts: &[&str]| case(&format!("pictures: {args}"), Run::new(args), code, parts);
    let cifar = |args: &str, code, parts: &[&str]| {
        let run = with_set(Run::new(&format!("--dataset cifar10 --data-dir d {args}")), Kind::Cifar10, 2, 1);
        case(&format!("cifar10: {args}"), run, code, parts)
    };
    let net = |name: &str, text: &str, parts: &[&str]| {
        case(name, Run::new("--model net.toml").file("net.toml", text), 4, parts)
    };
    vec![
        ask("--dataset img", 4, &["no pictures found", "tried datasets/seg_train", "--data-dir", "data synth"]),
        ask("--dataset img", 4, &["no pictures found"]).on(Launch::Threads(2)),
        ask("--dataset img", 4, &["no pictures found"]).on(Launch::Mpi(2)),
        ask("--dataset cifar10", 4, &["CIFAR-10 not found", "data_batch"]),
        ask("--dataset mnist", 4, &["MNIST not found"]),
        ask("--dataset ./none", 4, &["none"]),
        ask("--dataset none.npy", 4, &["tried none.npy"]),
        ask("--dataset weather", 2, &["weather", "no data set", "cifar10"]),
        ask("--model img_cn", 2, &["img_cn", "no network", "did you mean img_cnn?"]),
        ask("--model img_cnn", 4, &["conv1", "reads pictures"]),
        ask("--model none.toml", 4, &["none.toml", "no such file", "--model"]),
        ask("--image-size 8", 3, &["imageSize = 8x8", "is a table", "leave it out"]),
        ask("--image-size 0", 2, &["--image-size", "zero"]),
        ask("--augment flip", 2, &["--augment: augment = flip, but iris has no pictures"]),
        ask("--bad-image ignore", 2, &["--bad-image", "fail|skip"]),
        case("an instruction set that is none", Run::new("").env("GOAI_TEST_ISA", "mmx"), 2, &["GOAI_TEST_ISA=mmx", "portable"]),
        net("a model file that is no TOML", "[[layer]\n", &["net.toml:1: ", "not TOML"]),
        net("a model file without layers", "name = \"x\"\n", &["net.toml:1: ", "no layer"]),
        net("a model file with an unknown layer", "[[layer]]\nkind = \"dens\"\n", &["net.toml:2: ", "dense"]),
        cifar("--image-size 64", 3, &["imageSize = 64x64", "has pictures of 32x32", "leave it out"]),
        cifar("--model img_mlp --augment crop --crop-margin 32", 2, &["--crop-margin", "32x32"]),
        cifar("--set inputdataDims=784", 2, &["inputdataDims = 784, but cifar10 has 3072"]),
    ]
}
