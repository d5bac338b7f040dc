//! A look at the links before the first round: how long messages take there and back.
//!
//! The server's own time tells: virtual where it is emulated, else measured. So no two clocks are compared.

use super::choose::Link;
use super::server::Server;
use super::wire::{Order, What, Word};
use crate::comm::{Buffer, CommError, Communicator, Kind, Tag};
use crate::strategy::TrainError;
use crate::units::Seconds;

/// Elements of the long message: 64 KiB are enough to tell a rate, and cost a slow link little.
const LONG: usize = 1 << 14;

/// How often short messages go there and back; the fastest counts.
const TIMES: usize = 3;

impl Server<'_> {
    /// Looks at the link of a device.
    pub(super) fn probe(&mut self, device: usize) -> Result<(), TrainError> {
        let mut short = f64::INFINITY;
        for _ in 0..TIMES {
            short = short.min(self.there_and_back(device, 1, 0)?);
        }
        let down = self.there_and_back(device, LONG, 0)? - short;
        let up = self.there_and_back(device, 1, LONG)? - short;
        let rate = |seconds: f64| if seconds > 0.0 { 4.0 * LONG as f64 / seconds } else { f64::INFINITY };
        let (up_bytes_per_s, down_bytes_per_s) = (rate(up), rate(down));
        // What the short messages' own bytes took is no latency.
        let own = (4.0 + 2.0 * crate::comm::HEADER as f64) / up_bytes_per_s.min(down_bytes_per_s);
        let latency = Seconds(((short - own) / 2.0).max(0.0));
        self.chooser.link(device, Link { up_bytes_per_s, down_bytes_per_s, latency });
        Ok(())
    }

    /// Seconds until an answer of `back` elements to a message of `there` elements is here.
    fn there_and_back(&mut self, device: usize, there: usize, back: usize) -> Result<f64, TrainError> {
        let begin = self.now();
        self.fleet.order(device, Order::bare(What::Echo, 0), there, |buffer| {
            buffer.f32s_mut()[0] = back as f32;
        })?;
        let mut answer = Buffer::open(Kind::F32);
        self.comm.recv(device + 1, Tag::Activations, &mut answer)?;
        match Word::Echoed.is_of(answer.note) && answer.len() == back {
            true => Ok(self.now() - begin),
            false => {
                let why = "not the answer that was asked for";
                Err(CommError::Garbage { from: device + 1, tag: Tag::Activations, why }.into())
            }
        }
    }
}
