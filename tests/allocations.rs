//! A steady training step allocates nothing.
//!
//! A counting allocator counts each thread's own allocations, so that neither the test runner nor another rank
//! disturbs. Between two turns of a job lies exactly one step. The first epoch may allocate: buffers find their
//! sizes there. At the end of an epoch events and records may allocate, too.
#![allow(unsafe_code)] // implementing GlobalAlloc is unsafe

#[path = "cases/iris.rs"]
mod iris;

use goai::comm::{Communicator, Solo, ThreadOptions, run_threads};
use goai::device::RealClock;
use goai::event::Event;
use goai::strategy::{Hyper, Job, JobError, State, Strategy, Turn, fit};
use iris::{Iris, RULES, hyper};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    COUNT.set(COUNT.get() + 1);
}

// SAFETY: everything is passed on to the system's allocator; the counter is a plain thread-local number without a
// destructor, which needs no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Counts the allocations of each step after the first epoch.
#[derive(Default)]
struct Counter {
    at_turn: u64,
    steps: u64,
    allocations: u64,
}

impl Job for Counter {
    fn emit(&mut self, _: Event) {}

    fn turn(&mut self, state: &State) -> Result<Turn, JobError> {
        let now = COUNT.get();
        if state.cursor.epoch > 0 && state.cursor.step_in_epoch > 0 {
            self.steps += 1;
            self.allocations += now - self.at_turn;
        }
        self.at_turn = now;
        Ok(Turn::GoOn)
    }
}

/// Steps that were counted, and their allocations.
fn counted(strategy: Strategy, hyper: Hyper, comm: &dyn Communicator, iris: &Iris) -> (u64, u64) {
    let mut counter = Counter::default();
    fit(strategy, &iris.task(hyper), comm, &RealClock::start(), &mut counter).unwrap();
    (counter.steps, counter.allocations)
}

#[test]
fn the_counter_counts() {
    let before = COUNT.get();
    let mut vector = vec![1u8; 100];
    vector.extend_from_slice(&[2; 1000]);
    assert_eq!(COUNT.get() - before, 2, "a new vector and its growth");
}

#[test]
fn a_step_of_one_rank_allocates_nothing() {
    let iris = Iris::load();
    for (rule, rate) in RULES {
        for micro_chunk in [None, Some(4)] {
            for (batch, steps) in [(4, 29), (7, 17), (50, 2)] {
                let hyper = Hyper { micro_chunk, ..hyper(rule, rate, batch, 6) };
                let counts = counted(Strategy::Single, hyper, &Solo::new(), &iris);
                assert_eq!(counts, (5 * steps, 0), "steps and allocations, {hyper:?}");
            }
        }
    }
}

#[test]
fn steps_of_threads_allocate_nothing_in_the_long_run() {
    let iris = Iris::load();
    for (strategy, ranks) in [(Strategy::AllReduce, 1), (Strategy::AllReduce, 3), (Strategy::SendRecv, 3)] {
        for rendezvous in [false, true] {
            for micro_chunk in [None, Some(4)] {
                let hyper = Hyper { micro_chunk, ..hyper(RULES[2].0, 0.01, 12, 60) };
                let options = ThreadOptions { rendezvous, deadline: Some(std::time::Duration::from_secs(20)) };
                let counts = run_threads(ranks, options, |comm| counted(strategy, hyper, comm, &iris));
                println!("{} x {ranks}, rendezvous {rendezvous}, {micro_chunk:?}: {counts:?}", strategy.name());
                // A mailbox keeps the memory of the messages it has held. A rare moment in which one more message is
                // under way than ever before takes new memory, once: so the count is bounded, whatever the steps.
                let bound = (8 * ranks * (ranks - 1)) as u64;
                let total: u64 = counts.iter().map(|(_, allocations)| allocations).sum();
                assert!(counts.iter().all(|(steps, _)| *steps == 59 * 9) && total <= bound, "{total} {counts:?}");
            }
        }
    }
}
