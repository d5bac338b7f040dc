//! A training of a seed: data, a tiny network, a rule and its numbers.

use goai::data::Dataset;
use goai::nn::{Init, Network, zoo};
use goai::optim::{Rule as Optim, Schedule, Shape};
use goai::plan::quorum::Rule;
use goai::strategy::{Grid, Hyper, Shards, Snapshot, Task};
use ndarray::Array2;
use std::time::Duration;

/// Draws of the test's own: SplitMix64, as everywhere in the simulator.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd129_0d3b_3f65_bb57) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Rows of a training part.
pub const ROWS: usize = 60;

/// What all trainings share.
pub struct World {
    pub network: Network,
    pub train: Dataset,
    /// Few rows, which the server measures; and as many as two pieces, which workers measure.
    pub few: Dataset,
    pub many: Dataset,
}

impl World {
    pub fn new() -> Self {
        let network = Network::build(zoo::mlp(4, &[6], 3, &zoo::MlpOptions::default())).unwrap();
        Self { network, train: rows(ROWS, 1), few: rows(12, 2), many: rows(700, 3) }
    }
}

/// Three noisy clusters.
fn rows(count: usize, seed: u64) -> Dataset {
    let mut dice = Dice::new(seed);
    let labels: Vec<u32> = (0..count).map(|row| row as u32 % 3).collect();
    let noise = |dice: &mut Dice| dice.below(2000) as f32 / 1000.0 - 1.0;
    let features = Array2::from_shape_fn((count, 4), |(row, column)| {
        noise(&mut dice) + if labels[row] as usize == column { 1.0 } else { 0.0 }
    });
    let words = |prefix: &str, count: usize| (0..count).map(|i| format!("{prefix}{i}")).collect();
    let (classes, columns) = (words("class", 3), words("column", 4));
    Dataset { name: "clusters".into(), features, labels, classes, columns, label_column: "class".into() }
}

/// One training.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub ranks: usize,
    pub hyper: Hyper,
    pub grid: Grid,
    /// After how many turns of the server it saves, if it does.
    pub save_every: Option<u64>,
    /// Whether the validation part is long.
    pub long_validation: bool,
}

impl Case {
    /// The training of a seed; its rule is one of these.
    pub fn draw(seed: u64, rules: &[Rule]) -> Self {
        let mut dice = Dice::new(seed);
        loop {
            let case = Self::try_draw(seed, rules, &mut dice);
            // A global batch has a micro-chunk for each of the K, as the command line sees to.
            let pieces = case.hyper.global_batch / case.hyper.micro_chunk.unwrap_or(1);
            let fits = case.sends_deltas() || case.grid.k <= pieces;
            if fits && case.grid.check(ROWS, &case.hyper, case.ranks - 1).is_ok() {
                return case;
            }
        }
    }

    fn try_draw(seed: u64, rules: &[Rule], dice: &mut Dice) -> Self {
        let rule = dice.one_of(rules);
        let ranks = 2 + dice.below(5);
        let k = 1 + dice.below(if rule.one_each() { ranks - 1 } else { 6 });
        let epochs = 1 + dice.below(3) as u64;
        let (optim, rate) = dice.one_of(&[(Optim::Sgd, 0.1), (Optim::Momentum(0.9), 0.05), (Optim::Adam, 0.01)]);
        let shape = dice.one_of(&[Shape::Constant, Shape::Step { epochs: 1.0, factor: 0.5 }]);
        let shards = (rule == Rule::Shards).then(|| Shards {
            count: 3 + dice.below(10),
            batch: 2 + dice.below(9),
            epochs: 1 + dice.below(2),
        });
        Self {
            seed,
            ranks,
            hyper: Hyper {
                epochs,
                global_batch: dice.one_of(&[4, 6, 8, 12, 20]),
                rule: optim,
                sampler: None,
                weight_decay: 0.0,
                schedule: Schedule { rate, warmup: 0.0, epochs: epochs as f64, shape },
                seed,
                init: Init::Glorot,
                micro_chunk: (rule.synchronous() && dice.below(3) == 0).then(|| 1 + dice.below(3)),
                local: None,
            },
            grid: Grid {
                rule,
                k,
                shards,
                straggler_factor: (dice.below(2) == 0).then_some(1.5),
                max_contributors: (shards.is_some() && dice.below(3) == 0).then(|| 1 + dice.below(4)),
                delay: None,
            },
            save_every: (dice.below(2) == 0).then(|| 1 + dice.below(5) as u64),
            long_validation: dice.below(4) == 0,
        }
    }

    pub fn task<'a>(&'a self, world: &'a World, resume: Option<&'a Snapshot>) -> Task<'a> {
        Task {
            network: &world.network,
            train: &world.train,
            validation: if self.long_validation { &world.many } else { &world.few },
            test: &world.few,
            hyper: self.hyper.clone(),
            pipeline: None,
            grid: Some(&self.grid),
            split: None,
            resume,
        }
    }

    /// Chunks of an epoch.
    pub fn chunks(&self) -> usize {
        self.grid.terms(ROWS, &self.hyper).chunks
    }

    /// About how long it takes and how many calls a rank makes, where nothing goes wrong.
    pub fn measure(&self, plan: &goai::comm::simulated::Plan) -> (u64, Duration) {
        let chunks = self.chunks() * self.hyper.epochs as usize;
        let each = chunks.div_ceil(self.ranks - 1) as u32;
        (u64::from(each) * 6 + 10, (plan.work * 2 + plan.latency * 4) * each)
    }

    /// Whether contributions are differences of weights.
    pub fn sends_deltas(&self) -> bool {
        self.grid.shards.is_some_and(|shards| !shards.is_one_step(ROWS))
    }

    /// Whether sums are order-free.
    pub fn micro_chunk(&self) -> Option<usize> {
        self.hyper.micro_chunk.filter(|_| !self.sends_deltas())
    }
}
