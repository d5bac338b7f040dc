//! The whole out of the stages' parts.

use super::stage::Stage;
use crate::comm::{Communicator, Values};
use crate::nn::Span;
use crate::optim::Rule;
use crate::strategy::modelled::aside;
use crate::strategy::share::Share;
use crate::strategy::{Cursor, Job, JobError, Snapshot, State, Task, TrainError};

/// Lets the job save the whole, out of a stage and the scales of its sum.
pub(super) type Save<'s> = dyn FnMut(&Stage, &[f32], Cursor, &mut dyn Job) -> Result<(), TrainError> + 's;

/// What the job does with the whole state.
pub(super) type Taker = fn(&mut dyn Job, &State) -> Result<(), JobError>;

/// Puts a vector of the whole together, of which every stage holds a span.
///
/// # Collective
/// Every rank must call it.
fn gathered(
    stage: &Stage,
    shares: &[Share],
    span: impl Fn(&Share) -> Span,
    mine: &[f32],
    comm: &dyn Communicator,
) -> Result<Vec<f32>, TrainError> {
    let mut whole = vec![0.0; shares.iter().map(|share| span(share).len).sum()];
    whole[span(stage.share).range()].copy_from_slice(mine);
    aside(stage.clock, || {
        for (s, share) in shares.iter().enumerate().filter(|(_, share)| span(share).len > 0) {
            let root = s * stage.place.replicas;
            comm.broadcast(root, Values::F32(&mut whole[span(share).range()]))?;
        }
        Ok(whole)
    })
}

/// θ of the whole network.
///
/// # Collective
/// Every rank must call it.
pub(super) fn theta(stage: &Stage, shares: &[Share], comm: &dyn Communicator) -> Result<Vec<f32>, TrainError> {
    gathered(stage, shares, |share| share.theta, &stage.theta, comm)
}

/// σ of the whole network.
///
/// # Collective
/// Every rank must call it.
pub(super) fn sigma(stage: &Stage, shares: &[Share], comm: &dyn Communicator) -> Result<Vec<f32>, TrainError> {
    gathered(stage, shares, |share| share.sigma, &stage.sigma, comm)
}

/// Puts the whole state together and lets the job take it.
///
/// # Collective
/// Every rank must call it at the same step.
#[allow(clippy::too_many_arguments)]
pub(super) fn save(
    stage: &Stage,
    shares: &[Share],
    scales: &[f32],
    cursor: Cursor,
    comm: &dyn Communicator,
    job: &mut dyn Job,
    take: Taker,
) -> Result<(), TrainError> {
    let (theta, sigma) = (theta(stage, shares, comm)?, sigma(stage, shares, comm)?);
    let Task { network, hyper, .. } = stage.task;
    let rule: Rule = hyper.rule;
    let mut optimizer = rule.build(network.theta_len(), hyper.weight_decay);
    for ((_, to), (_, mine)) in optimizer.state_mut().into_iter().zip(stage.optimizer.state()) {
        to.copy_from_slice(&gathered(stage, shares, |share| share.theta, mine, comm)?);
    }
    let scales = whole_scales(stage, shares, scales, comm)?;
    let state =
        State { cursor, theta: &theta, sigma: &sigma, scales: &scales, applied: &[], optimizer: optimizer.as_ref() };
    Ok(take(job, &state)?)
}

/// Scales of order-free sums in the order of the whole: of θ's tensors, of σ's, and of the four numbers behind them, of
/// which a pipeline knows none.
fn whole_scales(
    stage: &Stage,
    shares: &[Share],
    scales: &[f32],
    comm: &dyn Communicator,
) -> Result<Vec<f32>, TrainError> {
    if scales.is_empty() {
        return Ok(Vec::new());
    }
    let (tensors, _) = counts(stage.share);
    let of_theta = gathered(stage, shares, |share| place(shares, share, 0), &scales[..tensors], comm)?;
    let of_sigma = gathered(stage, shares, |share| place(shares, share, 1), &scales[tensors..], comm)?;
    Ok([of_theta, of_sigma, vec![f32::NAN; 4]].concat())
}

/// How many tensors of θ and of σ a share has.
fn counts(share: &Share) -> (usize, usize) {
    let network = &share.part.network;
    (network.tensors().count(), network.statistics().count())
}

/// Where a share's tensors stand among all.
fn place(shares: &[Share], share: &Share, which: usize) -> Span {
    let count = |share: &Share| [counts(share).0, counts(share).1][which];
    let before = shares
        .iter()
        .take_while(|other| other.theta.start < share.theta.start || other.blocks.start < share.blocks.start);
    Span { start: before.map(count).sum(), len: count(share) }
}

/// Takes a stage's part out of a snapshot of the whole; `scales` is its own.
pub(super) fn restore(
    stage: &mut Stage,
    shares: &[Share],
    scales: &mut [f32],
    snapshot: &Snapshot,
) -> Result<(), String> {
    let portion = &mut stage.portion;
    let network = portion.task.network;
    let mut theta = vec![0.0; network.theta_len()];
    snapshot.restore("theta", &mut theta)?;
    portion.theta.copy_from_slice(&theta[portion.share.theta.range()]);
    let mut sigma = vec![0.0; network.sigma_len()];
    snapshot.restore("sigma", &mut sigma)?;
    portion.sigma.copy_from_slice(&sigma[portion.share.sigma.range()]);
    for (name, mine) in portion.optimizer.state_mut() {
        snapshot.restore(name, &mut theta)?;
        mine.copy_from_slice(&theta[portion.share.theta.range()]);
    }
    if !scales.is_empty() {
        let tensors = network.tensors().count();
        let mut all = vec![0.0; tensors + network.statistics().count() + 4];
        snapshot.restore("scales", &mut all)?;
        let (mine, rest) = scales.split_at_mut(counts(stage.share).0);
        mine.copy_from_slice(&all[place(shares, stage.share, 0).range()]);
        let of_sigma = place(shares, stage.share, 1);
        rest.copy_from_slice(&all[tensors + of_sigma.start..][..of_sigma.len]);
    }
    Ok(())
}
