//! The requests of a seed: a small network with branches, sources, plans at random, and what goes wrong.

use super::super::setup::Dice;
use goai::comm::simulated::{Fault, Plan};
use goai::nn::{Alone, Context, Flavor, Init, Network, Program, Shape, model_text};
use goai::plan::placement;
use goai::plan::placement::simulate::Request;
use goai::strategy::offload::{Granularity, Offload, OffloadGraph, Replan, Weights};
use goai::units::Seconds;
use ndarray::ArrayView2;
use std::time::Duration;

const SEED: u64 = 5;
/// Inputs of which each request has one.
const INPUTS: usize = 16;

/// Two branches that join, a shortcut, an exit that nobody reads, and tensors that several tasks read.
const NETWORK: &str = r#"
name = "branches"
input = [5]
[[layer]]
kind = "dense"
name = "stem"
outputs = 6
[[layer]]
kind = "tanh"
name = "trunk"
[[layer]]
kind = "dense"
name = "left"
outputs = 6
[[layer]]
kind = "relu"
name = "left_act"
[[layer]]
kind = "dense"
name = "right"
from = "trunk"
outputs = 3
[[layer]]
kind = "dense"
name = "head"
from = "right"
exit = true
[[layer]]
kind = "add"
name = "shortcut"
from = ["left_act", "trunk"]
[[layer]]
kind = "concat"
name = "join"
from = ["shortcut", "right", "trunk"]
[[layer]]
kind = "dense"
name = "last"
"#;

/// What all cases share.
pub struct World {
    pub network: Network,
    pub work: OffloadGraph,
    inputs: Vec<Vec<f32>>,
    /// By input: the answer of the whole network.
    answers: Vec<Vec<f32>>,
}

impl World {
    pub fn new() -> Self {
        let network = Network::build(model_text::parse(NETWORK, &Shape::vector(5), 4).unwrap()).unwrap();
        let work = OffloadGraph::of(&network, Granularity::Layer).unwrap();
        let input = |i: usize| (0..5).map(|k| ((i * 37 + k * 11) as f32 * 0.3).sin()).collect();
        let inputs: Vec<Vec<f32>> = (0..INPUTS).map(input).collect();
        let (theta, sigma) = (Init::Glorot.draw(&network, SEED), network.initial_sigma());
        let program = Program::compile(&network, Flavor::Fused);
        let mut workspace = program.forward_workspace(1);
        let last = network.outputs().last().unwrap().value;
        let answer = |x: &Vec<f32>| {
            workspace.assign(0, ArrayView2::from_shape((1, x.len()), x).unwrap());
            program.forward(&Context { team: &Alone, ..Context::eval(&[0], &sigma) }, &theta, &mut workspace);
            workspace.value(last).iter().copied().collect()
        };
        let answers = inputs.iter().map(answer).collect();
        Self { network, work, inputs, answers }
    }

    pub fn input(&self, request: usize) -> Vec<f32> {
        self.inputs[request % INPUTS].clone()
    }

    pub fn answer(&self, request: usize) -> &[f32] {
        &self.answers[request % INPUTS]
    }
}

/// Requests, and who answers them.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub ranks: usize,
    pub sources: Vec<usize>,
    pub queue: usize,
    pub requests: Vec<Request>,
    pub plans: Vec<placement::Plan>,
    pub choice: Vec<usize>,
}

impl Case {
    pub fn draw(seed: u64, world: &World) -> Self {
        let mut dice = Dice::new(seed ^ 0x0ff1);
        let ranks = 2 + dice.below(4);
        let first = dice.below(ranks);
        let mut sources = vec![first];
        if dice.below(2) == 0 {
            sources.push((first + 1 + dice.below(ranks - 1)) % ranks);
        }
        let each = 1 + dice.below(3);
        let plan = |source: &usize, dice: &mut Dice| plan(world, *source, ranks, &vec![true; ranks], dice);
        let plans = (0..each).flat_map(|_| sources.clone()).map(|source| plan(&source, &mut dice)).collect();
        let (count, gap) = (1 + dice.below(12), dice.below(3) as f64 * 2e-4);
        let place = |request: usize| request % sources.len();
        let request =
            |i: usize| Request { source: sources[place(i)], arrival: Seconds((i / sources.len()) as f64 * gap) };
        Self {
            seed,
            ranks,
            queue: 1 + dice.below(4),
            requests: (0..count).map(request).collect(),
            choice: (0..count).map(|i| dice.below(each) * sources.len() + place(i)).collect(),
            sources,
            plans,
        }
    }

    /// A plan on those that live, at random.
    pub fn plan_without(&self, world: &World, source: usize, alive: &[bool]) -> placement::Plan {
        plan(world, source, self.ranks, alive, &mut Dice::new(self.seed ^ 0x0ff2))
    }

    pub fn offload<'a>(
        &'a self,
        world: &'a World,
        input: &'a (dyn Fn(usize) -> Vec<f32> + Sync),
        replan: &'a Replan<'a>,
    ) -> Offload<'a> {
        Offload {
            network: &world.network,
            work: &world.work,
            weights: Weights::Drawn { init: Init::Glorot, seed: SEED },
            input,
            requests: &self.requests,
            plans: &self.plans,
            choice: &self.choice,
            queue: self.queue,
            script: None,
            replan: Some(replan),
        }
    }

    /// The world of the seed and what goes wrong in it. Rank 0 comes back when it stands still: nobody can do without it.
    pub fn plan(&self) -> Plan {
        let plan = Plan::new(self.seed);
        let tasks = (self.requests.len() * 12) as u32;
        let span = (plan.work + plan.latency) * tasks + plan.latency * 80;
        // A rank is asked some forty times what time it is.
        let mut plan = plan.with_drawn_faults(self.ranks, u64::from(tasks) * 4 + 160, span);
        let mut dice = Dice::new(self.seed ^ 0x0ff3);
        for fault in &mut plan.faults {
            match fault {
                Fault::Freeze { rank: 0, from, until } if *until == Duration::MAX => {
                    *until = *from + Duration::from_millis(1 + dice.below(2000) as u64);
                }
                // All ranks talk to each other.
                Fault::SlowLink { from, to, .. } | Fault::Outage { from, to, .. } => {
                    *from = dice.below(self.ranks);
                    *to = (*from + 1 + dice.below(self.ranks - 1)) % self.ranks;
                }
                _ => {}
            }
        }
        if dice.below(2) == 0 {
            // So short that silence comes and goes.
            plan.heartbeat = (span / 16).max(Duration::from_millis(1));
        }
        plan.limit = span * 400 + Duration::from_secs(60);
        plan
    }
}

/// Any task anywhere, at any place; the ends at their source.
fn plan(world: &World, source: usize, ranks: usize, alive: &[bool], dice: &mut Dice) -> placement::Plan {
    let tasks = world.work.graph.tasks().len();
    let living: Vec<usize> = (0..ranks).filter(|rank| alive[*rank]).collect();
    let end = |task: usize| task == world.work.input() || task == world.work.answer();
    let rank = (0..tasks).map(|task| if end(task) { source } else { dice.one_of(&living) }).collect();
    let mut place: Vec<usize> = (0..tasks).collect();
    (1..tasks).for_each(|i| place.swap(i, dice.below(i + 1)));
    placement::Plan { rank, place }
}
