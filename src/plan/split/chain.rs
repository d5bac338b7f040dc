//! A network cut between machines in a row: device, edge, server.

use super::cost::{ENDLESS, Way};
use super::phases::Idle;
use super::{Infeasible, Objective, Point};
use crate::device::Power;
use crate::units::{Bytes, Seconds};

/// One machine of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    /// Its name in messages.
    pub name: String,
    /// Forward and backward of the first p blocks, for p of 0..=L. Measured tables need not be monotone: what lies
    /// between two cuts takes no less than nothing.
    pub cumulative: Vec<Seconds>,
    /// What it draws; nothing where its energy does not count.
    pub power: Power,
    /// What fits into it.
    pub memory: Bytes,
}

/// Machines in a row, the first of which has the samples and the last of which may be given the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The machines.
    pub tiers: Vec<Tier>,
    /// The link from each but the last to the next, and the one back.
    pub ways: Vec<(Way, Way)>,
    /// What crosses each cut 0..=L going up in a step; nothing at L.
    pub up: Vec<Bytes>,
    /// What comes back.
    pub down: Vec<Bytes>,
    /// What the first p blocks need, for p of 0..=L.
    pub memory: Vec<Bytes>,
    /// Whether waiting costs energy.
    pub idle: Idle,
}

impl Chain {
    fn blocks(&self) -> usize {
        self.up.len() - 1
    }

    /// What each machine holds with these cuts.
    fn parts(&self, cuts: &[usize]) -> impl Iterator<Item = (usize, usize)> {
        let ends = cuts.iter().copied().chain([self.blocks()]);
        [0].into_iter().chain(cuts.iter().copied()).zip(ends)
    }

    /// What a machine's part needs above what it has.
    fn excess(&self, tier: &Tier, (begin, end): (usize, usize)) -> u64 {
        self.memory[end].0.saturating_sub(self.memory[begin].0).saturating_sub(tier.memory.0)
    }

    /// One step from the conditions at time 0, with these cuts: one less than machines, none below the one before. A
    /// machine between two equal cuts passes messages on. None where a part does not fit.
    ///
    /// # Math
    /// T is the sum of all works, messages and latencies; each machine's energy is as in [`super::Member::step`].
    ///
    /// # Panics
    /// If there are not as many cuts, or one is beyond the network or below the one before.
    pub fn step(&self, cuts: &[usize]) -> Option<Point> {
        assert_eq!(cuts.len() + 1, self.tiers.len(), "a cut between two machines");
        if self.tiers.iter().zip(self.parts(cuts)).any(|(tier, part)| self.excess(tier, part) > 0) {
            return None;
        }
        let now = Seconds(0.0);
        let compute: Vec<Seconds> = (self.tiers.iter().zip(self.parts(cuts)))
            .map(|(tier, (begin, end))| Seconds((tier.cumulative[end].0 - tier.cumulative[begin].0).max(0.0)))
            .collect();
        let mut time: Seconds = compute.iter().copied().sum();
        let (mut send, mut receive) = (vec![now; self.tiers.len()], vec![now; self.tiers.len()]);
        for (at, (cut, (up, down))) in
            cuts.iter().zip(&self.ways).enumerate().filter(|(_, (cut, _))| **cut < self.blocks())
        {
            for (way, bytes, from, to) in [(up, self.up[*cut], at, at + 1), (down, self.down[*cut], at + 1, at)] {
                if bytes.0 > 0 {
                    let transmission = way.transmission(now, bytes);
                    time += way.time(now, bytes);
                    send[from] += transmission;
                    receive[to] += transmission;
                }
            }
        }
        if time == ENDLESS {
            return Some(Point::ENDLESS);
        }
        let energy = self.tiers.iter().enumerate().map(|(at, tier)| {
            let power = &tier.power;
            self.idle.base(power) * time
                + self.idle.compute(power) * compute[at]
                + self.idle.send(power) * send[at]
                + self.idle.receive(power) * receive[at]
        });
        Some(Point { time, energy: energy.sum() })
    }

    /// The best cuts of all, by looking at all; of equals the first, in the order of the first cut, then the second.
    ///
    /// # Errors
    /// When none are within the limits.
    pub fn choose(&self, objective: &Objective) -> Result<(Vec<usize>, Point), Infeasible> {
        let all = self.all();
        let points: Vec<Option<Point>> = all.iter().map(|cuts| self.step(cuts)).collect();
        if points.iter().all(Option::is_none) {
            return Err(self.too_big(&all));
        }
        let best = objective.choose(&points)?;
        let point = points[best].ok_or(Infeasible::Nothing)?;
        Ok((all[best].clone(), point))
    }

    /// All ways to cut.
    fn all(&self) -> Vec<Vec<usize>> {
        (1..self.tiers.len()).fold(vec![Vec::new()], |all, _| {
            let longer = |cuts: Vec<usize>| {
                let least = cuts.last().copied().unwrap_or(0);
                (least..=self.blocks()).map(move |cut| cuts.iter().copied().chain([cut]).collect())
            };
            all.into_iter().flat_map(longer).collect()
        })
    }

    /// Which machine is in the way, where the least is missing.
    fn too_big(&self, all: &[Vec<usize>]) -> Infeasible {
        let missing = |cuts: &Vec<usize>| -> u64 {
            self.tiers.iter().zip(self.parts(cuts)).map(|(tier, part)| self.excess(tier, part)).sum()
        };
        let Some(cuts) = all.iter().min_by_key(|cuts| missing(cuts)) else { return Infeasible::Nothing };
        let worst = self.tiers.iter().zip(self.parts(cuts)).max_by_key(|(tier, part)| self.excess(tier, *part));
        worst.map_or(Infeasible::Nothing, |(tier, part)| Infeasible::Memory {
            name: tier.name.clone(),
            needs: Bytes(tier.memory.0 + self.excess(tier, part)),
            has: tier.memory,
        })
    }
}

#[cfg(test)]
mod tests;
