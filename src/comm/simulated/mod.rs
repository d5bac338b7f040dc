//! A simulated world: ranks in virtual time, one schedule a seed, with whatever goes wrong in it.
//!
//! Ranks are threads, but only one of them runs at a time: it holds the baton. At every call of the communicator it
//! gives the baton away, and whoever comes next in virtual time goes on. How long calls, work and messages take is
//! drawn from the seed, so that every seed is another schedule, and the same seed is the same schedule on every
//! machine, however the system runs the threads. Nothing sleeps: a virtual hour passes at once.
//!
//! The program that runs on it is the one that runs on MPI: no part of a strategy knows that it is simulated. What may
//! go wrong is in the [`Plan`]: crashes before, in and behind any call, ranks that freeze and come back or do not, slow
//! ranks and links, damaged messages, and wishes from outside. What came of it is in the [`Outcome`]: a deadlock tells
//! who waits for whom, and messages that nobody received are listed.
//!
//! That a rank has crashed is known to each of the others at a time of its own, and messages that it sent before may
//! come later still. A rank whose body returns has said goodbye: it is not lost, but nobody gets anything from it any
//! more, so whoever waits for it waits for ever. [`SimComm::abort`] makes its return an end like a crash.

mod draws;
mod mail;
mod outcome;
mod plan;
mod rank;
mod record;
mod world;

pub use outcome::{Activity, End, Left, Outcome, Stuck, Why};
pub use plan::{Fault, Garble, Moment, Plan};
pub use rank::{SimClock, SimComm};

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use world::{Ended, World};

/// The world, and where each rank waits for the baton.
struct Shared {
    world: Mutex<World>,
    turns: Vec<Condvar>,
}

/// What a rank's stack is unwound with when the rank ends before its body does.
struct Cut;

fn unwind() -> ! {
    // Not a panic: the hook, which prints or aborts, is not called.
    resume_unwind(Box::new(Cut))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        // Nothing that may panic happens in the lock, but for mistakes of this module.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the baton to whoever is next and waits until it comes back.
    fn pass_on<'a>(&'a self, mut world: MutexGuard<'a, World>, rank: usize) -> MutexGuard<'a, World> {
        world.advance();
        if world.running != Some(rank) {
            self.wake(&world);
            world = self.await_turn(world, rank);
        }
        if world.over {
            drop(world);
            unwind();
        }
        if world.ranks[rank].killed {
            self.crash(world, rank);
        }
        world
    }

    fn wake(&self, world: &World) {
        if let Some(next) = world.running {
            self.turns[next].notify_one();
        }
    }

    fn await_turn<'a>(&'a self, world: MutexGuard<'a, World>, rank: usize) -> MutexGuard<'a, World> {
        let others = |world: &mut World| world.running != Some(rank);
        self.turns[rank].wait_while(world, others).unwrap_or_else(PoisonError::into_inner)
    }

    /// A rank's whole life.
    fn live<T>(self: &Arc<Self>, rank: usize, body: &(impl Fn(&SimComm) -> T + Sync)) -> End<T> {
        let world = self.await_turn(self.lock(), rank);
        let (over, size) = (world.over, world.ranks.len());
        drop(world);
        let comm = SimComm::new(rank, size, Arc::clone(self));
        let result = catch_unwind(AssertUnwindSafe(|| if over { unwind() } else { body(&comm) }));
        let mut world = self.lock();
        let end = match result {
            Ok(result) => {
                world.end(rank, Ended::Returned);
                End::Returned(result)
            }
            Err(cut) if cut.is::<Cut>() => {
                let frozen = world.is_frozen_for_ever(rank);
                world.end(rank, if frozen { Ended::Frozen } else { Ended::Stuck });
                match world.ranks[rank].ended {
                    Some(Ended::Crashed) => End::Crashed,
                    Some(Ended::Frozen) => End::Frozen,
                    _ => End::Stuck,
                }
            }
            Err(panic) => {
                world.end(rank, Ended::Panicked);
                End::Panicked(words(&*panic))
            }
        };
        world.advance();
        self.wake(&world);
        end
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".into())
}

/// Runs `body` on `size` ranks of a simulated world, and says what came of it.
///
/// # Panics
/// If there is no rank, or the system has no threads left. A body's panic is its rank's end, and not this one's.
pub fn run_simulated<T: Send>(size: usize, plan: Plan, body: impl Fn(&SimComm) -> T + Sync) -> Outcome<T> {
    assert!(size > 0, "a world has ranks");
    let mut world = World::new(size, plan);
    world.advance();
    let shared = Arc::new(Shared { world: Mutex::new(world), turns: (0..size).map(|_| Condvar::new()).collect() });
    let (body, threads) = (&body, &shared);
    let ends = std::thread::scope(|scope| {
        let start = |rank| {
            let thread = std::thread::Builder::new().name(format!("rank {rank}"));
            thread.spawn_scoped(scope, move || threads.live(rank, body)).expect("the system has threads left")
        };
        let ranks: Vec<_> = (0..size).map(start).collect();
        ranks.into_iter().map(|rank| rank.join().expect("panics are caught inside")).collect()
    });
    let mut world = shared.lock();
    world.sweep();
    Outcome {
        ends,
        stuck: world.stuck.take(),
        left: std::mem::take(&mut world.left),
        time: Duration::from_nanos(world.ended_at),
        calls: world.calls(),
        hash: world.record.hash,
        trace: world.record.trace.take().unwrap_or_default(),
    }
}
