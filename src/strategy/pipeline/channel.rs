//! The links of a chain: activations and labels go down, credits come up.
//!
//! A message is `[activations, B × D | labels, B]`, 4 bytes each, behind the header that every message has. A window
//! bounds how many messages wait untaken at a link: a sender without credit waits for one, and the receiver gives one,
//! 16 bytes with the number of the batch and its time, for each message that it takes up.

use crate::comm::{Buffer, CommError, Communicator, Kind, Note, Pending, Tag};
use crate::device::Machine;
use crate::strategy::parcel::{Parcel, pack};
use bytemuck::cast_slice_mut;
use std::collections::VecDeque;

/// Set in a message behind which no other comes, though the plan has more.
pub(super) const LAST: u32 = 1;
/// Set in a message behind which all stages show their part of the state.
pub(super) const SHOW: u32 = 2;

/// What a link carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Carried {
    /// Bytes of activations and labels, or of gradients, headers included.
    pub data: u64,
    /// Bytes of credits, headers included.
    pub control: u64,
}

/// Sends without waiting, and takes the memory of what has left for what comes next.
struct Sender<'a> {
    comm: &'a dyn Communicator,
    to: usize,
    tag: Tag,
    under_way: VecDeque<Pending>,
    free: Vec<Buffer>,
}

impl<'a> Sender<'a> {
    fn new(comm: &'a dyn Communicator, to: usize, tag: Tag) -> Self {
        Self { comm, to, tag, under_way: VecDeque::new(), free: Vec::new() }
    }

    /// A buffer whose message has left, or a new one.
    fn buffer(&mut self, kind: Kind, len: usize) -> Result<Buffer, CommError> {
        while let Some(pending) = self.under_way.front() {
            if !self.comm.test(pending)? {
                break;
            }
            let pending = self.under_way.pop_front().expect("it was there");
            self.free.push(self.comm.wait(pending)?);
        }
        let mut buffer = self.free.pop().unwrap_or_else(|| Buffer::new(kind, len));
        buffer.reshape(kind, len);
        Ok(buffer)
    }

    /// Sends; returns the bytes on the wire.
    fn send(&mut self, buffer: Buffer) -> Result<u64, CommError> {
        let bytes = buffer.wire_len() as u64;
        self.under_way.push_back(self.comm.start_send(self.to, self.tag, buffer)?);
        Ok(bytes)
    }

    /// Waits until everything has left.
    fn finish(&mut self) -> Result<(), CommError> {
        while let Some(pending) = self.under_way.pop_front() {
            self.free.push(self.comm.wait(pending)?);
        }
        Ok(())
    }
}

/// Words of a credit: the batch, and the time at which it was taken up.
pub(super) const CREDIT: usize = 2;

/// The sending end of a link.
pub(super) struct Outlet<'a> {
    sender: Sender<'a>,
    dims: usize,
    window: usize,
    unanswered: usize,
    expected: Option<Pending>,
    pub carried: Carried,
    /// The strongest wish that came up with credits.
    pub wish: u32,
}

impl<'a> Outlet<'a> {
    /// An outlet to an inlet that gives no credits: a schedule bounds what is under way.
    pub fn scheduled(comm: &'a dyn Communicator, to: usize, dims: usize) -> Self {
        Self::new(comm, to, dims, usize::MAX)
    }

    /// An outlet for rows of `dims` elements; at most `window` messages wait untaken.
    pub fn new(comm: &'a dyn Communicator, to: usize, dims: usize, window: usize) -> Self {
        let sender = Sender::new(comm, to, Tag::Activations);
        Self { sender, dims, window, unanswered: 0, expected: None, carried: Carried::default(), wish: 0 }
    }

    /// Whether credits come back.
    pub fn is_credited(&self) -> bool {
        self.window < usize::MAX
    }

    /// Messages that were sent and, as far as this end knows, not taken up. Where no machine is emulated, credits that have
    /// come are counted at once; a machine takes them only where it waits for them, so that its time is the program's alone.
    ///
    /// # Errors
    /// When the transport fails.
    pub fn waiting(&mut self, emulated: bool) -> Result<usize, CommError> {
        while !emulated && self.window < usize::MAX && self.unanswered > 0 {
            let credit = self.credit()?;
            if !self.sender.comm.test(&credit)? {
                self.expected = Some(credit);
                break;
            }
            self.expected = Some(credit);
            self.take_credit()?;
        }
        Ok(self.unanswered)
    }

    /// The receive that waits for the next credit.
    fn credit(&mut self) -> Result<Pending, CommError> {
        match self.expected.take() {
            Some(pending) => Ok(pending),
            None => self.sender.comm.start_recv(self.sender.to, Tag::Credit, Buffer::new(Kind::I64, CREDIT)),
        }
    }

    /// Sends labels and the rows that `write` gives; waits for a credit where the window is full.
    pub fn send(&mut self, note: Note, labels: &[u32], write: impl FnOnce(&mut [f32])) -> Result<(), CommError> {
        while self.unanswered >= self.window {
            self.take_credit()?;
        }
        let mut buffer = self.sender.buffer(Kind::F32, labels.len() * (self.dims + 1))?;
        pack(&mut buffer, self.dims, labels, write);
        buffer.note = Note { rows: labels.len() as u32, ..note };
        self.carried.data += self.sender.send(buffer)?;
        self.unanswered += usize::from(self.window < usize::MAX);
        Ok(())
    }

    /// Waits until every message has left and, where credits are given, was taken up.
    pub fn finish(&mut self) -> Result<(), CommError> {
        while self.unanswered > 0 {
            self.take_credit()?;
        }
        self.sender.finish()
    }

    fn take_credit(&mut self) -> Result<(), CommError> {
        let pending = self.credit()?;
        let credit = self.sender.comm.wait(pending)?;
        self.wish = self.wish.max(credit.note.edge);
        self.unanswered -= 1;
        Ok(())
    }
}

/// The receiving end of a link.
pub(super) struct Inlet<'a> {
    comm: &'a dyn Communicator,
    from: usize,
    dims: usize,
    /// Where credits go out, if any are given.
    credits: Option<Sender<'a>>,
    free: Vec<Buffer>,
    /// The receive that waits for the next message, where its length is known.
    expected: Option<Pending>,
    /// A message that came and was not yet taken up.
    ahead: Option<Buffer>,
    pub carried: Carried,
    /// This rank's wish and those that came up to it, to be sent on with the next credit.
    pub wish: u32,
}

impl<'a> Inlet<'a> {
    /// An inlet for rows of `dims` elements.
    pub fn new(comm: &'a dyn Communicator, from: usize, dims: usize) -> Self {
        Self { credits: Some(Sender::new(comm, from, Tag::Credit)), ..Self::scheduled(comm, from, dims) }
    }

    /// An inlet that gives no credits.
    pub fn scheduled(comm: &'a dyn Communicator, from: usize, dims: usize) -> Self {
        let (free, carried) = (Vec::new(), Carried::default());
        Self { comm, from, dims, credits: None, free, expected: None, ahead: None, carried, wish: 0 }
    }

    /// Whether it gives credits.
    pub fn gives_credits(&self) -> bool {
        self.credits.is_some()
    }

    /// Begins to receive the next message, which will have this many rows.
    pub fn expect(&mut self, rows: usize) -> Result<(), CommError> {
        let mut buffer = self.free.pop().unwrap_or_else(|| Buffer::new(Kind::F32, 0));
        buffer.reshape(Kind::F32, rows * (self.dims + 1));
        self.expected = Some(self.comm.start_recv(self.from, Tag::Activations, buffer)?);
        Ok(())
    }

    /// Takes up the next message at this time, and gives the sender its credit.
    pub fn take(&mut self, now: impl FnOnce() -> f64) -> Result<Parcel, CommError> {
        let buffer = match self.ahead.take() {
            Some(buffer) => {
                self.comm.account(self.from, &buffer);
                buffer
            }
            None => self.receive()?,
        };
        let parcel = Parcel::checked(buffer, self.dims, self.from)?;
        if let Some(credits) = &mut self.credits {
            let mut credit = credits.buffer(Kind::I64, CREDIT)?;
            credit.note = Note { step: parcel.note().step, edge: self.wish, ..Note::default() };
            let words: &mut [i64] = cast_slice_mut(credit.payload_mut());
            words.copy_from_slice(&[i64::from(parcel.note().step), now().to_bits() as i64]);
            self.carried.control += credits.send(credit)?;
        }
        Ok(parcel)
    }

    /// When the next message arrives, by virtual time. Waits for it in real time only: its sender needs no credit for it
    /// any more, and the machine takes it into account when it is taken up.
    pub fn next_arrival(&mut self, machine: &Machine) -> Result<f64, CommError> {
        let buffer = match self.ahead.take() {
            Some(buffer) => buffer,
            None => {
                machine.hold(true);
                let received = self.receive();
                machine.hold(false);
                received?
            }
        };
        let time = buffer.note.time;
        self.ahead = Some(buffer);
        Ok(time)
    }

    /// Whether the next message, which is expected, is there already.
    pub fn is_there(&self) -> Result<bool, CommError> {
        let there = |pending: &Pending| self.comm.test(pending);
        Ok(self.ahead.is_some() || self.expected.as_ref().map_or(Ok(false), there)?)
    }

    /// Gives the memory of a message back.
    pub fn reuse(&mut self, parcel: Parcel) {
        self.free.push(parcel.buffer);
    }

    /// Waits until every credit has left.
    pub fn finish(&mut self) -> Result<(), CommError> {
        self.credits.as_mut().map_or(Ok(()), Sender::finish)
    }

    fn receive(&mut self) -> Result<Buffer, CommError> {
        if let Some(pending) = self.expected.take() {
            return self.comm.wait(pending);
        }
        let mut buffer = self.free.pop().unwrap_or_else(|| Buffer::open(Kind::F32));
        buffer.reopen(Kind::F32);
        self.comm.recv(self.from, Tag::Activations, &mut buffer)?;
        Ok(buffer)
    }
}

/// The way of gradients between two stages: out at the lower, in at the upper.
pub(super) struct Gradients<'a> {
    sender: Sender<'a>,
    pub carried: Carried,
}

impl<'a> Gradients<'a> {
    /// The end that sends to `to`, or receives from it.
    pub fn new(comm: &'a dyn Communicator, to: usize) -> Self {
        Self { sender: Sender::new(comm, to, Tag::Gradient), carried: Carried::default() }
    }

    /// Sends `len` elements that `write` gives.
    pub fn send(&mut self, note: Note, len: usize, write: impl FnOnce(&mut [f32])) -> Result<(), CommError> {
        let mut buffer = self.sender.buffer(Kind::F32, len)?;
        write(buffer.f32s_mut());
        buffer.note = note;
        self.carried.data += self.sender.send(buffer)?;
        Ok(())
    }

    /// Receives `len` elements and shows them to `read`.
    pub fn receive(&mut self, len: usize, read: impl FnOnce(&[f32])) -> Result<(), CommError> {
        let mut buffer = self.sender.buffer(Kind::F32, len)?;
        self.sender.comm.recv(self.sender.to, Tag::Gradient, &mut buffer)?;
        read(buffer.f32s());
        self.sender.free.push(buffer);
        Ok(())
    }

    /// Waits until everything has left.
    pub fn finish(&mut self) -> Result<(), CommError> {
        self.sender.finish()
    }
}
