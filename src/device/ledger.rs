//! What a machine did, in seconds, and what it used for that, in joules.

use super::Power;
use crate::units::{Joules, Seconds, Watts};
use std::ops::{Add, Sub};

/// What a machine did until a time. The difference of two is what it did between them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ledger {
    /// The time.
    pub time: Seconds,
    /// Time spent computing.
    pub computing: Seconds,
    /// Time that the transmitter was busy; the processor may have been at work meanwhile, or have ended before. Of a
    /// device with a transmitter for each link, the sum over all of them: it may be longer than the time.
    pub sending: Seconds,
    /// Time that the receiver was busy, likewise.
    pub receiving: Seconds,
    /// What all of it used more, or less, than in the power mode that the machine begins in: nothing as long as it stays
    /// in that one.
    pub switched: Energy,
}

impl Ledger {
    /// Time spent not computing.
    pub fn idle(&self) -> Seconds {
        self.time - self.computing
    }
}

impl Sub for Ledger {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            time: self.time - earlier.time,
            computing: self.computing - earlier.computing,
            sending: self.sending - earlier.sending,
            receiving: self.receiving - earlier.receiving,
            switched: self.switched - earlier.switched,
        }
    }
}

/// What a machine used, by what it was used for.
///
/// A profile's watts are what the whole board draws while it does only one thing. Sending and receiving are therefore
/// charged with what they draw above idling, because the time that they take is already charged, as idle or as computing:
/// phases one after the other cost exactly their watts times their seconds, and phases at the same time do not pay for
/// the board twice.
///
/// # Math
/// E = P_compute·t_c + P_idle·(T − t_c) + max(P_send − P_idle, 0)·t_s + max(P_receive − P_idle, 0)·t_r, each P that of the
/// power mode in force: computing and waiting are divided at a switch, a message is charged in the mode that it is sent in
/// and in the one that it arrives in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Energy {
    /// Computing: P_compute·t_c.
    pub compute: Joules,
    /// Waiting: P_idle·(T − t_c).
    pub idle: Joules,
    /// Sending, above idling.
    pub send: Joules,
    /// Receiving, above idling.
    pub receive: Joules,
}

impl Energy {
    /// All of it.
    pub fn total(&self) -> Joules {
        self.compute + self.idle + self.send + self.receive
    }

    /// What a board used for that which has this power in the mode that it begins in.
    pub fn of(ledger: &Ledger, power: &Power) -> Self {
        let first = Self {
            compute: power.compute * ledger.computing,
            idle: power.idle * ledger.idle(),
            send: power.sending() * ledger.sending,
            receive: power.receiving() * ledger.receiving,
        };
        // Without a switch nothing is added, so that the products above stay as exact as they are.
        if ledger.switched == Self::default() { first } else { first + ledger.switched }
    }
}

impl Add for Energy {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            compute: self.compute + other.compute,
            idle: self.idle + other.idle,
            send: self.send + other.send,
            receive: self.receive + other.receive,
        }
    }
}

impl Sub for Energy {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            compute: self.compute - other.compute,
            idle: self.idle - other.idle,
            send: self.send - other.send,
            receive: self.receive - other.receive,
        }
    }
}

impl Power {
    /// What sending draws above waiting; a board that draws less while it sends earns nothing by it.
    pub fn sending(&self) -> Watts {
        Watts((self.send.0 - self.idle.0).max(0.0))
    }

    /// What receiving draws above waiting, likewise.
    pub fn receiving(&self) -> Watts {
        Watts((self.receive.0 - self.idle.0).max(0.0))
    }
}
