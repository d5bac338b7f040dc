//! One order in which the instructions of all stages can happen, if there is any.
//!
//! Sends do not wait and messages of one stage to another keep their order per channel, so a stage is stopped by one
//! thing only: a receive whose message was not sent. Which stage is taken first changes nothing then: either all
//! come to their end, or the same ones are stuck at the same places.

use super::instruction::End;
use super::{Instruction, Schedule};

/// All instructions as (stage, place in its list), each receive behind its send; or the first stage that is stuck, and
/// at which place.
pub(super) fn order(schedule: &Schedule) -> Result<Vec<(usize, usize)>, (usize, usize)> {
    let stages = &schedule.stages;
    let mut next = vec![0; stages.len()];
    // How many messages lie ready for each stage: activations and gradients.
    let mut ready = vec![[0usize; 2]; stages.len()];
    let mut order = Vec::with_capacity(stages.iter().map(Vec::len).sum());
    loop {
        let before = order.len();
        for stage in 0..stages.len() {
            while let Some(instruction) = stages[stage].get(next[stage]) {
                match instruction.end(stage) {
                    Some(End::From(_)) if ready[stage][channel(*instruction)] == 0 => break,
                    Some(End::From(_)) => ready[stage][channel(*instruction)] -= 1,
                    // A message to nobody is the checker's to find.
                    Some(End::To(to)) => ready.get_mut(to).into_iter().for_each(|r| r[channel(*instruction)] += 1),
                    None => {}
                }
                order.push((stage, next[stage]));
                next[stage] += 1;
            }
        }
        if order.len() == before {
            break;
        }
    }
    match (0..stages.len()).find(|stage| next[*stage] < stages[*stage].len()) {
        None => Ok(order),
        Some(stuck) => Err((stuck, next[stuck])),
    }
}

/// Activations and gradients travel on two channels.
pub(super) fn channel(message: Instruction) -> usize {
    match message {
        Instruction::SendGradient(_) | Instruction::ReceiveGradient(_) => 1,
        _ => 0,
    }
}
