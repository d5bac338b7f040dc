//! Gradients in buckets: each bucket's reduction begins as soon as backward has passed it.
//!
//! Backward finishes gradients from the end of θ to its beginning, so buckets are cut from the end. While the layers
//! below are computed, the reductions of the finished buckets are under way; testing them between layers moves them on,
//! because Open MPI 4 has no thread of its own for that. The first of θ is the last bucket, and what rides behind the
//! gradient goes with it.
//!
//! # References
//! Li et al., *PyTorch distributed: experiences on accelerating data parallel training*, VLDB 2020, section 3.2.3.

use crate::comm::{Buffer, CommError, Communicator, Kind, Pending, Reduce};
use crate::nn::Span;

/// Cuts θ into buckets of at most `most` elements, in the order in which backward finishes them.
///
/// A bucket that is half full ends where a tensor begins: what lies below is only known a layer later. The last bucket
/// begins at 0 and may be empty.
pub(super) fn plan(tensors: &[Span], most: usize) -> Vec<Span> {
    assert!(most > 0, "a bucket holds something");
    let mut buckets = Vec::new();
    let mut end = tensors.last().map_or(0, |tensor| tensor.end());
    let mut close = |start: usize, end: &mut usize| {
        buckets.push(Span { start, len: *end - start });
        *end = start;
    };
    for tensor in tensors.iter().rev() {
        while end - tensor.start > most {
            close(end - most, &mut end);
        }
        if end - tensor.start >= most.div_ceil(2) {
            close(tensor.start, &mut end);
        }
    }
    close(0, &mut end);
    buckets
}

/// One bucket. The buffer is here, or with the communicator while a reduction is under way.
struct Bucket {
    span: Span,
    buffer: Option<Buffer>,
    pending: Option<Pending>,
}

/// The buckets of one rank. Every rank begins the reductions of a step in the same order.
pub(super) struct Buckets<'a> {
    comm: &'a dyn Communicator,
    buckets: Vec<Bucket>,
    /// How many of this step's reductions were begun.
    begun: usize,
    /// How many of them, from the first, are known to be complete.
    complete: usize,
    /// What went wrong where it could not be returned.
    failed: Option<CommError>,
}

impl<'a> Buckets<'a> {
    /// Buckets for a gradient with these tensors and `rest` elements behind it.
    pub fn new(comm: &'a dyn Communicator, tensors: &[Span], rest: usize, most: usize) -> Self {
        let mut buckets: Vec<Bucket> = (plan(tensors, most).into_iter())
            .map(|span| Bucket { span, buffer: Some(Buffer::new(Kind::F32, span.len)), pending: None })
            .collect();
        if let Some(last) = buckets.last_mut() {
            last.buffer = Some(Buffer::new(Kind::F32, last.span.len + rest));
        }
        Self { comm, buckets, begun: 0, complete: 0, failed: None }
    }

    /// Backward has finished `span` and all that lies behind it.
    pub fn ready(&mut self, grad: &[f32], span: Span) {
        // The last bucket waits for what rides with it.
        while self.begun + 1 < self.buckets.len() && self.buckets[self.begun].span.start >= span.start {
            self.begin(grad, &[]);
        }
        self.poke();
    }

    /// Moves on what is under way.
    fn poke(&mut self) {
        while self.failed.is_none() && self.complete < self.begun {
            let pending = self.buckets[self.complete].pending.as_ref().expect("it was begun");
            match self.comm.test(pending) {
                Ok(true) => self.complete += 1,
                Ok(false) => return,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Begins the next bucket's reduction.
    fn begin(&mut self, grad: &[f32], rest: &[f32]) {
        let bucket = &mut self.buckets[self.begun];
        self.begun += 1;
        if self.failed.is_some() {
            return;
        }
        let mut buffer = bucket.buffer.take().expect("the step before gave it back");
        let (theirs, behind) = buffer.f32s_mut().split_at_mut(bucket.span.len);
        theirs.copy_from_slice(&grad[bucket.span.range()]);
        behind.copy_from_slice(rest);
        match self.comm.start_all_reduce(buffer, Reduce::Sum) {
            Ok(pending) => bucket.pending = Some(pending),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Begins what was not begun, waits for all and writes the sums back.
    ///
    /// # Collective
    /// Every rank must call it once a step.
    ///
    /// # Errors
    /// Also those of the reductions that were begun during backward.
    pub fn finish(&mut self, grad: &mut [f32], rest: &mut [f32]) -> Result<(), CommError> {
        while self.begun < self.buckets.len() {
            let last = self.begun + 1 == self.buckets.len();
            self.begin(grad, if last { rest } else { &[] });
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        for bucket in &mut self.buckets {
            let buffer = self.comm.wait(bucket.pending.take().expect("all were begun"))?;
            let (sums, behind) = buffer.f32s().split_at(bucket.span.len);
            grad[bucket.span.range()].copy_from_slice(sums);
            if !behind.is_empty() {
                rest.copy_from_slice(behind);
            }
            bucket.buffer = Some(buffer);
        }
        (self.begun, self.complete) = (0, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::{ThreadOptions, run_threads};
    use proptest::prelude::*;

    fn spans(lengths: &[usize]) -> Vec<Span> {
        let mut start = 0;
        let span = |len: &usize| {
            start += len;
            Span { start: start - len, len: *len }
        };
        lengths.iter().map(span).collect()
    }

    proptest! {
        #[test]
        fn buckets_cover_every_element_once_from_the_end(
            lengths in proptest::collection::vec(1usize..3000, 0..20),
            most in 1usize..4000,
        ) {
            let tensors = spans(&lengths);
            let plan = plan(&tensors, most);
            let mut end = lengths.iter().sum::<usize>();
            for bucket in &plan {
                prop_assert_eq!(bucket.end(), end);
                prop_assert!(bucket.len <= most);
                end = bucket.start;
            }
            prop_assert_eq!(end, 0);
            // Not many small ones: two neighbours fill half a bucket together, but for the last.
            prop_assert!(plan.len() <= 2 + lengths.iter().sum::<usize>() / most.div_ceil(2));
        }
    }

    #[test]
    fn a_full_bucket_ends_at_a_tensor() {
        let starts = |lengths: &[usize], most| plan(&spans(lengths), most).iter().map(|b| b.start).collect::<Vec<_>>();
        assert_eq!(starts(&[10, 30, 5], 100), [0]);
        assert_eq!(starts(&[10, 60, 5], 100), [10, 0]);
        assert_eq!(starts(&[10, 100, 5], 100), [15, 0]);
        assert_eq!(starts(&[10, 160, 5], 100), [75, 10, 0]);
        assert_eq!(starts(&[60, 60], 100), [60, 0, 0]);
        assert_eq!(starts(&[], 100), [0]);
    }

    /// Sums of steps on several ranks; one of them has nothing to add and finishes no gradient itself.
    #[test]
    fn sums_are_those_of_one_vector_to_the_bit_and_pieces_may_be_of_any_size() {
        let (lengths, rest) = ([7, 900, 33, 1, 450], 4);
        let tensors = spans(&lengths);
        let len: usize = lengths.iter().sum();
        let value =
            |rank: usize, step: usize, i: usize| if rank == 2 { 0.0 } else { 1.0 / (1 + i * 7 + rank + step) as f32 };
        for (most, rendezvous) in [(1, false), (100, true), (301, false), (10_000, true)] {
            let options = ThreadOptions { rendezvous, deadline: Some(std::time::Duration::from_secs(20)) };
            run_threads(3, options, |comm| {
                let mut buckets = Buckets::new(comm, &tensors, rest, most);
                for step in 0..3 {
                    let mut packed: Vec<f32> = (0..len + rest).map(|i| value(comm.rank(), step, i)).collect();
                    let (grad, tail) = packed.split_at_mut(len);
                    if comm.rank() < 2 {
                        tensors.iter().rev().for_each(|tensor| buckets.ready(grad, *tensor));
                    }
                    buckets.finish(grad, tail).unwrap();
                    let sum = |i| value(0, step, i) + value(1, step, i) + value(2, step, i);
                    assert!((0..len + rest).all(|i| packed[i] == sum(i)), "at most {most}, step {step}");
                }
            });
        }
    }

    #[test]
    fn a_lost_rank_is_an_error_at_the_end_of_the_step() {
        let tensors = spans(&[100, 100]);
        run_threads(2, ThreadOptions::default(), |comm| {
            if comm.rank() == 0 {
                let mut buckets = Buckets::new(comm, &tensors, 1, 100);
                let mut grad = vec![0.0; 200];
                (0..100).for_each(|_| buckets.ready(&grad, tensors[1]));
                assert!(matches!(buckets.finish(&mut grad, &mut [0.0]), Err(CommError::PeerLost { rank: 1, .. })));
            }
        });
    }
}
