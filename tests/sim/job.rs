//! The outside of a simulated training: a disk, signals, and a book of what happened that outlives every rank.

use super::setup::{Case, World};
use goai::comm::Communicator;
use goai::comm::simulated::{Outcome, Plan, SimComm, run_simulated};
use goai::device::Clock;
use goai::event::{Applied, EpochRecord, Event, SplitRecord};
use goai::strategy::{Cursor, Ending, Job, JobError, Snapshot, State, Strategy, TrainError, Turn, fit};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// What is left when all ranks are gone.
#[derive(Debug, Default)]
pub struct Book {
    pub applied: Vec<Applied>,
    /// When the last step was applied.
    pub applied_at: Duration,
    /// The state on the disk.
    pub saved: Option<Snapshot>,
    /// Attempts to save, and those that failed.
    pub saves: u64,
    pub failed: u64,
    pub notes: Vec<String>,
    pub epochs: Vec<EpochRecord>,
    /// The rounds of split learning, and how many there were when each note came.
    pub rounds: Vec<(u64, Vec<SplitRecord>)>,
    pub noted_in: Vec<usize>,
    /// Who said when that it leaves, and who that all stop, with the steps that were applied then.
    pub said_leave: BTreeMap<usize, Duration>,
    pub said_stop: BTreeMap<usize, (Duration, usize)>,
}

/// How training ended on a rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub ending: Ending,
    pub cursor: Cursor,
    pub theta: Vec<f32>,
}

/// A rank's outside.
pub struct Outside<'a> {
    pub comm: &'a SimComm,
    pub book: &'a Mutex<Book>,
    pub save_every: Option<u64>,
    pub turns: u64,
}

impl Job for Outside<'_> {
    fn emit(&mut self, event: Event) {
        let mut book = self.book.lock().unwrap();
        match event {
            Event::Applied(applied) => {
                self.comm.remark(&format!("applies step {}: {:?}", applied.step, applied.contributions));
                book.applied.push(applied);
                book.applied_at = Duration::from_secs_f64(self.comm.clock().now().0);
            }
            Event::Epoch(record) => book.epochs.push(record),
            Event::Round { round, devices } => {
                let told: Vec<_> = devices.iter().map(|device| (device.rank, device.cut, device.samples)).collect();
                self.comm.remark(&format!("ends round {round}: {told:?}"));
                book.rounds.push((round, devices));
                book.applied_at = Duration::from_secs_f64(self.comm.clock().now().0);
            }
            Event::Note { text } => {
                self.comm.remark(&text);
                book.notes.push(text);
                let rounds = book.rounds.len();
                book.noted_in.push(rounds);
            }
            _ => {}
        }
    }

    fn turn(&mut self, _: &State) -> Result<Turn, JobError> {
        let server = self.comm.rank() == 0;
        self.turns += 1;
        let due = server && self.save_every.is_some_and(|every| self.turns.is_multiple_of(every));
        let wish = match (self.comm.stop_wished(), self.comm.leave_wished()) {
            (true, _) => Turn::Stop,
            (_, true) if server => Turn::Stop,
            (_, true) => Turn::Leave,
            _ if due => Turn::Save,
            _ => Turn::GoOn,
        };
        let (now, rank) = (Duration::from_secs_f64(self.comm.clock().now().0), self.comm.rank());
        let mut book = self.book.lock().unwrap();
        let steps = book.applied.len();
        match wish {
            Turn::Leave => drop(book.said_leave.entry(rank).or_insert(now)),
            Turn::Stop => drop(book.said_stop.entry(rank).or_insert((now, steps))),
            _ => {}
        }
        Ok(wish)
    }

    /// A disk that fails is a warning: the state before stays.
    fn save(&mut self, state: &State) -> Result<(), JobError> {
        let mut book = self.book.lock().unwrap();
        book.saves += 1;
        let fails = self.comm.save_fails();
        self.comm.remark(&format!("saves step {}{}", state.cursor.step, if fails { " in vain" } else { "" }));
        match fails {
            true => book.failed += 1,
            false => book.saved = Some(state.snapshot()),
        }
        Ok(())
    }
}

/// A training in a simulated world.
pub struct Run {
    pub outcome: Outcome<Result<Ended, String>>,
    pub book: Book,
}

/// Trains on one rank, over this communicator and with this outside.
pub type Train<'a> = &'a mut dyn FnMut(&dyn Communicator, &mut dyn Job) -> Result<Ended, TrainError>;

/// Lets a rank train, with its communicator and its outside as a planted bug has them.
pub type Wrap<'a> = &'a (dyn Fn(&SimComm, &mut Outside, Train) -> Result<Ended, TrainError> + Sync);

/// Nothing is planted.
pub fn plain(comm: &SimComm, outside: &mut Outside, train: Train) -> Result<Ended, TrainError> {
    train(comm, outside)
}

/// Trains, from the beginning or from a state.
pub fn run(case: &Case, world: &World, plan: Plan, resume: Option<&Snapshot>, wrap: Wrap) -> Run {
    let book = Mutex::new(Book::default());
    let outcome = run_simulated(case.ranks, plan, |sim| {
        let (task, clock) = (case.task(world, resume), sim.clock());
        let mut outside = Outside { comm: sim, book: &book, save_every: case.save_every, turns: 0 };
        let result = wrap(sim, &mut outside, &mut |comm, job| {
            let fit = fit(Strategy::SendRecv, &task, comm, &clock, job)?;
            if comm.rank() == 0 {
                // Nobody waits for them any more, but a launcher would.
                fit.lost.iter().for_each(|rank| sim.kill(*rank));
            }
            Ok(Ended { ending: fit.ending, cursor: fit.cursor, theta: fit.theta })
        });
        result.map_err(|error| {
            if !error.is_agreed() {
                // A process that fails alone ends the job, or is lost at least.
                sim.abort();
            }
            error.to_string()
        })
    });
    Run { outcome, book: book.into_inner().unwrap() }
}
