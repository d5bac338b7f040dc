//! The tasks that a rank can do: each a part of the network with its own weights and nothing else.

use super::{Offload, OffloadGraph};
use crate::device::Clock;
use crate::nn::{Answers, Inference, Init, NetError, Network, Part, ValueId};
use crate::plan::placement::{TaskId, TensorId};
use crate::strategy::{TrainError, team};
use crate::units::Seconds;
use ndarray::{Array2, ArrayView2};
use std::collections::HashMap;

/// Where weights come from.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    /// Drawn, each tensor from its own stream: the same on whichever rank.
    Drawn {
        /// How.
        init: Init,
        /// From which seed.
        seed: u64,
    },
    /// Given: all of θ and σ.
    Given {
        /// The parameters.
        theta: &'a [f32],
        /// The running statistics.
        sigma: &'a [f32],
    },
}

/// A task ready to run.
struct Station {
    ready: Inference,
    answers: Answers,
    /// In the order of the part's inputs: the tensors that they are.
    inputs: Vec<TensorId>,
    /// In the order of the tensors that it makes: the part's values that they are.
    outputs: Vec<ValueId>,
}

/// The tasks of a rank.
pub(super) struct Crew<'a> {
    offload: &'a Offload<'a>,
    /// By task; none where it was not needed yet, or where there is nothing to compute.
    stations: Vec<Option<Station>>,
}

impl<'a> Crew<'a> {
    /// Prepares what a rank has to do by any of the plans, and runs each task once, so that no request waits for memory.
    pub fn assemble(offload: &'a Offload<'a>, rank: usize) -> Result<Self, TrainError> {
        let tasks = offload.work.graph.tasks().len();
        let mut crew = Self { offload, stations: (0..tasks).map(|_| None).collect() };
        for task in 0..tasks {
            if offload.plans.iter().any(|plan| plan.rank[task] == rank) {
                crew.prepare(task)?;
                if let Some(station) = &mut crew.stations[task] {
                    station.run();
                }
            }
        }
        Ok(crew)
    }

    /// Brings a task's part of the network here, where it is not yet.
    fn prepare(&mut self, task: TaskId) -> Result<(), TrainError> {
        if self.stations[task].is_none() && !self.offload.work.nodes[task].is_empty() {
            self.stations[task] = Some(
                Station::of(self.offload.network, self.offload.work, self.offload.weights, task)
                    .map_err(TrainError::Network)?,
            );
        }
        Ok(())
    }

    /// Gives a task what it reads.
    pub fn load<'t>(&mut self, task: TaskId, tensor: impl Fn(TensorId) -> &'t [f32]) -> Result<(), TrainError> {
        self.prepare(task)?;
        let Some(station) = &mut self.stations[task] else { return Ok(()) };
        for (at, input) in station.inputs.iter().enumerate() {
            let values = tensor(*input);
            let rows = ArrayView2::from_shape((1, values.len()), values).expect("one row");
            station.answers.assign(at, rows);
        }
        Ok(())
    }

    /// Computes a task that was given what it reads.
    pub fn run(&mut self, task: TaskId) {
        if let Some(station) = &mut self.stations[task] {
            station.run();
        }
    }

    /// What a task made when it ran last: the tensor at this place of those that it makes.
    pub fn made(&self, task: TaskId, at: usize) -> &[f32] {
        let station = self.stations[task].as_ref().expect("a task that made something computes");
        let values = station.answers.value(station.outputs[at]);
        values.to_slice().expect("a row lies in one piece")
    }
}

impl Station {
    fn of(network: &Network, work: &OffloadGraph, weights: Weights, task: TaskId) -> Result<Self, NetError> {
        let nodes = &work.nodes[task];
        let part = network.part(nodes)?;
        let (theta, sigma) = match weights {
            Weights::Drawn { init, seed } => (init.draw_part(network, nodes, seed), part.network.initial_sigma()),
            Weights::Given { theta, sigma } => (gathered(theta, &part.theta), gathered(sigma, &part.sigma)),
        };
        let read = |value: &ValueId| {
            let tensors = work.graph.reads(task).iter().copied();
            tensors.into_iter().find(|tensor| work.values[*tensor] == *value).expect("the graph has every edge")
        };
        let made = |tensor: &TensorId| inside(&part, nodes, network.num_inputs(), work.values[*tensor]);
        let ready = Inference::new(&part.network, &theta, &sigma);
        let mut answers = ready.answers(1);
        // Nothing has come yet, and a first run is to touch all memory.
        for (at, value) in part.inputs.iter().enumerate() {
            answers.assign(at, Array2::zeros((1, network.shapes()[*value].elements())).view());
        }
        Ok(Self {
            answers,
            inputs: part.inputs.iter().map(read).collect(),
            outputs: work.graph.makes(task).iter().map(made).collect(),
            ready,
        })
    }

    fn run(&mut self) {
        self.ready.run(&mut self.answers, team());
    }
}

/// The number that a part gives to a value of the whole that it makes.
fn inside(part: &Part, nodes: &[usize], first: usize, value: ValueId) -> ValueId {
    part.inputs.len() + nodes.binary_search(&(value - first)).expect("a task makes its own values")
}

fn gathered(all: &[f32], spans: &[crate::nn::Span]) -> Vec<f32> {
    spans.iter().flat_map(|span| &all[span.range()]).copied().collect()
}

/// What each task takes on this rank, each by itself on the data that it gets: the quicker of two runs behind a first.
///
/// # Errors
/// When a task is no network by itself.
pub fn task_times(
    network: &Network,
    work: &OffloadGraph,
    weights: Weights,
    input: &[f32],
    clock: &dyn Clock,
) -> Result<Vec<Seconds>, NetError> {
    let graph = &work.graph;
    let mut values: HashMap<TensorId, Vec<f32>> = HashMap::new();
    let mut times = vec![Seconds(0.0); graph.tasks().len()];
    for &task in graph.order() {
        if work.nodes[task].is_empty() {
            graph.makes(task).iter().for_each(|tensor| drop(values.insert(*tensor, input.to_vec())));
            continue;
        }
        let mut station = Station::of(network, work, weights, task)?;
        for (at, tensor) in station.inputs.clone().into_iter().enumerate() {
            let row = &values[&tensor];
            station.answers.assign(at, ArrayView2::from_shape((1, row.len()), row).expect("one row"));
        }
        station.run();
        let time = |station: &mut Station| {
            let began = clock.now();
            station.run();
            clock.now() - began
        };
        let (a, b) = (time(&mut station), time(&mut station));
        times[task] = if a < b { a } else { b };
        for (tensor, value) in graph.makes(task).iter().zip(&station.outputs) {
            values.insert(*tensor, station.answers.value(*value).iter().copied().collect());
        }
    }
    Ok(times)
}
