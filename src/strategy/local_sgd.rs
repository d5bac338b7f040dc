//! Local SGD, or federated averaging: every rank takes steps by itself, and now and then the ranks average what they have.
//!
//! A rank's samples are the same as with a gradient that all sum: its slice of each step's global batch, so that its
//! shard of an epoch is the union of its slices. Only the messages change: instead of a gradient a step, one vector
//! `[θ | σ | the optimizer's vectors]` a period. Between two averagings each rank is somewhere else; saving, stopping and
//! diverging happen only at averagings, where all are the same, so that a saved state holds nothing of one rank.
//!
//! A period ends after so many steps, and with the epoch; or after so many epochs, and with the training. So where
//! the ranks meet follows from the position in the training alone, and one that was resumed meets where the other did.
//!
//! # Math
//! θ ← Σ_r (n_r / Σ n)·θ_r, n_r the samples of rank r since the last averaging; likewise σ and the optimizer's vectors
//!
//! # References
//! McMahan et al., *Communication-efficient learning of deep networks from decentralized data*, AISTATS 2017,
//! arXiv:1602.05629; Stich, *Local SGD converges fast and communicates little*, ICLR 2019, arXiv:1805.09767.

use super::single::Alone;
use super::stepper::{StepSum, TAIL, turn_of, write_wishes};
use super::{Cursor, Exchange, Hyper, TrainError, Turn};
use crate::comm::{Reduce, Values};
use crate::data::order::balanced;
use crate::nn::{Network, Tally};
use crate::optim::Optimizer;
use std::num::NonZeroU64;

/// How long a rank goes on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// So many steps, or fewer at the end of an epoch.
    Steps(NonZeroU64),
    /// So many epochs, or fewer at the end of training.
    Epochs(NonZeroU64),
}

impl Local {
    /// Whether the ranks meet after the step that led to this cursor, before the epoch counts as finished.
    pub(super) fn meets_at(self, cursor: Cursor, steps: u64, epochs: u64) -> bool {
        let end_of_epoch = cursor.step_in_epoch == steps;
        match self {
            Self::Steps(period) => end_of_epoch || cursor.step_in_epoch.is_multiple_of(period.get()),
            Self::Epochs(_) => end_of_epoch && self.meets_after(cursor.epoch + 1, epochs),
        }
    }

    /// Whether the ranks meet at the end of this epoch, from 1: only then it can be recorded.
    pub(super) fn meets_after(self, epoch: u64, epochs: u64) -> bool {
        match self {
            Self::Steps(_) => true,
            Self::Epochs(period) => epoch.is_multiple_of(period.get()) || epoch == epochs,
        }
    }
}

/// What one rank has done since the ranks last met, and the vector that it takes to the next meeting.
pub(super) struct LocalSgd {
    local: Local,
    packed: Vec<f32>,
    tally: Tally,
    /// Samples of all ranks.
    samples: u64,
    wish: Turn,
}

/// Elements of the vector that is averaged.
pub(super) fn averaged(network: &Network, hyper: &Hyper) -> usize {
    network.theta_len() * (1 + hyper.rule.vectors()) + network.sigma_len() + TAIL
}

impl LocalSgd {
    /// The averaging of a task that asks for it.
    ///
    /// # Errors
    /// When the task also asks for what local steps cannot give. All ranks find it.
    pub fn of(network: &Network, hyper: &Hyper) -> Result<Option<Self>, TrainError> {
        let Some(local) = hyper.local else { return Ok(None) };
        let cure = "leave out --local-steps and --local-epochs";
        if hyper.micro_chunk.is_some() {
            let why = "each rank's own steps depend on the number of ranks, which --deterministic promises they do not";
            return Err(TrainError::Local(format!("{why}; {cure}, or --deterministic")));
        }
        if hyper.sampler.is_some() {
            return Err(TrainError::Local(format!(
                "proposals are decided on by all ranks; {cure}, or take another --optimizer"
            )));
        }
        let packed = vec![0.0; averaged(network, hyper)];
        Ok(Some(Self { local, packed, tally: Tally::default(), samples: 0, wish: Turn::GoOn }))
    }

    /// The samples of a step's global batch that this rank takes.
    pub fn slice<'b>(exchange: &dyn Exchange, run: &'b [u32]) -> &'b [u32] {
        exchange.part().map_or(&[], |part| &run[balanced(run.len(), exchange.parts(), part)])
    }

    /// Takes note of a step: this rank's sums, and the samples of all ranks in it.
    pub fn note(&mut self, sum: StepSum, samples: usize) {
        self.tally += Tally { loss: sum.loss.into(), correct: sum.correct as u64, samples: sum.own as u64 };
        self.samples += samples as u64;
        self.wish = self.wish.max(sum.turn);
    }

    /// Whether the ranks meet after the step that led to this cursor; see [`Local`].
    pub fn meets(&self, cursor: Cursor, steps: usize, epochs: u64) -> bool {
        self.local.meets_at(cursor, steps as u64, epochs)
    }

    /// Averages over the ranks what they have become; they are the same bits on every rank afterwards. Gives the sums
    /// over all steps since the last averaging.
    ///
    /// # Collective
    /// Every rank must call it after the same step.
    pub fn average(
        &mut self,
        exchange: &mut dyn Exchange,
        theta: &mut [f32],
        sigma: &mut [f32],
        optimizer: &mut dyn Optimizer,
    ) -> Result<StepSum, TrainError> {
        // One where a rank is alone, so that averaging changes no bit of it.
        let share = (self.tally.samples as f64 / self.samples.max(1) as f64) as f32;
        let len = self.packed.len() - TAIL;
        let (values, tail) = self.packed.split_at_mut(len);
        let mine = parts(theta, sigma, optimizer).flatten();
        values.iter_mut().zip(mine).for_each(|(value, mine)| *value = share * *mine);
        tail.copy_from_slice(&[self.tally.loss as f32, self.tally.correct as f32, 0.0, 0.0]);
        write_wishes(tail, self.wish);
        exchange.combine(Values::F32(&mut self.packed), Reduce::Sum)?;
        let (values, tail) = self.packed.split_at(len);
        parts(theta, sigma, optimizer).flatten().zip(values).for_each(|(mine, value)| *mine = *value);
        let (own, samples) = (self.tally.samples as usize, self.samples);
        (self.tally, self.samples, self.wish) = (Tally::default(), 0, Turn::GoOn);
        Ok(StepSum { loss: tail[0], correct: tail[1], turn: turn_of(tail), own, samples })
    }
}

/// What a rank does for an averaging beside the sum, to be timed: what is averaged becomes one vector, and comes back.
pub fn packing(network: &Network, hyper: &Hyper) -> impl FnMut() + use<> {
    let (mut theta, mut sigma) = (vec![0.0; network.theta_len()], network.initial_sigma());
    let mut optimizer = hyper.rule.build(network.theta_len(), hyper.weight_decay);
    let packed = vec![0.0; averaged(network, hyper)];
    let local = Local::Steps(NonZeroU64::MIN);
    let mut alone = LocalSgd { local, packed, tally: Tally::default(), samples: 0, wish: Turn::GoOn };
    move || {
        alone.note(StepSum { loss: 0.0, correct: 0.0, turn: Turn::GoOn, own: 1, samples: 1 }, 1);
        alone.average(&mut Alone, &mut theta, &mut sigma, optimizer.as_mut()).expect("nothing to fail on");
    }
}

/// What is averaged, in one order.
fn parts<'p>(
    theta: &'p mut [f32],
    sigma: &'p mut [f32],
    optimizer: &'p mut dyn Optimizer,
) -> impl Iterator<Item = &'p mut [f32]> {
    [theta, sigma].into_iter().chain(optimizer.state_mut().into_iter().map(|(_, vector)| vector))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(n: u64) -> NonZeroU64 {
        NonZeroU64::new(n).unwrap()
    }

    /// Where ranks meet in 3 epochs of 5 steps, as epoch and step in it.
    fn meetings(local: Local) -> Vec<(u64, u64)> {
        let cursors = (0..3).flat_map(|epoch| (1..=5).map(move |step_in_epoch| (epoch, step_in_epoch)));
        let meets = |(epoch, step_in_epoch): &(u64, u64)| {
            let cursor = Cursor { epoch: *epoch, step_in_epoch: *step_in_epoch, ..Cursor::default() };
            local.meets_at(cursor, 5, 3)
        };
        cursors.filter(meets).collect()
    }

    #[test]
    fn ranks_meet_where_the_position_says_and_at_every_end() {
        assert_eq!(meetings(Local::Steps(period(1))).len(), 15);
        assert_eq!(meetings(Local::Steps(period(2)))[..4], [(0, 2), (0, 4), (0, 5), (1, 2)]);
        assert_eq!(meetings(Local::Steps(period(99))), [(0, 5), (1, 5), (2, 5)]);
        assert_eq!(meetings(Local::Epochs(period(1))), [(0, 5), (1, 5), (2, 5)]);
        assert_eq!(meetings(Local::Epochs(period(2))), [(1, 5), (2, 5)]);
        assert_eq!(meetings(Local::Epochs(period(9))), [(2, 5)]);
    }
}
