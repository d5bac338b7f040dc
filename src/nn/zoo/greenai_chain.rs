//! `greenai_chain`: a chain of stages that each learn on their own, one small board a stage.

use super::chain::Chain;
use crate::nn::{NetError, Shape, Spec};

/// The size of every kernel.
const KERNEL: usize = 11;
/// The channels of every convolution.
const CHANNELS: usize = 32;

/// Conv 11x11 with 32 channels, the first with stride 3 and no padding, three more with stride 1 and padding 5; ReLU
/// after each, and behind each ReLU an exit head: a dense layer to the classes with its own loss. At last one more dense
/// layer to the classes. Five blocks; what crosses from one to the next is after ReLU.
///
/// # Errors
/// When the input is no picture, or is smaller than a kernel.
pub fn greenai_chain(input: &Shape, classes: usize) -> Result<Spec, NetError> {
    let mut chain = Chain::new(input);
    for stage in 1..=4 {
        let (stride, padding) = if stage == 1 { (3, 0) } else { (1, KERNEL / 2) };
        let [conv, relu, flatten, head] = ["conv", "relu", "flatten", "head"].map(|name| format!("{name}{stage}"));
        chain = chain.conv_by(&conv, CHANNELS, [KERNEL, stride, padding])?.relu(&relu)?;
        chain = chain.exit(&flatten, &head, classes)?;
    }
    Ok(chain.flatten("flatten5")?.dense("head5", classes)?.spec("greenai_chain"))
}
