//! Fewer, larger tasks: neighbours that a plan leaves on one rank become one.
//!
//! What flows between them is then no message, and no task is looked for between them. The first task of the graph and
//! its last, the input and the answer, stay alone. What it costs: a group begins when all that any of its tasks reads is
//! there, and hands on when the last of them is done.

use super::{GraphError, Plan, Task, TaskGraph, TaskId, Tensor, TensorId};
use crate::units::{Bytes, Flops};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// A graph of groups of another's tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The groups as tasks.
    pub graph: TaskGraph,
    /// By group: its tasks, each behind all that it waits for.
    pub groups: Vec<Vec<TaskId>>,
    /// Where the groups run, by each of the plans: where their tasks did.
    pub plans: Vec<Plan>,
    /// By tensor: which of the other graph's it is.
    pub tensors: Vec<TensorId>,
}

/// Merges neighbours that every one of these plans leaves on one rank, as long as no group has to wait for what it makes
/// itself.
///
/// # Errors
/// When a task has the name that a group gets: of its first task and its last, with two dots between.
pub fn fuse(graph: &TaskGraph, plans: &[Plan]) -> Result<Fused, GraphError> {
    let mut merging = Merging::new(graph);
    let ends = [graph.order().first(), graph.order().last()].map(Option::<&TaskId>::copied);
    for &to in graph.order() {
        let befores: BTreeSet<TaskId> = graph.predecessors(to).map(|(before, _)| before).collect();
        for from in befores {
            let alone = [from, to].into_iter().any(|task| ends.contains(&Some(task)));
            if !alone && plans.iter().all(|plan| plan.rank[from] == plan.rank[to]) {
                merging.merge(from, to);
            }
        }
    }
    let groups = merging.sorted();
    let mut group = vec![0; graph.tasks().len()];
    groups.iter().enumerate().for_each(|(at, tasks)| tasks.iter().for_each(|task| group[*task] = at));
    let outside = |tensor: &Tensor| {
        let to: BTreeSet<usize> = tensor.to.iter().map(|task| group[*task]).collect();
        let from = group[tensor.from];
        let to: Vec<usize> = to.into_iter().filter(|to| *to != from).collect();
        (!to.is_empty()).then_some(Tensor { from, to, bytes: tensor.bytes })
    };
    let kept = graph.tensors().iter().enumerate().filter_map(|(id, tensor)| Some((id, outside(tensor)?)));
    let (ids, tensors): (Vec<TensorId>, Vec<Tensor>) = kept.unzip();
    let tasks = groups.iter().map(|group| together(graph, group)).collect();
    let plans = plans.iter().map(|plan| plan_of(plan, &groups)).collect();
    Ok(Fused { graph: TaskGraph::new(graph.name(), tasks, tensors)?, groups, plans, tensors: ids })
}

/// A group as one task.
fn together(graph: &TaskGraph, group: &[TaskId]) -> Task {
    let tasks = || group.iter().map(|task| &graph.tasks()[*task]);
    let (first, last) = (&graph.tasks()[group[0]].name, &graph.tasks()[group[group.len() - 1]].name);
    Task {
        name: if group.len() == 1 { first.clone() } else { format!("{first}..{last}") },
        flops: Flops(tasks().fold(0, |sum, task| sum.saturating_add(task.flops.0))),
        memory: Bytes(tasks().fold(0, |sum, task| sum.saturating_add(task.memory.0))),
    }
}

/// Groups in the order of the first of their tasks' places.
fn plan_of(plan: &Plan, groups: &[Vec<TaskId>]) -> Plan {
    let first = |group: &Vec<TaskId>| group.iter().map(|task| plan.place[*task]).min();
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|group| first(&groups[*group]));
    let mut place = vec![0; groups.len()];
    order.into_iter().enumerate().for_each(|(at, group)| place[group] = at);
    Plan { rank: groups.iter().map(|group| plan.rank[group[0]]).collect(), place }
}

/// Tasks on their way into groups. A group goes by one of its tasks.
struct Merging<'a> {
    graph: &'a TaskGraph,
    /// By task: its group.
    group: Vec<usize>,
    /// By group: its tasks.
    members: Vec<Vec<TaskId>>,
    /// By task: its place in the graph's order.
    at: Vec<usize>,
}

impl<'a> Merging<'a> {
    fn new(graph: &'a TaskGraph) -> Self {
        let tasks = 0..graph.tasks().len();
        let mut at = vec![0; tasks.len()];
        graph.order().iter().enumerate().for_each(|(place, task)| at[*task] = place);
        Self { graph, group: tasks.clone().collect(), members: tasks.map(|task| vec![task]).collect(), at }
    }

    /// The groups that wait for a group, itself not among them.
    fn next(&self, group: usize) -> BTreeSet<usize> {
        let made = self.members[group].iter().flat_map(|task| self.graph.successors(*task));
        made.map(|(to, _)| self.group[to]).filter(|to| *to != group).collect()
    }

    /// Makes the groups of a task and of one behind it one, unless there is a third that waits for the one and that the
    /// other waits for.
    fn merge(&mut self, from: TaskId, to: TaskId) {
        let (from, to) = (self.group[from], self.group[to]);
        if from == to || self.detour(from, to) {
            return;
        }
        let joined = std::mem::take(&mut self.members[to]);
        joined.iter().for_each(|task| self.group[*task] = from);
        self.members[from].extend(joined);
    }

    /// Whether there is a way from a group to another through a third one.
    fn detour(&self, from: usize, to: usize) -> bool {
        let mut seen: BTreeSet<usize> = self.next(from);
        seen.remove(&to);
        let mut next: Vec<usize> = seen.iter().copied().collect();
        while let Some(group) = next.pop() {
            for behind in self.next(group) {
                if behind == to {
                    return true;
                }
                if seen.insert(behind) {
                    next.push(behind);
                }
            }
        }
        false
    }

    /// The groups, each behind all that it waits for; of several that may be next the one whose first task comes first.
    fn sorted(mut self) -> Vec<Vec<TaskId>> {
        let at = std::mem::take(&mut self.at);
        self.members.iter_mut().for_each(|tasks| tasks.sort_by_key(|task| at[*task]));
        let groups: Vec<usize> = (0..self.members.len()).filter(|group| !self.members[*group].is_empty()).collect();
        let mut waits = vec![0usize; self.members.len()];
        groups.iter().flat_map(|group| self.next(*group)).for_each(|to| waits[to] += 1);
        let key = |group: usize| Reverse((at[self.members[group][0]], group));
        let mut free: BinaryHeap<_> =
            groups.iter().filter(|group| waits[**group] == 0).map(|group| key(*group)).collect();
        let mut sorted = Vec::with_capacity(groups.len());
        while let Some(Reverse((_, group))) = free.pop() {
            for to in self.next(group) {
                waits[to] -= 1;
                if waits[to] == 0 {
                    free.push(key(to));
                }
            }
            sorted.push(self.members[group].clone());
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::super::simple;
    use super::super::simulate::receivers;
    use super::super::testing::Shape;
    use super::*;

    /// Bytes that cross ranks.
    fn crossing(graph: &TaskGraph, plan: &Plan) -> u64 {
        let sent = |tensor: usize| {
            let it = &graph.tensors()[tensor];
            let to = receivers(graph, plan, tensor).into_iter().filter(|rank| *rank != plan.rank[it.from]).count();
            to as u64 * it.bytes.0
        };
        (0..graph.tensors().len()).map(sent).sum()
    }

    /// That there is no cycle, `TaskGraph::new` has checked.
    #[test]
    fn groups_do_the_same_work_and_send_the_same_bytes() {
        let mut fewer = 0;
        for seed in 0..400 {
            let shape =
                Shape { tasks: 3 + seed as usize % 20, ranks: 1 + seed as usize % 3, pinned: true, contended: true };
            let graph = shape.dag(seed);
            let problem = shape.problem(&graph, seed);
            let plan = simple::random(&problem, seed).unwrap();
            let fused = fuse(&graph, std::slice::from_ref(&plan)).unwrap();
            let flops = |graph: &TaskGraph| graph.tasks().iter().map(|task| task.flops.0).sum::<u64>();
            assert_eq!(flops(&fused.graph), flops(&graph), "seed {seed}");
            assert_eq!(crossing(&fused.graph, &fused.plans[0]), crossing(&graph, &plan), "seed {seed}");
            let mut all: Vec<TaskId> = fused.groups.concat();
            assert_eq!(fused.groups.first(), Some(&vec![0]), "the input is alone and first");
            assert_eq!(fused.groups.last(), Some(&vec![graph.tasks().len() - 1]), "the answer is alone and last");
            assert_eq!(fused.graph.order(), (0..fused.groups.len()).collect::<Vec<_>>());
            all.sort_unstable();
            assert!(all.into_iter().eq(0..graph.tasks().len()), "every task once");
            for (group, tasks) in fused.groups.iter().enumerate() {
                assert!(tasks.iter().all(|task| plan.rank[*task] == fused.plans[0].rank[group]), "seed {seed}");
                assert!(connected(&graph, tasks), "seed {seed}: {tasks:?}");
            }
            fewer += usize::from(fused.groups.len() < graph.tasks().len());
            // On one rank all that is not input or answer hangs together or is merged in pieces; no less work is left.
            let again = fuse(&fused.graph, &fused.plans).unwrap();
            assert!(again.groups.len() <= fused.groups.len());
        }
        assert!(fewer > 200, "{fewer}");
    }

    fn connected(graph: &TaskGraph, tasks: &[TaskId]) -> bool {
        let mut seen = BTreeSet::from([tasks[0]]);
        let mut next = vec![tasks[0]];
        while let Some(task) = next.pop() {
            for (other, _) in graph.predecessors(task).chain(graph.successors(task)) {
                if tasks.contains(&other) && seen.insert(other) {
                    next.push(other);
                }
            }
        }
        seen.len() == tasks.len()
    }

    /// in → a → b → c → out and a → c: b is elsewhere, so a and c must not become one, and the tensor that b and c both
    /// read stays one.
    #[test]
    fn what_is_waited_for_elsewhere_keeps_groups_apart() {
        let task = |name: &str| Task { name: name.into(), flops: Flops(1), memory: Bytes(2) };
        let tasks = ["in", "a", "a2", "b", "c", "out"].map(task).to_vec();
        let tensor = |from, to: &[usize]| Tensor { from, to: to.to_vec(), bytes: Bytes(4) };
        let tensors = vec![tensor(0, &[1]), tensor(1, &[2]), tensor(2, &[3, 4]), tensor(3, &[4]), tensor(4, &[5])];
        let graph = TaskGraph::new("bridge", tasks, tensors).unwrap();
        let plan = Plan { rank: vec![0, 0, 0, 1, 0, 0], place: (0..6).collect() };
        let fused = fuse(&graph, std::slice::from_ref(&plan)).unwrap();
        assert_eq!(fused.groups, [vec![0], vec![1, 2], vec![3], vec![4], vec![5]]);
        assert_eq!(fused.graph.tasks()[1], Task { name: "a..a2".into(), flops: Flops(2), memory: Bytes(4) });
        assert_eq!(fused.graph.tensors()[1], tensor(1, &[2, 3]));
        assert_eq!(fused.plans[0], Plan { rank: vec![0, 0, 1, 0, 0], place: (0..5).collect() });
        let together = fuse(&graph, &[Plan { rank: vec![0; 6], ..plan }]).unwrap();
        assert_eq!(together.groups, [vec![0], vec![1, 2, 3, 4], vec![5]]);
    }
}
