//! The sum of a step's gradients on one stage: over its micro-batches, and over its replicas.

use crate::comm::fixed_point::{Fit, OrderFreeSum};
use crate::comm::{Communicator, Group, Reduce, Values};
use crate::nn::{Network, Span, Workspace};
use crate::strategy::TrainError;

/// How a step's sum came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    Good,
    /// All ranks have to make the step's passes again: the order-free sum has other scales now.
    Again,
    NotFinite,
}

/// Where a micro-batch's gradient goes.
pub(super) enum Into<'a> {
    /// It is written.
    Write(&'a mut [f32]),
    /// It is added to the first, by way of the second.
    Add(&'a mut [f32], &'a mut [f32]),
}

/// `[∇ | moments]` of a stage.
pub(super) struct Reduction<'a> {
    sum: Vec<f32>,
    /// Memory to add gradients from.
    spare: Vec<f32>,
    theta_len: usize,
    empty: bool,
    twins: Option<Group<'a>>,
    order_free: Option<OrderFreeSum>,
}

impl<'a> Reduction<'a> {
    /// A sum over a stage's micro-batches and its `twins`; order-free where at most `chunks` chunks are given.
    pub fn new(network: &Network, twins: Option<Group<'a>>, chunks: Option<usize>) -> Self {
        let (theta_len, len) = (network.theta_len(), network.theta_len() + network.sigma_len());
        let moments = network.statistics().map(|t| Span { start: theta_len + t.span.start, ..t.span });
        let spans = network.tensors().map(|tensor| tensor.span).chain(moments).collect();
        let order_free = chunks.map(|chunks| OrderFreeSum::new(spans, chunks));
        let spare = vec![0.0; if order_free.is_some() { 0 } else { theta_len }];
        Self { sum: vec![0.0; len], spare, theta_len, empty: true, twins, order_free }
    }

    /// Empties the sum.
    pub fn clear(&mut self) {
        self.empty = true;
        if let Some(sum) = &mut self.order_free {
            sum.clear();
        }
    }

    /// Adds what `make` makes of a micro-batch of so many rows.
    pub fn add(&mut self, rows: usize, ws: &mut Workspace, make: impl FnOnce(&mut Workspace, Into)) {
        let (grad, moments) = self.sum.split_at_mut(self.theta_len);
        let plain = self.order_free.is_none();
        let first = self.empty || !plain;
        make(ws, if first { Into::Write(grad) } else { Into::Add(grad, &mut self.spare) });
        let taken = ws.moments().iter().map(|moment| moment * rows as f32);
        for (sum, moment) in moments.iter_mut().zip(taken) {
            *sum = if first { moment } else { *sum + moment };
        }
        self.empty = false;
        if let Some(order_free) = &mut self.order_free {
            order_free.add(&self.sum);
        }
    }

    /// Adds up over the replicas, or finds that the passes have to be made again.
    ///
    /// # Collective
    /// Every replica of the stage must call it.
    pub fn add_up(&mut self) -> Result<Added, TrainError> {
        let Some(order_free) = &mut self.order_free else {
            if self.empty {
                self.sum.fill(0.0);
            }
            if let Some(twins) = &self.twins {
                twins.all_reduce(Values::F32(&mut self.sum), Reduce::Sum)?;
            }
            return Ok(Added::Good);
        };
        if let Some(twins) = &self.twins {
            twins.all_reduce(Values::I64(&mut order_free.seen), Reduce::Max)?;
        }
        Ok(match order_free.judge() {
            Fit::Good => Added::Good,
            Fit::Again => Added::Again,
            Fit::NotFinite => Added::NotFinite,
        })
    }

    /// The sum: gradient and moments.
    ///
    /// # Collective
    /// Every replica of the stage must call it, once all ranks found their sums good.
    pub fn finish(&mut self) -> Result<(&[f32], &[f32]), TrainError> {
        if let Some(order_free) = &mut self.order_free {
            if let Some(twins) = &self.twins {
                twins.all_reduce(Values::I64(&mut order_free.sum), Reduce::Sum)?;
            }
            order_free.finish(&mut self.sum);
        }
        Ok(self.sum.split_at(self.theta_len))
    }

    /// The scales of an order-free sum; empty for a plain one.
    pub fn scales(&self) -> &[f32] {
        self.order_free.as_ref().map_or(&[], |sum| sum.scales())
    }

    /// The same scales, to restore.
    pub fn scales_mut(&mut self) -> &mut [f32] {
        self.order_free.as_mut().map_or(&mut [], |sum| sum.scales_mut())
    }
}
