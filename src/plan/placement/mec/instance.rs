//! What is to be placed: each task's work, its data and whom it waits for.

use super::MecError;
use crate::plan::placement::TaskGraph;
use std::collections::BTreeSet;

/// A checked task graph as the mobile-edge-cloud model sees it: at least one task, no cycle, no negative cost.
///
/// # Units
/// The model's published figures have none. With work in GFLOP, speeds in GFLOP/s, data in megabits and bandwidth in MHz,
/// as [`Instance::of_graph`] has them, times are seconds, powers watts and prices are per megabit.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    work: Vec<f64>,
    data: Vec<f64>,
    predecessors: Vec<Vec<usize>>,
    successors: Vec<Vec<usize>>,
    on_device: Vec<bool>,
    order: Vec<usize>,
}

impl Instance {
    /// Checks tasks: their work W, the data d that each takes in, and whom each waits for.
    ///
    /// # Errors
    /// When there are none, the lists differ in length, a cost is negative or no number, or the tasks wait in a circle.
    pub fn new(work: Vec<f64>, data: Vec<f64>, mut predecessors: Vec<Vec<usize>>) -> Result<Self, MecError> {
        let count = work.len();
        if data.len() != count || predecessors.len() != count {
            return Err(MecError::Lengths { work: count, data: data.len(), predecessors: predecessors.len() });
        }
        if count == 0 {
            return Err(MecError::Empty);
        }
        for (what, values) in [("work", &work), ("data", &data)] {
            if let Some((task, value)) = values.iter().enumerate().find(|(_, it)| !it.is_finite() || **it < 0.0) {
                return Err(MecError::Cost { task, what, value: *value });
            }
        }
        let mut successors = vec![Vec::new(); count];
        for (task, before) in predecessors.iter_mut().enumerate() {
            before.sort_unstable();
            before.dedup();
            for predecessor in before {
                let unknown = MecError::Unknown { task, predecessor: *predecessor, last: count - 1 };
                successors.get_mut(*predecessor).ok_or(unknown)?.push(task);
            }
        }
        let order = sorted(&predecessors, &successors)?;
        Ok(Self { work, data, predecessors, successors, on_device: vec![false; count], order })
    }

    /// A network's graph: W is a task's GFLOP, d the megabits of the tensors that it reads. Tasks without arithmetic at
    /// either end, the picture's `input` and the `answer`, stay on the device, so that the picture has to be uploaded; the
    /// published instances have none such, and their first task's data is nowhere waited for.
    pub fn of_graph(graph: &TaskGraph) -> Self {
        let tasks = 0..graph.tasks().len();
        let work = graph.tasks().iter().map(|task| task.flops.0 as f64 / 1e9).collect();
        let megabits = |task| graph.predecessors(task).map(|(_, bytes)| bytes.0 as f64 * 8.0 / 1e6).sum();
        let before = |task| graph.predecessors(task).map(|(before, _)| before).collect();
        let checked = Self::new(work, tasks.clone().map(megabits).collect(), tasks.clone().map(before).collect());
        let mut it = checked.expect("a task graph is checked when it is made");
        let at_an_end = |task: usize| it.predecessors[task].is_empty() || it.successors[task].is_empty();
        it.on_device = tasks.map(|task| graph.tasks()[task].flops.0 == 0 && at_an_end(task)).collect();
        it
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.work.len()
    }

    /// W by task.
    pub fn work(&self) -> &[f64] {
        &self.work
    }

    /// d by task: what it takes in.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// Whom each task waits for, ascending and once each.
    pub fn predecessors(&self, task: usize) -> &[usize] {
        &self.predecessors[task]
    }

    /// Who waits for a task, ascending.
    pub fn successors(&self, task: usize) -> &[usize] {
        &self.successors[task]
    }

    /// Whether a task cannot leave the device.
    pub fn on_device(&self, task: usize) -> bool {
        self.on_device[task]
    }

    /// The tasks, each behind all that it waits for; of several that may be next the smallest.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}

fn sorted(predecessors: &[Vec<usize>], successors: &[Vec<usize>]) -> Result<Vec<usize>, MecError> {
    let mut waits: Vec<usize> = predecessors.iter().map(Vec::len).collect();
    let mut free: BTreeSet<usize> = (0..waits.len()).filter(|task| waits[*task] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(task) = free.pop_first() {
        order.push(task);
        for next in &successors[task] {
            waits[*next] -= 1;
            if waits[*next] == 0 {
                free.insert(*next);
            }
        }
    }
    let stuck = |task: &usize| waits[*task] > 0;
    match (0..waits.len()).find(stuck) {
        None => Ok(order),
        Some(mut task) => {
            // Back along tasks that never come up, until one comes twice: that one is on a cycle, not merely behind one.
            let mut seen = BTreeSet::new();
            while seen.insert(task) {
                task = predecessors[task].iter().copied().find(stuck).unwrap_or(task);
            }
            Err(MecError::Cyclic { task })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::placement::Task;
    use crate::units::{Bytes, Flops};

    #[test]
    fn what_cannot_be_placed_is_refused_in_one_line() {
        let cases = [
            (vec![], vec![], vec![], "has no tasks"),
            (vec![1.0], vec![], vec![vec![]], "1 tasks' work, 0 tasks' data"),
            (vec![-1.0], vec![1.0], vec![vec![]], "task 0 has work -1"),
            (vec![1.0], vec![f64::NAN], vec![vec![]], "task 0 has data NaN"),
            (vec![1.0], vec![f64::INFINITY], vec![vec![]], "task 0 has data inf"),
            (vec![1.0; 2], vec![1.0; 2], vec![vec![], vec![2]], "task 1 waits for task 2, and the tasks are 0 to 1"),
            (vec![1.0; 3], vec![1.0; 3], vec![vec![1], vec![0], vec![1]], "task 0 waits for itself"),
            (vec![1.0; 3], vec![1.0; 3], vec![vec![1], vec![2], vec![2]], "task 2 waits for itself"),
        ];
        for (work, data, predecessors, expected) in cases {
            let message = Instance::new(work, data, predecessors).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn a_network_s_graph_has_its_gflop_and_megabits_and_its_ends_on_the_device() {
        let task = |name: &str, flops| Task { name: name.into(), flops: Flops(flops), memory: Bytes(0) };
        let tasks = vec![task("input", 0), task("conv", 2_000_000_000), task("pool", 0), task("answer", 0)];
        let edges = [(0, 1, Bytes(125_000)), (1, 2, Bytes(250_000)), (0, 2, Bytes(125_000)), (2, 3, Bytes(0))];
        let instance = Instance::of_graph(&TaskGraph::of_edges("toy", tasks, &edges).unwrap());
        assert_eq!(instance.work(), [0.0, 2.0, 0.0, 0.0]);
        assert_eq!(instance.data(), [0.0, 1.0, 3.0, 0.0]);
        assert_eq!((0..4).map(|task| instance.on_device(task)).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!((instance.predecessors(2), instance.successors(0)), (&[0, 1][..], &[1, 2][..]));
    }
}
