//! The end: everybody who lives gets the final weights, and says so.

use super::device::Device;
use super::server::Server;
use super::wire::{Order, What, Word};
use super::{PATIENCE, SERVER};
use crate::comm::{Buffer, CommError, Communicator, Kind, Tag};
use crate::nn::Tally;
use crate::strategy::outcome::{Outcome, Verdict};
use crate::strategy::{Fit, TrainError};

impl Server<'_> {
    /// Ends the devices, with the final weights, and waits until everybody who lives has them.
    pub(super) fn end(&mut self, verdict: Verdict, test: Tally) -> Result<(), TrainError> {
        self.clock.machine().inspect(|machine| machine.hold(true));
        let outcome = Outcome::new(self.cursor, verdict, self.rate, test);
        let (theta, sigma) = (&self.theta, &self.sigma);
        let len = Outcome::message_len(theta, sigma);
        for device in 0..self.fleet.len() {
            self.inbox.forget(device);
            let order = Order { round: self.fleet.gradients(device), ..Order::bare(What::End, 0) };
            self.fleet.order(device, order, len, |buffer| outcome.tell(buffer, theta, sigma))?;
        }
        let mut gone = vec![false; self.fleet.len()];
        loop {
            while self.fleet.lost().is_some() {}
            self.fleet.push_on()?;
            if (0..gone.len()).all(|device| gone[device] || !self.fleet.lives(device)) {
                break;
            }
            // What is still on its way from a round that was called off is of no use any more, but must be taken.
            if let Some(post) = self.inbox.next(PATIENCE)? {
                gone[post.worker] |= Word::Bye.is_of(post.buffer.note);
                self.inbox.give_back(post.buffer);
            }
        }
        // Only now it is known who is gone, and those who are there have to know it alike.
        let lost = self.fleet.gone().len();
        for device in 0..self.fleet.len() {
            self.fleet.order(device, Order::bare(What::Part, lost), 0, |_| {})?;
        }
        self.fleet.give_up();
        Ok(())
    }
}

impl Device<'_> {
    /// The end of it, as the server tells it.
    pub(super) fn end(mut self, order: Order) -> Result<Fit, TrainError> {
        self.clock.machine().inspect(|machine| machine.hold(true));
        self.take_gradients(order.round)?;
        let mut message = Buffer::new(Kind::F32, 0);
        message.note = Word::Bye.note(0);
        self.comm.send(SERVER, Tag::Activations, &mut message)?;
        let heard = Outcome::hear(&self.message, self.task.network);
        loop {
            match self.next_order(PATIENCE)? {
                None => {}
                Some(order) if order.what == What::Part => {
                    return Ok(Fit { lost: vec![usize::MAX; order.cut], ..heard? });
                }
                Some(_) => {
                    let why = "an order behind the end";
                    return Err(CommError::Garbage { from: SERVER, tag: Tag::Task, why }.into());
                }
            }
        }
    }
}
