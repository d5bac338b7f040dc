//! Lock-step that goes back to its last common point, whatever operation failed there, comes to the same bits.
//!
//! One rank plays the survivors of a death: the operation after which it hears of it, and whether another survivor was one
//! point behind. The same with real deaths is `tests/faults/ulfm.rs`.

use crate::cases::iris::{Iris, RULES, hyper};
use crate::cases::training::{Recorder, bits};
use goai::comm::{Buffer, CommError, Communicator, Pending, Reduce, Solo, Tag, Values};
use goai::device::RealClock;
use goai::event::Event;
use goai::strategy::{Ending, Fit, Hyper, Strategy, Task, TrainError, Turn, fit};
use std::cell::{Cell, RefMut};
use std::time::Duration;

/// Alone, but one collective operation fails as if another rank had died.
struct Survivor {
    inner: Solo,
    /// Collective operations so far, and which of them fails.
    calls: Cell<u64>,
    fails: Option<u64>,
    /// Somebody else was one point behind.
    behind: bool,
    /// Who died.
    gone: usize,
    agrees: Cell<bool>,
}

impl Survivor {
    fn new(fails: Option<u64>, behind: bool) -> Self {
        let (calls, agrees) = (Cell::new(0), Cell::new(false));
        Self { inner: Solo::new(), calls, fails, behind, gone: 3, agrees }
    }

    fn call(&self) -> Result<(), CommError> {
        self.calls.set(self.calls.get() + 1);
        match self.fails == Some(self.calls.get()) {
            true => Err(CommError::RanksLost { call: "MPI_Allreduce" }),
            false => Ok(()),
        }
    }
}

impl Communicator for Survivor {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn recovers(&self) -> bool {
        true
    }

    fn recover(&self) -> Result<Option<Vec<usize>>, CommError> {
        self.agrees.set(true);
        Ok(Some(vec![self.gone]))
    }

    fn all_reduce(&self, mut values: Values, _: Reduce) -> Result<(), CommError> {
        if self.agrees.take() {
            if let (Values::I64(least), true) = (&mut values, self.behind) {
                least[0] += 1;
            }
            return Ok(());
        }
        // What a failed reduction leaves is of no use.
        self.call().inspect_err(|_| values.bytes_mut().fill(0xff))
    }

    fn all_gather(&self, mine: &[u8], all: &mut [u8]) -> Result<(), CommError> {
        self.call()?;
        self.inner.all_gather(mine, all)
    }

    fn broadcast(&self, root: usize, values: Values) -> Result<(), CommError> {
        self.inner.broadcast(root, values)
    }

    fn send(&self, to: usize, tag: Tag, message: &mut Buffer) -> Result<(), CommError> {
        self.inner.send(to, tag, message)
    }

    fn await_message(&self, from: Option<usize>, tag: Tag) -> Result<usize, CommError> {
        self.inner.await_message(from, tag)
    }

    fn message_within(&self, from: Option<usize>, tag: Tag, time: Duration) -> Result<Option<usize>, CommError> {
        self.inner.message_within(from, tag, time)
    }

    fn recv(&self, from: usize, tag: Tag, into: &mut Buffer) -> Result<(), CommError> {
        self.inner.recv(from, tag, into)
    }

    fn start_send(&self, to: usize, tag: Tag, message: Buffer) -> Result<Pending, CommError> {
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

fn train(task: &Task, comm: &Survivor, wish: Option<(u64, Turn)>) -> (Result<Fit, TrainError>, Recorder) {
    let mut job = Recorder { wish, ..Recorder::default() };
    (fit(Strategy::AllReduce, task, comm, &RealClock::start(), &mut job), job)
}

fn epochs(job: &Recorder) -> Vec<(u64, u64, u64)> {
    let told = |event: &Event| match event {
        Event::Epoch(record) => Some((record.epoch, record.weights_hash, record.train_loss.to_bits())),
        _ => None,
    };
    job.events.iter().filter_map(told).collect()
}

#[test]
fn a_failure_of_any_operation_changes_no_bit() {
    let iris = Iris::load();
    for ((rule, rate), micro_chunk) in RULES.into_iter().zip([None, Some(4)].into_iter().cycle()) {
        let task_hyper = Hyper { micro_chunk, ..hyper(rule, rate, 40, 3) };
        let task = iris.task(task_hyper);
        let calm = Survivor::new(None, false);
        let (expected, calm_job) = train(&task, &calm, None);
        let expected = expected.unwrap();
        assert_eq!(epochs(&calm_job).len(), 3);
        // The first operation is before any point; behind the first point, in which an order-free sum finds its scales,
        // there is one to go back to.
        let first = if micro_chunk.is_some() { 12 } else { 3 };
        for (behind, from) in [(false, 2), (true, first)] {
            for fails in from..=calm.calls.get() {
                let (fit, job) = train(&task, &Survivor::new(Some(fails), behind), None);
                let fit = fit.unwrap();
                let place = format!("{rule:?} {micro_chunk:?} call {fails}, behind {behind}");
                assert_eq!(bits(&fit.theta), bits(&expected.theta), "{place}");
                assert_eq!(bits(&fit.sigma), bits(&expected.sigma), "{place}");
                assert_eq!(
                    (fit.cursor, fit.ending, fit.test),
                    (expected.cursor, expected.ending, expected.test),
                    "{place}"
                );
                assert_eq!(epochs(&job), epochs(&calm_job), "{place}: every epoch is told once");
                assert_eq!(fit.lost, [3], "{place}");
                let told = job
                    .events
                    .iter()
                    .filter(|event| matches!(event, Event::Note { text } if text.contains("rank 3 is lost")));
                assert_eq!(told.count(), 1, "{place}");
            }
        }
    }
}

/// The last operation is the farewell: who hears of a death there has stopped already.
#[test]
fn a_stop_is_a_stop_after_a_failure_too() {
    let iris = Iris::load();
    let task = iris.task(hyper(RULES[0].0, 0.1, 40, 3));
    let calm = Survivor::new(None, false);
    let wish = Some((4, Turn::Stop));
    let (stopped, _) = train(&task, &calm, wish);
    assert_eq!(stopped.unwrap().cursor.step, 5);
    for fails in 2..calm.calls.get() {
        let (fit, _) = train(&task, &Survivor::new(Some(fails), false), wish);
        let fit = fit.unwrap();
        assert_eq!((fit.ending, fit.cursor.step), (Ending::Stopped, 5), "call {fails}");
    }
}

#[test]
fn without_the_rank_that_keeps_the_books_nobody_goes_on() {
    let iris = Iris::load();
    let task = iris.task(hyper(RULES[0].0, 0.1, 40, 3));
    let comm = Survivor { gone: 0, ..Survivor::new(Some(5), false) };
    let (fit, _) = train(&task, &comm, None);
    assert!(matches!(fit, Err(TrainError::Comm(CommError::PeerLost { rank: 0, .. }))));
}
