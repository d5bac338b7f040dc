//! Messages between emulated machines: each carries the virtual time at which it arrives.
//!
//! The bytes travel as fast as they can over the communicator inside; what they would have taken is in
//! [`Note::time`](super::Note) and moves the receiver's [`Machine`]. Times follow from the program alone, not from when
//! the real messages come.

use super::communicator::Doing;
use super::{Buffer, CommError, Communicator, Kind, Life, Pending, Reduce, Tag};
use crate::device::{Devices, Ledger, Machine, Transmitters};
use crate::units::{Bytes, Seconds};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::time::Duration;

/// A communicator whose messages take virtual time.
///
/// A rank has one transmitter: its messages go out in the order in which the program sends them, whomever they are for,
/// and the program goes on while they do. A rank whose profile has [`Ports::Each`](crate::device::Ports) has one for each
/// peer: only messages for the same peer wait for each other. Collectives are the portable ones, so they cost what their messages cost; a
/// reduction under way is done when it begins.
///
/// While the [`Machine`] is held, messages cost nothing and move nothing; all ranks that exchange them must hold theirs.
///
/// [`Communicator::test`] and a receive from any rank look at what is really there, not at what has virtually arrived.
/// A program that receives from every rank before it goes on has the same times in any order, because the latest
/// arrival counts; one that decides by who came first has not.
///
/// # Math
/// depart = max(machine's time, transmitter free); transmitter free = depart + wire bytes / bandwidth;
/// arrival = transmitter free + latency; on receiving: time = max(time, arrival)
pub struct Emulated<'a> {
    inner: &'a dyn Communicator,
    machine: &'a Machine,
    devices: &'a Devices,
    transmitters: RefCell<Transmitters>,
    /// Whom the last message was for, when its transmitter had sent all before that, and what the machine had done by then;
    /// until that was retracted.
    before: Cell<Option<(usize, Seconds, Ledger)>>,
    tickets: Cell<u64>,
    reduced: RefCell<HashMap<u64, Buffer>>,
}

impl<'a> Emulated<'a> {
    /// Lets messages over `inner` take the time that they take between these devices, on this rank's machine.
    pub fn new(inner: &'a dyn Communicator, machine: &'a Machine, devices: &'a Devices) -> Self {
        let (before, tickets, reduced) = Default::default();
        let transmitters = RefCell::new(Transmitters::new(machine.profile().ports));
        Self { inner, machine, devices, transmitters, before, tickets, reduced }
    }

    /// When this rank's transmitters have sent all that they were given.
    pub fn transmitter_free(&self) -> Seconds {
        self.transmitters.borrow().all_free()
    }

    fn stamp(&self, to: usize, message: &mut Buffer) {
        message.note.time = 0.0;
        if self.machine.is_held() {
            return;
        }
        let link = self.devices.link(self.rank(), to);
        let ledger = self.machine.ledger();
        let mut transmitters = self.transmitters.borrow_mut();
        self.before.set(Some((to, transmitters.free(to), ledger)));
        let sent = transmitters.send(to, link, ledger.time, Bytes(message.wire_len() as u64));
        message.note.time = sent.arrival.0;
        self.machine.sent(sent.transmission);
    }

    fn arrived(&self, from: usize, message: &Buffer) {
        // Sent by a machine that is held, or over a link that takes no time.
        if message.note.time == 0.0 {
            return;
        }
        let (link, arrival) = (self.devices.link(from, self.rank()), Seconds(message.note.time));
        let bytes = Bytes(message.wire_len() as u64);
        self.machine.arrived(arrival, link.bandwidth.transmission_until(arrival - link.latency, bytes));
    }
}

impl Communicator for Emulated<'_> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        self.stamp(to, message);
        self.inner.send(to, tag, message)
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        self.inner.await_message(from, tag)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        self.inner.message_within(from, tag, patience)
    }

    fn life(&self, rank: usize) -> Life {
        self.inner.life(rank)
    }

    fn abandon(&self, pending: Pending) {
        match pending.what {
            Doing::Reduce => drop(self.reduced.borrow_mut().remove(&pending.ticket)),
            _ => self.inner.abandon(pending),
        }
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.inner.recv(from, tag, into)?;
        self.arrived(from, into);
        Ok(())
    }

    fn recv_while(
        &self,
        from: usize,
        tag: Tag,
        into: Buffer,
        living: &dyn Fn() -> bool,
    ) -> Result<Option<Buffer>, CommError> {
        let received = self.inner.recv_while(from, tag, into, living)?;
        received.iter().for_each(|message| self.arrived(from, message));
        Ok(received)
    }

    fn start_send(&self, to: usize, tag: Tag, mut message: Buffer) -> Result<Pending, CommError> {
        self.stamp(to, &mut message);
        self.inner.start_send(to, tag, message)
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.inner.start_recv(from, tag, into)
    }

    fn start_all_reduce(&self, mut buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        assert!(buffer.kind() != Kind::U8, "bytes are not reduced");
        self.all_reduce(buffer.values(), op)?;
        let ticket = self.tickets.replace(self.tickets.get() + 1);
        self.reduced.borrow_mut().insert(ticket, buffer);
        Ok(Pending::reduction(ticket))
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        match pending.what {
            Doing::Reduce => Ok(true),
            _ => self.inner.test(pending),
        }
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        let (what, peer) = (pending.what, pending.peer);
        if what == Doing::Reduce {
            let reduced = self.reduced.borrow_mut().remove(&pending.ticket);
            return Ok(reduced.expect("a pending operation belongs to the communicator that began it"));
        }
        let buffer = self.inner.wait(pending)?;
        if what == Doing::Receive {
            self.arrived(peer, &buffer);
        }
        Ok(buffer)
    }

    fn retract(&self) {
        if self.machine.is_held() {
            return;
        }
        if let Some((to, free, ledger)) = self.before.take() {
            self.transmitters.borrow_mut().set_free(to, free);
            self.machine.unsent(&ledger);
        }
    }

    fn account(&self, from: usize, message: &Buffer) {
        self.arrived(from, message);
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.inner.scratch()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ThreadOptions, Values, run_threads};
    use super::*;
    use crate::device::{Energy, Link, Ports, Power, Profile, Trace};
    use crate::units::{Joules, Watts};

    const INSTANT: f64 = f64::INFINITY;

    fn devices(ranks: usize, between: Link) -> Devices {
        let power = Power { compute: Watts(8.0), idle: Watts(2.0), send: Watts(3.0), receive: Watts(2.5) };
        Devices::new("toy", vec![Profile { power, ..Profile::new("toy", 1.0) }; ranks], between)
    }

    fn run<T: Send>(devices: &Devices, body: impl Fn(&Emulated, &Machine) -> T + Sync) -> Vec<T> {
        run_threads(devices.profiles().len(), ThreadOptions::default(), |comm| {
            let machine = Machine::new(devices.profile(comm.rank()), "mlp");
            body(&Emulated::new(comm, &machine, devices), &machine)
        })
    }

    /// 128 bytes on the wire: a header and a payload.
    fn message() -> Buffer {
        Buffer::new(Kind::U8, 128 - super::super::buffer::HEADER)
    }

    fn ledger(time: f64, computing: f64, sending: f64, receiving: f64) -> Ledger {
        let [time, computing, sending, receiving] = [time, computing, sending, receiving].map(Seconds);
        Ledger { time, computing, sending, receiving, ..Ledger::default() }
    }

    /// Three batches through three stages of 2, 3 and 1 s. A message takes 1 s to the second stage (and 0.5 s on its
    /// way), 4 s to the third (and 0.25 s).
    ///
    /// ```text
    /// first    done at    2     4     6        sends until   3  5  7
    /// second   has it at  3.5   5.5   7.5      done at       6.5  9.5  12.5
    ///          sends from 6.5  10.5  14.5      until         10.5  14.5  18.5 (one message queues behind the other)
    /// third    has it at 10.75 14.75 18.75     done at       11.75 15.75 19.75
    /// ```
    #[test]
    fn a_three_stage_chain_by_hand_whatever_the_real_delays() {
        let devices = devices(3, Link::new(INSTANT, Seconds(0.0)))
            .with_link(0, 1, Link::new(128.0, Seconds(0.5)))
            .with_link(1, 2, Link::new(32.0, Seconds(0.25)));
        let expected = [ledger(6.0, 6.0, 3.0, 0.0), ledger(12.5, 9.0, 12.0, 3.0), ledger(19.75, 3.0, 0.0, 12.0)];
        for (delays, blocking) in [([0, 0, 0], true), ([5, 0, 0], true), ([0, 5, 0], false), ([0, 3, 5], false)] {
            let ledgers = run(&devices, |comm, machine| {
                let rank = comm.rank();
                for _ in 0..3 {
                    std::thread::sleep(Duration::from_millis(delays[rank]));
                    if rank > 0 {
                        match blocking {
                            true => comm.recv(rank - 1, Tag::Push, &mut message()).unwrap(),
                            false => {
                                let pending = comm.start_recv(rank - 1, Tag::Push, message()).unwrap();
                                drop(comm.wait(pending).unwrap());
                            }
                        }
                    }
                    machine.charge_seconds(Seconds([2.0, 3.0, 1.0][rank]));
                    if rank < 2 {
                        match blocking {
                            true => comm.send(rank + 1, Tag::Push, &mut message()).unwrap(),
                            false => {
                                let pending = comm.start_send(rank + 1, Tag::Push, message()).unwrap();
                                drop(comm.wait(pending).unwrap());
                            }
                        }
                    }
                }
                (machine.ledger(), machine.energy(&machine.ledger()))
            });
            assert!(ledgers.iter().map(|(ledger, _)| *ledger).eq(expected), "{delays:?}: {ledgers:?}");
            // The second stage: 9 s at 8 W, 3.5 s at 2 W, 12 s and 3 s at 1 W and 0.5 W more than idling.
            let second = [72.0, 7.0, 12.0, 1.5].map(Joules);
            let [compute, idle, send, receive] = second;
            assert_eq!(ledgers[1].1, Energy { compute, idle, send, receive });
            assert_eq!(ledgers[1].1.total(), Joules(92.5));
        }
    }

    /// 128 bytes take 1 s to either peer, and the second message waits for the first; both are 0.5 s on their way.
    #[test]
    fn a_rank_has_one_transmitter() {
        let times = run(&devices(3, Link::new(128.0, Seconds(0.5))), |comm, machine| {
            match comm.rank() {
                0 => [1, 2].iter().for_each(|to| comm.send(*to, Tag::Push, &mut message()).unwrap()),
                _ => comm.recv(0, Tag::Push, &mut message()).unwrap(),
            }
            (machine.now(), comm.transmitter_free())
        });
        assert_eq!(times, [(0.0, 2.0), (1.5, 0.0), (2.5, 0.0)].map(|(now, free)| (Seconds(now), Seconds(free))));
    }

    /// 128 bytes take 1 s, by a transmitter of its own to each peer, 0.5 s on their way; a second message to the first peer
    /// waits. It is taken back: of 3 s of sending, 2 s are left, and the other transmitter is as it was.
    #[test]
    fn a_switch_has_a_transmitter_for_each_link() {
        let mut profiles = devices(3, Link::new(INSTANT, Seconds(0.0))).profiles().to_vec();
        profiles[0].ports = Ports::Each;
        let times = run(&Devices::new("toy", profiles, Link::new(128.0, Seconds(0.5))), |comm, machine| {
            if comm.rank() > 0 {
                comm.recv(0, Tag::Push, &mut message()).unwrap();
                return (machine.now(), comm.transmitter_free());
            }
            [1, 2].iter().for_each(|to| comm.send(*to, Tag::Push, &mut message()).unwrap());
            comm.send(1, Tag::Push, &mut message()).unwrap();
            assert_eq!((machine.ledger().sending, comm.transmitter_free()), (Seconds(3.0), Seconds(2.0)));
            comm.retract();
            assert_eq!(machine.ledger(), ledger(0.0, 0.0, 2.0, 0.0));
            (machine.now(), comm.transmitter_free())
        });
        assert_eq!(times, [(0.0, 1.0), (1.5, 0.0), (1.5, 0.0)].map(|(now, free)| (Seconds(now), Seconds(free))));
    }

    /// A message until 1 s; work from there to 6 s and its answer until 7 s. Called off at 4 s, the transmitter has been
    /// free since 1 s, so that the next message, after 1 s of other work, departs at 5 s and arrives at 6.5 s.
    #[test]
    fn an_answer_to_what_was_called_off_was_never_sent() {
        for retract_first in [true, false] {
            let results = run(&devices(2, Link::new(128.0, Seconds(0.5))), |comm, machine| {
                if comm.rank() == 1 {
                    return [0; 3].map(|_| {
                        let mut message = message();
                        machine.hold(true);
                        comm.recv(0, Tag::Push, &mut message).unwrap();
                        Seconds(message.note.time)
                    });
                }
                comm.send(1, Tag::Push, &mut message()).unwrap();
                machine.charge_seconds(Seconds(1.0));
                let mark = machine.mark();
                machine.charge_seconds(Seconds(5.0));
                comm.send(1, Tag::Push, &mut message()).unwrap();
                assert_eq!(comm.transmitter_free(), Seconds(7.0));
                match retract_first {
                    true => {
                        comm.retract();
                        machine.cancel(&mark, Seconds(4.0));
                    }
                    false => {
                        machine.cancel(&mark, Seconds(4.0));
                        comm.retract();
                    }
                }
                assert_eq!((machine.ledger(), comm.transmitter_free()), (ledger(4.0, 4.0, 1.0, 0.0), Seconds(1.0)));
                comm.retract();
                assert_eq!(comm.transmitter_free(), Seconds(1.0), "a message is retracted once, and no other with it");
                machine.charge_seconds(Seconds(1.0));
                comm.send(1, Tag::Push, &mut message()).unwrap();
                assert_eq!(machine.ledger(), ledger(5.0, 5.0, 2.0, 0.0));
                // 5 s of computing at 8 W, and 2 s of sending at 1 W more than idling.
                assert_eq!(machine.energy(&machine.ledger()).total(), Joules(42.0));
                [0.0; 3].map(Seconds)
            });
            assert_eq!(results[1], [1.5, 7.5, 6.5].map(Seconds));
        }
    }

    /// Ranks are ready at 1, 2 and 3 s. Rank 0 has the last vector at 3.5 s and the sum goes back until 4 s.
    #[test]
    fn collectives_cost_what_their_messages_cost() {
        let devices = devices(3, Link::new(INSTANT, Seconds(0.5)));
        for under_way in [false, true] {
            let times = run(&devices, |comm, machine| {
                machine.charge_seconds(Seconds(1.0 + comm.rank() as f64));
                let sum = if under_way {
                    let mut mine = Buffer::new(Kind::F32, 1);
                    mine.f32s_mut()[0] = 1.0;
                    let pending = comm.start_all_reduce(mine, Reduce::Sum).unwrap();
                    assert!(comm.test(&pending).unwrap());
                    comm.wait(pending).unwrap().f32s()[0]
                } else {
                    let mut mine = [1.0];
                    comm.all_reduce(Values::F32(&mut mine), Reduce::Sum).unwrap();
                    mine[0]
                };
                (sum, machine.now())
            });
            assert_eq!(times, [(3.0, Seconds(3.5)), (3.0, Seconds(4.0)), (3.0, Seconds(4.0))]);
        }
    }

    /// A trace of 128 B/s until 0.5 s and half of that from then on: 64 bytes in 0.5 s, the other 64 in 1 s.
    #[test]
    fn messages_follow_a_trace() {
        let bandwidth = Trace::parse("toy.csv", "time_s,mbit_per_s\n0,0.001024\n0.5,0.000512\n").unwrap();
        let slow = Link { bandwidth, latency: Seconds(0.25) };
        let ledgers = run(&devices(2, slow), |comm, machine| {
            match comm.rank() {
                0 => comm.send(1, Tag::Push, &mut message()).unwrap(),
                _ => comm.recv(0, Tag::Push, &mut message()).unwrap(),
            }
            machine.ledger()
        });
        assert_eq!(ledgers, [ledger(0.0, 0.0, 1.5, 0.0), ledger(1.75, 0.0, 0.0, 1.5)]);
    }

    #[test]
    fn bookkeeping_between_held_machines_costs_nothing() {
        let ledgers = run(&devices(2, Link::new(1.0, Seconds(9.0))), |comm, machine| {
            machine.charge_seconds(Seconds(1.0));
            machine.hold(true);
            let mut stale = message();
            stale.note.time = 77.0;
            match comm.rank() {
                0 => comm.send(1, Tag::Push, &mut stale).unwrap(),
                _ => comm.recv(0, Tag::Push, &mut message()).unwrap(),
            }
            comm.barrier().unwrap();
            machine.hold(false);
            machine.ledger()
        });
        assert_eq!(ledgers, [ledger(1.0, 1.0, 0.0, 0.0); 2]);
    }
}
