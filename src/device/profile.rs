//! What a device is: how fast it computes, how much fits into it, what it draws.

use super::{Pass, Ports, Switch, Work};
use crate::units::{Bytes, Seconds, Watts};
use std::collections::BTreeMap;

/// What a board draws while it does only that, the whole board, idling included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Power {
    /// While computing.
    pub compute: Watts,
    /// While waiting.
    pub idle: Watts,
    /// While sending.
    pub send: Watts,
    /// While receiving.
    pub receive: Watts,
}

/// Measured times of one model: cumulative seconds per cut.
///
/// Entry `p` is the time of the first `p + 1` trunk blocks. Measured tables need not be monotone.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The samples that the times are for.
    pub batch: usize,
    /// Forward.
    pub forward: Vec<Seconds>,
    /// Backward, with respect to input and parameters; as many.
    pub backward: Vec<Seconds>,
}

impl Table {
    /// The trunk blocks that it has times for.
    pub fn blocks(&self) -> usize {
        self.forward.len()
    }

    /// The time of work on blocks that it covers.
    ///
    /// Where the table falls between two cuts, the blocks between them cost nothing rather than less than nothing.
    /// Of a backward pass, each of the two gradients is taken to cost half.
    ///
    /// # Math
    /// t = max(0, cum[end] − cum[start])·rows/batch, cum[0] = 0
    fn price(&self, work: &Work) -> Option<Seconds> {
        if work.blocks.is_empty() || work.blocks.end > self.blocks() {
            return None;
        }
        let (cumulative, share) = match work.pass {
            Pass::Forward => (&self.forward, 1.0),
            Pass::Backward => (&self.backward, 1.0),
            Pass::BackwardInput | Pass::BackwardParams => (&self.backward, 0.5),
        };
        let upto = |blocks: usize| blocks.checked_sub(1).map_or(0.0, |last| cumulative[last].0);
        let seconds = (upto(work.blocks.end) - upto(work.blocks.start)).max(0.0);
        Some(Seconds(share * seconds * work.rows as f64 / self.batch as f64))
    }
}

/// Where a device stands between those who ask and those who have the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// With who asks.
    Device,
    /// A server nearby.
    Edge,
    /// A server far away.
    Cloud,
}

/// One device in one power mode, and the modes that it switches to later.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name in the device file, with the mode behind a colon, if it has one.
    pub name: String,
    /// Floating-point operations a second that it reaches in practice.
    pub flops_per_s: f64,
    /// The same in a backward pass.
    pub backward_flops_per_s: f64,
    /// What the mode multiplies all speeds with.
    pub speed: f64,
    /// What fits into it.
    pub memory: Bytes,
    /// What it draws.
    pub power: Power,
    /// The other power modes that it is in from some time on, ascending.
    pub switches: Vec<Switch>,
    /// What it sends with.
    pub ports: Ports,
    /// Where it stands, for policies that go by that.
    pub tier: Option<Tier>,
    /// What a second of its computing costs, in whatever money the file counts.
    pub price_per_s: f64,
    /// Measured times, by the model's name.
    pub measured: BTreeMap<String, Table>,
    /// Where each group of figures comes from.
    pub sources: Vec<(String, String)>,
}

impl Profile {
    /// A device with one speed, endless memory, and no power: for tests and plans. A device file gives all of it.
    pub fn new(name: &str, flops_per_s: f64) -> Self {
        Self {
            name: name.to_owned(),
            flops_per_s,
            backward_flops_per_s: flops_per_s,
            speed: 1.0,
            memory: Bytes(u64::MAX),
            power: Power::default(),
            switches: Vec::new(),
            ports: Ports::One,
            tier: None,
            price_per_s: 0.0,
            measured: BTreeMap::new(),
            sources: Vec::new(),
        }
    }

    /// The time that the device takes for some work of a model, in the power mode that it begins in.
    ///
    /// By the measured table of that model where there is one and it covers the blocks; else, and for what stands
    /// beside the trunk, by the arithmetic.
    ///
    /// # Math
    /// t = table(work)/speed, or FLOP / (FLOP/s · speed)
    pub fn price(&self, model: &str, work: &Work) -> Seconds {
        Seconds(self.unscaled(model, work) / self.speed)
    }

    /// The time for work that begins at some time, in the power modes that it falls into.
    pub fn price_from(&self, model: &str, work: &Work, start: Seconds) -> Seconds {
        self.working(start, self.unscaled(model, work))
    }

    /// Seconds at speed 1.
    fn unscaled(&self, model: &str, work: &Work) -> f64 {
        let measured = self.measured.get(model).and_then(|table| table.price(work));
        measured.map_or_else(
            || match work.pass {
                Pass::Forward => work.flops.0 as f64 / self.flops_per_s,
                _ => work.flops.0 as f64 / self.backward_flops_per_s,
            },
            |seconds| seconds.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Flops;

    fn work(blocks: std::ops::Range<usize>, pass: Pass) -> Work {
        Work { flops: Flops(600), blocks, rows: 50, pass }
    }

    /// A table for 100 rows that falls at the third cut; the work is of 50 rows, so all its times are halved.
    #[test]
    fn prices_by_hand() {
        let seconds = |list: [f64; 3]| list.map(Seconds).to_vec();
        let table = Table { batch: 100, forward: seconds([1.0, 4.0, 3.0]), backward: seconds([2.0, 8.0, 9.0]) };
        let mut profile = Profile { backward_flops_per_s: 50.0, ..Profile::new("board", 100.0) };
        profile.measured.insert("vgg5".into(), table);
        for (model, blocks, pass, expected) in [
            ("vgg5", 0..1, Pass::Forward, 0.5),
            ("vgg5", 1..2, Pass::Forward, 1.5),
            ("vgg5", 2..3, Pass::Forward, 0.0), // 3 - 4 is below nothing
            ("vgg5", 0..3, Pass::Forward, 1.5), // from the beginning the table counts as it stands
            ("vgg5", 1..3, Pass::Backward, 3.5),
            ("vgg5", 1..3, Pass::BackwardInput, 1.75),
            ("vgg5", 1..3, Pass::BackwardParams, 1.75),
            ("vgg5", 2..4, Pass::Forward, 6.0), // more blocks than measured: 600 / 100
            ("vgg5", 3..3, Pass::Backward, 12.0), // a head, by its arithmetic: 600 / 50
            ("mlp", 0..1, Pass::Forward, 6.0),
            ("mlp", 0..1, Pass::BackwardInput, 12.0),
        ] {
            assert_eq!(profile.price(model, &work(blocks.clone(), pass)), Seconds(expected), "{model} {blocks:?}");
        }
        profile.speed = 0.5;
        assert_eq!(profile.price("vgg5", &work(0..1, Pass::Forward)), Seconds(1.0));
        assert_eq!(profile.price("mlp", &work(0..1, Pass::Forward)), Seconds(12.0));
    }
}
