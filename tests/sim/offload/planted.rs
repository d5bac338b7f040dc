//! Planted bugs: what the simulator must find.

use super::super::meddled::{Meddle, Meddled};
use super::case::{Case, World};
use super::run::{plain, tell};
use goai::comm::simulated::{Fault, Moment, Plan};
use goai::comm::{Buffer, Communicator, Life, Tag};
use goai::strategy::offload::serve;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

const WITHIN: u64 = 200;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// A tensor is sent a second time.
    SentTwice,
    /// A tensor that came is lost.
    LostTensor,
    /// A tensor holds what it held for the request before.
    StaleTensor,
    /// What came under an old plan counts under the new one.
    OldPlan,
    /// The new plan of another source is lost.
    LostPlan,
    /// A lost rank is taken for a living one.
    LostUnnoticed,
    /// Nobody is told whom rank 0 has given up.
    LossUntold,
    /// A source never says that it is done.
    DoneDropped,
}

/// Words of a rank's message, and orders of rank 0.
const PLANNED: u32 = u32::MAX;
const DONE: u32 = u32::MAX - 1;
const BEGIN: u32 = u32::MAX - 4;
const GONE: u32 = u32::MAX - 5;
/// Smaller numbers are tensors.
const WORDS: u32 = u32::MAX - 8;

struct Mutant {
    bug: Bug,
    rank: usize,
    tasks: usize,
    count: RefCell<usize>,
    /// By tensor: what it held.
    before: RefCell<HashMap<u32, Vec<f32>>>,
    /// By request: its new plan.
    plans: RefCell<HashMap<u32, u32>>,
}

impl Mutant {
    fn each(&self, times: usize) -> bool {
        *self.count.borrow_mut() += 1;
        self.count.borrow().is_multiple_of(times)
    }
}

impl Meddle for Mutant {
    fn out(&self, _: usize, tag: Tag, message: &mut Buffer) -> bool {
        match (self.bug, tag, message.note.edge) {
            (Bug::LossUntold, Tag::Task, GONE) => message.note.edge = BEGIN,
            // A goodbye means nothing yet.
            (Bug::DoneDropped, Tag::Tensor, DONE) => message.note.edge = DONE - 1,
            (Bug::SentTwice, Tag::Tensor, ..WORDS) => return self.each(5),
            _ => {}
        }
        false
    }

    fn came(&self, _: usize, tag: Tag, message: &mut Buffer) {
        let note = &mut message.note;
        match (self.bug, tag, note.edge) {
            (Bug::OldPlan, Tag::Tensor, PLANNED) => {
                let plan = note.step;
                let again: Vec<u32> = message.f32s()[2 * self.tasks..].iter().map(|request| *request as u32).collect();
                self.plans.borrow_mut().extend(again.into_iter().map(|request| (request, plan)));
            }
            (Bug::OldPlan, Tag::Tensor, ..WORDS) => {
                note.step = self.plans.borrow().get(&note.micro).copied().unwrap_or(note.step);
            }
            (Bug::StaleTensor, Tag::Tensor, edge @ ..WORDS) => {
                let now = message.f32s().to_vec();
                if let Some(before) = self.before.borrow_mut().insert(edge, now)
                    && self.each(3)
                {
                    message.f32s_mut().copy_from_slice(&before);
                }
            }
            _ => {}
        }
    }

    fn loses(&self, _: usize, message: &Buffer) -> bool {
        match (self.bug, message.note.edge) {
            // Rank 0 would take the sender for lost.
            (Bug::LostTensor, ..WORDS) => self.rank > 0 && self.each(7),
            (Bug::LostPlan, PLANNED) => self.rank > 0,
            _ => false,
        }
    }

    fn life(&self, life: Life) -> Life {
        if self.bug == Bug::LostUnnoticed { Life::Alive } else { life }
    }
}

/// A bug, and the fault that it needs.
struct Planted {
    bug: Bug,
    fault: fn(usize) -> Vec<Fault>,
}

fn nothing(_: usize) -> Vec<Fault> {
    Vec::new()
}

fn crash(rank: usize) -> Vec<Fault> {
    vec![Fault::Crash { rank, call: 150, moment: Moment::Before }]
}

fn freeze(rank: usize) -> Vec<Fault> {
    vec![Fault::Freeze { rank, from: Duration::ZERO, until: Duration::MAX }]
}

const PLANTED: &[Planted] = &[
    Planted { bug: Bug::SentTwice, fault: nothing },
    Planted { bug: Bug::LostTensor, fault: nothing },
    Planted { bug: Bug::StaleTensor, fault: nothing },
    Planted { bug: Bug::DoneDropped, fault: nothing },
    Planted { bug: Bug::OldPlan, fault: crash },
    Planted { bug: Bug::LostPlan, fault: crash },
    Planted { bug: Bug::LostUnnoticed, fault: crash },
    Planted { bug: Bug::LossUntold, fault: freeze },
];

#[test]
fn every_planted_bug_is_found() {
    let world = World::new();
    let tasks = world.work.graph.tasks().len();
    let mut missed = Vec::new();
    for Planted { bug, fault } in PLANTED {
        let find = |seed| {
            let case = Case::draw(seed, &world);
            let worker = (1..case.ranks).find(|rank| !case.sources.contains(rank))?;
            let plan = Plan { limit: Duration::from_secs(20), faults: fault(worker), ..case.plan() };
            let told = tell(&case, &world, &plan, &|sim, offload| {
                let (count, before, plans) = Default::default();
                let mutant = Mutant { bug: *bug, rank: sim.rank(), tasks, count, before, plans };
                serve(offload, &Meddled::with(sim, mutant), &sim.clock())
            });
            told.err().map(|words| (words, case, plan))
        };
        let Some((words, case, plan)) = (0..WITHIN).find_map(find) else {
            missed.push(bug);
            continue;
        };
        println!("{bug:?}: found by seed {}: {words}", case.seed);
        // It is the bug that was found: without it the same world is in order.
        tell(&case, &world, &plan, &plain).unwrap();
    }
    assert!(missed.is_empty(), "not found within {WITHIN} seeds: {missed:#?}");
}
