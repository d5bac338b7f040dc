//! One step's sum: the plain one, and the order-free one that gives the same bits at any rank count.

use super::learner::{Learner, Weights};
use super::local_sgd::averaged;
use super::summing::Summing;
use super::{Exchange, Hyper, TrainError, Turn};
use crate::comm::fixed_point::{Fit, OrderFreeSum};
use crate::comm::{Reduce, Values};
use crate::data::order::balanced;
use crate::nn::{Network, Span};

/// What rides behind the gradient in a step's reduction: loss, right answers, wishes to save and to stop.
pub(super) const TAIL: usize = 4;

/// A step's sums over all ranks.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepSum {
    pub loss: f32,
    pub correct: f32,
    pub turn: Turn,
    /// Samples of which this rank computed the gradients.
    pub own: usize,
    /// Samples of all ranks.
    pub samples: u64,
}

/// Makes the sum over a global batch, the same bits on every rank.
pub(super) struct Stepper<'a> {
    /// `[∇ | moments | tail]`: one packed vector.
    summing: Summing<'a>,
    theta_len: usize,
    order_free: Option<OrderFree>,
}

struct OrderFree {
    micro_chunk: usize,
    chunk: Vec<f32>,
    sum: OrderFreeSum,
}

/// Payload bytes that a rank gives to the others when they meet: once a step, or once a period of steps of its own.
pub fn bytes_per_exchange(network: &Network, hyper: &Hyper) -> u64 {
    let packed = network.theta_len() + network.sigma_len() + TAIL;
    let bytes = match (&hyper.sampler, hyper.micro_chunk, hyper.local) {
        // Two integers for each proposal and for the loss before, and four numbers at the end.
        (Some(sampler), ..) => return 16 * (sampler.iterations + 2) + 32,
        (None, Some(_), _) => packed * size_of::<i64>(),
        (None, None, None) => packed * size_of::<f32>(),
        (None, None, Some(_)) => averaged(network, hyper) * size_of::<f32>(),
    };
    bytes as u64
}

/// The spans of a packed vector that have a scale of their own in an order-free sum.
pub(super) fn spans(network: &Network) -> Vec<Span> {
    let (theta_len, len) = (network.theta_len(), network.theta_len() + network.sigma_len());
    let moments = network.statistics().map(|t| Span { start: theta_len + t.span.start, ..t.span });
    let tail = (0..TAIL).map(|i| Span { start: len + i, len: 1 });
    network.tensors().map(|tensor| tensor.span).chain(moments).chain(tail).collect()
}

impl<'a> Stepper<'a> {
    /// A stepper for a network and batches of up to `global_batch`; with a micro-chunk the sum is order-free.
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn new(
        network: &Network,
        micro_chunk: Option<usize>,
        global_batch: usize,
        exchange: &dyn Exchange<'a>,
    ) -> Result<Self, TrainError> {
        let (theta_len, len) = (network.theta_len(), network.theta_len() + network.sigma_len());
        Ok(Self {
            summing: match micro_chunk {
                None => exchange.summing(network, len - theta_len + TAIL)?,
                Some(_) => Summing::OneVector(vec![0.0; len + TAIL]),
            },
            theta_len,
            order_free: micro_chunk.map(|micro_chunk| OrderFree {
                micro_chunk,
                chunk: vec![0.0; len + TAIL],
                // The chunks decide the scales, and must not depend on the ranks: a rank's wishes are a vector too, but
                // one of zeros and ones.
                sum: OrderFreeSum::new(spans(network), global_batch.div_ceil(micro_chunk)),
            }),
        })
    }

    /// The scales of an order-free sum, on which the next step's bits depend; empty for a plain one.
    pub fn scales(&self) -> &[f32] {
        self.order_free.as_ref().map_or(&[], |order_free| order_free.sum.scales())
    }

    /// The same scales, to restore.
    pub fn scales_mut(&mut self) -> &mut [f32] {
        self.order_free.as_mut().map_or(&mut [], |order_free| order_free.sum.scales_mut())
    }

    /// The most samples that this rank passes to its learner at once.
    pub fn local_batch(&self, global_batch: usize, parts: usize) -> usize {
        match &self.order_free {
            Some(order_free) => order_free.micro_chunk.min(global_batch),
            None => global_batch.div_ceil(parts),
        }
    }

    /// The summed gradient after [`Stepper::sum`].
    pub fn grad(&mut self) -> &mut [f32] {
        &mut self.summing.packed_mut()[..self.theta_len]
    }

    /// The moments after [`Stepper::sum`], summed over the samples that had them.
    pub fn moments(&self) -> &[f32] {
        let packed = self.summing.packed();
        &packed[self.theta_len..packed.len() - TAIL]
    }

    /// Sums gradient, loss and wishes over the global batch `run`.
    ///
    /// # Collective
    /// Every rank must call it with the same `run`.
    pub fn sum(
        &mut self,
        learner: &mut Learner,
        exchange: &mut dyn Exchange,
        weights: Weights,
        epoch: u64,
        run: &[u32],
        wish: Turn,
    ) -> Result<StepSum, TrainError> {
        let own = match &mut self.order_free {
            None => {
                let mine = exchange.part().map_or(0..0, |part| balanced(run.len(), exchange.parts(), part));
                self.summing.sum(exchange, self.theta_len, |packed, ready| {
                    compute(learner, weights, epoch, &run[mine.clone()], packed, ready);
                    write_wishes(packed, wish);
                })?;
                mine.len()
            }
            Some(order_free) => {
                order_free.sum(learner, exchange, weights, epoch, run, wish, self.summing.packed_mut())?
            }
        };
        let packed = self.summing.packed();
        let tail = &packed[packed.len() - TAIL..];
        Ok(StepSum { loss: tail[0], correct: tail[1], turn: turn_of(tail), own, samples: run.len() as u64 })
    }
}

/// Writes `[∇ | moments | loss, correct, 0, 0]` of some samples; `ready` is told what is final of the gradient.
pub(super) fn compute(
    learner: &mut Learner,
    weights: Weights,
    epoch: u64,
    samples: &[u32],
    packed: &mut [f32],
    ready: &mut dyn FnMut(&mut [f32], Span),
) {
    let (sums, tail) = packed.split_at_mut(packed.len() - TAIL);
    let tally = learner.sum_gradient(weights, epoch, samples, sums, ready);
    tail.copy_from_slice(&[tally.loss as f32, tally.correct as f32, 0.0, 0.0]);
}

/// Writes a wish to the end of what rides behind the sums.
pub(super) fn write_wishes(packed: &mut [f32], wish: Turn) {
    let at = packed.len() - 2;
    packed[at] = f32::from(u8::from(wish == Turn::Save));
    packed[at + 1] = f32::from(u8::from(wish.in_lock_step() == Turn::Stop));
}

/// The strongest of the ranks' wishes, in the summed tail.
pub(super) fn turn_of(tail: &[f32]) -> Turn {
    match (tail[2] > 0.0, tail[3] > 0.0) {
        (_, true) => Turn::Stop,
        (true, _) => Turn::Save,
        _ => Turn::GoOn,
    }
}

impl OrderFree {
    /// The global batch is cut into chunks that do not depend on the ranks; each chunk is computed whole, on
    /// one rank, and the chunks' integers may then be added in any order.
    #[allow(clippy::too_many_arguments)]
    fn sum(
        &mut self,
        learner: &mut Learner,
        exchange: &mut dyn Exchange,
        weights: Weights,
        epoch: u64,
        run: &[u32],
        wish: Turn,
        packed: &mut [f32],
    ) -> Result<usize, TrainError> {
        let chunks = run.len().div_ceil(self.micro_chunk);
        let mine = exchange.part().map_or(0..0, |part| balanced(chunks, exchange.parts(), part));
        loop {
            self.sum.clear();
            for chunk in mine.clone() {
                let end = run.len().min((chunk + 1) * self.micro_chunk);
                compute(learner, weights, epoch, &run[chunk * self.micro_chunk..end], &mut self.chunk, &mut |_, _| {});
                self.sum.add(&self.chunk);
            }
            self.chunk.fill(0.0);
            write_wishes(&mut self.chunk, wish);
            self.sum.add(&self.chunk);
            exchange.combine(Values::I64(&mut self.sum.seen), Reduce::Max)?;
            match self.sum.judge() {
                Fit::Again => {}
                Fit::Good => break,
                Fit::NotFinite => {
                    packed.fill(f32::NAN);
                    return Ok(0);
                }
            }
        }
        exchange.combine(Values::I64(&mut self.sum.sum), Reduce::Sum)?;
        self.sum.finish(packed);
        Ok((mine.end * self.micro_chunk).min(run.len()) - (mine.start * self.micro_chunk).min(run.len()))
    }
}
