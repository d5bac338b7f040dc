//! Which cuts fit the machines, and what is said when none do.

use super::{Fleet, Infeasible, Member, Norms, Protocol};
use crate::units::{Bytes, Seconds};

impl Fleet {
    /// Whether these cuts fit all machines and are allowed by the protocol.
    pub fn fits(&self, cuts: &[usize]) -> bool {
        let common = cuts.iter().all(|cut| *cut == cuts[0]);
        let allowed = match self.protocol {
            Protocol::Federated => common && cuts[0] == self.blocks(),
            protocol => common || !protocol.shares_server(),
        };
        allowed
            && self.members.iter().zip(cuts).all(|(member, cut)| member.fits(*cut))
            && self.server_needs(cuts).0 <= self.server.memory.0
    }

    /// What the server's parts need: all of them, or the one that all devices share.
    fn server_needs(&self, cuts: &[usize]) -> Bytes {
        let needs = self.members.iter().zip(cuts).map(|(member, cut)| member.cuts[*cut].server_memory.0);
        Bytes(if self.protocol.shares_server() { needs.max().unwrap_or(0) } else { needs.fold(0, u64::saturating_add) })
    }

    /// The same cut for all devices, or where it does not fit the nearest one that does; without repetitions.
    pub(super) fn uniform(&self) -> Result<Vec<Vec<usize>>, Infeasible> {
        let fitting = self.members.iter().map(Member::fitting).collect::<Result<Vec<_>, _>>()?;
        let nearest =
            |cut: usize, list: &[usize]| list.iter().copied().min_by_key(|fits| fits.abs_diff(cut)).unwrap_or(cut);
        let mut all: Vec<Vec<usize>> =
            (0..=self.blocks()).map(|cut| fitting.iter().map(|list| nearest(cut, list)).collect()).collect();
        all.dedup();
        all.retain(|cuts| self.fits(cuts));
        Ok(all)
    }

    /// The norms of the objective for rounds from `start` on: over the same cut for all devices, each of those that fit.
    /// Of one device these are all its cuts, as ARES had it; of many, they do not depend on how the best are searched.
    ///
    /// # Errors
    /// When there is a device that no cut fits.
    pub fn norms(&self, start: Seconds) -> Result<Norms, Infeasible> {
        Ok(Norms::over(self.uniform()?.iter().map(|cuts| self.point(cuts, start))))
    }

    /// What is in the way where no cuts fit.
    pub(super) fn too_big(&self) -> Infeasible {
        let common = self.protocol.shares_server() || self.protocol == Protocol::Federated;
        let all_fit = |cut: &usize| self.members.iter().all(|member| member.fits(*cut));
        let allowed = |cut: &usize| self.protocol != Protocol::Federated || *cut == self.blocks();
        let mut common_cuts = (0..=self.blocks()).filter(allowed);
        if common && !common_cuts.clone().any(|cut| all_fit(&cut)) {
            // Each fits some cut, but they have to have the same.
            let short = |cut: usize| self.members.iter().find(|member| !member.fits(cut)).map(|member| (member, cut));
            if let Some((member, cut)) = common_cuts.find_map(short) {
                let (needs, has) = (member.cuts[cut].memory, member.memory);
                return Infeasible::Memory { name: member.name.clone(), needs, has };
            }
        }
        let least = |member: &Member| {
            let fitting = (0..member.cuts.len()).filter(|cut| member.fits(*cut));
            fitting.map(|cut| member.cuts[cut].server_memory.0).min().unwrap_or(0)
        };
        let needs = match common {
            true => {
                (0..=self.blocks()).filter(all_fit).map(|cut| self.server_needs(&vec![cut; self.members.len()]).0).min()
            }
            false => Some(self.members.iter().map(least).fold(0, u64::saturating_add)),
        };
        Infeasible::ServerMemory { needs: Bytes(needs.unwrap_or(0)), has: self.server.memory }
    }
}
