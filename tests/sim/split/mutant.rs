//! Bugs from outside, as in the grid's `mutant`: a communicator or an outside that does to messages and states what a
//! wrong program would do.

use super::super::job::Outside;
use super::super::meddled::{Meddle, Meddled};
use goai::comm::simulated::SimComm;
use goai::comm::{Buffer, Communicator, Kind, Life, Tag};
use goai::event::Event;
use goai::strategy::{Job, JobError, State, Turn};
use std::cell::RefCell;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Every third gradient is lost: zeros come.
    LostGradient,
    /// A batch is served a second time instead of the one behind it.
    BatchTwice,
    /// The labels of a batch are those of the rows beside them.
    ShiftedLabels,
    /// A device's part counts twice in the mean.
    WrongShare,
    /// A round's report is that of the round before.
    StaleReport,
    /// A device begins a round with the weights of the round before.
    StaleRound,
    /// The end comes without the final weights.
    OldFinalWeights,
    /// The wish to stop gets lost.
    StopDropped,
    /// A lost device is taken for a living one.
    LostUnnoticed,
    /// A checkpoint forgets what the optimizer remembers.
    ForgottenMomentum,
    /// A checkpoint says that it is a step further than it is.
    LateCursor,
}

/// Words of a device's message, and orders of the server's.
const BATCH: u8 = 3;
const REPORT: u8 = 4;
const STOP: u8 = 7;
const ROUND: u8 = 2;
const END: u8 = 4;
/// Floats of the figures behind a report, and of those in front of which its samples stand.
const FIGURES: usize = 2 * 33;
const SAMPLES: usize = 4;
/// Floats behind the weights of a round.
const ROUND_FIGURES: usize = 14;

/// The payload of the message before, and how many there were.
type Before = (Vec<f32>, usize);

/// What a bug does to messages.
pub struct Mutant {
    bug: Bug,
    /// By rank and what it is.
    before: RefCell<Vec<[Before; 4]>>,
}

impl Mutant {
    /// On a rank.
    pub fn on(comm: &SimComm, bug: Bug) -> Meddled<'_, Self> {
        let before = RefCell::new((0..comm.size()).map(|_| Default::default()).collect());
        Meddled::with(comm, Self { bug, before })
    }

    /// Gives a message, but for so many floats at its end, what the one before it held, every so many times.
    fn repeat(&self, rank: usize, what: usize, every: usize, tail: usize, message: &mut Buffer) {
        let (last, count) = &mut self.before.borrow_mut()[rank][what];
        *count += 1;
        let now = message.f32s().to_vec();
        if last.len() == now.len() && count.is_multiple_of(every) {
            let len = now.len().saturating_sub(tail);
            message.f32s_mut()[..len].copy_from_slice(&last[..len]);
        }
        *last = now;
    }

    /// A message on its way out of the server.
    fn down(&self, to: usize, tag: Tag, message: &mut Buffer) {
        match (self.bug, tag, message.note.edge as u8) {
            (Bug::LostGradient, Tag::Gradient, _) => {
                let count = &mut self.before.borrow_mut()[to][0].1;
                *count += 1;
                if count.is_multiple_of(3) {
                    message.f32s_mut().fill(0.0);
                }
            }
            (Bug::StaleRound, Tag::Task, ROUND) => self.repeat(to, 1, 2, ROUND_FIGURES, message),
            (Bug::OldFinalWeights, Tag::Task, END) if to == 1 => message.f32s_mut()[0] += 1.0,
            _ => {}
        }
    }

    /// A message on its way into the server.
    fn up(&self, from: usize, message: &mut Buffer) {
        match (self.bug, message.note.edge as u8) {
            (Bug::BatchTwice, BATCH) => self.repeat(from, 2, 4, 0, message),
            (Bug::ShiftedLabels, BATCH) => {
                let rows = message.note.rows as usize;
                let labels = message.len() - rows;
                message.f32s_mut()[labels..].rotate_left(1);
            }
            (Bug::StaleReport, REPORT) => self.repeat(from, 3, 2, FIGURES, message),
            (Bug::WrongShare, REPORT) if from == 1 => {
                let at = 4 * (message.len() - FIGURES + SAMPLES);
                let samples = &mut message.payload_mut()[at..at + 8];
                let count = f64::from_le_bytes(samples.try_into().expect("eight bytes"));
                samples.copy_from_slice(&(2.0 * count).to_le_bytes());
            }
            _ => {}
        }
    }
}

impl Meddle for Mutant {
    fn keeps_back(&self, _: usize, tag: Tag, message: &Buffer) -> bool {
        self.bug == Bug::StopDropped && tag == Tag::Activations && message.note.edge as u8 == STOP
    }

    fn out(&self, to: usize, tag: Tag, message: &mut Buffer) -> bool {
        self.down(to, tag, message);
        false
    }

    fn came(&self, from: usize, tag: Tag, message: &mut Buffer) {
        if tag == Tag::Activations && message.kind() == Kind::F32 {
            self.up(from, message);
        }
    }

    fn life(&self, life: Life) -> Life {
        match life {
            Life::Lost if self.bug == Bug::LostUnnoticed => Life::Alive,
            life => life,
        }
    }
}

/// The outside with a wrong way to save.
pub struct MutantJob<'a, 'b> {
    pub outside: &'a mut Outside<'b>,
    pub bug: Bug,
}

impl Job for MutantJob<'_, '_> {
    fn emit(&mut self, event: Event) {
        self.outside.emit(event);
    }

    fn turn(&mut self, state: &State) -> Result<Turn, JobError> {
        self.outside.turn(state)
    }

    fn save(&mut self, state: &State) -> Result<(), JobError> {
        self.outside.save(state)?;
        let mut book = self.outside.book.lock().unwrap();
        let Some(saved) = &mut book.saved else { return Ok(()) };
        match self.bug {
            Bug::ForgottenMomentum => {
                let memory = |name: &str| !["theta", "sigma", "scales", "applied"].contains(&name);
                saved.slices.iter_mut().filter(|(name, _)| memory(name)).for_each(|(_, vector)| vector.fill(0.0));
            }
            Bug::LateCursor => {
                saved.cursor.step += 1;
                saved.cursor.step_in_epoch += 1;
            }
            _ => {}
        }
        Ok(())
    }
}
