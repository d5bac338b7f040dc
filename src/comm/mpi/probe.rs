//! Looking for messages, for as long as it takes and no longer.

use super::{MpiComm, byte, check, ffi};
use crate::comm::{Buffer, CommError, Communicator, Tag};
use std::ffi::c_int;
use std::time::{Duration, Instant};

/// Between two looks for a message: at first only a chance for other processes, so that what comes soon is found at
/// once; after that a sleep that grows with what was waited already, which costs at most a fortieth more.
fn rest(waited: Duration, left: Duration) {
    const SOON: Duration = Duration::from_millis(2);
    match waited < SOON {
        true => std::thread::yield_now(),
        false => std::thread::sleep((waited / 40).min(Duration::from_millis(1)).min(left)),
    }
}

pub(super) fn blank_status() -> ffi::MPI_Status {
    // SAFETY: a status is a C structure of integers; zeros are a valid one.
    unsafe { std::mem::zeroed() }
}

/// The number of bytes of the message that a status describes.
pub(super) fn message_len(status: &ffi::MPI_Status) -> Result<usize, CommError> {
    let mut bytes = 0;
    checked!(MPI_Get_count(status, byte(), &mut bytes))?;
    Ok(bytes.max(0) as usize)
}

impl MpiComm {
    /// MPI's name for a rank, or for any.
    pub(super) fn source_of(&self, from: Option<usize>, tag: Tag) -> Result<c_int, CommError> {
        match from {
            Some(from) => self.check_peer(from, tag),
            // SAFETY: a constant of the C library.
            None => Ok(unsafe { ffi::RSMPI_ANY_SOURCE }),
        }
    }

    /// Whose message is there. Of any rank, once one has failed: of any that lives, in turn, because a message that a rank
    /// left cannot be received any more, and would be found again and again.
    fn look(&self, from: Option<usize>, tag: Tag) -> Result<Option<usize>, CommError> {
        if from.is_none() && self.lost.borrow().contains(&true) {
            let (first, size) = (self.first.get(), self.size.get());
            let all = (first..first + size).map(|rank| rank % size);
            for rank in all.filter(|rank| *rank != self.rank.get() && !self.is_lost(*rank)) {
                match self.look(Some(rank), tag) {
                    Ok(Some(_)) => {
                        self.first.set(rank + 1);
                        return Ok(Some(rank));
                    }
                    Ok(None) => {}
                    Err(CommError::PeerLost { .. }) => return Err(CommError::RanksLost { call: "MPI_Iprobe" }),
                    Err(error) => return Err(error),
                }
            }
            return Ok(None);
        }
        let (source, mut status, mut there) = (self.source_of(from, tag)?, blank_status(), 0);
        let looked = checked!(MPI_Iprobe(source, tag as c_int, self.comm.get(), &mut there, &mut status));
        match from {
            Some(from) => self.with_peer(from, tag, looked)?,
            None => self.with_all(looked)?,
        }
        Ok((there != 0).then_some(status.MPI_SOURCE as usize))
    }

    /// Whose message is there, if one comes in time.
    pub(super) fn probe_within(
        &self,
        from: Option<usize>,
        tag: Tag,
        patience: Duration,
    ) -> Result<Option<usize>, CommError> {
        let start = Instant::now();
        loop {
            match self.look(from, tag) {
                Ok(None) => {}
                // Who waits for any rank is to look who lives.
                Err(CommError::RanksLost { .. }) if from.is_none() => return self.acknowledge().map(|()| None),
                found => return found,
            }
            let waited = start.elapsed();
            if waited >= patience {
                return Ok(None);
            }
            rest(waited, patience - waited);
        }
    }

    /// Receives the message that is there, piece by piece if it is long, for as long as its sender lives.
    pub(super) fn recv_living(
        &self,
        from: usize,
        tag: Tag,
        into: Buffer,
        living: &dyn Fn() -> bool,
    ) -> Result<Option<Buffer>, CommError> {
        let peer = self.check_peer(from, tag)?;
        let mut status = blank_status();
        self.with_peer(from, tag, checked!(MPI_Probe(peer, tag as c_int, self.comm.get(), &mut status)))?;
        let pending = self.begin_recv(from, tag, into, message_len(&status)?)?;
        let start = Instant::now();
        while !self.test(&pending)? {
            if !living() {
                self.abandon(pending);
                return Ok(None);
            }
            rest(start.elapsed(), Duration::from_millis(1));
        }
        self.wait(pending).map(Some)
    }
}
