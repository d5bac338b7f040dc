//! A worker: it waits for an order, obeys it, and reports.

use super::chunks::Chunks;
use super::collect::Collected;
use super::measure::{part, piece};
use super::shard::{ShardTrainer, Trained};
use super::wire::{Figures, Order, Reply, What, Word};
use super::{Grid, PATIENCE, joined};
use crate::comm::fixed_point::OrderFreeSum;
use crate::comm::{Buffer, CommError, Communicator, Kind, Life, Metered, Tag};
use crate::data::order::epoch_order;
use crate::device::{Clock, Draw, Mark};
use crate::nn::{Program, Tally};
use crate::optim::{Optimizer, Rule};
use crate::rng::{Purpose, stream, unit};
use crate::strategy::evaluate::Evaluator;
use crate::strategy::figures::{elements, write};
use crate::strategy::learner::{Learner, Weights};
use crate::strategy::modelled::{Phases, together};
use crate::strategy::outcome::Outcome;
use crate::strategy::stepper::{TAIL, compute, spans};
use crate::strategy::{Cursor, Fit, Job, State, Task, TrainError, Turn};
use crate::units::Seconds;
use std::time::Duration;

/// The rank of the server.
const SERVER: usize = 0;

/// A rank above 0 of a grid.
pub(super) struct Worker<'a> {
    task: &'a Task<'a>,
    grid: &'a Grid,
    comm: &'a Metered<'a>,
    clock: &'a dyn Clock,
    chunks: Chunks,
    learner: Learner<'a>,
    evaluator: Evaluator<'a>,
    shard: Option<ShardTrainer>,
    /// `[θ | σ | scales]` as the server last sent them, and the learning rate.
    weights: Vec<f32>,
    rate: f64,
    order_free: Option<OrderFreeSum>,
    /// `[∇ | moments | tail]` of a chunk or of a micro-chunk.
    vector: Vec<f32>,
    /// The kind of reports.
    kind: Kind,
    epoch_order: Vec<u32>,
    /// The epoch whose order that is.
    ordered: Option<u64>,
    message: Buffer,
    report: Buffer,
    /// Where the emulated machine stood before its last task.
    mark: Option<Mark>,
    totals: Figures,
    tasks: u64,
    cursor: Cursor,
    /// Nothing is remembered here: this stands for the server's optimizer where a state is shown.
    idle: Box<dyn Optimizer>,
    said: Turn,
}

impl<'a> Worker<'a> {
    pub fn new(
        task: &'a Task<'a>,
        grid: &'a Grid,
        program: &'a Program,
        comm: &'a Metered<'a>,
        clock: &'a dyn Clock,
    ) -> Self {
        let (network, hyper, samples) = (task.network, &task.hyper, task.train.len());
        let chunks = grid.chunks(samples, hyper);
        let deltas = grid.sends_deltas(samples);
        let order_free = hyper.micro_chunk.filter(|_| !deltas);
        let largest = match (grid.shards, order_free) {
            (Some(shards), _) if deltas => shards.batch.min(samples),
            (_, Some(micro)) => micro,
            _ => (0..chunks.count()).map(|chunk| chunks.positions(chunk).len()).max().unwrap_or(1),
        };
        let order_free =
            order_free.map(|micro| OrderFreeSum::new(spans(network), hyper.global_batch.min(samples).div_ceil(micro)));
        let kind = Collected::kind_of(order_free.is_some());
        let scales = order_free.as_ref().map_or(0, |sum| sum.scales().len());
        Self {
            task,
            grid,
            comm,
            clock,
            chunks,
            learner: Learner::new(task, program, clock, largest),
            evaluator: Evaluator::new(program),
            shard: grid.shards.filter(|_| deltas).map(|shards| ShardTrainer::new(network, shards)),
            weights: vec![0.0; network.theta_len() + network.sigma_len() + scales],
            rate: 0.0,
            order_free,
            vector: vec![0.0; network.theta_len() + network.sigma_len() + TAIL],
            kind,
            epoch_order: Vec::with_capacity(samples),
            ordered: None,
            message: Buffer::open(Kind::F32),
            report: Buffer::new(kind, 0),
            mark: None,
            totals: Figures { joules: f64::NAN, ..Figures::default() },
            tasks: 0,
            cursor: Cursor::default(),
            idle: Rule::Sgd.build(0, 0.0),
            said: Turn::GoOn,
        }
    }

    /// Obeys until the end.
    pub fn run(mut self, wanted: bool, job: &mut dyn Job) -> Result<Fit, TrainError> {
        if let Some(machine) = self.clock.machine() {
            together(self.comm, self.clock, machine)?;
        }
        let mut phases = Phases::open(self.comm, self.clock, job, wanted);
        loop {
            self.wish(job)?;
            let Some(order) = self.next_order()? else { continue };
            match order.what {
                // Who left does nothing but wait for the end.
                What::Train | What::Measure if self.said == Turn::Leave => {}
                What::Train => self.train(order, job)?,
                What::Measure => self.measure(order, job)?,
                What::Wait => {}
                What::Books => {
                    phases.end("train", job)?;
                    phases = Phases::open(self.comm, self.clock, job, wanted);
                }
                What::Part => {}
                What::End => return self.end(job),
            }
        }
    }

    /// Tells the server what is wished for here, once.
    fn wish(&mut self, job: &mut dyn Job) -> Result<(), TrainError> {
        let (theta, sigma) = self.weights.split_at(self.task.network.theta_len());
        let sigma = &sigma[..self.task.network.sigma_len()];
        let state = State { cursor: self.cursor, theta, sigma, scales: &[], applied: &[], optimizer: &*self.idle };
        let wish = job.turn(&state)?;
        let word = match wish {
            Turn::Stop if self.said != Turn::Stop => Word::Stop,
            Turn::Leave if self.said == Turn::GoOn => Word::Leave,
            _ => return Ok(()),
        };
        self.said = wish;
        let reply = Reply { word, chunk: 0, version: self.cursor.step, attempt: 0 };
        self.send(reply, 0, Tally::default(), job)
    }

    /// The newest order that is there, if one comes in time: it supersedes those before it.
    fn next_order(&mut self) -> Result<Option<Order>, TrainError> {
        if self.comm.message_within(Some(SERVER), Tag::Task, PATIENCE)?.is_none() {
            // What a server sent before it ended is read first: it may be the end.
            return match self.comm.life(SERVER) {
                Life::Lost => Err(CommError::PeerLost { rank: SERVER, tag: Tag::Task }.into()),
                Life::Alive | Life::Silent => Ok(None),
            };
        }
        let mut order = self.read_order()?;
        // Books are kept by all together, and an end is the end: nothing supersedes them.
        while !matches!(order.what, What::Books | What::End | What::Part)
            && self.comm.message_within(Some(SERVER), Tag::Task, Duration::ZERO)?.is_some()
        {
            order = self.read_order()?;
        }
        Ok(Some(order))
    }

    /// Receives an order, and the weights that came with it.
    fn read_order(&mut self) -> Result<Order, TrainError> {
        self.message.reopen(Kind::F32);
        self.receive()?;
        let order = Order::read(self.message.note, SERVER)?;
        if order.what == What::Train && order.chunk >= self.chunks.count() {
            let why = "a chunk that does not exist";
            return Err(CommError::Garbage { from: SERVER, tag: Tag::Task, why }.into());
        }
        let (len, expected) = (self.message.len(), self.weights.len() + halves_len());
        if len == expected && order.what != What::End {
            let (weights, rate) = self.message.f32s().split_at(self.weights.len());
            self.weights.copy_from_slice(weights);
            self.rate = joined(rate);
            let theta_and_sigma = self.task.network.theta_len() + self.task.network.sigma_len();
            if let Some(sum) = &mut self.order_free {
                sum.scales_mut().copy_from_slice(&self.weights[theta_and_sigma..]);
            }
        } else if len != 0 && order.what != What::End {
            let (kind, tag) = (Kind::F32, Tag::Task);
            let error = CommError::Mismatch { from: SERVER, tag, kind, len: expected, got_kind: kind, got_len: len };
            return Err(error.into());
        }
        Ok(order)
    }

    /// Receives a message. Where it arrives, in virtual time, while the machine is at its last task, that task is called
    /// off: the machine has never finished it, nor sent anything about it.
    fn receive(&mut self) -> Result<(), CommError> {
        let Some(machine) = self.clock.machine().filter(|machine| !machine.is_held()) else {
            return self.comm.recv(SERVER, Tag::Task, &mut self.message);
        };
        machine.hold(true);
        let received = self.comm.recv(SERVER, Tag::Task, &mut self.message);
        machine.hold(false);
        received?;
        let (arrival, now) = (Seconds(self.message.note.time), machine.now());
        if let Some(mark) = self.mark.take().filter(|_| arrival.0 > 0.0 && arrival < now) {
            machine.cancel(&mark, arrival);
            self.comm.retract();
        }
        self.comm.account(SERVER, &self.message);
        Ok(())
    }

    /// Computes a chunk and reports.
    fn train(&mut self, order: Order, job: &mut dyn Job) -> Result<(), TrainError> {
        self.cursor.step = order.version;
        self.cursor.epoch = order.epoch;
        if self.ordered != Some(order.epoch) {
            epoch_order(self.task.train.len(), self.task.hyper.seed, order.epoch, &mut self.epoch_order);
            self.ordered = Some(order.epoch);
        }
        let machine = self.clock.machine();
        self.mark = machine.map(|machine| machine.mark());
        machine.inspect(|machine| machine.keep_awake(true));
        let (start, began) = (self.clock.now(), machine.map_or(Seconds(0.0), |machine| machine.now()));
        let tally = self.compute(order)?;
        self.totals.compute_s += (self.clock.now() - start).0;
        let called_off = tally.is_none() || self.straggle(order, began)?;
        self.clock.machine().inspect(|machine| machine.keep_awake(false));
        let Some(tally) = tally.filter(|_| !called_off) else { return Ok(()) };
        self.totals.trained += tally.samples as f64;
        let len = self.result_len();
        self.send(order.reply(Word::Result), len, tally, job)
    }

    /// Writes the chunk's vector. Nothing when a newer order came meanwhile.
    fn compute(&mut self, order: Order) -> Result<Option<Tally>, TrainError> {
        let theta_len = self.task.network.theta_len();
        let (theta, sigma) = self.weights.split_at(theta_len);
        let weights = Weights { theta, sigma: &sigma[..self.task.network.sigma_len()] };
        let samples = &self.epoch_order[self.chunks.positions(order.chunk)];
        if let Some(shard) = &mut self.shard {
            let (comm, hurried) = (self.comm, self.clock.machine().is_none_or(|machine| machine.is_paced()));
            let mut superseded =
                || Ok(hurried && comm.message_within(Some(SERVER), Tag::Task, Duration::ZERO)?.is_some());
            let (task, learner, vector) = (self.task, &mut self.learner, &mut self.vector);
            return match shard.train(task, learner, weights, order, self.rate, samples, vector, &mut superseded)? {
                Trained::CalledOff => Ok(None),
                Trained::All(tally) => Ok(Some(tally)),
            };
        }
        let mut total = Tally::default();
        let micro = self.task.hyper.micro_chunk.filter(|_| self.order_free.is_some());
        if let Some(sum) = &mut self.order_free {
            sum.clear();
        }
        for samples in samples.chunks(micro.unwrap_or(samples.len()).max(1)) {
            compute(&mut self.learner, weights, order.epoch, samples, &mut self.vector, &mut |_, _| {});
            let tail = &self.vector[self.vector.len() - TAIL..];
            total += Tally { loss: tail[0].into(), correct: tail[1] as u64, samples: samples.len() as u64 };
            if let Some(sum) = &mut self.order_free {
                sum.add(&self.vector);
            }
        }
        Ok(Some(total))
    }

    /// Loses the time that a straggler loses. Where time is real, a newer order ends the wait; tells whether it did.
    fn straggle(&mut self, order: Order, began: Seconds) -> Result<bool, TrainError> {
        let Some(machine) = self.clock.machine() else { return Ok(false) };
        if let Some(delay) = &self.grid.delay {
            // A machine's bad luck is its own: by rank, unlike all that decides on weights.
            let rank = self.comm.rank();
            let sample = (rank as u64) << 32 | order.chunk as u64;
            let mut rng = stream(self.task.hyper.seed, Purpose::Delay, order.version, sample);
            let uniform = unit(&mut rng);
            let draw = Draw { task: self.tasks, uniform };
            machine.charge_seconds(delay.extra(rank, machine.now() - began, draw));
            self.tasks += 1;
        }
        const SLICE: Duration = Duration::from_millis(2);
        while !machine.lag().is_zero() {
            if self.comm.message_within(Some(SERVER), Tag::Task, machine.lag().min(SLICE))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Elements of a result, without the figures.
    fn result_len(&self) -> usize {
        self.vector.len() + self.order_free.as_ref().map_or(0, |sum| sum.seen.len())
    }

    /// Measures a piece and reports. It costs the emulated machine nothing.
    fn measure(&mut self, order: Order, job: &mut dyn Job) -> Result<(), TrainError> {
        let (theta, sigma) = self.weights.split_at(self.task.network.theta_len());
        let weights = Weights { theta, sigma: &sigma[..self.task.network.sigma_len()] };
        let samples = part(self.task, order.epoch);
        let tally = self.evaluator.evaluate(weights, samples, piece(samples, order.chunk));
        self.clock.machine().inspect(|machine| machine.hold(true));
        let sent = self.send(order.reply(Word::Measured), 0, tally, job);
        self.clock.machine().inspect(|machine| machine.hold(false));
        sent
    }

    /// Reports, with the first `len` elements of the result.
    fn send(&mut self, reply: Reply, len: usize, tally: Tally, job: &dyn Job) -> Result<(), TrainError> {
        let traffic = self.comm.traffic();
        let figures = Figures {
            loss: tally.loss,
            correct: tally.correct as f64,
            samples: tally.samples as f64,
            comm_s: traffic.talked.0,
            wait_s: traffic.waited.0,
            sent: traffic.sent.0 as f64,
            received: traffic.received.0 as f64,
            memory_mb: job.memory_mb(),
            joules: job.energy_j().unwrap_or(f64::NAN),
            ..self.totals
        };
        self.report.reshape(self.kind, len + elements::<Figures>(self.kind));
        if len > 0 {
            match &self.order_free {
                None => self.report.f32s_mut()[..len].copy_from_slice(&self.vector),
                Some(sum) => {
                    let (seen, values) = (bytemuck::cast_slice(&sum.seen), bytemuck::cast_slice(&sum.sum));
                    let payload = self.report.payload_mut();
                    payload[..size_of_val::<[u8]>(seen)].copy_from_slice(seen);
                    payload[size_of_val::<[u8]>(seen)..][..size_of_val::<[u8]>(values)].copy_from_slice(values);
                }
            }
        }
        write(&mut self.report, figures);
        self.report.note = reply.note();
        Ok(self.comm.send(SERVER, Tag::Report, &mut self.report)?)
    }

    /// The end of it, as the server tells it.
    fn end(mut self, job: &dyn Job) -> Result<Fit, TrainError> {
        self.clock.machine().inspect(|machine| machine.hold(true));
        self.send(Reply { word: Word::Bye, chunk: 0, version: 0, attempt: 0 }, 0, Tally::default(), job)?;
        // The message is another's memory once the next one has come.
        let heard = Outcome::hear(&self.message, self.task.network);
        let lost = vec![usize::MAX; self.part()?];
        Ok(Fit { lost, ..heard? })
    }

    /// Waits until the server has seen everybody off; how many it could not.
    fn part(&mut self) -> Result<usize, TrainError> {
        loop {
            match self.next_order()? {
                Some(order) if order.what == What::Part => return Ok(order.chunk),
                _ => {}
            }
        }
    }
}

/// Floats that a rate takes.
fn halves_len() -> usize {
    super::halves(0.0).len()
}
