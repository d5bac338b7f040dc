//! Trainings as the cases and the tests of the strategies run and compare them.

use goai::comm::{Communicator, Solo};
use goai::device::RealClock;
use goai::event::Event;
use goai::strategy::{Cursor, Fit, Job, JobError, Snapshot, State, Strategy, Task, TrainError, Turn, fit};

/// A job that writes down what it is told, and wishes something at one step.
#[derive(Default)]
pub struct Recorder {
    /// Before which step (from 0) this rank wishes what.
    pub wish: Option<(u64, Turn)>,
    pub events: Vec<Event>,
    pub turns: Vec<Cursor>,
    pub saves: Vec<Cursor>,
    /// The last state that was saved.
    pub snapshot: Option<Snapshot>,
}

impl Job for Recorder {
    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    fn turn(&mut self, state: &State) -> Result<Turn, JobError> {
        self.turns.push(state.cursor);
        // A worker of a grid that was late may not see every step.
        let due = |(step, turn): &(u64, Turn)| match turn {
            Turn::Stop => *step <= state.cursor.step,
            _ => *step == state.cursor.step,
        };
        Ok(self.wish.filter(due).map_or(Turn::GoOn, |(_, turn)| turn))
    }

    fn save(&mut self, state: &State) -> Result<(), JobError> {
        assert!(state.slices().iter().any(|(name, slice)| *name == "theta" && !slice.is_empty()));
        self.saves.push(state.cursor);
        self.snapshot = Some(state.snapshot());
        Ok(())
    }
}

pub fn train(strategy: Strategy, task: &Task, comm: &dyn Communicator) -> Result<Fit, TrainError> {
    fit(strategy, task, comm, &RealClock::start(), &mut Recorder::default())
}

/// What one rank alone makes of the task.
pub fn reference(task: &Task) -> Fit {
    train(Strategy::Single, task, &Solo::new()).unwrap()
}

/// `‖a - b‖₂ / ‖b‖₂`
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut b.iter().map(|b| f64::from(*b)))
}

/// The bits, for comparisons that forgive nothing.
pub fn bits(theta: &[f32]) -> Vec<u32> {
    theta.iter().map(|v| v.to_bits()).collect()
}
