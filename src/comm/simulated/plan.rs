//! What happens to a simulated world: how fast it is, and what goes wrong in it.

use super::draws::Draws;
use std::time::Duration;

/// When, around a call of the communicator, a rank crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// At once: no time passes.
    Before,
    /// While it is in the call: time passes, but a message is not sent, for half a message is none.
    In,
    /// Behind it: a message is on its way.
    After,
}

/// What happens to the bytes of a message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Garble {
    /// Only so many bytes arrive.
    Shorten(usize),
    /// So many zeros are added.
    Lengthen(usize),
    /// A byte is changed by exclusive or; the place is taken modulo the length.
    Flip(usize, u8),
}

/// One thing that goes wrong, or is wished from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A rank is gone at its n-th call of the communicator, counted from 1.
    Crash {
        /// Which rank.
        rank: usize,
        /// At which of its calls.
        call: u64,
        /// When, around the call.
        moment: Moment,
    },
    /// A rank does nothing for a while, or, until [`Duration::MAX`], for ever.
    Freeze {
        /// Which rank.
        rank: usize,
        /// From when.
        from: Duration,
        /// Until when.
        until: Duration,
    },
    /// All that a rank does takes so many times as long.
    Slow {
        /// Which rank.
        rank: usize,
        /// How many times.
        factor: u64,
    },
    /// Messages from one rank to another travel at so many bytes a second.
    SlowLink {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// The bandwidth.
        bytes_per_s: u64,
    },
    /// Messages from one rank to another that are sent in this time are on their way until its end, at least.
    Outage {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// From when.
        at: Duration,
        /// Until when.
        until: Duration,
    },
    /// A message is damaged on its way.
    Garble {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// Which of the messages between them, counted from 1.
        message: u64,
        /// What is done to it.
        how: Garble,
    },
    /// A rank is asked to leave: [`SimComm::leave_wished`](super::SimComm::leave_wished).
    Leave {
        /// Which rank.
        rank: usize,
        /// When.
        at: Duration,
    },
    /// A rank is asked to stop all of them: [`SimComm::stop_wished`](super::SimComm::stop_wished).
    Stop {
        /// Which rank.
        rank: usize,
        /// When.
        at: Duration,
    },
    /// A rank's n-th attempt to save fails, counted from 1: [`SimComm::save_fails`](super::SimComm::save_fails).
    Disk {
        /// Which rank.
        rank: usize,
        /// Which of its attempts.
        save: u64,
    },
}

/// A world and what happens in it. All that is not said here follows from the seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed of every draw.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// A usual message takes about so long.
    pub latency: Duration,
    /// A piece of charged work takes about so long.
    pub work: Duration,
    /// Messages of more bytes than this are sent only when they are received, as MPI does with long ones.
    pub eager: usize,
    /// A rank is silent when it has been frozen for so long; that a rank has ended is known to all no later than that.
    pub heartbeat: Duration,
    /// When the world ends, in virtual time: what still runs then is stuck.
    pub limit: Duration,
    /// After so many events the world ends too.
    pub most_events: u64,
    /// Whether the outcome tells what happened, line by line.
    pub trace: bool,
}

impl Plan {
    /// A world in which nothing goes wrong. How long messages and work take is drawn: some worlds wait for messages,
    /// others for work.
    pub fn new(seed: u64) -> Self {
        let mut draws = Draws::new(seed, PACE);
        Self {
            seed,
            faults: Vec::new(),
            latency: Duration::from_nanos(draws.octaves(1_000, 11)),
            work: Duration::from_nanos(draws.octaves(10_000, 7)),
            eager: if draws.once_in(3) { 64 } else { usize::MAX },
            heartbeat: Duration::from_millis(500),
            limit: Duration::from_secs(600),
            most_events: 2_000_000,
            trace: false,
        }
    }

    /// The same world with up to three faults, drawn from the seed, in a run of `size` ranks that each make about
    /// `calls` calls and take about `span`. One world in four has none.
    #[must_use]
    pub fn with_drawn_faults(mut self, size: usize, calls: u64, span: Duration) -> Self {
        let mut draws = Draws::new(self.seed, FAULTS);
        let span = (span.as_nanos() as u64).max(16);
        for _ in 0..draws.below(4) {
            self.faults.push(fault(&mut draws, size, calls, span, self.heartbeat));
        }
        self
    }
}

const PACE: u64 = 1;
const FAULTS: u64 = 2;

fn fault(draws: &mut Draws, size: usize, calls: u64, span: u64, heartbeat: Duration) -> Fault {
    let any = draws.below(size as u64) as usize;
    // Rank 0 is often the one that nobody can do without: it is hit less often than chance has it.
    let rank = if any == 0 && !draws.once_in(3) { size - 1 } else { any };
    let at = Duration::from_nanos(draws.below(span));
    match draws.below(12) {
        0..3 => {
            let moment = [Moment::Before, Moment::In, Moment::After][draws.below(3) as usize];
            Fault::Crash { rank, call: 1 + draws.below(calls.max(1)), moment }
        }
        3 => Fault::Freeze { rank, from: at, until: Duration::MAX },
        4 | 5 => {
            let most = 2 * heartbeat.as_nanos() as u64 + span;
            Fault::Freeze { rank, from: at, until: at + Duration::from_nanos(draws.below(most)) }
        }
        6 => Fault::Slow { rank, factor: 10 },
        7 => {
            // With rank 0 at one end: most protocols are stars.
            let other = if rank == 0 { size - 1 } else { 0 };
            let (from, to) = if draws.once_in(2) { (rank, other) } else { (other, rank) };
            match draws.once_in(2) {
                true => Fault::SlowLink { from, to, bytes_per_s: draws.octaves(1_000, 10) },
                false => Fault::Outage { from, to, at, until: at + Duration::from_nanos(draws.below(span)) },
            }
        }
        8 | 9 => Fault::Leave { rank, at },
        10 => Fault::Stop { rank, at },
        _ => Fault::Disk { rank: 0, save: 1 + draws.below(3) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_follow_from_the_seed_and_all_kinds_come() {
        let drawn = |seed| Plan::new(seed).with_drawn_faults(4, 100, Duration::from_millis(10)).faults;
        let all: Vec<Vec<Fault>> = (0..400).map(drawn).collect();
        assert_eq!(all, (0..400).map(drawn).collect::<Vec<_>>());
        assert!(all.iter().filter(|faults| faults.is_empty()).count() > 60);
        let kinds: std::collections::HashSet<_> = all.iter().flatten().map(std::mem::discriminant).collect();
        assert_eq!(kinds.len(), 8, "all but garbled messages, which no protocol survives");
    }
}
