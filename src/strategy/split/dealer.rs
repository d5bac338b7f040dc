//! Who trains on which samples in which step.

use super::Split;
use crate::data::order::{StepPlan, balanced, epoch_order};
use crate::rng::{Purpose, shuffle, stream};
use crate::strategy::Task;

/// Deals the samples of an epoch, alike on every rank that asks.
///
/// Where devices have samples of their own, each goes through its own in an order of its own, batch by batch; one with
/// fewer samples is done earlier. Else each step's global batch is cut into slices, one for each device that is there: the
/// same samples that make a step of any other mode.
pub(super) struct Dealer<'a> {
    task: &'a Task<'a>,
    shards: Option<&'a [Vec<u32>]>,
    plan: StepPlan,
    /// Samples of one device's step, where devices have samples of their own.
    batch: usize,
    steps: usize,
    /// The epoch that is dealt, and its order: of all samples, or of each device's.
    epoch: Option<u64>,
    orders: Vec<Vec<u32>>,
}

impl<'a> Dealer<'a> {
    /// A dealer for so many devices.
    pub fn new(task: &'a Task<'a>, split: &'a Split, devices: usize) -> Self {
        let (samples, global) = (task.train.len(), task.hyper.global_batch.min(task.train.len()).max(1));
        let (plan, batch) = (StepPlan::new(samples, global), global.div_ceil(devices).max(1));
        let shards = split.shards.as_deref();
        let steps = match shards {
            None => plan.steps(),
            Some(shards) => shards.iter().map(|shard| shard.len().div_ceil(batch)).max().unwrap_or(0),
        };
        Self { task, shards, plan, batch, steps, epoch: None, orders: Vec::new() }
    }

    /// Steps of an epoch: of the device that has most.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The most samples of one device's step while all devices are there.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The same where only so many are left, who share what the others had.
    pub fn batch_of(&self, parts: usize) -> usize {
        match self.shards {
            None => self.plan.run(0).len().div_ceil(parts.max(1)),
            Some(_) => self.batch,
        }
    }

    /// Goes to an epoch, from 0.
    pub fn open(&mut self, epoch: u64) {
        if self.epoch.replace(epoch) == Some(epoch) {
            return;
        }
        let seed = self.task.hyper.seed;
        match self.shards {
            None => {
                self.orders.resize(1, Vec::new());
                epoch_order(self.task.train.len(), seed, epoch, &mut self.orders[0]);
            }
            Some(shards) => {
                self.orders = shards.to_vec();
                for (device, order) in self.orders.iter_mut().enumerate() {
                    shuffle(order, &mut stream(seed, Purpose::Order, epoch, device as u64 + 1));
                }
            }
        }
    }

    /// The samples of a device in a step of the open epoch, where `parts` devices are there and it is the `part`-th of
    /// them; none where it has none left.
    pub fn samples(&self, device: usize, step: usize, part: usize, parts: usize) -> &[u32] {
        match self.shards {
            None => {
                let run = &self.orders[0][self.plan.run(step)];
                &run[balanced(run.len(), parts, part)]
            }
            Some(_) => self.orders[device].chunks(self.batch).nth(step).unwrap_or(&[]),
        }
    }
}
