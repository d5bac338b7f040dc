//! Requests that are served in a simulated world, and what must hold afterwards.

use super::super::check::must;
use super::Counts;
use super::case::{Case, World};
use goai::comm::Communicator;
use goai::comm::simulated::{End, Fault, Outcome, Plan, SimComm, run_simulated};
use goai::plan::placement::simulate::receivers;
use goai::strategy::TrainError;
use goai::strategy::offload::{Offload, Served, serve};
use std::collections::BTreeMap;
use std::time::Duration;

pub type Run = Outcome<Result<Option<Served>, String>>;

/// Serves on one rank, over its communicator as a planted bug has it.
pub type Wrap<'a> = &'a (dyn Fn(&SimComm, &Offload) -> Result<Option<Served>, TrainError> + Sync);

/// Nothing is planted.
pub fn plain(sim: &SimComm, offload: &Offload) -> Result<Option<Served>, TrainError> {
    serve(offload, sim, &sim.clock())
}

pub fn run(case: &Case, world: &World, plan: Plan, wrap: Wrap) -> Run {
    let input = |request| world.input(request);
    let replan = |source: usize, alive: &[bool]| Some(case.plan_without(world, source, alive));
    let offload = case.offload(world, &input, &replan);
    run_simulated(case.ranks, plan, |sim| {
        let served = wrap(sim, &offload);
        if let (0, Ok(Some(served))) = (sim.rank(), &served) {
            // A launcher would wait for those that stand still.
            served.lost.iter().for_each(|rank| sim.kill(*rank));
        }
        served.map_err(|error| {
            sim.abort();
            error.to_string()
        })
    })
}

fn crashes(plan: &Plan, who: usize) -> bool {
    plan.faults.iter().any(|fault| matches!(fault, Fault::Crash { rank, .. } if *rank == who))
}

fn freezes(plan: &Plan, who: usize) -> bool {
    plan.faults.iter().any(|fault| matches!(fault, Fault::Freeze { rank, .. } if *rank == who))
}

/// Serves and checks everything.
pub fn tell(case: &Case, world: &World, plan: &Plan, wrap: Wrap) -> Result<Counts, String> {
    let done = run(case, world, plan.clone(), wrap);
    done.trace.iter().for_each(|line| println!("{line}"));
    if let Some(stuck) = &done.stuck {
        return Err(format!("it did not end: {stuck}"));
    }
    ends(plan, &done)?;
    let mut counts = Counts { calls: done.calls, ..Counts::default() };
    counts.crashed += usize::from(done.ends.iter().any(|end| end.returned().is_none()));
    let Some(Ok(served)) = done.ends[0].returned() else {
        counts.ended += 1;
        return Ok(counts);
    };
    let served = served.as_ref().ok_or("rank 0 has no record")?;
    for rank in &served.lost {
        must!(crashes(plan, *rank) || freezes(plan, *rank), "rank {rank} was given up without a cause");
    }
    answers(case, world, served)?;
    if (0..case.ranks).all(|rank| !crashes(plan, rank) && !freezes(plan, rank)) {
        must!(done.left.is_empty(), "messages that nobody received: {:?}", done.left);
        once(case, world, served)?;
    }
    counts.answered += served.answers.iter().flatten().count();
    counts.lost += served.lost.len();
    counts.replanned += served.replanned;
    Ok(counts)
}

/// Who may end how.
fn ends(plan: &Plan, done: &Run) -> Result<(), String> {
    let rank_0_died = crashes(plan, 0);
    for (rank, end) in done.ends.iter().enumerate() {
        match end {
            End::Crashed => must!(crashes(plan, rank) || freezes(plan, rank), "rank {rank} crashed without a plan"),
            End::Frozen => must!(freezes(plan, rank), "rank {rank} is frozen without a plan"),
            End::Stuck => return Err(format!("rank {rank} is stuck")),
            End::Panicked(words) => return Err(format!("rank {rank} panicked: {words}")),
            End::Returned(Err(words)) => {
                let gone = rank > 0 && rank_0_died && words.contains("rank 0 is gone");
                must!(gone, "rank {rank}: {words}");
            }
            End::Returned(Ok(served)) => must!(served.is_some() == (rank == 0), "rank {rank} has a record, or none"),
        }
    }
    Ok(())
}

/// Every request of a source that lives has its answer, once, and nobody's is wrong.
fn answers(case: &Case, world: &World, served: &Served) -> Result<(), String> {
    let answered = |request: usize| {
        let acts = served.record.acts.iter().flatten();
        acts.filter(|act| act.request == request && act.task == world.work.answer()).count()
    };
    must!(served.answers.len() == case.requests.len(), "{} answers", served.answers.len());
    let mut anew = 0;
    for (request, answer) in served.answers.iter().enumerate() {
        let source = case.requests[request].source;
        let Some(answer) = answer else {
            must!(served.lost.contains(&source), "request {request} of rank {source}, which lives, has no answer");
            continue;
        };
        must!(answered(request) == 1, "request {request} was answered {} times", answered(request));
        let expected = world.answer(request);
        must!(answer.len() == expected.len(), "request {request}: {} numbers", answer.len());
        let near = answer.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0));
        must!(near, "request {request}: {answer:?} instead of {expected:?}");
        let told = &served.record.answers[request];
        must!(told.arrival <= told.begun && told.begun <= told.end, "request {request}: {told:?}");
        anew += usize::from(told.plan >= case.plans.len());
        must!(
            told.plan >= case.plans.len() || told.plan == case.choice[request],
            "request {request} has another's plan"
        );
    }
    must!(served.replanned == anew, "{} requests were planned anew, and {anew} have new plans", served.replanned);
    Ok(())
}

/// Where nobody is lost: every task of every request once, every tensor once to each rank that reads it.
fn once(case: &Case, world: &World, served: &Served) -> Result<(), String> {
    let graph = &world.work.graph;
    must!(served.lost.is_empty() && served.replanned == 0, "{:?} were given up", served.lost);
    let mut tasks: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (rank, acts) in served.record.acts.iter().enumerate() {
        acts.iter().for_each(|act| tasks.entry((act.request, act.task)).or_default().push(rank));
        must!(acts.windows(2).all(|pair| pair[1].start >= pair[0].end), "rank {rank} did two things at once");
    }
    let mut messages: BTreeMap<(usize, usize, usize), usize> = BTreeMap::new();
    for message in &served.record.messages {
        *messages.entry((message.request, message.tensor, message.to)).or_default() += 1;
    }
    for (request, plan) in case.choice.iter().map(|plan| &case.plans[*plan]).enumerate() {
        for task in 0..graph.tasks().len() {
            let ranks = tasks.remove(&(request, task)).unwrap_or_default();
            must!(ranks == [plan.rank[task]], "request {request}, task {task}: done by {ranks:?}");
        }
        for tensor in 0..graph.tensors().len() {
            let from = plan.rank[graph.tensors()[tensor].from];
            for to in receivers(graph, plan, tensor).into_iter().filter(|to| *to != from) {
                let times = messages.remove(&(request, tensor, to)).unwrap_or(0);
                must!(times == 1, "request {request}, tensor {tensor}: {times} times to rank {to}");
            }
        }
    }
    must!(tasks.is_empty() && messages.is_empty(), "too much: {tasks:?}, {messages:?}");
    let within = |offset: &goai::strategy::offload::Offset| offset.within.0 < Duration::from_secs(60).as_secs_f64();
    must!(served.offsets.iter().all(within), "clocks are not known: {:?}", served.offsets);
    Ok(())
}
