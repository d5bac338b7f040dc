//! Lock-step without the ranks that have died: back to the last point that all others have reached, and on from there.
//!
//! Training is a row of points: each step is one, each epoch's record, and the farewell behind the last. In each of them
//! all ranks do something together, so nobody is through with a point that somebody has not yet come to. When a rank
//! dies, some of the others may be through with the point that they were in, and some not: what they have is one point
//! apart at most. So every rank keeps what it was when it came to its present point, and when it came to the one before.
//! The others agree on the earliest point and go on from there; samples of a step that was taken back are in no weight.
//!
//! A step's samples do not depend on the ranks: those that are left share its global batch, and none is lost.
//!
//! # References
//! Bland et al., *Post-failure recovery of MPI communication capability: design and rationale*, IJHPCA 27 (2013).

use super::fit::{EpochSums, Training};
use super::stepper::Stepper;
use super::{Cursor, Job, TrainError};
use crate::comm::{CommError, Communicator, Reduce, Tag, Values};
use crate::event::Event;

/// The rank that keeps the books: without it nobody can go on.
const BOOKS: usize = 0;

/// What a rank was at a point.
#[derive(Debug, Default)]
struct Past {
    /// Its number, from 1; 0 is no point.
    point: u64,
    cursor: Cursor,
    sums: EpochSums,
    due: bool,
    theta: Vec<f32>,
    sigma: Vec<f32>,
    scales: Vec<f32>,
    optimizer: Vec<Vec<f32>>,
}

/// What a rank can go back to.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// At the present point, and at the one before.
    copies: [Past; 2],
    /// The present point was come to before.
    again: bool,
}

impl Kept {
    fn point(&self) -> u64 {
        self.copies[0].point
    }

    /// Forgets the points behind this one; the copy of it.
    fn back_to(&mut self, point: u64) -> &Past {
        if self.point() > point {
            self.copies.swap(0, 1);
            self.copies[1].point = 0;
        }
        assert_eq!(self.point(), point, "points are passed together");
        self.again = true;
        &self.copies[0]
    }
}

fn copy(to: &mut Vec<f32>, from: &[f32]) {
    to.clear();
    to.extend_from_slice(from);
}

impl Training<'_> {
    /// This rank comes to the next point.
    pub fn enter(&mut self, stepper: &Stepper) {
        let Some(mut kept) = self.kept.take() else { return };
        if !std::mem::take(&mut kept.again) {
            kept.copies.swap(0, 1);
            let [present, before] = &mut kept.copies;
            present.point = before.point + 1;
            (present.cursor, present.sums, present.due) = (self.cursor, self.sums, self.due);
            copy(&mut present.theta, &self.theta);
            copy(&mut present.sigma, &self.sigma);
            copy(&mut present.scales, stepper.scales());
            let state = self.optimizer.state();
            present.optimizer.resize_with(state.len(), Vec::new);
            present.optimizer.iter_mut().zip(state).for_each(|(to, (_, from))| copy(to, from));
        }
        self.kept = Some(kept);
    }

    /// The last point: nobody leaves before all others are through with everything.
    pub fn part(&mut self, stepper: &Stepper) -> Result<(), TrainError> {
        if self.kept.is_some() {
            self.enter(stepper);
            self.comm.barrier()?;
        }
        Ok(())
    }

    /// Goes on with the ranks that are left, after `error` said that one has died.
    ///
    /// # Collective
    /// Every rank that lives must call it.
    pub fn recover(&mut self, stepper: &mut Stepper, error: CommError, job: &mut dyn Job) -> Result<(), TrainError> {
        let mut gone = Vec::new();
        let point = loop {
            gone.extend(self.comm.recover()?.ok_or_else(|| error.clone())?);
            if gone.contains(&BOOKS) {
                return Err(CommError::PeerLost { rank: BOOKS, tag: Tag::Reduction }.into());
            }
            let mut least = [-(self.kept.as_ref().map_or(0, Kept::point) as i64)];
            match self.comm.all_reduce(Values::I64(&mut least), Reduce::Max) {
                Ok(()) => break -least[0] as u64,
                // Another one: who had heard of the point has gone back to it, and is at no other.
                Err(error) if error.is_death() => {}
                Err(error) => return Err(error.into()),
            }
        };
        self.back_to(point, stepper);
        let (step, left) = (self.cursor.step, self.comm.size());
        for rank in &gone {
            let text = format!("rank {rank} is lost: its process ended; {left} ranks go on behind step {step}");
            job.emit(Event::Note { text });
        }
        self.fit.lost.extend(gone);
        Ok(())
    }

    fn back_to(&mut self, point: u64, stepper: &mut Stepper) {
        let Some(kept) = &mut self.kept else { return };
        let then = kept.back_to(point);
        (self.cursor, self.sums, self.due) = (then.cursor, then.sums, then.due);
        self.theta.copy_from_slice(&then.theta);
        self.sigma.copy_from_slice(&then.sigma);
        stepper.scales_mut().copy_from_slice(&then.scales);
        self.optimizer
            .state_mut()
            .into_iter()
            .zip(&then.optimizer)
            .for_each(|((_, to), from)| to.copy_from_slice(from));
    }
}
