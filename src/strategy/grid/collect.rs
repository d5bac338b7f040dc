//! A step's contributions, and their sum.
//!
//! They are added in the order of their chunks, so that who was first changes no bit. With a micro-chunk the sum is
//! order-free, as in lock-step: integers, whose scales all workers must share.

use super::wire::Figures;
use crate::comm::fixed_point::{Fit, OrderFreeSum};
use crate::comm::{Buffer, Kind, Reduce, Values};
use crate::nn::Network;
use crate::nn::kernels::{Isa, vector};
use crate::strategy::Hyper;
use crate::strategy::stepper::{TAIL, spans};

/// One result.
pub(super) struct Contribution {
    pub chunk: usize,
    pub worker: usize,
    pub staleness: u32,
    pub figures: Figures,
    pub buffer: Buffer,
}

/// The results of the step being collected.
pub(super) struct Collected {
    results: Vec<Contribution>,
    /// `[∇ | moments | tail]`, or `[Δθ | Δσ | tail]`.
    sum: Vec<f32>,
    theta_len: usize,
    order_free: Option<OrderFreeSum>,
    deltas: bool,
}

/// What became of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Summed {
    Done,
    /// The scales were too small: everything again.
    Again,
    NotFinite,
}

impl Collected {
    pub fn new(network: &Network, hyper: &Hyper, samples: usize, deltas: bool) -> Self {
        let len = network.theta_len() + network.sigma_len() + TAIL;
        let order_free = hyper.micro_chunk.filter(|_| !deltas);
        let global = hyper.global_batch.min(samples);
        let order_free = order_free.map(|micro| OrderFreeSum::new(spans(network), global.div_ceil(micro)));
        Self { results: Vec::new(), sum: vec![0.0; len], theta_len: network.theta_len(), order_free, deltas }
    }

    /// The kind of the vectors.
    pub fn kind(&self) -> Kind {
        Self::kind_of(self.order_free.is_some())
    }

    /// The kind of vectors whose sum is order-free, or not.
    pub fn kind_of(order_free: bool) -> Kind {
        if order_free { Kind::I64 } else { Kind::F32 }
    }

    /// Elements of a vector, without the numbers behind it.
    pub fn vector_len(&self) -> usize {
        self.sum.len() + self.order_free.as_ref().map_or(0, |sum| sum.seen.len())
    }

    /// The scales that workers need; empty for plain sums.
    pub fn scales(&self) -> &[f32] {
        self.order_free.as_ref().map_or(&[], OrderFreeSum::scales)
    }

    /// The same, to restore.
    pub fn scales_mut(&mut self) -> &mut [f32] {
        self.order_free.as_mut().map_or(&mut [], OrderFreeSum::scales_mut)
    }

    /// Keeps a result.
    pub fn keep(&mut self, result: Contribution) {
        let at = self.results.partition_point(|kept| kept.chunk < result.chunk);
        self.results.insert(at, result);
    }

    /// The results, in the order of their chunks.
    pub fn results(&self) -> &[Contribution] {
        &self.results
    }

    /// Forgets the results.
    pub fn drain(&mut self) -> impl Iterator<Item = Contribution> {
        self.results.drain(..)
    }

    /// Adds up the results.
    pub fn sum(&mut self) -> Summed {
        match &mut self.order_free {
            Some(total) => {
                let bounds = total.seen.len();
                total.clear();
                for result in &self.results {
                    let values: &[i64] = bytemuck::cast_slice(result.buffer.payload());
                    let (seen, sum) = values.split_at(bounds);
                    total.seen.iter_mut().zip(seen).for_each(|(most, seen)| *most = (*most).max(*seen));
                    let sum = &sum[..self.sum.len()];
                    total.sum.iter_mut().zip(sum).for_each(|(total, value)| *total = total.wrapping_add(*value));
                }
                match total.judge() {
                    Fit::Again => return Summed::Again,
                    Fit::NotFinite => return Summed::NotFinite,
                    Fit::Good => total.finish(&mut self.sum),
                }
            }
            None => {
                self.sum.fill(0.0);
                let all: f64 = self.results.iter().map(|result| result.figures.samples).sum();
                for result in &self.results {
                    let values = &result.buffer.f32s()[..self.sum.len()];
                    match self.deltas {
                        // Differences are averaged, by samples; gradients are sums over samples already.
                        true => {
                            let share = (result.figures.samples / all) as f32;
                            vector::axpy(Isa::detect(), share, values, &mut self.sum);
                        }
                        false => Values::F32(&mut self.sum).combine(bytemuck::cast_slice(values), Reduce::Sum),
                    }
                }
            }
        }
        let losses = self.results.iter().map(|result| result.figures.loss);
        let finite = losses.sum::<f64>().is_finite();
        if finite { Summed::Done } else { Summed::NotFinite }
    }

    /// Gradient or difference, and moments or difference of the running statistics, after [`Collected::sum`].
    pub fn parts(&mut self) -> (&mut [f32], &mut [f32]) {
        let (theta, rest) = self.sum.split_at_mut(self.theta_len);
        let moments = rest.len() - TAIL;
        (theta, &mut rest[..moments])
    }
}
