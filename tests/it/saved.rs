//! States that are saved while a chain learns: the whole's, exact, and no trace of them in the training.

use crate::cases::iris::{Iris, hyper};
use crate::cases::training::{Recorder, bits};
use goai::comm::{ThreadOptions, run_threads};
use goai::device::RealClock;
use goai::event::Event;
use goai::nn::{Network, with_exits};
use goai::optim::Rule;
use goai::strategy::{Fit, Job, JobError, Learn, Pipeline, Snapshot, State, Strategy, Task, Turn, fit};

/// Saves at two steps and behind every epoch, and keeps all that it is given.
#[derive(Default)]
struct Keeping {
    epochs: u64,
    saves: Vec<Snapshot>,
    ended: Vec<Snapshot>,
}

impl Job for Keeping {
    fn emit(&mut self, event: Event) {
        self.epochs += u64::from(matches!(event, Event::Epoch(_)));
    }

    fn turn(&mut self, state: &State) -> Result<Turn, JobError> {
        // Behind the fourth step of the first epoch, and the last of the second; on all ranks, though one would do.
        Ok(if [3, 19].contains(&state.cursor.step) { Turn::Save } else { Turn::GoOn })
    }

    fn save(&mut self, state: &State) -> Result<(), JobError> {
        assert_eq!(self.epochs, state.cursor.epoch, "a whole epoch was told before its state is saved");
        self.saves.push(state.snapshot());
        Ok(())
    }

    fn keeps_epochs(&self) -> bool {
        true
    }

    fn epoch_ended(&mut self, state: &State) -> Result<(), JobError> {
        assert_eq!((state.cursor.epoch, state.cursor.step_in_epoch), (self.epochs, 0));
        self.ended.push(state.snapshot());
        Ok(())
    }
}

fn train<J: Job + Default + Send>(task: &Task, strategy: Strategy, ranks: usize) -> Vec<(Fit, J)> {
    run_threads(ranks, ThreadOptions::default(), |comm| {
        let mut job = J::default();
        (fit(strategy, task, comm, &RealClock::start(), &mut job).unwrap(), job)
    })
}

/// Trains undisturbed, with saves, and from each of these again.
fn check(task: &Task, strategy: Strategy, ranks: usize) {
    let whole = train::<Recorder>(task, strategy, ranks);
    let saved = train::<Keeping>(task, strategy, ranks);
    for (fit, job) in &saved {
        assert!(bits(&fit.theta) == bits(&whole[0].0.theta), "saving changed the training");
        let steps: Vec<(u64, u64)> = job.saves.iter().map(|s| (s.cursor.step, s.cursor.step_in_epoch)).collect();
        assert_eq!(steps, [(4, 4), (20, 0)]);
        assert_eq!(job.ended.iter().map(|s| s.cursor.step).collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(job.saves, saved[0].1.saves, "the same state on all ranks");
    }
    let job = &saved[0].1;
    for snapshot in job.saves.iter().chain(&job.ended) {
        let task = Task { resume: Some(snapshot), hyper: task.hyper.clone(), ..*task };
        for (fit, job) in train::<Recorder>(&task, strategy, ranks) {
            assert!(bits(&fit.theta) == bits(&whole[0].0.theta), "from {:?}", snapshot.cursor);
            assert_eq!((fit.cursor, fit.test), (whole[0].0.cursor, whole[0].0.test));
            let epochs = job.events.iter().filter(|event| matches!(event, Event::Epoch(_))).count() as u64;
            assert_eq!(epochs, 3 - snapshot.cursor.epoch);
        }
    }
}

#[test]
fn a_state_within_an_epoch_and_behind_one_is_exact() {
    let mut iris = Iris::load();
    let rule = hyper(Rule::Momentum(0.9), 0.05, 12, 3);
    for (strategy, ranks) in [(Strategy::Single, 1), (Strategy::AllReduce, 3), (Strategy::SendRecv, 3)] {
        check(&iris.task(rule.clone()), strategy, ranks);
    }
    let nodes: Vec<usize> = iris.network.cuts()[..2].to_vec();
    iris.network = Network::build(with_exits(&iris.network, &nodes)).unwrap();
    for window in [1, 4] {
        let learn = Learn::Local { preempt: false, replay: 0 };
        let pipeline = Pipeline { cuts: vec![1, 2], learn, window, exits: None };
        check(&Task { pipeline: Some(&pipeline), ..iris.task(rule.clone()) }, Strategy::Pipeline, 3);
    }
}
