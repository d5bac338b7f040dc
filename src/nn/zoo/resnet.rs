//! ResNet: `resnet50`, sixteen bottlenecks with shortcuts.
//!
//! References: He, Zhang, Ren, Sun, *Deep residual learning for image recognition*, CVPR 2016.

use super::chain::Chain;
use super::width::Width;
use crate::nn::{NetError, Shape, Spec};

/// The inner channels of each stage, and its bottlenecks.
const RESNET50: [(usize, usize); 4] = [(64, 3), (128, 4), (256, 6), (512, 3)];
/// How many times wider a bottleneck is at its end.
const EXPANSION: usize = 4;

/// Conv 7x7 with stride 2, max-pool 3 with stride 2, sixteen bottlenecks in four stages, the mean of each channel, and a
/// dense layer to the classes.
///
/// Torchvision's `resnet50` (v1.5: a stage's stride is on its first 3x3 convolution) with its names, so that its state
/// dict maps one to one; `num_batches_tracked` has no place here. The rectifiers, one module there, are numbered.
///
/// # Errors
/// When the input is no picture.
pub fn resnet50(input: &Shape, classes: usize, width: Width) -> Result<Spec, NetError> {
    let chain = Chain::new(input).bare_conv("conv1", width.of(64), [7, 2, 3])?.norm("bn1")?.relu("relu")?;
    let mut chain = chain.pool_by("maxpool", [3, 2, 1])?;
    for (stage, (planes, blocks)) in (1..).zip(RESNET50) {
        for block in 0..blocks {
            let stride = if block == 0 && stage > 1 { 2 } else { 1 };
            chain = bottleneck(chain, &format!("layer{stage}.{block}"), planes, stride, block == 0, width)?;
        }
    }
    Ok(chain.mean("avgpool")?.dense("fc", classes)?.spec(&width.name("resnet50")))
}

/// Conv 1x1 to few channels, 3x3, 1x1 to many, added to what came in; `projected` where that has another shape.
fn bottleneck(
    chain: Chain,
    name: &str,
    planes: usize,
    stride: usize,
    projected: bool,
    width: Width,
) -> Result<Chain, NetError> {
    let of = |layer: &str| format!("{name}.{layer}");
    let (inner, outer) = (width.of(planes), width.of(planes * EXPANSION));
    let mut shortcut = chain.here();
    let chain = chain.bare_conv(&of("conv1"), inner, [1, 1, 0])?.norm(&of("bn1"))?.relu(&of("relu1"))?;
    let chain = chain.bare_conv(&of("conv2"), inner, [3, stride, 1])?.norm(&of("bn2"))?.relu(&of("relu2"))?;
    let mut chain = chain.bare_conv(&of("conv3"), outer, [1, 1, 0])?.norm(&of("bn3"))?;
    let residual = chain.here();
    if projected {
        chain = chain.back_to(&shortcut).bare_conv(&of("downsample.0"), outer, [1, stride, 0])?;
        chain = chain.norm(&of("downsample.1"))?;
        shortcut = chain.here();
    }
    chain.add(&of("add"), &[residual, shortcut])?.relu(&of("relu3"))
}
