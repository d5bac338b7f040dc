//! Where a step's packed vector lies, and how its plain sum comes together.

use super::buckets::Buckets;
use super::{Exchange, TrainError};
use crate::comm::{Communicator, Reduce, SharedVector, Values};
use crate::nn::{Network, Span};

/// Bytes from which a vector is worth memory that all ranks reach: below it a message in the library's way is as fast.
pub(super) const SHARED_FROM: usize = 64 << 10;

/// Bytes of a bucket. Larger reductions make Open MPI allocate, smaller ones cost more latencies.
pub(super) const BUCKET: usize = 2 << 20;

/// The packed vector `[∇ | rest]` of one rank.
pub(super) enum Summing<'a> {
    /// One exchange a step, after backward.
    OneVector(Vec<f32>),
    /// The same, in memory that all ranks reach.
    Shared(Box<dyn SharedVector + 'a>),
    /// Several, which begin during backward.
    Buckets(Vec<f32>, Buckets<'a>),
}

impl<'a> Summing<'a> {
    /// What is fastest for reductions over `comm` (measured: docs/adr/0009).
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn fastest(comm: &'a dyn Communicator, network: &Network, rest: usize) -> Result<Self, TrainError> {
        let len = network.theta_len() + rest;
        // Where ranks may die and the others go on, nothing may be under way or shared with the dead.
        if comm.size() == 1 || comm.recovers() || len * size_of::<f32>() < SHARED_FROM {
            return Ok(Self::OneVector(vec![0.0; len]));
        }
        if let Some(vector) = comm.shared_vector(len)? {
            return Ok(Self::Shared(vector));
        }
        if len * size_of::<f32>() <= BUCKET {
            return Ok(Self::OneVector(vec![0.0; len]));
        }
        let tensors: Vec<Span> = network.tensors().map(|tensor| tensor.span).collect();
        let buckets = Buckets::new(comm, &tensors, rest, BUCKET / size_of::<f32>());
        Ok(Self::Buckets(vec![0.0; len], buckets))
    }

    /// The vector.
    pub fn packed(&self) -> &[f32] {
        match self {
            Self::OneVector(packed) | Self::Buckets(packed, _) => packed,
            Self::Shared(vector) => vector.values(),
        }
    }

    /// The vector, to write.
    pub fn packed_mut(&mut self) -> &mut [f32] {
        match self {
            Self::OneVector(packed) | Self::Buckets(packed, _) => packed,
            Self::Shared(vector) => vector.values_mut(),
        }
    }

    /// Fills the vector by `compute`, which tells its last argument which spans of the gradient are final, and sums it
    /// over all ranks.
    ///
    /// # Collective
    /// Every rank must call it once a step.
    pub fn sum(
        &mut self,
        exchange: &mut dyn Exchange,
        theta_len: usize,
        compute: impl FnOnce(&mut [f32], &mut dyn FnMut(&mut [f32], Span)),
    ) -> Result<(), TrainError> {
        match self {
            Self::OneVector(packed) => {
                compute(packed, &mut |_, _| {});
                exchange.combine(Values::F32(packed), Reduce::Sum)
            }
            Self::Shared(vector) => {
                compute(vector.values_mut(), &mut |_, _| {});
                Ok(vector.all_reduce(&mut || {})?)
            }
            Self::Buckets(packed, buckets) => {
                compute(packed, &mut |grad, span| buckets.ready(grad, span));
                let (grad, rest) = packed.split_at_mut(theta_len);
                Ok(buckets.finish(grad, rest)?)
            }
        }
    }
}
