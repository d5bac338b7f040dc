//! VGG: `vgg16`, and `vgg16_19` in which it stands beside VGG19.
//!
//! References: Simonyan and Zisserman, *Very deep convolutional networks for large-scale image recognition*, ICLR 2015.

use super::chain::Chain;
use super::width::Width;
use crate::nn::{NetError, Shape, Spec};

/// The channels of each group of convolutions, and how many VGG16 has of them.
const VGG16: [(usize, usize); 5] = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];
/// As [`VGG16`], of VGG19.
const VGG19: [(usize, usize); 5] = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)];

/// 13 convolutions 3x3 with ReLU in five groups, max-pool 2 after each; dense 4096, 4096 and the classes.
///
/// Torchvision's `vgg16` without batch-norm, with its names. Its dropout, which does nothing in inference, and its
/// adaptive pool to 7x7, which does nothing at 224x224, are left out: at other sizes the first dense layer is as long as
/// the picture that reaches it.
///
/// # Errors
/// When the input is no picture, or is too small for five pools: below 32x32.
pub fn vgg16(input: &Shape, classes: usize, width: Width) -> Result<Spec, NetError> {
    let chain = features(Chain::new(input), "", &VGG16, width)?;
    Ok(classifier(chain, classes, width)?.spec(&width.name("vgg16")))
}

/// The convolutions of VGG16 and VGG19 side by side on one picture, joined along their channels before the dense layers
/// of [`vgg16`]: two branches and a join.
///
/// # Errors
/// As [`vgg16`].
pub fn vgg16_19(input: &Shape, classes: usize, width: Width) -> Result<Spec, NetError> {
    let chain = Chain::new(input);
    let picture = chain.here();
    let chain = features(chain, "vgg16.", &VGG16, width)?;
    let first = chain.here();
    let chain = features(chain.back_to(&picture), "vgg19.", &VGG19, width)?;
    let branches = [first, chain.here()];
    Ok(classifier(chain.concat("join", &branches)?, classes, width)?.spec(&width.name("vgg16_19")))
}

/// The convolutions, numbered as torchvision does: every layer counts.
fn features(mut chain: Chain, branch: &str, groups: &[(usize, usize)], width: Width) -> Result<Chain, NetError> {
    let mut layers = (0..).map(|layer| format!("{branch}features.{layer}"));
    let mut name = || layers.next().expect("numbers do not end");
    for (channels, convolutions) in groups {
        for _ in 0..*convolutions {
            chain = chain.conv(&name(), width.of(*channels), 3, 1)?.relu(&name())?;
        }
        chain = chain.pool(&name())?;
    }
    Ok(chain)
}

/// The dense layers; dropout has the numbers that are missing.
fn classifier(chain: Chain, classes: usize, width: Width) -> Result<Chain, NetError> {
    let hidden = width.of(4096);
    let chain = chain.flatten("flatten")?.dense("classifier.0", hidden)?.relu("classifier.1")?;
    chain.dense("classifier.3", hidden)?.relu("classifier.4")?.dense("classifier.6", classes)
}
