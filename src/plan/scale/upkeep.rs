//! What it costs to run a chain of stages, beside what the stages compute.

use super::Fabric;
use crate::units::{Bytes, Seconds};

/// Costs of messages and of the loop around the work, for pieces of one size.
///
/// # References
/// Culler et al., *LogP: towards a realistic model of parallel computation*, PPoPP 1993: overhead at both ends, latency
/// between them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Upkeep {
    /// What a message of a piece keeps its sender from computing, and its receiver likewise.
    pub end: Seconds,
    /// What passes in between.
    pub way: Seconds,
    /// What a piece and the credit for it keep either end from computing, where stages learn for themselves.
    pub credited: Seconds,
    /// What the loop around a stage takes for each piece.
    pub piece: Seconds,
    /// What it takes for each step.
    pub step: Seconds,
}

impl Upkeep {
    /// On a network that nobody can measure here, for a message of so many bytes; the loop is taken to cost nothing.
    pub fn assumed(network: &Fabric, bytes: Bytes) -> Self {
        let end = network.overhead();
        let way = Seconds((network.message(bytes).0 - 2.0 * end.0).max(0.0));
        Self { end, way, credited: Seconds(2.0 * end.0), ..Self::default() }
    }

    /// Out of how long two ranks take to send one piece down and one up, and how long for `many` down and then `many` up:
    /// the first has every message's way in it, the second the busier end of each further one.
    ///
    /// # Math
    /// one = 2·(2·end + way); many = one + 2·(many − 1)·end
    pub fn between(one: Seconds, many: (usize, Seconds)) -> Self {
        let further = 2.0 * (many.0.max(2) - 1) as f64;
        let end = ((many.1.0 - one.0) / further).clamp(0.0, one.0.max(0.0) / 4.0);
        Self { end: Seconds(end), way: Seconds(one.0 / 2.0 - 2.0 * end), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_way_are_told_apart() {
        // A message: 2 at each end, 5 between.
        let found = Upkeep::between(Seconds(18.0), (4, Seconds(18.0 + 12.0)));
        assert_eq!((found.end, found.way), (Seconds(2.0), Seconds(5.0)));
        // Noise makes nothing negative.
        let found = Upkeep::between(Seconds(18.0), (4, Seconds(10.0)));
        assert_eq!((found.end, found.way), (Seconds(0.0), Seconds(9.0)));
        let found = Upkeep::between(Seconds(4.0), (4, Seconds(100.0)));
        assert_eq!((found.end, found.way), (Seconds(1.0), Seconds(0.0)));
    }
}
