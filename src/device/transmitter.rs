//! The transmitters of a device: one for all its links, or one for each.

use super::Link;
use crate::units::{Bytes, Seconds};
use std::collections::BTreeMap;

/// What a device sends with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ports {
    /// One transmitter: messages go out one after the other, whomever they are for, as over a radio.
    #[default]
    One,
    /// A transmitter for each link: only messages for the same peer wait for each other, as of a server that hangs on a
    /// switch by one cable a peer.
    Each,
}

/// When the transmitters of a device have sent all that they were given.
#[derive(Debug, Clone, Default)]
pub struct Transmitters {
    ports: Ports,
    free: BTreeMap<usize, Seconds>,
}

/// A message that was given to a transmitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent {
    /// How long the transmitter is busy with it.
    pub transmission: Seconds,
    /// When it arrives.
    pub arrival: Seconds,
}

impl Transmitters {
    /// Free ones.
    pub fn new(ports: Ports) -> Self {
        Self { ports, free: BTreeMap::new() }
    }

    /// Gives a message at the time `now` to the transmitter that sends to this peer over this link.
    ///
    /// # Math
    /// depart = max(now, free); free' = depart + bytes / bandwidth; arrival = free' + latency
    pub fn send(&mut self, to: usize, link: &Link, now: Seconds, bytes: Bytes) -> Sent {
        let depart = Seconds(now.0.max(self.free(to).0));
        let transmission = link.bandwidth.transmission_from(depart, bytes);
        self.set_free(to, depart + transmission);
        Sent { transmission, arrival: depart + transmission + link.latency }
    }

    /// When the one that sends to this peer has sent all.
    pub fn free(&self, to: usize) -> Seconds {
        self.free.get(&self.port(to)).copied().unwrap_or_default()
    }

    /// Takes back what the one that sends to this peer was given after this time.
    pub fn set_free(&mut self, to: usize, time: Seconds) {
        self.free.insert(self.port(to), time);
    }

    /// When all of them have sent all.
    pub fn all_free(&self) -> Seconds {
        self.free.values().fold(Seconds(0.0), |latest, time| Seconds(latest.0.max(time.0)))
    }

    fn port(&self, to: usize) -> usize {
        match self.ports {
            Ports::One => 0,
            Ports::Each => to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 bytes at 10 B/s, 0.5 s on their way: two messages for one peer and one for another, all at 1 s.
    #[test]
    fn messages_wait_for_their_own_transmitter() {
        let link = Link::new(10.0, Seconds(0.5));
        for (ports, arrivals, free) in
            [(Ports::One, [2.5, 3.5, 4.5], [4.0, 4.0]), (Ports::Each, [2.5, 2.5, 3.5], [3.0, 2.0])]
        {
            let mut transmitters = Transmitters::new(ports);
            let sent = [1, 2, 1].map(|to| transmitters.send(to, &link, Seconds(1.0), Bytes(10)));
            assert_eq!(sent.map(|sent| sent.arrival.0), arrivals);
            assert!(sent.iter().all(|sent| sent.transmission == Seconds(1.0)));
            assert_eq!([1, 2].map(|to| transmitters.free(to).0), free);
            assert_eq!(transmitters.all_free().0, free[0]);
        }
    }
}
