//! Plain convolutional networks: `img_cnn` for photographs, `mnist_cnn` for digits.

use super::chain::Chain;
use crate::nn::{NetError, Shape, Spec};

/// Three times conv 3x3, ReLU and max-pool 2 with 16, 32 and 64 channels, then dense layers to 128 and to the classes.
///
/// # Errors
/// When the input is no picture, or is too small for three pools.
pub fn img_cnn(input: &Shape, classes: usize) -> Result<Spec, NetError> {
    let chain = Chain::new(input);
    let chain = chain.conv("conv1", 16, 3, 1)?.relu("relu1")?.pool("pool1")?;
    let chain = chain.conv("conv2", 32, 3, 1)?.relu("relu2")?.pool("pool2")?;
    let chain = chain.conv("conv3", 64, 3, 1)?.relu("relu3")?.pool("pool3")?;
    let chain = chain.flatten("flatten1")?.dense("fc1", 128)?.relu("relu4")?.dense("fc2", classes)?;
    Ok(chain.spec("img_cnn"))
}

/// Twice conv 5x5, ReLU and max-pool 2 with 16 and 32 channels, then a dense layer to the classes.
///
/// The padding of 2 keeps the size of the picture, so 28x28 reaches the dense layer as 32x7x7.
///
/// # Errors
/// When the input is no picture, or is too small for two pools.
pub fn mnist_cnn(input: &Shape, classes: usize) -> Result<Spec, NetError> {
    let chain = Chain::new(input);
    let chain = chain.conv("conv1", 16, 5, 2)?.relu("relu1")?.pool("pool1")?;
    let chain = chain.conv("conv2", 32, 5, 2)?.relu("relu2")?.pool("pool2")?;
    Ok(chain.flatten("flatten1")?.dense("fc1", classes)?.spec("mnist_cnn"))
}
