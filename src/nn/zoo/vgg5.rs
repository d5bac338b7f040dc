//! VGG5, the network of the split-learning literature: seven blocks, so six places to cut.
//!
//! References: Samikwa, Di Maio, Braun, *ARES: Adaptive Resource-Aware Split Learning for Internet of Things*,
//! Computer Networks, 2022.

use super::chain::Chain;
use crate::nn::{NetError, Shape, Spec};

/// Conv 3x3 with 32, 64 and 64 channels, batch-norm and ReLU after each, max-pool 2 after the first two; dense layers
/// to 128 and to the classes with nothing between them.
///
/// # Errors
/// When the input is no picture, or is too small for two pools.
pub fn vgg5(input: &Shape, classes: usize) -> Result<Spec, NetError> {
    let chain = Chain::new(input);
    let chain = chain.conv("conv1", 32, 3, 1)?.norm("bn1")?.relu("relu1")?.pool("pool1")?;
    let chain = chain.conv("conv2", 64, 3, 1)?.norm("bn2")?.relu("relu2")?.pool("pool2")?;
    let chain = chain.conv("conv3", 64, 3, 1)?.norm("bn3")?.relu("relu3")?;
    Ok(chain.flatten("flatten1")?.dense("fc1", 128)?.dense("fc2", classes)?.spec("vgg5"))
}

/// As [`vgg5`] without batch-norm, and with a ReLU between the dense layers.
///
/// # Errors
/// When the input is no picture, or is too small for two pools.
pub fn vgg5_plain(input: &Shape, classes: usize) -> Result<Spec, NetError> {
    let chain = Chain::new(input);
    let chain = chain.conv("conv1", 32, 3, 1)?.relu("relu1")?.pool("pool1")?;
    let chain = chain.conv("conv2", 64, 3, 1)?.relu("relu2")?.pool("pool2")?;
    let chain = chain.conv("conv3", 64, 3, 1)?.relu("relu3")?;
    Ok(chain.flatten("flatten1")?.dense("fc1", 128)?.relu("relu4")?.dense("fc2", classes)?.spec("vgg5_plain"))
}
