//! A steady training step allocates nothing.
//!
//! A counting allocator counts each thread's own allocations, so that neither the test runner nor another rank
//! disturbs; those of a pool's threads it counts together. Between two turns of a job lies exactly one step. The first epoch may allocate: buffers find their
//! sizes there. At the end of an epoch events and records may allocate, too.
#![allow(unsafe_code)] // implementing GlobalAlloc is unsafe

#[path = "cases/conv.rs"]
mod conv;
#[path = "cases/iris.rs"]
mod iris;

use conv::{Conv, TRAIN};
use goai::comm::{Communicator, Solo, ThreadOptions, run_threads};
use goai::device::RealClock;
use goai::event::Event;
use goai::nn::{Alone, Inference, Init, Network, Shape, model_text, zoo};
use goai::strategy::{Hyper, Job, JobError, Local, State, Strategy, Task, Turn, fit};
use iris::{Iris, RULES, hyper};
use ndarray::Array2;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Where a thread of a pool counts.
    static SHARED: Cell<Option<&'static AtomicU64>> = const { Cell::new(None) };
}

fn count() {
    match SHARED.get() {
        Some(shared) => drop(shared.fetch_add(1, Ordering::Relaxed)),
        None => COUNT.set(COUNT.get() + 1),
    }
}

/// This thread's allocations so far, or those of its pool.
fn allocations() -> u64 {
    SHARED.get().map_or(COUNT.get(), |shared| shared.load(Ordering::Relaxed))
}

/// Calls `work` on a thread of a pool of its own, whose threads count together.
fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let shared: &AtomicU64 = Box::leak(Box::default());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(|_| SHARED.set(Some(shared)));
    let pool = pool.build().unwrap();
    // A thread that looks for work for the first time registers with the queues, and takes memory for it.
    pool.broadcast(|_| ());
    pool.install(work)
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
        let now = allocations();
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
    counted_in(strategy, &iris.task(hyper.clone()), comm)
}

fn counted_in(strategy: Strategy, task: &Task, comm: &dyn Communicator) -> (u64, u64) {
    let mut counter = Counter::default();
    fit(strategy, task, comm, &RealClock::start(), &mut counter).unwrap();
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
fn a_ready_network_allocates_nothing() {
    let shape = Shape::image(3, 30, 26);
    let convolution = "[[layer]]\nkind = \"conv2d\"\noutputs = 20\nkernel = 3\npadding = 1\n";
    let shortcut = format!(
        "input = [3, 30, 26]\n{convolution}[[layer]]\nkind = \"max_pool\"\nkernel = 3\nstride = 2\n{convolution}[[layer]]\n\
         kind = \"add\"\nfrom = [\"conv2\", \"pool1\"]\n[[layer]]\nkind = \"global_avg_pool\"\n[[layer]]\nkind = \"dense\"\n"
    );
    for spec in [zoo::vgg5(&shape, 10).unwrap(), model_text::parse(&shortcut, &shape, 10).unwrap()] {
        let network = Network::build(spec).unwrap();
        let ready = Inference::new(&network, &Init::He.draw(&network, 1), &network.initial_sigma());
        let mut answers = ready.answers(2);
        let x = Array2::zeros((2, shape.elements()));
        let before = allocations();
        for _ in 0..3 {
            answers.assign(0, x.view());
            ready.run(&mut answers, &Alone);
        }
        assert_eq!(allocations() - before, 0, "{}", network.spec().name);
    }
}

#[test]
fn a_step_of_one_rank_allocates_nothing() {
    let iris = Iris::load();
    for (rule, rate) in RULES {
        for micro_chunk in [None, Some(4)] {
            for (batch, steps) in [(4, 29), (7, 17), (50, 2)] {
                let hyper = Hyper { micro_chunk, ..hyper(rule, rate, batch, 6) };
                let counts = counted(Strategy::Single, hyper.clone(), &Solo::new(), &iris);
                assert_eq!(counts, (5 * steps, 0), "steps and allocations, {hyper:?}");
            }
        }
    }
}

/// An averaging lists the optimizer's vectors, twice; the list of none takes no memory.
#[test]
fn a_step_of_a_ranks_own_allocates_nothing() {
    let iris = Iris::load();
    let local = Some(Local::Steps(NonZeroU64::new(4).unwrap()));
    for (rule, rate) in RULES {
        let hyper = Hyper { local, ..hyper(rule, rate, 12, 6) };
        let lists = if rule.vectors() > 0 { 2 } else { 0 };
        // Of an epoch's ten steps nine are counted; the ranks meet behind the fourth and the eighth of them.
        let counts = counted(Strategy::Single, hyper.clone(), &Solo::new(), &iris);
        assert_eq!(counts, (5 * 9, 5 * 2 * lists), "steps and allocations, {hyper:?}");
    }
}

#[test]
fn the_counter_counts_all_threads_of_a_pool() {
    let counts = in_pool(2, || {
        let before = allocations();
        let boxes = rayon::broadcast(|_| Box::new(7u8));
        (boxes.len(), allocations() - before)
    });
    assert!(counts.0 == 2 && counts.1 >= 2, "{counts:?}");
}

#[test]
fn a_step_on_pictures_allocates_nothing() {
    for (norm, threads) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
        let data = Conv::new(norm, true);
        for ((rule, rate), batch, micro_chunk) in [(RULES[0], 12, None), (RULES[1], 7, None), (RULES[2], 12, Some(4))] {
            let hyper = Hyper { micro_chunk, ..hyper(rule, rate, batch, 8) };
            let counts = in_pool(threads, || counted_in(Strategy::Single, &data.task(hyper.clone()), &Solo::new()));
            let steps = TRAIN.div_ceil(batch) as u64 - 1;
            assert_eq!(counts, (7 * steps, 0), "steps and allocations on {threads} threads, {hyper:?}");
        }
    }
}

/// Pictures large enough to be shared out to threads.
#[test]
fn a_step_of_the_networks_for_pictures_allocates_nothing() {
    for threads in [1, 2] {
        for name in ["img_cnn", "mnist_cnn", "vgg5", "vgg5_plain"] {
            let data = Conv::named(name);
            let hyper = hyper(RULES[0].0, 0.01, 20, 4);
            let counts = in_pool(threads, || counted_in(Strategy::Single, &data.task(hyper.clone()), &Solo::new()));
            assert_eq!(counts, (3 * 2, 0), "steps and allocations of {name} on {threads} threads");
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
                let counts = run_threads(ranks, options, |comm| counted(strategy, hyper.clone(), comm, &iris));
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
