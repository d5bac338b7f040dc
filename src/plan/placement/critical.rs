//! What a request's time went into: its critical path, from its answer back to its arrival.
//!
//! The last task ended when it did because of the input that came last, or because its rank was busy; that input because of
//! the task that made it; and so on. The steps of the path follow each other without a gap, so their shares of the time add
//! up to one, in a simulation as in a real run whose clocks are a little apart.

use super::simulate::{Act, Message, RequestId, Script};
use super::{TaskGraph, TaskId, TensorId};
use crate::units::Seconds;
use std::collections::HashMap;

/// What a piece of a request's time was spent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// A rank did a task.
    Task {
        /// The rank.
        rank: usize,
        /// The task.
        task: TaskId,
    },
    /// A tensor was on its way, waiting for the transmitter included.
    Transfer {
        /// The tensor.
        tensor: TensorId,
        /// Its sender.
        from: usize,
        /// Its receiver.
        to: usize,
    },
    /// All was there and the rank did something else; or the request was not taken up yet.
    Waiting {
        /// The rank.
        rank: usize,
    },
}

/// A piece of a request's time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// What it was spent with.
    pub doing: Doing,
    /// When it began: when the step before it ended.
    pub start: Seconds,
    /// When it ended.
    pub end: Seconds,
}

/// Shares of a request's time; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Computing.
    pub execution: f64,
    /// Messages under way.
    pub transfer: f64,
    /// Waiting for ranks, or to be taken up.
    pub waiting: f64,
}

/// The steps of a path by what they were spent with. A request that took no time was all execution.
pub fn shares(path: &[Step]) -> Shares {
    let total: f64 = path.iter().map(|step| (step.end - step.start).0).sum();
    if total <= 0.0 {
        return Shares { execution: 1.0, transfer: 0.0, waiting: 0.0 };
    }
    let share = |of: fn(&Doing) -> bool| {
        let spent = path.iter().filter(|step| of(&step.doing)).map(|step| (step.end - step.start).0);
        // Not the sum: that of nothing is -0.
        spent.fold(0.0, |sum, time| sum + time) / total
    };
    Shares {
        execution: share(|doing| matches!(doing, Doing::Task { .. })),
        transfer: share(|doing| matches!(doing, Doing::Transfer { .. })),
        waiting: share(|doing| matches!(doing, Doing::Waiting { .. })),
    }
}

/// Where each act and each message of a script is found.
pub struct Record<'a> {
    graph: &'a TaskGraph,
    script: &'a Script,
    acts: HashMap<(RequestId, TaskId), (usize, Act)>,
    messages: HashMap<(RequestId, TensorId, usize), Message>,
}

impl<'a> Record<'a> {
    /// Of what was done for the requests that a script is about.
    pub fn new(graph: &'a TaskGraph, script: &'a Script) -> Self {
        let acts = script.acts.iter().enumerate().flat_map(|(rank, acts)| acts.iter().map(move |act| (rank, *act)));
        let messages = script.messages.iter().map(|message| ((message.request, message.tensor, message.to), *message));
        Self {
            graph,
            script,
            acts: acts.map(|(rank, act)| ((act.request, act.task), (rank, act))).collect(),
            messages: messages.collect(),
        }
    }

    /// Who did a task of a request, and when.
    pub fn act(&self, request: RequestId, task: TaskId) -> Option<(usize, Act)> {
        self.acts.get(&(request, task)).copied()
    }

    /// The input of a task that came last: the tensor, who made it, when it was there, and the message that brought it.
    fn last_input(&self, request: RequestId, task: TaskId, rank: usize) -> Option<Input> {
        let input = |tensor: &TensorId| {
            let (maker_rank, maker) = self.act(request, self.graph.tensors()[*tensor].from)?;
            let message = self.messages.get(&(request, *tensor, rank)).filter(|_| maker_rank != rank).copied();
            let there = message.map_or(maker.end, |message| message.arrival);
            Some(Input { tensor: *tensor, maker_rank, maker, message, there })
        };
        let inputs = self.graph.reads(task).iter().filter_map(input);
        inputs.max_by(|a, b| a.there.0.total_cmp(&b.there.0).then(b.tensor.cmp(&a.tensor)))
    }

    /// How long a task could have run and did not: since its last input was there, or its request was taken up.
    pub fn waited(&self, request: RequestId, task: TaskId) -> Seconds {
        let Some((rank, act)) = self.act(request, task) else { return Seconds(0.0) };
        let ready = self.last_input(request, task, rank).map_or(self.script.answers[request].begun, |last| last.there);
        Seconds((act.start - ready).0.max(0.0))
    }

    /// The critical path of a request, from its arrival to its answer; empty, where it has none.
    pub fn path(&self, request: RequestId) -> Vec<Step> {
        let answer = self.script.answers[request];
        let of_request = (0..self.graph.tasks().len()).filter_map(|task| self.act(request, task));
        let Some(mut at) = of_request.max_by(|a, b| a.1.end.0.total_cmp(&b.1.end.0)) else { return Vec::new() };
        let mut walk = Walk { begin: answer.arrival.0, now: answer.end.0.max(answer.arrival.0), steps: Vec::new() };
        // Clocks of real runs are a little apart: no task is walked through twice for that.
        for _ in 0..self.graph.tasks().len() {
            let (rank, act) = at;
            walk.back_to(act.end, Doing::Waiting { rank });
            walk.back_to(act.start, Doing::Task { rank, task: act.task });
            let Some(input) = self.last_input(request, act.task, rank) else { break };
            walk.back_to(input.there, Doing::Waiting { rank });
            if let Some(message) = input.message {
                let doing = Doing::Transfer { tensor: message.tensor, from: message.from, to: message.to };
                walk.back_to(message.sent, doing);
            }
            at = (input.maker_rank, input.maker);
        }
        walk.back_to(answer.arrival, Doing::Waiting { rank: answer.source });
        walk.steps.reverse();
        walk.steps
    }
}

/// An input of a task, and how it came.
struct Input {
    tensor: TensorId,
    maker_rank: usize,
    maker: Act,
    message: Option<Message>,
    there: Seconds,
}

/// Steps backwards in time.
struct Walk {
    begin: f64,
    now: f64,
    steps: Vec<Step>,
}

impl Walk {
    /// The step from `time` to where the walk is now, if there is one.
    fn back_to(&mut self, time: Seconds, doing: Doing) {
        let start = time.0.max(self.begin);
        if start < self.now {
            self.steps.push(Step { doing, start: Seconds(start), end: Seconds(self.now) });
            self.now = start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::placement::simulate::{FixedRanks, Request, Scene, simulate};
    use crate::plan::placement::{Plan, Problem, Task};
    use crate::rng::{self, Purpose};
    use crate::units::{Bytes, Flops};

    fn tasks(flops: &[u64]) -> Vec<Task> {
        let task = |(i, flops): (usize, &u64)| Task { name: format!("t{i}"), flops: Flops(*flops), memory: Bytes(1) };
        flops.iter().enumerate().map(task).collect()
    }

    fn run(graph: &TaskGraph, rank: Vec<usize>, ranks: usize, requests: &[Request], queue: usize) -> Script {
        let time = |task: &Task| vec![Seconds(task.flops.0 as f64); ranks];
        let mut problem = Problem::textbook(graph, graph.tasks().iter().map(time).collect());
        problem.between.iter_mut().flatten().for_each(|between| between.bytes_per_s = 10.0);
        let plan = Plan::in_order(&problem, rank);
        let scene = Scene { graph, requests, queue, header: Bytes(0) };
        simulate(&scene, &mut FixedRanks::new(&problem), &mut vec![plan], &mut |_, _| 0)
    }

    /// a (2 s) on rank 0, b (3 s) on rank 1 behind a message of 1 s, c (1 s) on rank 0 behind one of 0.5 s: 7.5 s. The
    /// second request comes at 1 s; its a is done from 2 s on, b has to wait from 5 s to 6 s for the first one's.
    #[test]
    fn the_path_of_a_chain_by_hand() {
        let edges = [(0, 1, Bytes(10)), (1, 2, Bytes(5))];
        let graph = TaskGraph::of_edges("chain", tasks(&[2, 3, 1]), &edges).unwrap();
        let requests = [0.0, 1.0].map(|arrival| Request { source: 0, arrival: Seconds(arrival) });
        let script = run(&graph, vec![0, 1, 0], 2, &requests, 2);
        let record = Record::new(&graph, &script);
        let told = |request| {
            let steps = record.path(request);
            let kind = |step: &Step| match step.doing {
                Doing::Task { rank, task } => format!("t{task}@{rank} {}-{}", step.start.0, step.end.0),
                Doing::Transfer { from, to, .. } => format!("{from}>{to} {}-{}", step.start.0, step.end.0),
                Doing::Waiting { rank } => format!("wait@{rank} {}-{}", step.start.0, step.end.0),
            };
            steps.iter().map(kind).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(told(0), "t0@0 0-2, 0>1 2-3, t1@1 3-6, 1>0 6-6.5, t2@0 6.5-7.5");
        assert_eq!(told(1), "wait@0 1-2, t0@0 2-4, 0>1 4-5, wait@1 5-6, t1@1 6-9, 1>0 9-9.5, t2@0 9.5-10.5");
        let Shares { execution, transfer, waiting } = shares(&record.path(1));
        assert_eq!((execution, transfer, waiting), (6.0 / 9.5, 1.5 / 9.5, 2.0 / 9.5));
        assert_eq!((record.waited(1, 1), record.waited(0, 1)), (Seconds(1.0), Seconds(0.0)));
    }

    #[test]
    fn paths_have_no_gap_and_shares_add_up_on_random_graphs() {
        for seed in 0..200u64 {
            let mut draws = rng::stream(seed, Purpose::Arrival, 0, 0);
            let mut below = |n: usize| rng::below(&mut draws, n as u64) as usize;
            let (count, ranks) = (2 + below(9), 1 + below(4));
            let flops: Vec<u64> = (0..count).map(|_| below(5) as u64).collect();
            let mut edges: Vec<_> = (1..count).map(|to| (below(to), to, Bytes(below(30) as u64))).collect();
            edges.extend((0..below(4)).map(|_| below(count - 1)).map(|from| (from, count - 1, Bytes(7))));
            let graph = TaskGraph::of_edges("random", tasks(&flops), &edges).unwrap();
            let plan = (0..count).map(|_| below(ranks)).collect();
            let requests: Vec<Request> =
                (0..1 + below(5)).map(|i| Request { source: below(ranks), arrival: Seconds(i as f64 * 0.7) }).collect();
            let mut script = run(&graph, plan, ranks, &requests, 1 + below(3));
            // The second time with clocks that are apart.
            for skew in [0.0, 0.3] {
                for (rank, acts) in script.acts.iter_mut().enumerate() {
                    let apart = Seconds(skew * rank as f64);
                    acts.iter_mut().for_each(|act| (act.start, act.end) = (act.start + apart, act.end + apart));
                }
                let record = Record::new(&graph, &script);
                for (request, answer) in script.answers.iter().enumerate() {
                    let path = record.path(request);
                    let ends = path.first().map(|first| (first.start, path[path.len() - 1].end));
                    assert!(ends.is_none_or(|ends| ends == (answer.arrival, answer.end)), "seed {seed}: {path:?}");
                    assert!(path.windows(2).all(|pair| pair[0].end == pair[1].start), "seed {seed}: {path:?}");
                    let Shares { execution, transfer, waiting } = shares(&path);
                    assert!((execution + transfer + waiting - 1.0).abs() < 1e-12, "seed {seed}");
                    assert!([execution, transfer, waiting].iter().all(|share| *share >= 0.0));
                }
            }
        }
    }
}
