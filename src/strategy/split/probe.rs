//! A look at the links before the first round: how long messages take there and back.
//!
//! The server's own time tells: virtual where it is emulated, else measured. So no two clocks are compared.

use super::PATIENCE;
use super::choose::Link;
use super::server::Server;
use super::wire::{Order, What, Word};
use crate::comm::{Buffer, CommError, Communicator, Kind, Life, Tag};
use crate::strategy::TrainError;
use crate::units::Seconds;

/// Elements of the long message: 64 KiB are enough to tell a rate, and cost a slow link little.
const LONG: usize = 1 << 14;

/// How often short messages go there and back; the fastest counts.
const TIMES: usize = 3;

impl Server<'_> {
    /// Looks at the link of a device. What is of one that dies meanwhile is of no interest.
    pub(super) fn probe(&mut self, device: usize) -> Result<(), TrainError> {
        let mut short = f64::INFINITY;
        for _ in 0..TIMES {
            let Some(seconds) = self.there_and_back(device, 1, 0)? else { return Ok(()) };
            short = short.min(seconds);
        }
        let Some(down) = self.there_and_back(device, LONG, 0)? else { return Ok(()) };
        let Some(up) = self.there_and_back(device, 1, LONG)? else { return Ok(()) };
        let (down, up) = (down - short, up - short);
        let rate = |seconds: f64| if seconds > 0.0 { 4.0 * LONG as f64 / seconds } else { f64::INFINITY };
        let (up_bytes_per_s, down_bytes_per_s) = (rate(up), rate(down));
        // What the short messages' own bytes took is no latency.
        let own = (4.0 + 2.0 * crate::comm::HEADER as f64) / up_bytes_per_s.min(down_bytes_per_s);
        let latency = Seconds(((short - own) / 2.0).max(0.0));
        self.chooser.link(device, Link { up_bytes_per_s, down_bytes_per_s, latency });
        Ok(())
    }

    /// Seconds until an answer of `back` elements to a message of `there` elements is here; none when the device dies.
    fn there_and_back(&mut self, device: usize, there: usize, back: usize) -> Result<Option<f64>, TrainError> {
        let begin = self.now();
        self.fleet.order(device, Order::bare(What::Echo, 0), there, |buffer| {
            buffer.f32s_mut()[0] = back as f32;
        })?;
        while let Some(answer) = self.first_words(device)? {
            // What somebody wishes for outside may be said in between.
            if Word::is_urgent(answer.note) {
                self.overhear(device, answer)?;
                continue;
            }
            if Word::Echoed.is_of(answer.note) && answer.len() == back {
                return Ok(Some(self.now() - begin));
            }
            let why = "not the answer that was asked for";
            return Err(CommError::Garbage { from: device + 1, tag: Tag::Activations, why }.into());
        }
        Ok(None)
    }

    /// What a device says before the first round; nothing when it dies first, which is told as soon as there is a round.
    pub(super) fn first_words(&self, device: usize) -> Result<Option<Buffer>, TrainError> {
        let (rank, tag) = (device + 1, Tag::Activations);
        loop {
            let living = || self.comm.life(rank) != Life::Lost;
            let said = match self.comm.message_within(Some(rank), tag, PATIENCE) {
                Ok(Some(_)) => self.comm.recv_while(rank, tag, Buffer::open(Kind::F32), &living),
                Ok(None) if living() => continue,
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            return match said {
                Err(CommError::PeerLost { .. }) => Ok(None),
                said => Ok(said?),
            };
        }
    }
}
