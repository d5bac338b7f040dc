//! What the weights must be: the rounds that were told, one after the other, in plain code that knows no rank and no cut
//! but the one at which weights of several devices part.

use super::super::setup::{ROWS, World};
use super::case::{BLOCKS, Case};
use goai::data::order::{StepPlan, balanced, epoch_order};
use goai::data::{Samples, Visit};
use goai::event::SplitRecord;
use goai::nn::{Alone, Context, Flavor, Phase, Program, Workspace};
use goai::optim::{Optimizer, Step};
use goai::rng::{Purpose, shuffle, stream};
use goai::strategy::{Protocol, SplitCuts};

/// θ of one device's blocks or of the server's, and what its optimizer remembers.
struct Part {
    theta: Vec<f32>,
    optimizer: Box<dyn Optimizer>,
}

pub struct Oracle<'a> {
    case: &'a Case,
    world: &'a World,
    program: Program,
    workspace: Workspace,
    /// Parameters of the devices' parts: of all where each device trains a whole.
    front: usize,
    whole: Vec<f32>,
    /// By device, the blocks before the cut; and the one part behind it.
    fronts: Vec<Part>,
    rear: Part,
    epoch: u64,
    step_in_epoch: usize,
    step: u64,
}

/// The weights after these rounds, and the samples of each device in each.
pub fn replay(case: &Case, world: &World, rounds: &[Vec<SplitRecord>]) -> (Vec<f32>, Vec<Vec<u64>>) {
    let program = Program::compile(&world.network, Flavor::Fused);
    let workspace = program.workspace(ROWS);
    let whole = case.hyper.init.draw(&world.network, case.hyper.seed);
    let front = match (&case.split.cuts, case.split.protocol) {
        (SplitCuts::Fixed(cuts), Protocol::SplitFedV1 | Protocol::SplitFedV2) => theta_at(world, cuts[0]),
        _ => whole.len(),
    };
    let part = |len: usize| Part { theta: Vec::new(), optimizer: case.hyper.rule.build(len, 0.0) };
    // One network is handed from device to device, with what its optimizer remembers.
    let fronts = if case.split.protocol == Protocol::Sequential { 1 } else { case.ranks - 1 };
    let mut oracle = Oracle {
        case,
        world,
        program,
        workspace,
        front,
        fronts: (0..fronts).map(|_| part(front)).collect(),
        rear: part(whole.len() - front),
        whole,
        epoch: 0,
        step_in_epoch: 0,
        step: 0,
    };
    let samples = rounds.iter().map(|round| oracle.round(round)).collect();
    (oracle.whole, samples)
}

fn theta_at(world: &World, cut: usize) -> usize {
    match cut {
        0 => 0,
        BLOCKS => world.network.theta_len(),
        cut => world.network.nodes()[world.network.cuts()[cut - 1]].theta.start,
    }
}

impl Oracle<'_> {
    /// Trains a round in which these devices took part.
    fn round(&mut self, records: &[SplitRecord]) -> Vec<u64> {
        let devices: Vec<usize> = records.iter().map(|record| record.rank - 1).collect();
        let all = self.case.steps();
        let steps = self.case.split.round_steps.map_or(all, |steps| steps.get() as usize).min(all - self.step_in_epoch);
        let mut counts = vec![0; devices.len()];
        let (front, rear) = self.whole.split_at(self.front);
        self.rear.theta = rear.to_vec();
        self.fronts.iter_mut().for_each(|part| part.theta = front.to_vec());
        let first = self.step_in_epoch;
        match self.case.split.protocol {
            Protocol::Ares | Protocol::Federated | Protocol::Sequential => {
                for at in 0..devices.len() {
                    for s in first..first + steps {
                        let samples = self.samples(&devices, at, s);
                        counts[at] += samples.len() as u64;
                        let own = (s - first) as u64 + 1;
                        // One network is moved by all devices in turn, else each device moves its own.
                        let (part, number) = match self.case.split.protocol {
                            Protocol::Sequential => (0, self.step * devices.len() as u64 + (at * steps) as u64 + own),
                            _ => (devices[at], self.step + own),
                        };
                        self.learn(part, s, number, &samples);
                    }
                }
            }
            Protocol::SplitFedV1 | Protocol::SplitFedV2 => {
                for s in first..first + steps {
                    self.common_step(&devices, s, first, &mut counts);
                }
            }
        }
        let total: u64 = counts.iter().sum();
        if self.case.split.protocol == Protocol::Sequential {
            self.whole = self.fronts[0].theta.clone();
        } else if total > 0 {
            self.average(&devices, &counts, total);
        }
        self.step += steps as u64;
        self.step_in_epoch += steps;
        if self.step_in_epoch == all {
            (self.epoch, self.step_in_epoch) = (self.epoch + 1, 0);
        }
        counts
    }

    fn average(&mut self, devices: &[usize], counts: &[u64], total: u64) {
        self.whole.fill(0.0);
        for (device, count) in devices.iter().zip(counts).filter(|(_, count)| **count > 0) {
            let share = (*count as f64 / total as f64) as f32;
            let mine = self.fronts[*device].theta.iter().chain(&self.rear.theta);
            self.whole.iter_mut().zip(mine).for_each(|(whole, mine)| *whole += share * mine);
        }
    }

    /// One step of everybody with one part behind the cut.
    fn common_step(&mut self, devices: &[usize], s: usize, first: usize, counts: &mut [u64]) {
        let mean = self.case.split.protocol == Protocol::SplitFedV1;
        let mut sum = vec![0.0; self.rear.theta.len()];
        let mut rows = 0;
        for (at, device) in devices.iter().enumerate() {
            let samples = self.samples(devices, at, s);
            if samples.is_empty() {
                continue;
            }
            counts[at] += samples.len() as u64;
            rows += samples.len();
            let theta = [&*self.fronts[*device].theta, &*self.rear.theta].concat();
            let gradient = self.gradient(&theta, &samples);
            let (front, rear) = gradient.split_at(self.front);
            let before = self.step + (s - first) as u64;
            let step = self.step_of(s, before + 1, samples.len());
            self.fronts[*device].follow(step, front);
            match mean {
                true => sum.iter_mut().zip(rear).for_each(|(sum, rear)| *sum += rear),
                // The shared part is moved once a device.
                false => self.rear.follow(Step { number: before * devices.len() as u64 + at as u64 + 1, ..step }, rear),
            }
        }
        if mean && rows > 0 {
            self.rear.follow(self.step_of(s, self.step + (s - first) as u64 + 1, rows), &sum);
        }
    }

    /// One step of a whole network.
    fn learn(&mut self, part: usize, s: usize, number: u64, samples: &[u32]) {
        if !samples.is_empty() {
            let theta = self.fronts[part].theta.clone();
            let gradient = self.gradient(&theta, samples);
            let step = self.step_of(s, number, samples.len());
            self.fronts[part].follow(step, &gradient);
        }
    }

    fn step_of(&self, s: usize, number: u64, rows: usize) -> Step {
        let span = 1.0 / self.case.steps() as f64;
        let rate = self.case.hyper.schedule.at(self.epoch as f64 + s as f64 * span, span);
        Step { number, rate, scale: 1.0 / rows as f64 }
    }

    /// The samples of a device in a step of the epoch.
    fn samples(&self, devices: &[usize], at: usize, s: usize) -> Vec<u32> {
        let seed = self.case.hyper.seed;
        match &self.case.split.shards {
            None => {
                let mut order = Vec::new();
                epoch_order(ROWS, seed, self.epoch, &mut order);
                let run = &order[StepPlan::new(ROWS, self.case.hyper.global_batch).run(s)];
                run[balanced(run.len(), devices.len(), at)].to_vec()
            }
            Some(shards) => {
                let mut order = shards[devices[at]].clone();
                shuffle(&mut order, &mut stream(seed, Purpose::Order, self.epoch, devices[at] as u64 + 1));
                order.chunks(self.case.batch()).nth(s).unwrap_or(&[]).to_vec()
            }
        }
    }

    fn gradient(&mut self, theta: &[f32], samples: &[u32]) -> Vec<f32> {
        let (train, seed, epoch) = (&self.world.train, self.case.hyper.seed, self.epoch);
        let labels: Vec<u32> = samples.iter().map(|sample| train.label(*sample as usize)).collect();
        let visit = Visit { seed, epoch: Some(epoch) };
        self.workspace.begin(samples.len());
        self.workspace.fill(0, &Alone, &|row, layout, to| train.load(samples[row] as usize, visit, layout, to));
        let context = Context { phase: Phase::Train, seed, epoch, samples, sigma: &[], team: &Alone };
        let mut gradient = vec![0.0; theta.len()];
        self.program.loss_and_grad(&context, theta, &mut self.workspace, &labels, &mut gradient);
        gradient
    }
}

impl Part {
    fn follow(&mut self, step: Step, gradient: &[f32]) {
        self.optimizer.step(step, gradient, &mut self.theta, &Alone);
    }
}
