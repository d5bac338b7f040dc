//! How a training ended, as a server tells it to ranks that have seen only what they were asked to do.

use super::figures::{elements, numbers, read, write};
use super::{Cursor, Ending, Fit, TrainError};
use crate::comm::{Buffer, CommError, Kind, Tag};
use crate::nn::{Network, Tally};

numbers! {
    /// How a training ended, behind the final weights: for those who saw nothing of it.
    Outcome {
        epoch,
        step_in_epoch,
        step,
        samples,
        /// A [`Verdict`].
        verdict,
        rate,
        test_loss,
        test_correct,
        test_samples,
    }
}

/// The ways in which a training ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    Finished = 0,
    Stopped = 1,
    Diverged = 2,
}

impl Verdict {
    pub fn read(value: f64) -> Self {
        let all = [Self::Finished, Self::Stopped, Self::Diverged];
        all.into_iter().find(|verdict| f64::from(*verdict as u8) == value).unwrap_or(Self::Stopped)
    }
}

impl Outcome {
    /// Of a training that got to this cursor.
    pub fn new(cursor: Cursor, verdict: Verdict, rate: f64, test: Tally) -> Self {
        Self {
            epoch: cursor.epoch as f64,
            step_in_epoch: cursor.step_in_epoch as f64,
            step: cursor.step as f64,
            samples: cursor.samples as f64,
            verdict: f64::from(verdict as u8),
            rate,
            test_loss: test.loss,
            test_correct: test.correct as f64,
            test_samples: test.samples as f64,
        }
    }

    /// Elements of a message that tells it, behind the weights.
    pub fn message_len(theta: &[f32], sigma: &[f32]) -> usize {
        theta.len() + sigma.len() + elements::<Self>(Kind::F32)
    }

    /// Writes final weights and outcome into a message of that length.
    pub fn tell(self, buffer: &mut Buffer, theta: &[f32], sigma: &[f32]) {
        buffer.f32s_mut()[..theta.len()].copy_from_slice(theta);
        buffer.f32s_mut()[theta.len()..theta.len() + sigma.len()].copy_from_slice(sigma);
        write(buffer, self);
    }

    /// Reads a message that tells it.
    ///
    /// # Errors
    /// When it is none, and the divergence that it tells of.
    pub fn hear(message: &Buffer, network: &Network) -> Result<Fit, TrainError> {
        let outcome: Self = read(message, 0, Tag::Task)?;
        let (theta, sigma) = (network.theta_len(), network.sigma_len());
        if message.len() != theta + sigma + elements::<Self>(Kind::F32) {
            let why = "not the weights of this network";
            return Err(CommError::Garbage { from: 0, tag: Tag::Task, why }.into());
        }
        let cursor = Cursor {
            epoch: outcome.epoch as u64,
            step_in_epoch: outcome.step_in_epoch as u64,
            step: outcome.step as u64,
            samples: outcome.samples as u64,
        };
        let ending = match Verdict::read(outcome.verdict) {
            Verdict::Finished => Ending::Finished,
            Verdict::Stopped => Ending::Stopped,
            Verdict::Diverged => {
                return Err(TrainError::Diverged { epoch: cursor.epoch + 1, step: cursor.step, rate: outcome.rate });
            }
        };
        let (correct, samples) = (outcome.test_correct as u64, outcome.test_samples as u64);
        let floats = message.f32s();
        Ok(Fit {
            theta: floats[..theta].to_vec(),
            sigma: floats[theta..theta + sigma].to_vec(),
            cursor,
            ending,
            test: Tally { loss: outcome.test_loss, correct, samples },
            ..Fit::begun()
        })
    }
}
