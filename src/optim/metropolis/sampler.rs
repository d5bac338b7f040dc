//! The chain: proposals, decisions, counts.

use super::{Group, Metropolis, MetropolisError, Neighbourhood};
use crate::nn::{Objective, ParameterKind, Parameters};
use crate::rng::{Purpose, below, stream, unit};
use ndarray_rand::rand::RngCore;
use std::ops::Range;

/// A change of θ that waits for its decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// The group that it is of, an index into [`Sampler::counts`].
    pub group: usize,
    /// `Σ [ln p(θ'_i) - ln p(θ_i)]` over the changed elements.
    pub log_prior: f64,
    /// The group's λ.
    pub lambda: f64,
    /// ln u.
    pub ln_u: f64,
}

impl Proposal {
    /// Whether the new θ is accepted, given the losses at the old and the new one.
    ///
    /// A new loss that is no finite number is never accepted. A present one that is none (a chain may begin there) makes every
    /// finite one accepted.
    pub fn accepts(&self, before: f64, after: f64) -> bool {
        if !after.is_finite() || self.log_prior == f64::NEG_INFINITY {
            return false;
        }
        // An overflow to ±∞ decides as the number itself would; the prior's part is finite.
        !before.is_finite() || self.ln_u < self.lambda * (before - after) + self.log_prior
    }
}

/// Proposals of a group and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Proposals that were decided.
    pub proposed: u64,
    /// Those that were accepted.
    pub accepted: u64,
}

impl Count {
    /// Share of accepted proposals, absent without any.
    pub fn rate(&self) -> Option<f64> {
        (self.proposed > 0).then(|| self.accepted as f64 / self.proposed as f64)
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.proposed += other.proposed;
        self.accepted += other.accepted;
    }
}

/// What a loop over a batch came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// The loss at the θ that was kept.
    pub loss: f64,
    /// How many proposals were decided.
    pub iterations: u64,
}

/// A chain over θ. It holds nothing that a checkpoint needs: θ is its state.
#[derive(Debug, Clone)]
pub struct Sampler {
    seed: u64,
    groups: Vec<Sampled>,
    changed: Vec<usize>,
    old: Vec<f32>,
    /// Marks of the elements that have been drawn; clear between proposals.
    drawn: Vec<bool>,
    /// The group of the proposal that waits for its decision.
    open: Option<usize>,
}

/// A group with the layers that it has in a network.
#[derive(Debug, Clone)]
struct Sampled {
    rule: Group,
    /// The sum of the probabilities up to this group, of 1 in all.
    upper: f64,
    layers: Vec<Parameters>,
    count: Count,
}

impl Sampler {
    /// A chain over a network's parameters.
    ///
    /// # Errors
    /// Settings that make no sense, or do not fit the network.
    pub fn new(settings: &Metropolis, parameters: &[Parameters], seed: u64) -> Result<Self, MetropolisError> {
        settings.check()?;
        let mut groups = Vec::new();
        for rule in settings.groups.iter().filter(|rule| rule.probability > 0.0) {
            let layers: Vec<Parameters> = parameters.iter().filter(|p| p.kind == rule.kind).copied().collect();
            if !layers.is_empty() {
                groups.push(Sampled { rule: *rule, upper: 0.0, layers, count: Count::default() });
            }
        }
        let total: f64 = groups.iter().map(|group| group.rule.probability).sum();
        let mut upper = 0.0;
        for group in &mut groups {
            upper += group.rule.probability / total;
            group.upper = upper;
        }
        groups.last_mut().ok_or(MetropolisError::NothingToSample)?.upper = 1.0;
        let layers = || groups.iter().flat_map(|group| &group.layers);
        let most = layers().map(Parameters::count).max().unwrap_or(0);
        let (changed, old) = (Vec::with_capacity(most), Vec::with_capacity(most));
        Ok(Self { seed, changed, old, drawn: vec![false; most], open: None, groups })
    }

    /// Writes a proposal into θ.
    ///
    /// # Panics
    /// If the one before has neither been kept nor undone.
    pub fn propose(&mut self, step: u64, iteration: u64, theta: &mut [f32]) -> Proposal {
        assert!(self.open.is_none(), "a proposal is kept or undone before the next");
        let rng = &mut stream(self.seed, Purpose::Proposal, step, iteration);
        let ln_u = unit(rng).ln();
        let draw = unit(rng);
        let group = self.groups.iter().position(|group| draw < group.upper).expect("the last one's is 1");
        let Sampled { rule, layers, .. } = &self.groups[group];
        let layer = &layers[below(rng, layers.len() as u64) as usize];
        self.changed.clear();
        match rule.neighbourhood {
            Neighbourhood::Filter => {
                let o = below(rng, layer.outputs as u64) as usize;
                self.changed.extend(layer.filter(o));
            }
            Neighbourhood::Elements(n) if n < layer.count() => {
                choose(rng, n, layer.count(), &mut self.drawn, &mut self.changed);
                self.changed.iter_mut().for_each(|i| *i = layer.index(*i));
            }
            Neighbourhood::Elements(_) | Neighbourhood::Layer => {
                self.changed.extend((0..layer.count()).map(|i| layer.index(i)));
            }
        }
        self.old.clear();
        self.old.extend(self.changed.iter().map(|i| theta[*i]));
        rule.proposer.shift(rng, theta, &self.changed);
        let moves = self.old.iter().copied().zip(self.changed.iter().map(|i| theta[*i]));
        let log_prior = rule.prior.log_ratio(moves);
        self.open = Some(group);
        Proposal { group, log_prior, lambda: rule.lambda, ln_u }
    }

    /// The elements of θ that the last proposal changed.
    pub fn changed(&self) -> &[usize] {
        &self.changed
    }

    /// Accepts the open proposal: θ stays as it is.
    ///
    /// # Panics
    /// If there is none.
    pub fn keep(&mut self) {
        let count = self.close();
        *count += Count { proposed: 1, accepted: 1 };
    }

    /// Rejects the open proposal: θ becomes what it was.
    ///
    /// # Panics
    /// If there is none.
    pub fn undo(&mut self, theta: &mut [f32]) {
        *self.close() += Count { proposed: 1, accepted: 0 };
        for (i, old) in self.changed.iter().zip(&self.old) {
            theta[*i] = *old;
        }
    }

    fn close(&mut self) -> &mut Count {
        let group = self.open.take().expect("a proposal that waits for its decision");
        &mut self.groups[group].count
    }

    /// The counts since the beginning or the last reset, one a group that the network has.
    pub fn counts(&self) -> impl Iterator<Item = (ParameterKind, Count)> {
        self.groups.iter().map(|group| (group.rule.kind, group.count))
    }

    /// Begins to count anew.
    pub fn reset_counts(&mut self) {
        self.groups.iter_mut().for_each(|group| group.count = Count::default());
    }

    /// Runs iterations of a step on one objective, until `stop`, asked before each, says so.
    pub fn run(
        &mut self,
        objective: &mut dyn Objective,
        theta: &mut [f32],
        step: u64,
        iterations: Range<u64>,
        stop: &mut dyn FnMut(u64) -> bool,
    ) -> Run {
        let first = iterations.start;
        let mut loss = objective.loss(theta);
        for iteration in iterations.clone() {
            if stop(iteration) {
                return Run { loss, iterations: iteration - first };
            }
            let proposal = self.propose(step, iteration, theta);
            let new = objective.loss_if(theta, &self.changed);
            if proposal.accepts(loss, new) {
                loss = new;
                objective.keep();
                self.keep();
            } else {
                objective.undo();
                self.undo(theta);
            }
        }
        Run { loss, iterations: iterations.end.saturating_sub(first) }
    }
}

/// Chooses `k` different numbers of `0..n`, all sets as likely, in ascending order.
///
/// # References
/// R. Floyd in Bentley, *Programming pearls: a sample of brilliance*, CACM 30, 1987.
fn choose(rng: &mut impl RngCore, k: usize, n: usize, drawn: &mut [bool], chosen: &mut Vec<usize>) {
    for last in n - k..n {
        let i = below(rng, last as u64 + 1) as usize;
        let i = if drawn[i] { last } else { i };
        drawn[i] = true;
        chosen.push(i);
    }
    chosen.iter().for_each(|i| drawn[*i] = false);
    chosen.sort_unstable();
}
