//! How long a schedule takes, event by event.

use super::order::{channel, order};
use super::{Instruction, Schedule, ScheduleError};
use crate::units::Seconds;
use Instruction::*;
use std::collections::VecDeque;

/// How long a stage's messages are on their way. The link is the sender's, for both directions, and carries one message
/// after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Link {
    /// How long the activations of a micro-batch occupy it.
    pub activations: Seconds,
    /// How long a gradient, to the stage before, occupies it.
    pub gradient: Seconds,
    /// What passes from when the link is free again to the arrival.
    pub latency: Seconds,
}

/// How long everything takes, stage by stage.
///
/// # Units
/// Seconds a micro-batch. A backward in one piece takes both its halves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    /// Forward.
    pub forward: Vec<Seconds>,
    /// The gradient of the input.
    pub backward_input: Vec<Seconds>,
    /// The gradient of the parameters.
    pub backward_params: Vec<Seconds>,
    /// What each stage sends over; without, messages take no time.
    pub send: Option<Vec<Link>>,
}

impl Durations {
    /// Equal stages whose messages take no time.
    pub fn uniform(stages: usize, forward: Seconds, backward_input: Seconds, backward_params: Seconds) -> Self {
        let [forward, backward_input, backward_params] =
            [forward, backward_input, backward_params].map(|t| vec![t; stages]);
        Self { forward, backward_input, backward_params, send: None }
    }

    fn of(&self, instruction: Instruction, stage: usize) -> Seconds {
        match instruction {
            Forward(_) => self.forward[stage],
            Backward(_) => self.backward_input[stage] + self.backward_params[stage],
            BackwardInput(_) => self.backward_input[stage],
            BackwardParams(_) => self.backward_params[stage],
            _ => Seconds(0.0),
        }
    }

    fn fit(&self, stages: usize) -> bool {
        let lists = [&self.forward, &self.backward_input, &self.backward_params];
        lists.iter().all(|list| list.len() == stages) && self.send.as_ref().is_none_or(|links| links.len() == stages)
    }
}

/// From when to when.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Span {
    /// When it began: for a receive, when the waiting began.
    pub start: Seconds,
    /// When the stage could go on.
    pub end: Seconds,
}

/// What happened when.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// When the last stage was done.
    pub makespan: Seconds,
    /// How long each stage computed.
    pub busy: Vec<Seconds>,
    /// The share of the makespan in which each stage did not compute: 1 − busy / makespan.
    pub bubble: Vec<f64>,
    /// When each instruction happened, in the order of the schedule.
    pub spans: Vec<Vec<Span>>,
}

impl Schedule {
    /// Works out when everything happens.
    ///
    /// A stage computes one thing at a time, and its clock stands still while it sends. A message departs when it was
    /// sent and the sender's link is free; the receiver's clock is not behind its arrival.
    ///
    /// # Math
    /// depart = max(sent, link free); link free = depart + time on the link; arrival = link free + latency.
    ///
    /// # Errors
    /// As [`Schedule::check`].
    ///
    /// # Panics
    /// If the durations are of another number of stages.
    pub fn simulate(&self, durations: &Durations) -> Result<Timeline, ScheduleError> {
        assert!(durations.fit(self.stages.len()), "durations of another number of stages");
        self.check()?;
        let order = order(self).expect("what was checked does not get stuck");
        let count = self.stages.len();
        let mut stages: Vec<Stage> = vec![Stage::default(); count];
        let mut spans: Vec<Vec<Span>> = self.stages.iter().map(|list| vec![Span::default(); list.len()]).collect();
        for (stage, place) in order {
            let instruction = self.stages[stage][place];
            let start = stages[stage].clock;
            match instruction {
                SendActivations(_) | SendGradient(_) => {
                    let link = durations.send.as_ref().map(|links| links[stage]).unwrap_or_default();
                    let arrival = stages[stage].send(instruction, link);
                    let to = if channel(instruction) == 0 { stage + 1 } else { stage - 1 };
                    stages[to].arrivals[channel(instruction)].push_back(arrival);
                }
                ReceiveActivations(_) | ReceiveGradient(_) => {
                    let arrival = stages[stage].arrivals[channel(instruction)].pop_front();
                    stages[stage].clock.0 = start.0.max(arrival.expect("sends come first in the order").0);
                }
                work => stages[stage].work(durations.of(work, stage)),
            }
            spans[stage][place] = Span { start, end: stages[stage].clock };
        }
        let makespan = stages.iter().map(|stage| stage.clock.0).fold(0.0, f64::max);
        let busy: Vec<Seconds> = stages.iter().map(|stage| stage.busy).collect();
        // A stage that never rests has no bubble; rounding must not make it a negative one.
        let idle = |busy: &Seconds| if makespan > 0.0 { (1.0 - busy.0 / makespan).max(0.0) } else { 0.0 };
        Ok(Timeline { makespan: Seconds(makespan), bubble: busy.iter().map(idle).collect(), busy, spans })
    }
}

/// A stage while the events go by.
#[derive(Clone, Default)]
struct Stage {
    clock: Seconds,
    busy: Seconds,
    link_free: Seconds,
    /// Of activations and of gradients, in the order of the sends.
    arrivals: [VecDeque<Seconds>; 2],
}

impl Stage {
    fn work(&mut self, time: Seconds) {
        self.clock += time;
        self.busy += time;
    }

    /// When what is sent now arrives.
    fn send(&mut self, message: Instruction, link: Link) -> Seconds {
        let time = if channel(message) == 0 { link.activations } else { link.gradient };
        self.link_free = Seconds(self.clock.0.max(self.link_free.0)) + time;
        self.link_free + link.latency
    }
}
