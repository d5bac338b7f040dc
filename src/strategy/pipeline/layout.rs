//! Which rank is which stage.

/// A rank's place: stages × replicas. Neighbouring ranks are replicas of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub stages: usize,
    pub replicas: usize,
    pub stage: usize,
    pub replica: usize,
}

impl Place {
    /// The place of `rank` among `size` ranks, a multiple of `stages`.
    pub fn of(rank: usize, size: usize, stages: usize) -> Self {
        let replicas = size / stages;
        Self { stages, replicas, stage: rank / replicas, replica: rank % replicas }
    }

    /// The rank that holds `stage` in the same chain.
    pub fn rank(self, stage: usize) -> usize {
        stage * self.replicas + self.replica
    }

    /// The ranks that hold replicas of this rank's stage.
    pub fn twins(self) -> Vec<usize> {
        (0..self.replicas).map(|replica| self.stage * self.replicas + replica).collect()
    }

    pub fn is_first(self) -> bool {
        self.stage == 0
    }

    pub fn is_last(self) -> bool {
        self.stage + 1 == self.stages
    }

    /// Where activations come from.
    pub fn before(self) -> Option<usize> {
        self.stage.checked_sub(1).map(|stage| self.rank(stage))
    }

    /// Where activations go.
    pub fn after(self) -> Option<usize> {
        (!self.is_last()).then(|| self.rank(self.stage + 1))
    }
}
