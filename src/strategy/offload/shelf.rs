//! The tensors that wait on a rank for the tasks that read them.

use crate::comm::{Buffer, Kind};
use crate::plan::placement::TensorId;
use std::collections::HashMap;

/// A request under one of its plans: planned anew it begins again, and what its earlier plan sent is not mixed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub request: usize,
    pub plan: u32,
}

/// Tensors with the number of tasks that still want them; and memory for messages.
#[derive(Default)]
pub(super) struct Shelf {
    held: HashMap<(Ticket, TensorId), (Buffer, usize)>,
    spare: Vec<Buffer>,
}

impl Shelf {
    /// Keeps a tensor for so many readers.
    pub fn put(&mut self, ticket: Ticket, tensor: TensorId, buffer: Buffer, readers: usize) {
        match readers {
            0 => self.give_back(buffer),
            _ => drop(self.held.insert((ticket, tensor), (buffer, readers))),
        }
    }

    /// A tensor that is here.
    pub fn get(&self, ticket: Ticket, tensor: TensorId) -> &Buffer {
        &self.held.get(&(ticket, tensor)).expect("a task runs when all its inputs are here").0
    }

    /// Whether it is here.
    pub fn has(&self, ticket: Ticket, tensor: TensorId) -> bool {
        self.held.contains_key(&(ticket, tensor))
    }

    /// One reader is done with it.
    pub fn done(&mut self, ticket: Ticket, tensor: TensorId) {
        let (_, readers) = self.held.get_mut(&(ticket, tensor)).expect("it was read");
        *readers -= 1;
        if *readers == 0 {
            let (buffer, _) = self.held.remove(&(ticket, tensor)).expect("it was there");
            self.give_back(buffer);
        }
    }

    /// Forgets what is of such requests under such plans.
    pub fn clear(&mut self, old: impl Fn(Ticket) -> bool) {
        let gone: Vec<_> = self.held.keys().filter(|(ticket, _)| old(*ticket)).copied().collect();
        for key in gone {
            let (buffer, _) = self.held.remove(&key).expect("it was listed");
            self.give_back(buffer);
        }
    }

    /// A copy of values in a message.
    pub fn copy(&mut self, values: &[f32]) -> Buffer {
        let mut buffer = self.spare.pop().unwrap_or_else(|| Buffer::new(Kind::F32, 0));
        buffer.reshape(Kind::F32, values.len());
        buffer.f32s_mut().copy_from_slice(values);
        buffer
    }

    /// A buffer to receive any tensor into.
    pub fn open(&mut self) -> Buffer {
        let mut buffer = self.spare.pop().unwrap_or_else(|| Buffer::open(Kind::F32));
        buffer.reopen(Kind::F32);
        buffer
    }

    /// Takes memory that is done with.
    pub fn give_back(&mut self, buffer: Buffer) {
        self.spare.push(buffer);
    }
}
