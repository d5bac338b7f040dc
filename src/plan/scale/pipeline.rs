//! Stages: the schedule that the ranks would follow is simulated with the stages' own seconds.

use super::{Fabric, HEADER, Prediction, Upkeep, Work};
use crate::plan::pipeline::{Durations, Link, Schedule, ScheduleError, ScheduleKind};
use crate::units::{Bytes, Seconds};
use std::collections::VecDeque;

/// What one stage takes for one piece of a batch, and what it hands on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StageCost {
    /// Forward, the first stage's loading and the last one's loss with it.
    pub forward: Seconds,
    /// The gradient of the input.
    pub backward_input: Seconds,
    /// The gradient of the parameters; of a backward pass in one piece all of it.
    pub backward_params: Seconds,
    /// The step of its weights.
    pub update: Seconds,
    /// Elements of a sample that it hands on; 0 at the last stage.
    pub handed_on: usize,
    /// Payload of its gradient, moments with it.
    pub payload: Bytes,
}

/// A pipeline with gradients that flow back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backprop {
    /// The order of the work.
    pub schedule: ScheduleKind,
    /// Chains side by side.
    pub replicas: usize,
    /// Pieces of a chain's part of a step.
    pub micro_batches: usize,
    /// Samples of a piece that the costs are for.
    pub rows: usize,
}

/// An epoch of stages whose gradients flow back; the costs are for a piece of `plan.rows` samples. Without an upkeep, the
/// network's constants stand for it.
///
/// # Math
/// Σ over the steps of the schedule's makespan + reduction over replicas + agreement of all ranks + update + the loop
///
/// # Errors
/// As [`Schedule::simulate`].
pub fn backprop(
    work: Work,
    plan: Backprop,
    stages: &[StageCost],
    network: &Fabric,
    upkeep: Option<Upkeep>,
) -> Result<Prediction, ScheduleError> {
    let Backprop { replicas, micro_batches, rows, .. } = plan;
    let ranks = stages.len() * replicas;
    let agreement = network.all_reduce(ranks, Bytes(8)).0;
    let mut prediction = Prediction { steps: work.count(), ..Prediction::default() };
    let mut sent = vec![0u64; stages.len()];
    for (steps, samples) in work.steps() {
        let own = samples.div_ceil(replicas);
        let pieces = micro_batches.clamp(1, own.max(1));
        // A piece of the last, smaller step is smaller too.
        let share = own as f64 / pieces as f64 / rows.max(1) as f64;
        let (durations, ends) = durations(stages, share, own.div_ceil(pieces), network, upkeep);
        let timeline = Schedule::new(plan.schedule, stages.len(), pieces as u32).simulate(&durations)?;
        let summed = stages.iter().map(|stage| network.all_reduce(replicas, stage.payload).0.0).fold(0.0, f64::max);
        let update = stages.iter().map(|stage| stage.update.0).fold(0.0, f64::max);
        let around = upkeep.unwrap_or_default().step.0;
        let busy = timeline.busy.iter().map(|busy| busy.0).sum::<f64>() / stages.len() as f64 + update + around;
        let seconds = timeline.makespan.0 + summed + agreement.0 + update + around;
        // Of all chains' ends of links, the part of one stage.
        let talk = 4.0 * (stages.len() - 1) as f64 / stages.len() as f64 * pieces as f64 * ends;
        let times = steps as f64;
        prediction.epoch += Seconds(seconds * times);
        prediction.compute += Seconds((busy - talk) * times);
        prediction.talk += Seconds((summed + agreement.0 + talk) * times);
        for (stage, sent) in sent.iter_mut().enumerate() {
            let before = stage.checked_sub(1).map_or(0, |before| stages[before].handed_on * own);
            let down = stages[stage].handed_on;
            let down = if down > 0 { 4 * (down + 1) * own } else { 0 };
            let messages = pieces * (usize::from(down > 0) + usize::from(before > 0));
            let reduced = if replicas > 1 { stages[stage].payload.0 } else { 0 };
            *sent += steps * ((4 * before + down + messages * HEADER as usize) as u64 + reduced + 8);
        }
    }
    prediction.wait = Seconds((prediction.epoch.0 - prediction.compute.0 - prediction.talk.0).max(0.0));
    prediction.sent = Bytes(sent.into_iter().max().unwrap_or(0));
    Ok(prediction)
}

/// The stages' seconds for a piece, and what a message costs each of its ends beside its way over the link.
fn durations(
    stages: &[StageCost],
    share: f64,
    rows: usize,
    network: &Fabric,
    upkeep: Option<Upkeep>,
) -> (Durations, f64) {
    let last = stages.len() - 1;
    let (overhead, latency, beta) = match upkeep {
        // Its way was measured with all its bytes.
        Some(upkeep) => (upkeep.end, upkeep.way, 0.0),
        None => (network.overhead(), network.latency(), network.network.wire.beta),
    };
    let around = upkeep.unwrap_or_default().piece.0 / 2.0;
    let neighbours = |stage: usize| f64::from(u8::from(stage > 0) + u8::from(stage < last));
    let times = |of: fn(&StageCost) -> Seconds, passes: f64| {
        let beside = |stage: usize| passes * (neighbours(stage) * overhead.0 + around);
        let time = |(stage, cost)| Seconds(of(cost).0 * share + beside(stage));
        stages.iter().enumerate().map(time).collect()
    };
    let transmission = |elements: usize| Seconds(beta * (4 * elements * rows) as f64);
    let link = |stage: usize| Link {
        activations: transmission(stages[stage].handed_on + 1),
        gradient: transmission(stage.checked_sub(1).map_or(0, |before| stages[before].handed_on)),
        latency,
    };
    let durations = Durations {
        forward: times(|cost| cost.forward, 1.0),
        backward_input: times(|cost| cost.backward_input, 1.0),
        backward_params: times(|cost| cost.backward_params, 0.0),
        send: Some((0..stages.len()).map(link).collect()),
    };
    (durations, overhead.0)
}

/// An epoch of stages that each learn by their own exit head; the costs are for a batch of `rows` samples, of which
/// `window` may wait before a stage.
///
/// A stage hands a batch on behind its forward pass, as soon as there is room for it, and takes the next when it has
/// learned from it. A batch is two messages: itself, and the word that there is room again.
///
/// # Math
/// begin(s, b) = max(arrival(s, b), end(s, b−1)); hand on(s, b) = max(begin(s, b) + forward, begin(s+1, b−window) + message);
/// arrival(s+1, b) = hand on(s, b) + message; end(s, b) = hand on(s, b) + backward + update
pub fn local(
    work: Work,
    rows: usize,
    window: usize,
    stages: &[StageCost],
    network: &Fabric,
    upkeep: Option<Upkeep>,
) -> Prediction {
    let mut free = vec![0.0; stages.len()];
    let mut begun: Vec<VecDeque<f64>> = vec![VecDeque::new(); stages.len()];
    let (mut busy, mut talk) = (0.0, 0.0);
    let mut sent = vec![0u64; stages.len()];
    let room = network.message(Bytes(16)).0;
    let around = upkeep.unwrap_or_default().step.0;
    for samples in work.steps().flat_map(|(steps, samples)| std::iter::repeat_n(samples, steps as usize)) {
        let share = samples as f64 / rows.max(1) as f64;
        let mut arrival = 0.0f64;
        for (stage, cost) in stages.iter().enumerate() {
            // Both ends of a batch's two messages are this stage's: one with each neighbour.
            let bytes = Bytes((4 * samples * (cost.handed_on + 1)) as u64);
            let link = upkeep.unwrap_or_else(|| Upkeep::assumed(network, bytes));
            let ends = f64::from(u8::from(stage > 0) + u8::from(cost.handed_on > 0)) * link.credited.0;
            let forward = cost.forward.0 * share + ends + around;
            let backward = (cost.backward_input + cost.backward_params).0 * share + cost.update.0;
            let begin = arrival.max(free[stage]);
            let mut handed_on = begin + forward;
            if cost.handed_on > 0 {
                // The oldest that is known of the next stage is the batch that must be taken first.
                let next = &mut begun[stage + 1];
                if next.len() >= window.max(1) {
                    handed_on = handed_on.max(next.pop_front().unwrap_or(0.0) + room);
                }
                arrival = handed_on + link.way.0;
                sent[stage] += bytes.0 + HEADER;
            }
            if stage > 0 {
                begun[stage].push_back(begin);
            }
            free[stage] = handed_on + backward;
            busy += forward + backward - ends;
            talk += ends;
        }
    }
    let epoch = free.into_iter().fold(0.0, f64::max);
    let each = |sum: f64| Seconds(sum / stages.len().max(1) as f64);
    let (epoch, compute, talk) = (Seconds(epoch), each(busy), each(talk));
    let sent = Bytes(sent.into_iter().max().unwrap_or(0));
    Prediction { epoch, steps: work.count(), compute, talk, wait: epoch - compute - talk, sent }
}
