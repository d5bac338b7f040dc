//! The end of a round: parts become one network, which is cut anew.

use super::Protocol;
use super::round::Report;
use super::server::{Server, Vectors};
use super::wire::{Figures, Order};
use crate::nn::Tally;
use crate::strategy::portion::Portion;
use crate::strategy::{Job, TrainError};

impl<'a> Server<'a> {
    /// Prepares the first round: `state` are, by device, the optimizer's vectors over the whole; empty ones are zeros.
    pub(super) fn set_up(&mut self, mut state: Vec<Vectors>) {
        let slots = if self.split.protocol.shares_server() { 1 } else { self.fleet.len() };
        for (device, vectors) in state.iter_mut().enumerate() {
            let cut = self.cuts[device];
            let rest = split_off(vectors, self.sides.theta_at(cut));
            if device < slots {
                let part = self.server_part(cut, &rest);
                self.parts.push(part);
            }
        }
        self.bring = state.into_iter().map(|vectors| Bring { from: 0, vectors }).collect();
    }

    /// The server's part behind a cut, with the weights of the whole and these vectors; empty ones are zeros.
    fn server_part(&self, cut: usize, vectors: &[Vec<f32>]) -> Option<Portion<'a>> {
        let side = self.sides.server(cut)?;
        let theta = self.theta[self.sides.theta_at(cut)..].to_vec();
        let sigma = self.sigma[self.sides.sigma_at(cut)..].to_vec();
        let mut portion = Portion::of(self.task, self.clock, &side.share, &side.program, theta, sigma);
        for ((_, to), from) in portion.optimizer.state_mut().into_iter().zip(vectors) {
            if !from.is_empty() {
                to.copy_from_slice(from);
            }
        }
        Some(portion)
    }

    /// The optimizer's vectors of the server's parts.
    pub(super) fn vectors(&self) -> Vec<Vectors> {
        let of = |part: &Option<Portion>| match part {
            Some(part) => part.optimizer.state().into_iter().map(|(_, vector)| vector.to_vec()).collect(),
            None => self.no_state(),
        };
        self.parts.iter().map(of).collect()
    }

    /// The optimizer's vectors of no parameters.
    pub(super) fn no_state(&self) -> Vectors {
        vec![Vec::new(); self.task.hyper.rule.vectors()]
    }

    /// Whether one network is handed from device to device.
    pub(super) fn hands_around(&self) -> bool {
        self.split.protocol == Protocol::Sequential && self.fleet.len() > 1
    }

    /// Takes over what a device became, for the one after it.
    pub(super) fn take_over(
        &mut self,
        device: usize,
        next: Option<usize>,
        report: &Report,
        job: &mut dyn Job,
    ) -> Result<(), TrainError> {
        self.theta[..report.theta.len()].copy_from_slice(&report.theta);
        self.sigma[..report.sigma.len()].copy_from_slice(&report.sigma);
        self.holds.fill(None);
        self.holds[device] = Some(self.cuts[device]);
        if self.hands_around()
            && self.task.hyper.rule.vectors() > 0
            && let Some(vectors) = self.ask_state(Order::give(0, false, false), device, job)?
        {
            let first = self.fleet.staying().first().copied().unwrap_or(device);
            self.bring[next.unwrap_or(first)] = Bring { from: 0, vectors };
        }
        Ok(())
    }

    /// Averages what the devices became, chooses the next cuts, and moves what changes sides.
    pub(super) fn close(
        &mut self,
        reports: Vec<Option<Report>>,
        began: [f64; 2],
        job: &mut dyn Job,
    ) -> Result<(), TrainError> {
        self.tell_who_leaves(job);
        let before: Vec<Figures> = (0..reports.len()).map(|device| self.fleet.figures(device)).collect();
        for (device, report) in reports.iter().enumerate() {
            let Some(Report { figures, .. }) = report else { continue };
            self.cursor.samples += figures.samples as u64;
            self.fleet.note(device, *figures);
            // What the server has seen of the others is counted already.
            if self.cuts[device] == self.sides.blocks() {
                let (correct, samples) = (figures.correct as u64, figures.samples as u64);
                self.count(Tally { loss: figures.loss, correct, samples })?;
            }
        }
        match self.split.protocol {
            Protocol::Sequential => self.assemble(),
            _ => self.average(&reports),
        }
        if !self.theta.iter().all(|weight| weight.is_finite()) {
            return Err(self.diverged());
        }
        let old = self.cuts.clone();
        self.choose(&reports, &before, began, job)?;
        self.recut(&old, job)
    }

    /// Where one network is handed around the devices' blocks are taken over already.
    fn assemble(&mut self) {
        if let Some(part) = &self.parts[0] {
            let (theta, sigma) = (self.theta.len() - part.theta.len(), self.sigma.len() - part.sigma.len());
            self.theta[theta..].copy_from_slice(&part.theta);
            self.sigma[sigma..].copy_from_slice(&part.sigma);
        }
    }

    /// The whole as the mean of what the devices became, weighted by the samples of each.
    ///
    /// # Math
    /// θ = Σ_d (n_d / Σ n)·[θ_d | θ of the server's part for d]; likewise σ
    fn average(&mut self, reports: &[Option<Report>]) {
        let samples: f64 = reports.iter().flatten().map(|report| report.figures.samples).sum();
        if samples == 0.0 {
            return;
        }
        self.theta.fill(0.0);
        self.sigma.fill(0.0);
        self.holds.fill(None);
        for (device, report) in reports.iter().enumerate() {
            let Some(report) = report.as_ref().filter(|report| report.figures.samples > 0.0) else { continue };
            // One where a device is alone, so that averaging changes no bit of it.
            let share = (report.figures.samples / samples) as f32;
            if share == 1.0 {
                self.holds[device] = Some(self.cuts[device]);
            }
            let part = self.parts[self.slot(device)].as_ref();
            let (theta, sigma): (&[f32], &[f32]) = part.map_or((&[], &[]), |part| (&part.theta, &part.sigma));
            let add = |whole: &mut [f32], mine: &[f32], behind: &[f32]| {
                for (whole, mine) in whole.iter_mut().zip(mine.iter().chain(behind)) {
                    *whole += share * mine;
                }
            };
            add(&mut self.theta, &report.theta, theta);
            add(&mut self.sigma, &report.sigma, sigma);
        }
    }

    /// Makes the sides those of the new cuts: only what changes sides moves, with what the optimizer remembers of it.
    fn recut(&mut self, old: &[usize], job: &mut dyn Job) -> Result<(), TrainError> {
        let mut rest = self.vectors();
        for slot in 0..self.parts.len() {
            let (working, shared) = (self.fleet.staying(), self.split.protocol.shares_server());
            let of_slot: Vec<usize> =
                if shared { working } else { working.into_iter().filter(|device| *device == slot).collect() };
            let Some(first) = of_slot.first().copied() else { continue };
            let (from, to) = (old[first], self.cuts[first]);
            let mut vectors = std::mem::take(&mut rest[slot]);
            if from != to && self.task.hyper.rule.vectors() > 0 {
                vectors = match self.hands_around() {
                    true => {
                        let front = std::mem::take(&mut self.bring[first].vectors);
                        let mut whole = joined(front, vectors);
                        let rest = split_off(&mut whole, self.sides.theta_at(to));
                        self.bring[first] = Bring { from: 0, vectors: whole };
                        rest
                    }
                    false if to > from => {
                        let back = split_off(&mut vectors, self.sides.theta_at(to) - self.sides.theta_at(from));
                        for device in of_slot {
                            self.bring[device] = Bring { from, vectors: vectors.clone() };
                        }
                        back
                    }
                    false => {
                        let mut given = Vec::new();
                        for device in of_slot {
                            given.extend(self.ask_state(Order::give(to, false, false), device, job)?);
                        }
                        if given.is_empty() { self.no_state() } else { joined(mean(given), vectors) }
                    }
                };
            }
            self.parts[slot] = self.server_part(self.cuts[first], &vectors);
        }
        Ok(())
    }
}

/// What a device gets with its next round: the optimizer's vectors from a block on.
#[derive(Debug, Clone, Default)]
pub(super) struct Bring {
    pub from: usize,
    pub vectors: Vectors,
}

impl Bring {
    /// Whether there is something to bring.
    pub fn is_some(&self) -> bool {
        self.vectors.iter().any(|vector| !vector.is_empty())
    }
}

/// The vectors from an element on, which they lose.
pub(super) fn split_off(vectors: &mut Vectors, at: usize) -> Vectors {
    vectors.iter_mut().map(|vector| vector.split_off(at.min(vector.len()))).collect()
}

/// The vectors of two spans as those of both.
pub(super) fn joined(front: Vectors, back: Vectors) -> Vectors {
    front.into_iter().zip(back).map(|(front, back)| [front, back].concat()).collect()
}

/// The mean of several devices' vectors.
pub(super) fn mean(all: Vec<Vectors>) -> Vectors {
    let share = 1.0 / all.len() as f32;
    let mut all = all.into_iter();
    let mut mean = all.next().unwrap_or_default();
    for other in all {
        for (mean, other) in mean.iter_mut().zip(&other) {
            mean.iter_mut().zip(other).for_each(|(mean, other)| *mean += other);
        }
    }
    if share < 1.0 {
        mean.iter_mut().flatten().for_each(|value| *value *= share);
    }
    mean
}
