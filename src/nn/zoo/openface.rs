//! OpenFace's nn4.small2: seven inception blocks, from a face to an embedding.
//!
//! References: Amos, Ludwiczuk, Satyanarayanan, *OpenFace: a general-purpose face recognition library with mobile
//! applications*, CMU-CS-16-118, 2016; Szegedy et al., *Going deeper with convolutions*, CVPR 2015.

use super::chain::Chain;
use super::width::Width;
use crate::nn::{NetError, Shape, Spec};

/// How an inception block pools what comes in.
#[derive(Clone, Copy)]
enum Pooled {
    /// The maximum, and the channels that a 1x1 convolution makes of it.
    Max(usize),
    /// The mean, likewise.
    Mean(usize),
    /// The maximum with stride 2, as it is.
    Halved,
}

/// An inception block.
struct Inception {
    name: &'static str,
    /// The branches of a 1x1 convolution and a square one: the kernel, the channels of the first and of the second.
    squares: &'static [(usize, usize, usize)],
    pooled: Pooled,
    /// The channels of the branch of a 1x1 convolution alone; none where the block halves the picture.
    ones: Option<usize>,
}

const BLOCKS: [Inception; 7] = [
    Inception { name: "3a", squares: &[(3, 96, 128), (5, 16, 32)], pooled: Pooled::Max(32), ones: Some(64) },
    Inception { name: "3b", squares: &[(3, 96, 128), (5, 32, 64)], pooled: Pooled::Mean(64), ones: Some(64) },
    Inception { name: "3c", squares: &[(3, 128, 256), (5, 32, 64)], pooled: Pooled::Halved, ones: None },
    Inception { name: "4a", squares: &[(3, 96, 192), (5, 32, 64)], pooled: Pooled::Mean(128), ones: Some(256) },
    Inception { name: "4e", squares: &[(3, 160, 256), (5, 64, 128)], pooled: Pooled::Halved, ones: None },
    Inception { name: "5a", squares: &[(3, 96, 384)], pooled: Pooled::Mean(96), ones: Some(256) },
    Inception { name: "5b", squares: &[(3, 96, 384)], pooled: Pooled::Max(96), ones: Some(256) },
];

/// Three convolutions, seven inception blocks, the mean of each channel, and a dense layer to `outputs` numbers: the
/// embedding of a face of 3x96x96, 128 of them as published.
///
/// Not in this network: the two cross-map normalizations, which have no parameters (batch-norm stays), and the division
/// of the embedding by its length. Where the original pools by the root of summed squares (3b, 4a, 5a), it takes the mean.
/// The parameters are the published 3,733,968.
///
/// # Errors
/// When the input is no picture.
pub fn openface(input: &Shape, outputs: usize, width: Width) -> Result<Spec, NetError> {
    let chain = unit(Chain::new(input), "conv1", width.of(64), 7, 2)?.pool_by("pool1", [3, 2, 1])?;
    let chain = unit(unit(chain, "conv2", width.of(64), 1, 1)?, "conv3", width.of(192), 3, 1)?;
    let mut chain = chain.pool_by("pool2", [3, 2, 1])?;
    for block in &BLOCKS {
        chain = block.build(chain, width)?;
    }
    Ok(chain.mean("avgpool")?.dense("embedding", outputs)?.spec(&width.name("openface")))
}

/// A convolution that keeps the size but for its stride, batch-norm and ReLU.
fn unit(chain: Chain, name: &str, channels: usize, kernel: usize, stride: usize) -> Result<Chain, NetError> {
    let chain = chain.conv_by(name, channels, [kernel, stride, kernel / 2])?;
    chain.norm(&format!("{name}.bn"))?.relu(&format!("{name}.relu"))
}

impl Inception {
    /// The branches on what comes in, joined along their channels.
    fn build(&self, mut chain: Chain, width: Width) -> Result<Chain, NetError> {
        let of = |layer: &str| format!("inception_{}.{layer}", self.name);
        let (input, mut ends) = (chain.here(), Vec::new());
        let stride = if self.ones.is_none() { 2 } else { 1 };
        for (kernel, before, channels) in self.squares {
            let name = of(&format!("{kernel}x{kernel}"));
            chain = unit(chain.back_to(&input), &format!("{name}_reduce"), width.of(*before), 1, 1)?;
            chain = unit(chain, &name, width.of(*channels), *kernel, stride)?;
            ends.push(chain.here());
        }
        chain = chain.back_to(&input);
        let (pool, proj) = (of("pool"), of("pool_proj"));
        chain = match self.pooled {
            Pooled::Max(channels) => unit(chain.pool_by(&pool, [3, 1, 1])?, &proj, width.of(channels), 1, 1)?,
            Pooled::Mean(channels) => unit(chain.mean_by(&pool, [3, 1, 1])?, &proj, width.of(channels), 1, 1)?,
            Pooled::Halved => chain.pool_by(&pool, [3, 2, 1])?,
        };
        ends.push(chain.here());
        if let Some(channels) = self.ones {
            chain = unit(chain.back_to(&input), &of("1x1"), width.of(channels), 1, 1)?;
            ends.push(chain.here());
        }
        chain.concat(&of("join"), &ends)
    }
}
