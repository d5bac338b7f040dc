//! Pipelines: schedules as lists of instructions, checked, timed, and the cuts that balance their stages.
//!
//! A [`Schedule`] says what every stage does, in order, with every micro-batch of a step. [`Schedule::check`] proves
//! that it is complete and cannot get stuck; [`Schedule::simulate`] times it; [`balance`] finds where to cut.
//!
//! A new schedule is a file with a function `compute` and a line in the table below: the messages are put in here.

mod balance;
mod check;
mod gpipe;
mod instruction;
mod one_f_one_b;
mod order;
mod simulate;
mod zb_h1;

#[cfg(test)]
mod tests;

pub use balance::balance;
pub use check::ScheduleError;
pub use instruction::Instruction;
pub use simulate::{Durations, Link, Span, Timeline};

use Instruction::*;

macro_rules! schedules {
    ($($(#[$doc:meta])* $kind:ident = $word:literal in $file:ident),+ $(,)?) => {
        /// A way to order the work of a step that goes forward and backward.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ScheduleKind {
            $($(#[$doc])* $kind),+
        }

        impl ScheduleKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $word),+
                }
            }

            fn compute(self, stage: usize, stages: usize, micro_batches: u32) -> Vec<Instruction> {
                match self {
                    $(Self::$kind => $file::compute(stage, stages, micro_batches)),+
                }
            }
        }
    };
}

schedules! {
    /// All forward, then all backward.
    Gpipe = "gpipe" in gpipe,
    /// One forward, one backward, with a flush.
    OneForwardOneBackward = "1f1b" in one_f_one_b,
    /// Backward in two halves, of which the second fills bubbles.
    ZeroBubbleH1 = "zb-h1" in zb_h1,
}

impl ScheduleKind {
    /// The schedule of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// What every stage does in one step, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The instructions of each stage. Micro-batches count from 0.
    pub stages: Vec<Vec<Instruction>>,
    /// The number of micro-batches.
    pub micro_batches: u32,
}

impl Schedule {
    /// A schedule of a step that learns, for a number of stages and of micro-batches; both may be any above 0.
    ///
    /// # Panics
    /// If one of them is 0.
    pub fn new(kind: ScheduleKind, stages: usize, micro_batches: u32) -> Self {
        Self::with_messages(stages, micro_batches, |stage| kind.compute(stage, stages, micro_batches))
    }

    /// A schedule that only goes forward: an evaluation, or learning without gradients between stages.
    ///
    /// # Math
    /// It takes Σₛ tₛ + (m−1) maxₛ tₛ, however unequal the stages are.
    ///
    /// # Panics
    /// If one of them is 0.
    pub fn forward_only(stages: usize, batches: u32) -> Self {
        Self::with_messages(stages, batches, |_| (0..batches).map(Forward).collect())
    }

    /// Puts the messages around what each stage computes: receives as late, sends as early as can be.
    fn with_messages(stages: usize, micro_batches: u32, compute: impl Fn(usize) -> Vec<Instruction>) -> Self {
        assert!(stages > 0 && micro_batches > 0, "a pipeline has stages and micro-batches");
        let stage = |stage: usize| {
            let (first, last) = (stage == 0, stage + 1 == stages);
            let around = |instruction| {
                let (before, after) = match instruction {
                    Forward(m) => ((!first).then_some(ReceiveActivations(m)), (!last).then_some(SendActivations(m))),
                    Backward(m) | BackwardInput(m) => {
                        ((!last).then_some(ReceiveGradient(m)), (!first).then_some(SendGradient(m)))
                    }
                    _ => (None, None),
                };
                [before, Some(instruction), after].into_iter().flatten()
            };
            compute(stage).into_iter().flat_map(around).collect()
        };
        Self { stages: (0..stages).map(stage).collect(), micro_batches }
    }

    /// Whether no stage goes backward.
    pub fn is_forward_only(&self) -> bool {
        let backward = |i: &Instruction| matches!(i, Backward(_) | BackwardInput(_) | BackwardParams(_));
        !self.stages.iter().flatten().any(backward)
    }

    /// The most micro-batches whose activations a stage holds at once: from their forward to their backward, or to
    /// that half of it that computes the gradient of the parameters.
    ///
    /// GPipe m; 1F1B min(m, p−s); ZB-H1 min(m, p); none, where nothing goes backward.
    ///
    /// # Panics
    /// If there is no such stage.
    pub fn stored(&self, stage: usize) -> usize {
        if self.is_forward_only() {
            return 0;
        }
        let (mut held, mut most) = (0usize, 0);
        for instruction in &self.stages[stage] {
            match instruction {
                Forward(_) => held += 1,
                Backward(_) | BackwardParams(_) => held = held.saturating_sub(1),
                _ => {}
            }
            most = most.max(held);
        }
        most
    }
}
