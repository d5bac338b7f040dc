//! The terms of a quorum: the rule and its numbers, refused where they cannot work.

/// When a step closes and what becomes of the others' work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The first K workers' results of this version; the others are cancelled.
    KSync,
    /// The first K results of this version, several of one worker if it is fast; the rest is cancelled.
    KBatch,
    /// The first K workers' results of any version; nobody is cancelled.
    KAsync,
    /// The first K results of any version; nobody is cancelled.
    KBatchAsync,
    /// All of K given shards, with a barrier; shards that are out too long are given out again.
    Shards,
}

impl Rule {
    /// All of them.
    pub const ALL: &[Self] = &[Self::KSync, Self::KBatch, Self::KAsync, Self::KBatchAsync, Self::Shards];

    /// Whether only results of the present version count.
    pub fn synchronous(self) -> bool {
        !matches!(self, Self::KAsync | Self::KBatchAsync)
    }

    /// Whether a worker contributes at most once to a step (unless the step is fixed).
    pub fn one_each(self) -> bool {
        matches!(self, Self::KSync | Self::KAsync)
    }

    /// Whether chunks are copied only when they are overdue, not as soon as a worker would be idle.
    pub(super) fn patient(self) -> bool {
        self == Self::Shards || !self.synchronous()
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::KSync => "k-sync",
            Self::KBatch => "k-batch",
            Self::KAsync => "k-async",
            Self::KBatchAsync => "k-batch-async",
            Self::Shards => "shards",
        }
    }
}

/// What a quorum goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// The rule.
    pub rule: Rule,
    /// K: contributions a step.
    pub k: usize,
    /// Chunks of a pass.
    pub chunks: usize,
    /// Each step is exactly the next K chunks in order. For synchronous rules.
    pub fixed: bool,
    /// How many workers may be at work on one step. For shards.
    pub max_contributors: Option<usize>,
    /// Shards and asynchronous rules copy a chunk that has been out for this many times the fastest chunk's time.
    pub straggler_factor: Option<f64>,
}

/// Terms that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TermsError {
    /// Nothing would ever close a step.
    #[error("--k 0: a step would close with nothing; give --k at least 1")]
    NoContributions,
    /// A pass of nothing.
    #[error("a pass of 0 chunks has nothing to compute; give more data or a smaller --global-batch")]
    NoChunks,
    /// Nobody to compute.
    #[error("--sync {rule}: there is no worker besides the server; start at least 2 ranks")]
    NoWorkers {
        /// The rule.
        rule: &'static str,
    },
    /// K workers are waited for and there are fewer.
    #[error(
        "--sync {rule} --k {k}: only {workers} workers can contribute, once each; give --k {workers} or less, more ranks, or --sync {cure}"
    )]
    MoreThanWorkers {
        /// The rule.
        rule: &'static str,
        /// K.
        k: usize,
        /// Workers there are.
        workers: usize,
        /// The rule in which a worker may contribute several times.
        cure: &'static str,
    },
    /// K chunks are waited for and there are fewer.
    #[error("--sync {rule} --k {k}: a pass has only {chunks} chunks; give --k {chunks} or less, or more --shards")]
    MoreThanChunks {
        /// The rule.
        rule: &'static str,
        /// K.
        k: usize,
        /// Chunks of a pass.
        chunks: usize,
    },
    /// What arrives when decides what an asynchronous step applies.
    #[error("--sync {rule} --deterministic: what a step applies depends on what arrives first; take --sync {cure}")]
    FixedAsynchronous {
        /// The rule.
        rule: &'static str,
        /// The like synchronous rule.
        cure: &'static str,
    },
    /// A cap where it has no meaning, or of 0.
    #[error(
        "--sync {rule} --max-contributors {cap}: it caps the workers of a step of shards; give at least 1, with --sync shards"
    )]
    Contributors {
        /// The rule.
        rule: &'static str,
        /// The cap.
        cap: usize,
    },
    /// A factor by which everything is late at once, or never.
    #[error(
        "--straggler-factor {factor}: a chunk is late at so many times the fastest; give a number of at least 1, as 1.5"
    )]
    StragglerFactor {
        /// The factor.
        factor: f64,
    },
}

impl Terms {
    /// Whether a quorum of so many workers can work on these terms.
    ///
    /// K may be above the number of workers where a worker may contribute several times: in k-batch, shards, and every
    /// fixed step (so that a deterministic run is resumed with fewer workers).
    ///
    /// # Errors
    ///
    /// The first term that cannot work, with its cure.
    pub fn check(&self, workers: usize) -> Result<(), TermsError> {
        let (rule, k, chunks) = (self.rule.name(), self.k, self.chunks);
        let cure = if self.rule.synchronous() { Rule::KBatch } else { Rule::KBatchAsync }.name();
        if k == 0 {
            return Err(TermsError::NoContributions);
        }
        if chunks == 0 {
            return Err(TermsError::NoChunks);
        }
        if workers == 0 {
            return Err(TermsError::NoWorkers { rule });
        }
        if k > chunks {
            return Err(TermsError::MoreThanChunks { rule, k, chunks });
        }
        if self.fixed && !self.rule.synchronous() {
            let cure = if self.rule.one_each() { Rule::KSync } else { Rule::KBatch }.name();
            return Err(TermsError::FixedAsynchronous { rule, cure });
        }
        if self.rule.one_each() && !self.fixed && k > workers {
            return Err(TermsError::MoreThanWorkers { rule, k, workers, cure });
        }
        if let Some(cap) = self.max_contributors.filter(|&cap| cap == 0 || self.rule != Rule::Shards) {
            return Err(TermsError::Contributors { rule, cap });
        }
        match self.straggler_factor {
            Some(factor) if !(factor.is_finite() && factor >= 1.0) => Err(TermsError::StragglerFactor { factor }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(rule: Rule, k: usize, chunks: usize) -> Terms {
        Terms { rule, k, chunks, fixed: false, max_contributors: None, straggler_factor: None }
    }

    #[test]
    fn terms_that_cannot_work_are_refused_with_a_cure() {
        let fixed = |terms| Terms { fixed: true, ..terms };
        let cap = |cap, terms| Terms { max_contributors: Some(cap), ..terms };
        let late = |factor, terms| Terms { straggler_factor: Some(factor), ..terms };
        let shards = terms(Rule::Shards, 8, 100);
        for (terms, workers, words) in [
            (terms(Rule::KSync, 0, 8), 4, "--k 0"),
            (terms(Rule::KSync, 1, 0), 4, "0 chunks"),
            (terms(Rule::KBatch, 1, 1), 0, "at least 2 ranks"),
            (terms(Rule::KSync, 5, 8), 4, "--k 4 or less, more ranks, or --sync k-batch"),
            (terms(Rule::KAsync, 5, 8), 4, "--sync k-batch-async"),
            (terms(Rule::Shards, 8, 7), 4, "only 7 chunks"),
            (fixed(terms(Rule::KAsync, 2, 8)), 4, "take --sync k-sync"),
            (fixed(terms(Rule::KBatchAsync, 2, 8)), 4, "take --sync k-batch"),
            (cap(0, shards), 4, "--max-contributors 0"),
            (cap(2, terms(Rule::KBatch, 2, 8)), 4, "--max-contributors 2"),
            (late(0.5, shards), 4, "--straggler-factor 0.5"),
            (late(f64::NAN, shards), 4, "--straggler-factor NaN"),
        ] {
            let message = terms.check(workers).unwrap_err().to_string();
            assert!(message.contains(words) && !message.contains('\n'), "{message}");
        }
        for (terms, workers) in [
            (terms(Rule::KSync, 4, 8), 4),
            (terms(Rule::KBatch, 5, 8), 4),
            (fixed(terms(Rule::KSync, 8, 8)), 1),
            (late(1.5, cap(2, shards)), 3),
            (late(1.5, terms(Rule::KBatchAsync, 1, 8)), 3),
        ] {
            terms.check(workers).unwrap();
        }
    }
}
