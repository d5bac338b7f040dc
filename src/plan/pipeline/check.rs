//! A schedule is complete, paired, and cannot get stuck.

use super::instruction::End;
use super::order::order;
use super::{Instruction, Schedule};
use Instruction::*;

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There is nothing to do.
    #[error("the schedule has {stages} stages and {micro_batches} micro-batches; it needs one of each at least")]
    Empty {
        /// Number of stages.
        stages: usize,
        /// Number of micro-batches.
        micro_batches: u32,
    },
    /// An instruction that this stage must not have.
    #[error(
        "stage {stage}: {instruction} does not belong here: the schedule has no such micro-batch, or the stage no such neighbour or pass"
    )]
    Unexpected {
        /// The stage.
        stage: usize,
        /// The instruction.
        instruction: Instruction,
    },
    /// An instruction that stands there twice.
    #[error("stage {stage}: {instruction} stands there twice; once is enough")]
    Repeated {
        /// The stage.
        stage: usize,
        /// The instruction.
        instruction: Instruction,
    },
    /// An instruction that is not there.
    #[error("stage {stage}: {instruction} is missing; every stage needs it once")]
    Missing {
        /// The stage.
        stage: usize,
        /// The instruction.
        instruction: Instruction,
    },
    /// An instruction that stands before what it needs.
    #[error("stage {stage}: {instruction} stands before {needs}, which it needs; exchange them")]
    TooEarly {
        /// The stage.
        stage: usize,
        /// The instruction.
        instruction: Instruction,
        /// What it needs.
        needs: Instruction,
    },
    /// A receive that would take another message than its own.
    #[error(
        "stage {stage}: {instruction} would take what stage {from} sends by {sent}; receive in the order of the sends"
    )]
    Crossed {
        /// The receiving stage.
        stage: usize,
        /// Its instruction.
        instruction: Instruction,
        /// The sending stage.
        from: usize,
        /// What is sent at this turn.
        sent: Instruction,
    },
    /// Stages wait for each other.
    #[error("stage {stage}: {instruction} waits for ever: what it waits for is sent after something that waits for it")]
    Deadlock {
        /// The first stage that is stuck.
        stage: usize,
        /// Where it is stuck.
        instruction: Instruction,
    },
}

impl Schedule {
    /// Proves that every stage does everything once, in an order that makes sense, that every message has its receive at
    /// its turn, and that no stages wait for each other.
    ///
    /// A schedule in which nothing goes backward is complete without.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ScheduleError> {
        if self.stages.is_empty() || self.micro_batches == 0 {
            return Err(ScheduleError::Empty { stages: self.stages.len(), micro_batches: self.micro_batches });
        }
        let backward = !self.is_forward_only();
        (0..self.stages.len()).try_for_each(|stage| self.check_stage(stage, backward))?;
        (0..self.stages.len()).try_for_each(|stage| self.check_sends(stage))?;
        order(self).map(drop).map_err(|(stage, at)| {
            let instruction = self.stages[stage][at];
            ScheduleError::Deadlock { stage, instruction }
        })
    }

    /// Every micro-batch of one stage has what it needs, once and in order.
    fn check_stage(&self, stage: usize, backward: bool) -> Result<(), ScheduleError> {
        let mut places = vec![[None; Instruction::WORDS]; self.micro_batches as usize];
        for (place, instruction) in self.stages[stage].iter().copied().enumerate() {
            let Some(places) = places.get_mut(instruction.micro() as usize) else {
                return Err(ScheduleError::Unexpected { stage, instruction });
            };
            if places[instruction.word()].replace(place).is_some() {
                return Err(ScheduleError::Repeated { stage, instruction });
            }
        }
        for (micro, places) in places.iter().enumerate() {
            self.check_micro_batch(stage, micro as u32, places, backward)?;
        }
        Ok(())
    }

    fn check_micro_batch(
        &self,
        stage: usize,
        m: u32,
        places: &[Option<usize>; Instruction::WORDS],
        backward: bool,
    ) -> Result<(), ScheduleError> {
        let place = |instruction: Instruction| places[instruction.word()];
        let (first, last) = (stage == 0, stage + 1 == self.stages.len());
        // In two halves, if there is one of them.
        let halves = place(BackwardInput(m)).is_some() || place(BackwardParams(m)).is_some();
        let back = if halves { BackwardInput(m) } else { Backward(m) };
        let needed = [
            (ReceiveActivations(m), !first),
            (Forward(m), true),
            (SendActivations(m), !last),
            (ReceiveGradient(m), backward && !last),
            (Backward(m), backward && !halves),
            (BackwardInput(m), backward && halves),
            (SendGradient(m), backward && !first),
            (BackwardParams(m), backward && halves),
        ];
        for (instruction, needed) in needed {
            match (needed, place(instruction)) {
                (true, None) => return Err(ScheduleError::Missing { stage, instruction }),
                (false, Some(_)) => return Err(ScheduleError::Unexpected { stage, instruction }),
                _ => {}
            }
        }
        let orders = [
            (ReceiveActivations(m), Forward(m)),
            (Forward(m), SendActivations(m)),
            (Forward(m), back),
            (ReceiveGradient(m), back),
            (back, SendGradient(m)),
            (BackwardInput(m), BackwardParams(m)),
        ];
        let early = orders.into_iter().find(|(needs, it)| place(*it).is_some() && place(*it) < place(*needs));
        early.map_or(Ok(()), |(needs, instruction)| Err(ScheduleError::TooEarly { stage, instruction, needs }))
    }

    /// What a stage sends, its neighbours receive in the same order. Each sends and receives every micro-batch once
    /// by now, so the lists are of one length.
    fn check_sends(&self, stage: usize) -> Result<(), ScheduleError> {
        for word in [SendActivations(0), SendGradient(0)] {
            let (Some(End::To(to)), Some(receive)) = (word.end(stage), word.received_as()) else { continue };
            let Some(theirs) = self.stages.get(to) else { continue };
            let sends = self.stages[stage].iter().filter(|i| i.word() == word.word());
            let receives = theirs.iter().filter(|i| i.word() == receive.word());
            if let Some((sent, got)) = sends.zip(receives).find(|(sent, got)| sent.micro() != got.micro()) {
                return Err(ScheduleError::Crossed { stage: to, instruction: *got, from: stage, sent: *sent });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::pipeline::ScheduleKind;

    /// Two stages, two micro-batches, GPipe, spoilt by `change`.
    fn fault(change: impl FnOnce(&mut Vec<Vec<Instruction>>)) -> String {
        let mut schedule = Schedule::new(ScheduleKind::Gpipe, 2, 2);
        schedule.check().unwrap();
        change(&mut schedule.stages);
        schedule.check().unwrap_err().to_string()
    }

    fn exchange(list: &mut [Instruction], a: Instruction, b: Instruction) {
        let at = |x| list.iter().position(|i| *i == x).unwrap();
        let (a, b) = (at(a), at(b));
        list.swap(a, b);
    }

    #[test]
    fn every_fault_is_named() {
        let cases = [
            (fault(|s| s.clear()), "0 stages"),
            (fault(|s| s[0].push(Forward(2))), "stage 0: forward of micro-batch 2 does not belong"),
            (fault(|s| s[0].push(ReceiveActivations(1))), "stage 0: receive activations of micro-batch 1 does not"),
            (fault(|s| s[1].push(SendActivations(0))), "stage 1: send activations of micro-batch 0 does not belong"),
            (fault(|s| s[1].push(Forward(1))), "stage 1: forward of micro-batch 1 stands there twice"),
            (fault(|s| s[1].retain(|i| *i != Forward(1))), "stage 1: forward of micro-batch 1 is missing"),
            (fault(|s| s[1].retain(|i| *i != Backward(0))), "stage 1: backward of micro-batch 0 is missing"),
            (fault(|s| s[0].retain(|i| *i != SendActivations(1))), "stage 0: send activations of micro-batch 1 is"),
            (fault(|s| s[0].push(BackwardParams(1))), "stage 0: backward of micro-batch 1 does not belong"),
            (fault(|s| exchange(&mut s[1], Forward(0), ReceiveActivations(0))), "stands before receive activations"),
            (fault(|s| exchange(&mut s[0], Forward(0), SendActivations(0))), "stands before forward of micro-batch 0"),
            (fault(|s| exchange(&mut s[1], Backward(0), SendGradient(0))), "stands before backward of micro-batch 0"),
            (fault(|s| exchange(&mut s[1], Forward(1), Backward(1))), "stands before forward of micro-batch 1"),
            (
                fault(|s| exchange(&mut s[0], SendActivations(0), SendActivations(1))),
                "before forward of micro-batch 1, which it needs",
            ),
        ];
        for (said, expected) in cases {
            assert!(said.contains(expected) && !said.contains('\n'), "{said} / {expected}");
        }
    }

    #[test]
    fn parameters_come_after_inputs() {
        let mut schedule = Schedule::new(ScheduleKind::ZeroBubbleH1, 1, 1);
        exchange(&mut schedule.stages[0], BackwardInput(0), BackwardParams(0));
        let error = schedule.check().unwrap_err();
        let (instruction, needs) = (BackwardParams(0), BackwardInput(0));
        assert_eq!(error, ScheduleError::TooEarly { stage: 0, instruction, needs });
    }

    #[test]
    fn receives_in_another_order_than_sends_are_crossed() {
        let said = fault(|s| {
            // Both receives first, so that only their order is wrong.
            s[1].retain(|i| !matches!(i, ReceiveActivations(_)));
            s[1].splice(0..0, [ReceiveActivations(1), ReceiveActivations(0)]);
        });
        assert!(said.starts_with("stage 1: receive activations of micro-batch 1 would take what stage 0"), "{said}");
    }

    /// Stage 0 wants the first gradient before it sends the second activations; stage 1 wants these before that.
    #[test]
    fn stages_that_wait_for_each_other_are_found() {
        let said = fault(|s| {
            let wait = s[0].iter().position(|i| *i == ReceiveGradient(0)).unwrap();
            s[0].remove(wait);
            let send = s[0].iter().position(|i| *i == SendActivations(1)).unwrap();
            s[0].insert(send, ReceiveGradient(0));
        });
        assert_eq!(
            said.split(" waits").next().unwrap(),
            "stage 0: receive gradient of micro-batch 0",
            "the first stage that is stuck"
        );
    }
}
