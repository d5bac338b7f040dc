//! A split training of a seed: a protocol, cuts, samples, rounds, and what goes wrong.

use super::super::setup::{Dice, ROWS, World};
use goai::comm::simulated::{Fault, Plan};
use goai::nn::{Init, Network, zoo};
use goai::optim::{Rule as Optim, Schedule, Shape};
use goai::plan::split::Objective;
use goai::strategy::{Adaptive, Hyper, Protocol, Snapshot, Split, SplitCuts, Task};
use std::num::NonZeroU64;
use std::time::Duration;

pub const PROTOCOLS: [Protocol; 5] =
    [Protocol::Ares, Protocol::SplitFedV1, Protocol::SplitFedV2, Protocol::Sequential, Protocol::Federated];
/// Trunk blocks of the network.
pub const BLOCKS: usize = 3;

/// The world of all of them.
pub fn world() -> World {
    let network = Network::build(zoo::mlp(4, &[6, 5], 3, &zoo::MlpOptions::default())).unwrap();
    assert_eq!(network.cuts().len() + 1, BLOCKS);
    World { network, ..World::new() }
}

/// One training.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub ranks: usize,
    pub hyper: Hyper,
    pub split: Split,
    /// After how many turns of the server it saves, if it does.
    pub save_every: Option<u64>,
    /// Whether ranks emulate machines, in virtual time.
    pub emulated: bool,
}

impl Case {
    /// The training of a seed; its protocol is one of these.
    pub fn draw(seed: u64, protocols: &[Protocol]) -> Self {
        let mut dice = Dice::new(seed ^ 0x5917);
        let protocol = dice.one_of(protocols);
        let ranks = 2 + dice.below(5);
        let epochs = 1 + dice.below(3) as u64;
        let (rule, rate) = dice.one_of(&[(Optim::Sgd, 0.1), (Optim::Momentum(0.9), 0.05), (Optim::Adam, 0.01)]);
        let shape = dice.one_of(&[Shape::Constant, Shape::Step { epochs: 1.0, factor: 0.5 }]);
        let adaptive = Adaptive { objective: Objective::weighted(1.0), smoothing: 0.5, hysteresis: 0.1, least: 0 };
        let cuts = match protocol {
            Protocol::Federated => SplitCuts::Fixed(vec![BLOCKS; ranks - 1]),
            _ if dice.below(5) == 0 => SplitCuts::Auto(adaptive),
            Protocol::Ares => SplitCuts::Fixed((1..ranks).map(|_| dice.below(BLOCKS + 1)).collect()),
            _ => SplitCuts::Fixed(vec![dice.below(BLOCKS + 1); ranks - 1]),
        };
        // Uneven, and here and there somebody has nothing.
        let shards = (dice.below(2) == 0).then(|| {
            let mut shards = vec![Vec::new(); ranks - 1];
            (0..ROWS as u32).for_each(|row| shards[dice.below(ranks - 1).min(dice.below(ranks - 1) + 1)].push(row));
            shards
        });
        Self {
            seed,
            ranks,
            hyper: Hyper {
                epochs,
                global_batch: dice.one_of(&[4, 6, 8, 12, 20]),
                rule,
                sampler: None,
                weight_decay: 0.0,
                schedule: Schedule { rate, warmup: 0.0, epochs: epochs as f64, shape },
                seed,
                init: Init::Glorot,
                micro_chunk: None,
                local: None,
            },
            split: Split { protocol, cuts, round_steps: NonZeroU64::new(dice.below(6) as u64), shards },
            save_every: (dice.below(2) == 0).then(|| 1 + dice.below(5) as u64),
            emulated: dice.below(3) == 0,
        }
    }

    pub fn task<'a>(&'a self, world: &'a World, resume: Option<&'a Snapshot>) -> Task<'a> {
        Task {
            network: &world.network,
            train: &world.train,
            validation: &world.few,
            test: &world.few,
            hyper: self.hyper.clone(),
            pipeline: None,
            grid: None,
            split: Some(&self.split),
            resume,
        }
    }

    /// The most samples of a device's step.
    pub fn batch(&self) -> usize {
        self.hyper.global_batch.div_ceil(self.ranks - 1)
    }

    /// Steps of an epoch.
    pub fn steps(&self) -> usize {
        match &self.split.shards {
            None => ROWS.div_ceil(self.hyper.global_batch),
            Some(shards) => shards.iter().map(|shard| shard.len().div_ceil(self.batch())).max().unwrap_or(0),
        }
    }

    pub fn is_adaptive(&self) -> bool {
        matches!(self.split.cuts, SplitCuts::Auto(_))
    }

    /// The world of the seed and what goes wrong in it. Who is frozen comes back: a round waits for whoever lives.
    pub fn plan(&self) -> Plan {
        let plan = Plan::new(self.seed);
        let steps = (self.steps() * self.hyper.epochs as usize) as u64;
        let turns = if self.split.protocol == Protocol::Sequential { self.ranks as u32 - 1 } else { 1 };
        let span = (plan.work * 5 + plan.latency * 3) * steps as u32 * turns;
        let mut plan = plan.with_drawn_faults(self.ranks, steps * 6 + 20, span);
        let mut dice = Dice::new(self.seed ^ 0x5918);
        for fault in &mut plan.faults {
            match fault {
                Fault::Freeze { from, until, .. } if *until == Duration::MAX => {
                    *until = *from + Duration::from_millis(1 + dice.below(2000) as u64);
                }
                // Often before the first round.
                Fault::Crash { call, .. } if dice.below(4) == 0 => *call = 1 + dice.below(12) as u64,
                _ => {}
            }
        }
        plan.limit = span * 400 + Duration::from_secs(60);
        plan
    }
}
