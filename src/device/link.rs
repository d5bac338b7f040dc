//! What lies between two devices, in one direction.

use super::Trace;
use crate::units::Seconds;

/// A link in one direction. It belongs to its sender, who has one transmitter for all its links, or one for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// How fast it takes messages.
    pub bandwidth: Trace,
    /// How long a message is on its way after the last byte of it was taken.
    pub latency: Seconds,
}

impl Link {
    /// A link that takes so many bytes a second at all times; infinitely many are allowed, and no latency is, too.
    ///
    /// # Panics
    /// If the bandwidth is not above 0 or the latency below it.
    pub fn new(bytes_per_s: f64, latency: Seconds) -> Self {
        assert!(latency.0 >= 0.0, "a message does not arrive before it was sent");
        Self { bandwidth: Trace::constant(bytes_per_s), latency }
    }
}
