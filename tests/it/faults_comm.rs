//! No rank left behind: whatever one rank does wrong, the others end with an error that says why, and soon.

use crate::cases::iris::{Iris, hyper};
use crate::cases::training::Recorder;
use goai::comm::{Buffer, CommError, Communicator, Kind, Reduce, Tag, ThreadComm, ThreadOptions, Values};
use goai::device::RealClock;
use goai::event::Event;
use goai::optim::Rule;
use goai::strategy::{Job, JobError, State, Strategy, TrainError, Turn, fit};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a rank does in the middle of the others' work.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Ends without a word.
    Die,
    /// Panics.
    Panic,
    /// Goes on living, but never says anything again.
    Silent,
    /// Sends a message of another length.
    WrongLength,
    /// Sends a message of another kind.
    WrongKind,
}

const FAULTS: [Fault; 5] = [Fault::Die, Fault::Panic, Fault::Silent, Fault::WrongLength, Fault::WrongKind];

/// How the others were waiting.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wait {
    Receive,
    ReceiveAny,
    Begun,
    Polled,
    Reduce,
    Barrier,
}

const WAITS: [Wait; 6] = [Wait::Receive, Wait::ReceiveAny, Wait::Begun, Wait::Polled, Wait::Reduce, Wait::Barrier];

/// The longest that a failure of one rank may keep the others.
const SOON: Duration = Duration::from_secs(5);

impl Fault {
    /// Only a silent rank may cost the others their deadline; every other fault must be noticed by itself.
    fn deadline(self) -> Duration {
        if self == Fault::Silent { Duration::from_millis(100) } else { 4 * SOON }
    }
}

/// Every rank's result, `None` for one that panicked, and the time until the last was there.
type Results<E> = (Vec<Option<Result<(), E>>>, Duration);

/// Runs ranks as threads and lets each fail on its own; a silent rank may wait until the others have ended.
fn run<E: Send + 'static>(
    size: usize,
    fault: Fault,
    rendezvous: bool,
    body: impl Fn(&ThreadComm, &dyn Fn()) -> Result<(), E> + Send + Sync,
) -> Results<E> {
    let options = ThreadOptions { rendezvous, deadline: Some(fault.deadline()) };
    let (start, ended) = (Instant::now(), AtomicUsize::new(0));
    let until_others_ended = || {
        while ended.load(Ordering::SeqCst) < size - 1 {
            assert!(start.elapsed() < Duration::from_secs(10), "the others hang");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let results = std::thread::scope(|scope| {
        let ranks: Vec<_> = ThreadComm::world(size, options)
            .into_iter()
            .map(|comm| {
                scope.spawn(|| {
                    let comm = comm; // dropped by this thread, as a rank that ends does
                    let result = body(&comm, &until_others_ended);
                    ended.fetch_add(1, Ordering::SeqCst);
                    result
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().ok()).collect()
    });
    (results, start.elapsed())
}

fn misbehave(comm: &dyn Communicator, fault: Fault, tag: Tag, until_others_ended: &dyn Fn()) {
    let send = |kind, len| {
        for to in (0..comm.size()).filter(|to| *to != comm.rank()) {
            // Not waited for: the others may be sending, too.
            drop(comm.start_send(to, tag, Buffer::new(kind, len)));
        }
    };
    match fault {
        Fault::Die => {}
        Fault::Panic => panic!("this panic is part of the test"),
        Fault::Silent => until_others_ended(),
        Fault::WrongLength => send(Kind::F32, 7),
        Fault::WrongKind => send(Kind::U8, 16),
    }
}

fn wait(comm: &dyn Communicator, how: Wait, from: usize, give_up: Duration) -> Result<(), CommError> {
    let mut buffer = Buffer::new(Kind::F32, 4);
    match how {
        Wait::Receive => comm.recv(from, Tag::Push, &mut buffer),
        Wait::ReceiveAny => comm.recv_any(Tag::Push, &mut buffer).map(drop),
        Wait::Begun => comm.start_recv(from, Tag::Push, buffer).and_then(|p| comm.wait(p)).map(drop),
        Wait::Polled => {
            let pending = comm.start_recv(from, Tag::Push, buffer)?;
            let start = Instant::now();
            while !comm.test(&pending)? && start.elapsed() < give_up {
                std::thread::yield_now();
            }
            comm.wait(pending).map(drop)
        }
        Wait::Reduce => comm.all_reduce(Values::F32(&mut [1.0; 4]), Reduce::Sum),
        Wait::Barrier => comm.barrier(),
    }
}

/// Whether an error is one that this fault may cause; a rank may also hear of it through another that ended.
fn explains(fault: Fault, culprit: usize, error: &CommError) -> bool {
    match error {
        CommError::PeerLost { rank, .. } => fault != Fault::Silent || *rank != culprit,
        CommError::Deadline { .. } => fault == Fault::Silent,
        CommError::Mismatch { from, .. } => *from == culprit && matches!(fault, Fault::WrongLength | Fault::WrongKind),
        _ => false,
    }
}

#[test]
fn every_wait_ends_when_a_peer_fails() {
    for rendezvous in [false, true] {
        for (size, culprit) in [(2, 1), (2, 0), (4, 2), (4, 0)] {
            for fault in FAULTS {
                for how in WAITS {
                    let tag = if matches!(how, Wait::Reduce | Wait::Barrier) { Tag::Collective } else { Tag::Push };
                    let (results, took) = run(size, fault, rendezvous, |comm, until_others_ended| {
                        if comm.rank() == culprit {
                            std::thread::sleep(Duration::from_millis(2));
                            misbehave(comm, fault, tag, until_others_ended);
                            return Ok(());
                        }
                        wait(comm, how, culprit, fault.deadline())
                    });
                    let what = format!("rank {culprit} of {size}: {fault:?} in {how:?}: {results:?} after {took:?}");
                    assert!(took < SOON, "{what}");
                    for (rank, result) in results.iter().enumerate() {
                        match result {
                            Some(Ok(())) => assert_eq!(rank, culprit, "{what}"),
                            Some(Err(error)) => assert!(explains(fault, culprit, error), "{what}"),
                            None => assert!(rank == culprit && fault == Fault::Panic, "{what}"),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_send_that_nobody_takes_ends() {
    for (fault, expected) in
        [(Fault::Die, "is gone"), (Fault::Panic, "is gone"), (Fault::Silent, "waited 0 s for Push")]
    {
        for begun in [false, true] {
            let (results, took) = run(2, fault, true, |comm, until_others_ended| {
                if comm.rank() == 1 {
                    std::thread::sleep(Duration::from_millis(2));
                    misbehave(comm, fault, Tag::Pull, until_others_ended);
                    return Ok(());
                }
                match begun {
                    false => comm.send(1, Tag::Push, &mut Buffer::new(Kind::F32, 4)),
                    true => {
                        comm.start_send(1, Tag::Push, Buffer::new(Kind::F32, 4)).and_then(|p| comm.wait(p)).map(drop)
                    }
                }
            });
            let Some(Err(error)) = &results[0] else { panic!("{fault:?}: {results:?}") };
            assert!(error.to_string().contains(expected), "{fault:?}: {error}");
            assert!(took < SOON);
        }
    }
}

#[test]
fn what_a_rank_sent_before_its_end_still_arrives() {
    let (results, _) = run(2, Fault::Die, false, |comm, _| {
        if comm.rank() == 1 {
            return comm.send(0, Tag::Push, &mut Buffer::new(Kind::F32, 4));
        }
        while comm.send(1, Tag::Pull, &mut Buffer::new(Kind::U8, 0)).is_ok() {
            std::thread::yield_now();
        }
        wait(comm, Wait::Receive, 1, SOON)?;
        let error = wait(comm, Wait::Receive, 1, SOON).unwrap_err();
        assert_eq!(error, CommError::PeerLost { rank: 1, tag: Tag::Push });
        Ok(())
    });
    assert!(results.iter().all(|result| matches!(result, Some(Ok(())))), "{results:?}");
}

/// A job that fails at a step.
struct Failing<'a> {
    fault: Option<Fault>,
    until_others_ended: &'a dyn Fn(),
    heard: Recorder,
}

impl Job for Failing<'_> {
    fn emit(&mut self, event: Event) {
        self.heard.emit(event);
    }

    fn turn(&mut self, state: &State) -> Result<Turn, JobError> {
        match self.fault.filter(|_| state.cursor.step == 7) {
            None => self.heard.turn(state),
            Some(Fault::Panic) => panic!("this panic is part of the test"),
            Some(Fault::Silent) => {
                (self.until_others_ended)();
                Err(JobError("was silent".into()))
            }
            Some(_) => Err(JobError("the disk is full".into())),
        }
    }
}

#[test]
fn a_training_ends_everywhere_when_one_rank_fails() {
    let iris = Iris::load();
    for strategy in [Strategy::SendRecv, Strategy::AllReduce] {
        for (fault, culprit) in [Fault::Die, Fault::Panic, Fault::Silent].into_iter().flat_map(|f| [(f, 0), (f, 2)]) {
            for micro_chunk in [None, Some(4)] {
                let mut hyper = hyper(Rule::Sgd, 0.1, 12, 3);
                hyper.micro_chunk = micro_chunk;
                let task = iris.task(hyper);
                let (results, took) = run(3, fault, false, |comm, until_others_ended| {
                    let fault = (comm.rank() == culprit).then_some(fault);
                    let mut job = Failing { fault, until_others_ended, heard: Recorder::default() };
                    let result = fit(strategy, &task, comm, &RealClock::start(), &mut job);
                    assert!(fault.is_some() || job.heard.turns.len() == 8, "all ranks came to the same step");
                    result.map(drop)
                });
                let what = format!("{strategy:?}, {fault:?} on {culprit}: {results:?} after {took:?}");
                assert!(took < SOON, "{what}");
                for (rank, result) in results.iter().enumerate() {
                    match result {
                        Some(Err(TrainError::Job(_))) => assert!(rank == culprit && fault != Fault::Panic, "{what}"),
                        Some(Err(TrainError::Comm(error))) => assert!(explains(fault, culprit, error), "{what}"),
                        None => assert!(rank == culprit && fault == Fault::Panic, "{what}"),
                        other => panic!("{other:?}: {what}"),
                    }
                }
            }
        }
    }
}

#[test]
fn ranks_with_different_networks_refuse_each_other() {
    let iris = Iris::load();
    let mut other = Iris::load();
    let wider = goai::nn::zoo::mlp(4, &[31, 20], 3, &goai::nn::zoo::MlpOptions::default());
    other.network = goai::nn::Network::build(wider).unwrap();
    for strategy in [Strategy::SendRecv, Strategy::AllReduce] {
        let (results, _) = run(2, Fault::Die, false, |comm, _| {
            let iris = if comm.rank() == 1 { &other } else { &iris };
            fit(strategy, &iris.task(hyper(Rule::Sgd, 0.1, 12, 1)), comm, &RealClock::start(), &mut Recorder::default())
                .map(drop)
        });
        let messages: Vec<String> =
            results.into_iter().map(|result| result.unwrap().expect_err("a wrong length").to_string()).collect();
        assert!(messages[1].contains("F32 x 833 arrived where F32 x 858 was expected"), "{messages:?}");
        assert!(messages[0].contains("is gone"), "{messages:?}");
    }
}

/// The threads are plain ones: nothing in the library keeps them alive.
#[test]
fn a_world_without_its_ranks_is_gone() {
    let mut ranks = ThreadComm::world(3, ThreadOptions::default());
    let last = ranks.pop().unwrap();
    let ended: Vec<JoinHandle<()>> = ranks.into_iter().map(|rank| std::thread::spawn(move || drop(rank))).collect();
    ended.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(last.barrier().unwrap_err(), CommError::PeerLost { rank: 0, tag: Tag::Collective });
}
