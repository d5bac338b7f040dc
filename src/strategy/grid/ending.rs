//! The end of a grid: everybody who lives gets the final weights, and says so.

use super::server::Server;
use super::wire::{Order, What, Word};
use crate::nn::Tally;
use crate::strategy::TrainError;
use crate::strategy::outcome::{Outcome, Verdict};
use std::time::Duration;

impl Server<'_> {
    /// Ends the workers, with the final weights.
    pub(super) fn end(&mut self, verdict: Verdict, test: Tally) -> Result<(), TrainError> {
        self.clock.machine().inspect(|machine| machine.hold(true));
        let outcome = Outcome::new(self.cursor, verdict, self.rate, test);
        let (theta, sigma) = (&self.theta, &self.sigma);
        let len = Outcome::message_len(theta, sigma);
        for worker in 0..self.roster.len() {
            self.roster.send(worker, Order::bare(What::End, self.cursor.epoch), len, |buffer| {
                outcome.tell(buffer, theta, sigma);
            })?;
        }
        self.see_off()
    }

    /// Waits until everybody who lives has the end. Reports that come until then are of no use any more, but must be
    /// taken: a worker may send a long one, and reads nothing before it is sent.
    fn see_off(&mut self) -> Result<(), TrainError> {
        const LOOK: Duration = Duration::from_millis(5);
        let mut gone = vec![false; self.roster.len()];
        while self.roster.awaits(&gone)? {
            if let Some(post) = self.inbox.next(LOOK)? {
                gone[post.worker] |= Word::Bye.is_of(post.buffer.note);
                self.inbox.give_back(post.buffer);
            }
        }
        // Only now it is known who is gone, and those who are there have to know it alike.
        let order = Order { chunk: self.roster.gone().len(), ..Order::bare(What::Part, self.cursor.epoch) };
        (0..self.roster.len()).try_for_each(|worker| self.roster.send(worker, order, 0, |_| {}))?;
        self.roster.give_up();
        Ok(())
    }
}
