//! Bugs from outside: a communicator or a job that does to its messages what a wrong program would do.
//!
//! Nothing is built into the program for them. Each has the effect that the bug of its name would have: what a server
//! takes by mistake is relabelled on its way in, what it forgets to send is blanked on its way out.

use super::job::Outside;
use goai::comm::fixed_point::NOT_FINITE;
use goai::comm::simulated::SimComm;
use goai::comm::{Buffer, CommError, Communicator, Kind, Life, Note, Pending, Reduce, Tag};
use goai::event::Event;
use goai::strategy::{Job, JobError, Snapshot, State, Turn};
use std::cell::{Cell, RefCell, RefMut};
use std::sync::Mutex;
use std::time::Duration;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    None,
    /// A checkpoint forgets which chunks are applied.
    ForgottenLedger,
    /// A checkpoint holds the weights from before the step.
    EarlyCheckpoint,
    /// A result of old weights is said to be one of new weights.
    StaleAsFresh,
    /// The result of a task that was superseded is taken for that of the task that superseded it.
    Superseded,
    /// The sum holds a chunk twice that two workers computed.
    DuplicateTwice,
    /// The wish to leave gets lost.
    LeaveDropped,
    /// A lost worker is taken for a living one.
    LostUnnoticed,
    /// A report is received on the channel of tasks.
    AnyTag,
    /// A worker that was silent gets tasks without the weights that it missed.
    StaleRejoin,
    /// The end comes without the final weights.
    OldFinalWeights,
    /// Reports are added as they come.
    ArrivalOrder,
    /// A gradient holds a NaN.
    NotANumber,
}

/// Words of [`Note::edge`]: what a task asks for, what a report is.
const TRAIN: u8 = 1;
const END: u8 = 5;
const RESULT: u8 = 1;
const LEAVE: u8 = 3;
/// Floats of the figures behind a report.
const FIGURES: usize = 22;

/// Whose result of which chunk and version came.
pub type Arrivals = Mutex<Vec<(usize, usize, u64)>>;

pub struct Mutant<'a> {
    pub inner: &'a SimComm,
    pub bug: Bug,
    pub arrivals: &'a Arrivals,
    /// At the server: by rank, the last task, and whether the rank was silent since it last got weights.
    asked: RefCell<Vec<Option<Note>>>,
    missed: RefCell<Vec<bool>>,
    weights: RefCell<Vec<f32>>,
    reports: Cell<u64>,
}

impl<'a> Mutant<'a> {
    pub fn new(inner: &'a SimComm, bug: Bug, arrivals: &'a Arrivals) -> Self {
        let size = inner.size();
        Self {
            inner,
            bug,
            arrivals,
            asked: RefCell::new(vec![None; size]),
            missed: RefCell::new(vec![false; size]),
            weights: RefCell::default(),
            reports: Cell::new(0),
        }
    }

    /// A task on its way out of the server.
    fn task(&self, to: usize, message: &mut Buffer) {
        let word = message.note.edge as u8;
        if word == TRAIN {
            self.asked.borrow_mut()[to] = Some(message.note);
            let missed = self.bug == Bug::StaleRejoin && std::mem::take(&mut self.missed.borrow_mut()[to]);
            if missed && !message.is_empty() {
                let note = message.note;
                message.reshape(Kind::F32, 0);
                message.note = note;
            } else if !message.is_empty() && self.weights.borrow().is_empty() {
                *self.weights.borrow_mut() = message.f32s().to_vec();
            }
        }
        if word == END && self.bug == Bug::OldFinalWeights {
            // Behind the weights of a task stands the rate, of two floats.
            let old = self.weights.borrow();
            let len = old.len().saturating_sub(2).min(message.len());
            message.f32s_mut()[..len].copy_from_slice(&old[..len]);
        }
    }

    /// A report on its way into the server.
    fn report(&self, from: usize, message: &mut Buffer) {
        if message.note.edge as u8 != RESULT {
            return;
        }
        self.arrivals.lock().unwrap().push((from, message.note.micro as usize, message.note.step.into()));
        let asked = self.asked.borrow();
        let newest = asked.iter().flatten().map(|note| note.step).max().unwrap_or(0);
        let Some(due) = asked[from] else { return };
        let got = message.note;
        let other = (due.step, due.micro, due.edge) != (got.step, got.micro, got.edge);
        match self.bug {
            Bug::StaleAsFresh if got.step < newest && due.step == newest => {
                message.note = Note { edge: due.edge & !0xff | u32::from(RESULT), rows: got.rows, ..due };
            }
            Bug::Superseded if other && due.step == got.step => {
                message.note = Note { edge: due.edge & !0xff | u32::from(RESULT), rows: got.rows, ..due };
            }
            Bug::DuplicateTwice if message.kind() == Kind::F32 => {
                let same = |note: &&Note| (note.step, note.micro) == (got.step, got.micro);
                if asked.iter().flatten().filter(same).count() > 1 {
                    let len = message.len() - FIGURES;
                    message.f32s_mut()[..len].iter_mut().for_each(|value| *value *= 2.0);
                }
            }
            Bug::NotANumber if message.kind() == Kind::F32 => message.f32s_mut()[0] = f32::NAN,
            // The largest exponent of a tensor, where sums are integers: that of infinity.
            Bug::NotANumber => message.payload_mut()[..8].copy_from_slice(&NOT_FINITE.to_le_bytes()),
            _ => {}
        }
    }
}

impl Communicator for Mutant<'_> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        if tag == Tag::Report {
            self.reports.set(self.reports.get() + 1);
            match self.bug {
                Bug::LeaveDropped if message.note.edge as u8 == LEAVE => return Ok(()),
                Bug::AnyTag if self.reports.get().is_multiple_of(5) => return self.inner.send(to, Tag::Task, message),
                _ => {}
            }
        }
        self.inner.send(to, tag, message)
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        self.inner.await_message(from, tag)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, patience: Duration) -> Result<Option<usize>, CommError> {
        self.inner.message_within(from, tag, patience)
    }

    fn life(&self, rank: usize) -> Life {
        match self.inner.life(rank) {
            Life::Lost if self.bug == Bug::LostUnnoticed => Life::Alive,
            Life::Silent => {
                self.missed.borrow_mut()[rank] = true;
                Life::Silent
            }
            life => life,
        }
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.inner.recv(from, tag, into)?;
        if tag == Tag::Report {
            self.report(from, into);
        }
        Ok(())
    }

    fn start_send(&self, to: usize, tag: Tag, mut message: Buffer) -> Result<Pending, CommError> {
        if tag == Tag::Task {
            self.task(to, &mut message);
        }
        self.inner.start_send(to, tag, message)
    }

    fn start_recv(&self, from: usize, tag: Tag, into: Buffer) -> Result<Pending, CommError> {
        self.inner.start_recv(from, tag, into)
    }

    fn test(&self, pending: &Pending) -> Result<bool, CommError> {
        self.inner.test(pending)
    }

    fn wait(&self, pending: Pending) -> Result<Buffer, CommError> {
        self.inner.wait(pending)
    }

    fn abandon(&self, pending: Pending) {
        self.inner.abandon(pending);
    }

    fn scratch(&self) -> RefMut<'_, Buffer> {
        self.inner.scratch()
    }

    fn start_all_reduce(&self, buffer: Buffer, op: Reduce) -> Result<Pending, CommError> {
        self.inner.start_all_reduce(buffer, op)
    }
}

/// The outside with a wrong way to save.
pub struct MutantJob<'a, 'b> {
    pub outside: &'a mut Outside<'b>,
    pub bug: Bug,
    pub before: Option<Snapshot>,
}

impl Job for MutantJob<'_, '_> {
    fn emit(&mut self, event: Event) {
        self.outside.emit(event);
    }

    fn turn(&mut self, state: &State) -> Result<Turn, JobError> {
        self.before = Some(state.snapshot());
        self.outside.turn(state)
    }

    fn save(&mut self, state: &State) -> Result<(), JobError> {
        self.outside.save(state)?;
        let mut book = self.outside.book.lock().unwrap();
        let Some(saved) = &mut book.saved else { return Ok(()) };
        match (self.bug, &self.before) {
            (Bug::ForgottenLedger, _) => {
                let applied = saved.slices.iter_mut().find(|(name, _)| name == "applied");
                applied.expect("states hold it").1.fill(0.0);
            }
            (Bug::EarlyCheckpoint, Some(before)) => saved.slices.clone_from(&before.slices),
            _ => {}
        }
        Ok(())
    }
}
