//! What is to be done: tasks, and the tensors that flow between them.

use crate::units::{Bytes, Flops};
use std::collections::{HashMap, HashSet};

/// An index into a graph's tasks.
pub type TaskId = usize;
/// An index into a graph's tensors.
pub type TensorId = usize;

/// A piece of work that is done on one rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name, unique in the graph.
    pub name: String,
    /// Its arithmetic for one request.
    pub flops: Flops,
    /// What it needs in a rank's memory: parameters, and what lies beside them while it runs.
    pub memory: Bytes,
}

/// What one task hands to others: it travels once to each rank where any of them is.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Who makes it.
    pub from: TaskId,
    /// Who needs it, ascending.
    pub to: Vec<TaskId>,
    /// Its length on the wire, without the header.
    pub bytes: Bytes,
}

/// Why tasks and tensors are no graph that can be planned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Nothing to do.
    #[error("the task graph {graph} has no tasks: give it at least one")]
    Empty {
        /// The graph.
        graph: String,
    },
    /// A name that two tasks have.
    #[error("the task graph {graph} has two tasks named '{task}': rename one")]
    Twice {
        /// The graph.
        graph: String,
        /// The name.
        task: String,
    },
    /// A tensor from or to a task that there is not.
    #[error("the task graph {graph} has a tensor at task {task}, and its tasks are 0 to {last}: name one of them")]
    UnknownTask {
        /// The graph.
        graph: String,
        /// The index.
        task: usize,
        /// The last task.
        last: usize,
    },
    /// Tasks that wait for each other.
    #[error(
        "the task graph {graph} has a cycle through '{task}': no task can begin before itself; remove an edge of it"
    )]
    Cyclic {
        /// The graph.
        graph: String,
        /// One of the tasks.
        task: String,
    },
    /// A task that nothing flows to or from.
    #[error(
        "the task graph {graph} is in pieces: nothing connects '{task}' with '{first}'; add an edge or plan it by itself"
    )]
    Disconnected {
        /// The graph.
        graph: String,
        /// A task of the first piece.
        first: String,
        /// One of another.
        task: String,
    },
}

/// A checked graph: at least one task, no cycle, all in one piece.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskGraph {
    name: String,
    tasks: Vec<Task>,
    tensors: Vec<Tensor>,
    /// By task: the tensors that it reads, and those that it makes.
    reads: Vec<Vec<TensorId>>,
    makes: Vec<Vec<TensorId>>,
    order: Vec<TaskId>,
}

impl TaskGraph {
    /// Checks tasks and tensors.
    ///
    /// # Errors
    /// When they are empty, cyclic, in pieces, or name what there is not.
    pub fn new(name: &str, tasks: Vec<Task>, tensors: Vec<Tensor>) -> Result<Self, GraphError> {
        let graph = || name.to_owned();
        if tasks.is_empty() {
            return Err(GraphError::Empty { graph: graph() });
        }
        let mut names = HashSet::new();
        if let Some(task) = tasks.iter().find(|task| !names.insert(task.name.as_str())) {
            return Err(GraphError::Twice { graph: graph(), task: task.name.clone() });
        }
        let (mut reads, mut makes) = (vec![Vec::new(); tasks.len()], vec![Vec::new(); tasks.len()]);
        for (id, tensor) in tensors.iter().enumerate() {
            let ends = tensor.to.iter().chain([&tensor.from]);
            if let Some(task) = ends.copied().find(|task| *task >= tasks.len()) {
                return Err(GraphError::UnknownTask { graph: graph(), task, last: tasks.len() - 1 });
            }
            makes[tensor.from].push(id);
            tensor.to.iter().for_each(|to| reads[*to].push(id));
        }
        let mut it = Self { name: graph(), tasks, tensors, reads, makes, order: Vec::new() };
        it.order = it.sorted()?;
        it.check_pieces()?;
        Ok(it)
    }

    /// A graph of tasks and edges `(from, to, bytes)`, each a tensor of its own: as textbooks draw it.
    ///
    /// # Errors
    /// As [`TaskGraph::new`].
    pub fn of_edges(name: &str, tasks: Vec<Task>, edges: &[(TaskId, TaskId, Bytes)]) -> Result<Self, GraphError> {
        let tensor = |&(from, to, bytes): &(TaskId, TaskId, Bytes)| Tensor { from, to: vec![to], bytes };
        Self::new(name, tasks, edges.iter().map(tensor).collect())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tasks.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Its tensors.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensors that a task reads, ascending.
    pub fn reads(&self, task: TaskId) -> &[TensorId] {
        &self.reads[task]
    }

    /// The tensors that a task makes, ascending.
    pub fn makes(&self, task: TaskId) -> &[TensorId] {
        &self.makes[task]
    }

    /// Who has to be done before a task, with what it hands over; a task that hands over two tensors comes twice.
    pub fn predecessors(&self, task: TaskId) -> impl Iterator<Item = (TaskId, Bytes)> {
        self.reads[task].iter().map(|tensor| (self.tensors[*tensor].from, self.tensors[*tensor].bytes))
    }

    /// Who waits for a task, with what it is handed.
    pub fn successors(&self, task: TaskId) -> impl Iterator<Item = (TaskId, Bytes)> {
        let made = self.makes[task].iter().map(|tensor| &self.tensors[*tensor]);
        made.flat_map(|tensor| tensor.to.iter().map(|to| (*to, tensor.bytes)))
    }

    /// The tasks, each behind all that it waits for; of several that may be next the smallest index.
    pub fn order(&self) -> &[TaskId] {
        &self.order
    }

    fn sorted(&self) -> Result<Vec<TaskId>, GraphError> {
        let mut waits: Vec<usize> = self.reads.iter().map(Vec::len).collect();
        let mut free: std::collections::BTreeSet<TaskId> = (0..waits.len()).filter(|task| waits[*task] == 0).collect();
        let mut order = Vec::with_capacity(waits.len());
        while let Some(task) = free.pop_first() {
            order.push(task);
            for (next, _) in self.successors(task) {
                waits[next] -= 1;
                if waits[next] == 0 {
                    free.insert(next);
                }
            }
        }
        match waits.iter().position(|waits| *waits > 0) {
            None => Ok(order),
            Some(task) => Err(GraphError::Cyclic {
                graph: self.name.clone(),
                task: self.tasks[self.on_cycle(task, &waits)].name.clone(),
            }),
        }
    }

    /// From a task that never comes up, back along tasks that do not either, until one comes twice.
    fn on_cycle(&self, mut task: TaskId, waits: &[usize]) -> TaskId {
        let mut seen = HashSet::new();
        while seen.insert(task) {
            task = self.predecessors(task).map(|(before, _)| before).find(|before| waits[*before] > 0).unwrap_or(task);
        }
        task
    }

    fn check_pieces(&self) -> Result<(), GraphError> {
        let mut piece: HashMap<TaskId, ()> = HashMap::from([(0, ())]);
        let mut next = vec![0];
        while let Some(task) = next.pop() {
            let around = self.predecessors(task).chain(self.successors(task));
            next.extend(around.map(|(other, _)| other).filter(|other| piece.insert(*other, ()).is_none()));
        }
        match (0..self.tasks.len()).find(|task| !piece.contains_key(task)) {
            None => Ok(()),
            Some(task) => Err(GraphError::Disconnected {
                graph: self.name.clone(),
                first: self.tasks[0].name.clone(),
                task: self.tasks[task].name.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(count: usize) -> Vec<Task> {
        let task = |i: usize| Task { name: format!("t{i}"), flops: Flops(1), memory: Bytes(1) };
        (0..count).map(task).collect()
    }

    fn graph(count: usize, edges: &[(usize, usize)]) -> Result<TaskGraph, GraphError> {
        let edges: Vec<_> = edges.iter().map(|(from, to)| (*from, *to, Bytes(4))).collect();
        TaskGraph::of_edges("toy", tasks(count), &edges)
    }

    #[test]
    fn what_cannot_be_planned_is_refused_by_name() {
        let cases = [
            (0, &[][..], "has no tasks"),
            (2, &[], "nothing connects 't1' with 't0'"),
            (3, &[(0, 1), (1, 2), (2, 1)], "a cycle through 't"),
            (1, &[(0, 0)], "a cycle through 't0'"),
            (2, &[(0, 2)], "a tensor at task 2, and its tasks are 0 to 1"),
        ];
        for (count, edges, expected) in cases {
            let message = graph(count, edges).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let mut twice = tasks(2);
        twice[1].name = "t0".into();
        let message = TaskGraph::of_edges("toy", twice, &[(0, 1, Bytes(1))]).unwrap_err().to_string();
        assert!(message.contains("two tasks named 't0'"), "{message}");
    }

    #[test]
    fn tasks_come_behind_what_they_wait_for() {
        let graph = graph(4, &[(3, 1), (1, 0), (3, 2), (2, 0)]).unwrap();
        assert_eq!(graph.order(), [3, 1, 2, 0]);
        assert_eq!(graph.predecessors(0).collect::<Vec<_>>(), [(1, Bytes(4)), (2, Bytes(4))]);
        assert_eq!(graph.successors(3).map(|(to, _)| to).collect::<Vec<_>>(), [1, 2]);
    }
}
