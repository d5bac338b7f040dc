//! How wide a network is, against the published one.

use crate::nn::NetError;

/// What the channels of a network's inner layers are multiplied by: a narrow network is the same graph with little work.
///
/// # References
/// Howard et al., *MobileNets: efficient convolutional neural networks for mobile vision applications*, 2017.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Width(f64);

impl Width {
    /// The network as it was published.
    pub const FULL: Self = Self(1.0);

    /// A multiplier.
    ///
    /// # Errors
    /// When it is no number above 0.
    pub fn new(width: f64) -> Result<Self, NetError> {
        match width.is_finite() && width > 0.0 {
            true => Ok(Self(width)),
            false => Err(NetError::Width(width)),
        }
    }

    /// So many of `channels`, rounded, and at least one.
    pub fn of(self, channels: usize) -> usize {
        // What is too large becomes `usize::MAX`, and is refused where tensors are laid out.
        ((channels as f64 * self.0).round() as usize).max(1)
    }

    /// The name of a network of this width: `vgg16`, and `vgg16_x0.125` of an eighth of its channels. Measured tables
    /// and run directories go by the name.
    pub fn name(self, network: &str) -> String {
        if self == Self::FULL { network.to_owned() } else { format!("{network}_x{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_rounded_and_never_none() {
        for (width, channels, expected) in
            [(1.0, 64, 64), (0.125, 64, 8), (0.125, 3, 1), (0.3, 5, 2), (1e-9, 512, 1), (2.0, 48, 96)]
        {
            assert_eq!(Width::new(width).unwrap().of(channels), expected, "{channels} x {width}");
        }
        assert_eq!([Width::FULL, Width(0.125)].map(|width| width.name("vgg16")), ["vgg16", "vgg16_x0.125"]);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let message = Width::new(wrong).unwrap_err().to_string();
            assert!(message.contains("give a number above 0"), "{message}");
        }
    }
}
