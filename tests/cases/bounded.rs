//! Waits that end: looking for messages, and giving up what nobody will complete.

use super::messages::{filled, neighbours};
use goai::comm::{Communicator, Kind, Life, Tag};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// What is not there is not waited for longer than one is willing to; what comes is found, and stays until it is taken.
pub fn bounded_waits(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return; // nobody to wait for
    }
    let (to, from) = neighbours(comm);
    nothing_comes(comm, from);
    comm.barrier().unwrap();
    // Begun and not finished before the receive: a transport may wait for the receiver.
    let sent = comm.start_send(to, Tag::Report, filled(Kind::I64, 300, comm.rank())).unwrap();
    for source in [None, Some(from), None] {
        assert_eq!(comm.message_within(source, Tag::Report, LONG).unwrap(), Some(from));
        assert_eq!(comm.message_within(source, Tag::Task, Duration::ZERO).unwrap(), None, "another channel");
    }
    let mut got = filled(Kind::I64, 300, 99);
    comm.recv(from, Tag::Report, &mut got).unwrap();
    assert_eq!(got.payload(), filled(Kind::I64, 300, from).payload());
    comm.wait(sent).unwrap();
    assert!((0..comm.size()).all(|rank| comm.life(rank) == Life::Alive));
    comm.barrier().unwrap();
}

fn nothing_comes(comm: &dyn Communicator, from: usize) {
    for source in [None, Some(from)] {
        assert_eq!(comm.message_within(source, Tag::Report, Duration::from_millis(20)).unwrap(), None);
        assert_eq!(comm.message_within(source, Tag::Report, Duration::ZERO).unwrap(), None);
    }
}

/// Two waits of 20 ms are not shorter than that.
pub fn patience(comm: &dyn Communicator) {
    if comm.size() > 1 {
        let start = Instant::now();
        nothing_comes(comm, neighbours(comm).1);
        assert!(start.elapsed() >= Duration::from_millis(40));
    }
}

/// A receive that was given up does not take the message that comes later on another channel, nor the memory of others.
pub fn abandoned(comm: &dyn Communicator) {
    if comm.size() == 1 {
        return;
    }
    let (to, from) = neighbours(comm);
    let pending = comm.start_recv(from, Tag::Report, filled(Kind::U8, 8, 0)).unwrap();
    comm.abandon(pending);
    let sent = comm.start_send(to, Tag::Task, filled(Kind::U8, 8, comm.rank())).unwrap();
    let mut got = filled(Kind::U8, 8, 77);
    comm.recv(from, Tag::Task, &mut got).unwrap();
    assert_eq!(got.payload(), filled(Kind::U8, 8, from).payload());
    comm.wait(sent).unwrap();
    comm.barrier().unwrap();
}
