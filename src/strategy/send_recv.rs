//! A synchronous parameter server, as the original had it: rank 0 collects, the others train.
//!
//! A round is push and pull. The server takes the workers' vectors as they arrive, so that a slow
//! worker does not hold up the others' transfers, but adds them in rank order, so that the bits do
//! not depend on who was first. Every rank, the server too, then applies the same update: the
//! server's weights are the ones that are measured and saved.
//!
//! # References
//! Li et al., *Scaling distributed machine learning with the parameter server*, OSDI 2014.

use super::{Exchange, TrainError};
use crate::comm::{Buffer, Communicator, Kind, Reduce, Tag, Values};

/// The rank that serves.
const SERVER: usize = 0;

/// One rank's side of the rounds.
pub(super) struct ParameterServer<'a> {
    comm: &'a dyn Communicator,
    /// At the server one buffer a worker, at a worker one.
    buffers: Vec<Buffer>,
    round: u32,
}

impl<'a> ParameterServer<'a> {
    pub fn new(comm: &'a dyn Communicator) -> Self {
        let buffers = if comm.rank() == SERVER { comm.size() - 1 } else { 1 };
        Self { comm, buffers: vec![Buffer::new(Kind::F32, 0); buffers], round: 0 }
    }

    fn serve(&mut self, mut values: Values, op: Reduce) -> Result<(), TrainError> {
        for buffer in &mut self.buffers {
            buffer.reshape(values.kind(), values.len());
        }
        for _ in 0..self.buffers.len() {
            let worker = self.comm.await_message(None, Tag::Push)?;
            let buffer = &mut self.buffers[worker - 1];
            self.comm.recv(worker, Tag::Push, buffer)?;
            in_step(buffer, worker, self.round)?;
        }
        // Added to the server's own vector: its gradient is zero, but its wishes count.
        self.buffers.iter().for_each(|buffer| values.combine(buffer.payload(), op));
        let answer = &mut self.buffers[0];
        answer.payload_mut().copy_from_slice(values.bytes());
        answer.note.step = self.round;
        (1..self.comm.size()).try_for_each(|worker| self.comm.send(worker, Tag::Pull, answer))?;
        Ok(())
    }

    fn work(&mut self, mut values: Values) -> Result<(), TrainError> {
        let buffer = &mut self.buffers[0];
        buffer.reshape(values.kind(), values.len());
        buffer.payload_mut().copy_from_slice(values.bytes());
        buffer.note.step = self.round;
        self.comm.send(SERVER, Tag::Push, buffer)?;
        self.comm.recv(SERVER, Tag::Pull, buffer)?;
        in_step(buffer, SERVER, self.round)?;
        values.bytes_mut().copy_from_slice(buffer.payload());
        Ok(())
    }
}

fn in_step(buffer: &Buffer, from: usize, expected: u32) -> Result<(), TrainError> {
    match buffer.note.step {
        got if got == expected => Ok(()),
        got => Err(TrainError::OutOfStep { from, got, expected }),
    }
}

impl Exchange<'_> for ParameterServer<'_> {
    fn part(&self) -> Option<usize> {
        self.comm.rank().checked_sub(1)
    }

    fn parts(&self) -> usize {
        self.comm.size() - 1
    }

    fn combine(&mut self, values: Values, op: Reduce) -> Result<(), TrainError> {
        self.round = self.round.wrapping_add(1);
        match self.comm.rank() {
            SERVER => self.serve(values, op),
            _ => self.work(values),
        }
    }
}
