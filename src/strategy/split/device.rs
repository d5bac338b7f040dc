//! A device: it trains the first blocks, and asks the server for the gradients behind them.

use super::ability::Ability;
use super::dealer::Dealer;
use super::sides::Sides;
use super::wire::{Figures, Order, Round, What, Word};
use super::{PATIENCE, Protocol, SERVER, Split, SplitCuts};
use crate::comm::{Buffer, CommError, Communicator, Kind, Life, Metered, Tag};
use crate::data::Visit;
use crate::device::{Clock, Energy, Ledger};
use crate::layout::Layout;
use crate::nn::Workspace;
use crate::optim::{Optimizer, Rule, Step};
use crate::strategy::figures::{elements, read, write};
use crate::strategy::parcel::pack;
use crate::strategy::portion::{At, Gradient, Portion, copy_rows};
use crate::strategy::{Cursor, Fit, Job, State, Task, TrainError, Turn};
use crate::units::Seconds;
use std::time::Duration;

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    Over,
    /// The server has called the round off.
    CalledOff,
}

/// A rank that is a device.
pub(super) struct Device<'a> {
    pub(super) task: &'a Task<'a>,
    split: &'a Split,
    pub(super) comm: &'a Metered<'a>,
    pub(super) clock: &'a dyn Clock,
    pub(super) sides: &'a Sides<'a>,
    dealer: Dealer<'a>,
    /// Which device, from 0.
    number: usize,
    cut: usize,
    portion: Option<Portion<'a>>,
    workspace: Option<Workspace>,
    /// The most samples that fit it.
    rows: usize,
    gradient: Gradient,
    /// The optimizer's vectors of the last round's beginning.
    kept: Vec<Vec<f32>>,
    cursor: Cursor,
    /// The last message of the server's, and memory for those of this device.
    pub(super) message: Buffer,
    up: Option<Buffer>,
    down: Buffer,
    /// Gradients that came.
    gradients: u64,
    /// Of the round, and since the beginning.
    totals: Figures,
    /// What the machine had done before it got the last message, and what counts for nothing: all before the first round.
    idle_since: Ledger,
    base: Option<(Ledger, Energy)>,
    idle: Box<dyn Optimizer>,
    said: Turn,
}

impl<'a> Device<'a> {
    pub fn new(
        task: &'a Task<'a>,
        split: &'a Split,
        comm: &'a Metered<'a>,
        clock: &'a dyn Clock,
        sides: &'a Sides<'a>,
    ) -> Self {
        Self {
            task,
            split,
            comm,
            clock,
            sides,
            dealer: Dealer::new(task, split, comm.size() - 1),
            number: comm.rank() - 1,
            cut: 0,
            portion: None,
            workspace: None,
            rows: 0,
            gradient: Gradient::default(),
            kept: Vec::new(),
            cursor: Cursor::default(),
            message: Buffer::open(Kind::F32),
            up: None,
            down: Buffer::open(Kind::F32),
            gradients: 0,
            totals: Figures { joules: f64::NAN, ..Figures::default() },
            idle_since: Ledger::default(),
            base: None,
            idle: Rule::Sgd.build(0, 0.0),
            said: Turn::GoOn,
        }
    }

    /// Obeys until the end.
    pub fn run(mut self, job: &mut dyn Job) -> Result<Fit, TrainError> {
        self.hello()?;
        loop {
            self.wish(job)?;
            let Some(order) = self.next_order(PATIENCE)? else { continue };
            match order.what {
                What::Echo => self.echo()?,
                What::Round => self.round(order, job)?,
                What::Give => self.give(order)?,
                What::End => return self.end(order),
                What::Part => {
                    let why = "a goodbye before the end";
                    return Err(CommError::Garbage { from: SERVER, tag: Tag::Task, why }.into());
                }
            }
        }
    }

    /// Its own time: virtual where it is emulated.
    fn now(&self) -> f64 {
        self.clock.machine().map_or_else(|| self.clock.now(), |machine| machine.now()).0
    }

    /// Tells what it can do.
    fn hello(&mut self) -> Result<(), TrainError> {
        let wanted = matches!(self.split.cuts, SplitCuts::Auto(_));
        let ability = Ability::of(self.task, self.clock, self.sides, self.dealer.batch(), wanted);
        self.clock.machine().inspect(|machine| machine.hold(true));
        let mut message = ability.packed();
        message.note.edge = Word::Hello.note(0).edge;
        let sent = self.comm.send(SERVER, Tag::Activations, &mut message);
        self.clock.machine().inspect(|machine| machine.hold(false));
        Ok(sent?)
    }

    /// Answers at once, with as much as was asked for.
    fn echo(&mut self) -> Result<(), TrainError> {
        let asked = self.message.f32s().first().map_or(0, |len| *len as usize);
        let mut message = Buffer::new(Kind::F32, asked);
        message.note = Word::Echoed.note(0);
        Ok(self.comm.send(SERVER, Tag::Activations, &mut message)?)
    }

    /// What the machine does counts from this time on: before it, it only waited.
    fn count_from(&mut self, began: f64) {
        let Some(machine) = self.clock.machine().filter(|_| self.base.is_none()) else { return };
        let (ledger, idle) = (self.idle_since, machine.profile().at(self.idle_since.time).power.idle);
        let mut energy = machine.energy(&ledger);
        energy.idle += idle * Seconds((began - ledger.time.0).max(0.0));
        self.base = Some((ledger, energy));
    }

    /// Tells the server what is wished for here, once.
    fn wish(&mut self, job: &mut dyn Job) -> Result<(), TrainError> {
        let (theta, sigma): (&[f32], &[f32]) = match &self.portion {
            Some(portion) => (&portion.theta, &portion.sigma),
            None => (&[], &[]),
        };
        let state = State { cursor: self.cursor, theta, sigma, scales: &[], applied: &[], optimizer: &*self.idle };
        let wish = job.turn(&state)?;
        let word = match wish {
            Turn::Stop if self.said != Turn::Stop => Word::Stop,
            Turn::Leave if self.said == Turn::GoOn => Word::Leave,
            _ => return Ok(()),
        };
        self.said = wish;
        let mut message = Buffer::new(Kind::F32, 0);
        message.note = word.note(self.cursor.step);
        Ok(self.comm.send(SERVER, Tag::Activations, &mut message)?)
    }

    /// The next order, if one comes in time.
    pub(super) fn next_order(&mut self, patience: Duration) -> Result<Option<Order>, TrainError> {
        if self.comm.message_within(Some(SERVER), Tag::Task, patience)?.is_none() {
            self.check_server(Tag::Task)?;
            return Ok(None);
        }
        self.message.reopen(Kind::F32);
        let before = self.received();
        if self.base.is_none() {
            self.idle_since = self.clock.machine().map(|machine| machine.ledger()).unwrap_or_default();
        }
        self.comm.recv(SERVER, Tag::Task, &mut self.message)?;
        self.totals.down_s = self.received() - before;
        Ok(Some(Order::read(self.message.note, self.sides.blocks())?))
    }

    /// Seconds that the emulated receiver was busy so far.
    fn received(&self) -> f64 {
        self.clock.machine().map_or(0.0, |machine| machine.ledger().receiving.0)
    }

    /// Seconds that the emulated transmitter was busy so far.
    fn sent(&self) -> f64 {
        self.clock.machine().map_or(0.0, |machine| machine.ledger().sending.0)
    }

    fn check_server(&self, tag: Tag) -> Result<(), CommError> {
        match self.comm.life(SERVER) {
            Life::Lost => Err(CommError::PeerLost { rank: SERVER, tag }),
            Life::Alive | Life::Silent => Ok(()),
        }
    }

    /// Trains a round and reports.
    fn round(&mut self, order: Order, job: &mut dyn Job) -> Result<(), TrainError> {
        let (trained, compute_s, down_s) = (self.totals.trained, self.totals.compute_s, self.totals.down_s);
        let down = self.message.wire_len() as f64;
        self.totals = Figures { trained, compute_s, down, down_s, ..Figures::default() };
        let round = self.install(order)?;
        self.count_from(round.began);
        let vectors = self.portion.iter().flat_map(|portion| portion.optimizer.state());
        self.kept = vectors.map(|(_, vector)| vector.to_vec()).collect();
        let computed = self.computed();
        self.dealer.open(round.epoch as u64);
        for s in 0..round.steps as u64 {
            let at = round.first as u64 + s;
            self.cursor = Cursor {
                epoch: round.epoch as u64,
                step_in_epoch: at,
                step: round.before as u64 + s,
                samples: self.cursor.samples,
            };
            self.wish(job)?;
            // Only a round that is called off brings an order before its end.
            let called_off = self.comm.message_within(Some(SERVER), Tag::Task, Duration::ZERO)?.is_some();
            if called_off || self.step(&round, job)? == Waited::CalledOff {
                return Ok(());
            }
        }
        self.totals.computed = self.computed() - computed;
        self.report(order, job)
    }

    /// Seconds of computing so far, in its own time.
    fn computed(&self) -> f64 {
        self.clock.machine().map_or(self.totals.compute_s, |machine| machine.ledger().computing.0)
    }

    /// Takes its part as it is from now on: what comes with the order, and what it has of it.
    fn install(&mut self, order: Order) -> Result<Round, TrainError> {
        let (sides, hyper) = (self.sides, &self.task.hyper);
        let round: Round = read(&self.message, SERVER, Tag::Task)?;
        let (cut, theta_from, state_from) = (order.cut, order.theta_from, order.state_from);
        let spans = [
            sides.theta_at(theta_from)..sides.theta_at(cut),
            sides.sigma_at(theta_from)..sides.sigma_at(cut),
            sides.theta_at(state_from)..sides.theta_at(cut).max(sides.theta_at(state_from)),
        ];
        let len: usize = spans[0].len() + spans[1].len() + spans[2].len() * hyper.rule.vectors();
        let fits = theta_from <= self.cut.min(cut) && state_from <= self.cut.max(cut) && round.is_valid();
        if self.message.len() != len + elements::<Round>(Kind::F32) || !fits {
            let why = "not the weights that this device lacks";
            return Err(CommError::Garbage { from: SERVER, tag: Tag::Task, why }.into());
        }
        let Some(side) = sides.device(cut) else {
            (self.cut, self.portion, self.workspace) = (cut, None, None);
            return Ok(round);
        };
        let old = self.portion.take();
        let (brought, rest) = self.message.f32s().split_at(spans[0].len());
        let joined = |old: Option<&[f32]>, upto: usize, brought: &[f32]| {
            let mut joined = old.map_or(Vec::new(), |old| old[..upto].to_vec());
            joined.extend(brought);
            joined
        };
        let theta = joined(old.as_ref().map(|old| &*old.theta), spans[0].start, brought);
        let (brought, mut rest) = rest.split_at(spans[1].len());
        let sigma = joined(old.as_ref().map(|old| &*old.sigma), spans[1].start, brought);
        let mut portion = Portion::of(self.task, self.clock, &side.share, &side.program, theta, sigma);
        let own = spans[2].start.min(sides.theta_at(cut));
        for (i, (_, vector)) in portion.optimizer.state_mut().into_iter().enumerate() {
            if let Some(old) = &old {
                vector[..own].copy_from_slice(&old.optimizer.state()[i].1[..own]);
            }
            vector[own..].copy_from_slice(&rest[..spans[2].len()]);
            rest = &rest[spans[2].len()..];
        }
        let rows = self.dealer.batch_of(round.parts as usize);
        if self.cut != cut || self.workspace.is_none() || self.rows < rows {
            self.rows = rows;
            self.workspace = Some(side.program.workspace(rows));
            self.gradient = portion.gradient();
        }
        (self.cut, self.portion) = (cut, Some(portion));
        Ok(round)
    }

    /// One step on this device's next batch.
    fn step(&mut self, round: &Round, job: &mut dyn Job) -> Result<Waited, TrainError> {
        let (part, parts) = (round.part as usize, round.parts as usize);
        let step = self.cursor.step_in_epoch as usize;
        let samples = self.dealer.samples(self.number, step, part, parts).to_vec();
        if samples.is_empty() {
            return Ok(Waited::Over);
        }
        let at = At { epoch: self.cursor.epoch, samples: &samples };
        let train = self.task.train;
        let labels: Vec<u32> = samples.iter().map(|sample| train.label(*sample as usize)).collect();
        let begin = self.clock.now();
        let visit = Visit { seed: self.task.hyper.seed, epoch: Some(at.epoch) };
        if let (Some(portion), Some(ws)) = (&self.portion, &mut self.workspace) {
            portion.load(ws, train, visit, &samples);
            portion.forward(&portion.training(at), ws, samples.len());
            // The whole's loss, or those of exit heads on this side.
            let tally = portion.losses(ws, &labels);
            if self.cut == self.sides.blocks() {
                self.totals.loss += tally.loss;
                self.totals.correct += tally.correct as f64;
            }
        }
        self.totals.compute_s += (self.clock.now() - begin).0;
        if self.cut < self.sides.blocks() && self.ask(at, &labels, visit, job)? == Waited::CalledOff {
            return Ok(Waited::CalledOff);
        }
        let begin = self.clock.now();
        if let (Some(portion), Some(ws)) = (&mut self.portion, &mut self.workspace) {
            portion.backward(at, ws, &mut self.gradient);
            let rate = portion.rate(at.epoch, step as u64, self.dealer.steps() as u64);
            let hands_around = self.split.protocol == Protocol::Sequential;
            let number = round.updates(hands_around, step as u64) + 1;
            let step = Step { number, rate, scale: 1.0 / samples.len() as f64 };
            portion.update(step, &self.gradient.theta, &self.gradient.moments, samples.len());
        }
        self.totals.compute_s += (self.clock.now() - begin).0;
        self.totals.samples += samples.len() as f64;
        self.totals.trained += samples.len() as f64;
        self.totals.steps += 1.0;
        self.cursor.samples += samples.len() as u64;
        Ok(Waited::Over)
    }

    /// Sends a batch to the server, and puts its gradient where the backward pass begins.
    fn ask(&mut self, at: At, labels: &[u32], visit: Visit, job: &mut dyn Job) -> Result<Waited, TrainError> {
        let dims = self.sides.crossing(self.cut);
        let mut buffer = self.up.take().unwrap_or_else(|| Buffer::new(Kind::F32, 0));
        pack(&mut buffer, dims, labels, |to| match (&self.portion, &self.workspace) {
            (Some(portion), Some(ws)) => portion.hand_on(ws, to),
            _ => {
                let layout = match self.task.network.shapes()[0].picture() {
                    Some([_, height, width]) => Layout::planar(height, width),
                    None => Layout::vector(dims),
                };
                for (sample, row) in at.samples.iter().zip(to.chunks_exact_mut(dims)) {
                    self.task.train.load(*sample as usize, visit, layout, row);
                }
            }
        });
        buffer.note = Word::Batch.note(self.cursor.step_in_epoch);
        buffer.note.rows = labels.len() as u32;
        self.totals.up += buffer.wire_len() as f64;
        let (begin, measured) = (self.now(), self.clock.now().0);
        let (sent, received) = (self.sent(), self.received());
        let pending = self.comm.start_send(SERVER, Tag::Activations, buffer)?;
        self.totals.up_s += self.sent() - sent;
        let waited = self.await_gradient(job)?;
        self.totals.down_s += self.received() - received;
        self.up = Some(self.comm.wait(pending)?);
        if waited == Waited::CalledOff {
            return Ok(waited);
        }
        let waited = self.now() - begin;
        self.totals.waited += waited;
        self.totals.least_wait = if self.totals.steps > 0.0 { self.totals.least_wait.min(waited) } else { waited };
        self.totals.blocked += self.clock.now().0 - measured;
        self.totals.down += self.down.wire_len() as f64;
        let expected = if self.cut > 0 { dims * labels.len() } else { 0 };
        if self.down.len() != expected {
            let why = "not the gradient of what was sent";
            return Err(CommError::Garbage { from: SERVER, tag: Tag::Gradient, why }.into());
        }
        if let (Some(portion), Some(ws)) = (&self.portion, &mut self.workspace) {
            let export = portion.share.export.expect("a part that the server follows hands a value on");
            let (_, mut gradient) = ws.output(export);
            for (mut row, from) in gradient.outer_iter_mut().zip(self.down.f32s().chunks_exact(dims)) {
                row.as_slice_mut().expect("a row is contiguous").copy_from_slice(from);
            }
        }
        Ok(Waited::Over)
    }

    fn await_gradient(&mut self, job: &mut dyn Job) -> Result<Waited, TrainError> {
        while self.comm.message_within(Some(SERVER), Tag::Gradient, PATIENCE)?.is_none() {
            self.check_server(Tag::Gradient)?;
            if self.comm.message_within(Some(SERVER), Tag::Task, Duration::ZERO)?.is_some() {
                return Ok(Waited::CalledOff);
            }
            self.wish(job)?;
        }
        self.take_gradient()?;
        Ok(Waited::Over)
    }

    fn take_gradient(&mut self) -> Result<(), CommError> {
        self.gradients += 1;
        self.down.reopen(Kind::F32);
        self.comm.recv(SERVER, Tag::Gradient, &mut self.down)
    }

    /// Takes the gradients of a round that was called off, until it has had so many.
    pub(super) fn take_gradients(&mut self, sent: u64) -> Result<(), CommError> {
        // It never has more than one batch under way.
        if !(self.gradients..=self.gradients + 1).contains(&sent) {
            let why = "more gradients than were asked for";
            return Err(CommError::Garbage { from: SERVER, tag: Tag::Task, why });
        }
        while self.gradients < sent {
            match self.comm.message_within(Some(SERVER), Tag::Gradient, PATIENCE)? {
                Some(_) => self.take_gradient()?,
                None => self.check_server(Tag::Gradient)?,
            }
        }
        Ok(())
    }

    /// Sends its part of the weights, and what the round was.
    fn report(&mut self, order: Order, job: &dyn Job) -> Result<(), TrainError> {
        let traffic = self.comm.traffic();
        let mut figures = Figures {
            comm_s: traffic.talked.0,
            wait_s: traffic.waited.0,
            sent: traffic.sent.0 as f64,
            received: traffic.received.0 as f64,
            memory_mb: job.memory_mb(),
            joules: job.energy_j().unwrap_or(f64::NAN),
            now: self.now(),
            ..self.totals
        };
        if let Some(machine) = self.clock.machine() {
            let ledger = machine.ledger();
            let (energy, power) = (machine.energy(&ledger), machine.profile().at(ledger.time).power);
            let (base, before) = self.base.unwrap_or_default();
            figures = Figures {
                computing: (ledger.computing - base.computing).0,
                sending: (ledger.sending - base.sending).0,
                receiving: (ledger.receiving - base.receiving).0,
                compute_j: (energy.compute - before.compute).0,
                idle_j: (energy.idle - before.idle).0,
                send_j: (energy.send - before.send).0,
                receive_j: (energy.receive - before.receive).0,
                compute_w: power.compute.0,
                idle_w: power.idle.0,
                send_w: power.send.0,
                receive_w: power.receive.0,
                ..figures
            };
        }
        let (theta, sigma): (&[f32], &[f32]) = match &self.portion {
            Some(portion) => (&portion.theta, &portion.sigma),
            None => (&[], &[]),
        };
        let mut message = Buffer::new(Kind::F32, theta.len() + sigma.len() + elements::<Figures>(Kind::F32));
        message.f32s_mut()[..theta.len()].copy_from_slice(theta);
        message.f32s_mut()[theta.len()..][..sigma.len()].copy_from_slice(sigma);
        write(&mut message, figures);
        message.note = Word::Report.note(order.round);
        Ok(self.comm.send(SERVER, Tag::Activations, &mut message)?)
    }

    /// Shows the optimizer's vectors from a block on.
    fn give(&mut self, order: Order) -> Result<(), TrainError> {
        let own: Vec<&[f32]> = match &self.portion {
            _ if order.asks_for_beginning() => self.kept.iter().map(Vec::as_slice).collect(),
            Some(portion) => portion.optimizer.state().into_iter().map(|(_, vector)| vector).collect(),
            None => Vec::new(),
        };
        let from = self.sides.theta_at(order.state_from);
        let shown = own.iter().flat_map(|vector| vector.get(from..).unwrap_or(&[]));
        let shown: Vec<f32> = shown.copied().collect();
        let mut message = Buffer::new(Kind::F32, shown.len());
        message.f32s_mut().copy_from_slice(&shown);
        message.note = Word::Given.note(order.round);
        // Asked for by the outside, not by the training.
        let machine = self.clock.machine().filter(|_| order.asks_quietly());
        machine.inspect(|machine| machine.hold(true));
        let sent = self.comm.send(SERVER, Tag::Activations, &mut message);
        machine.inspect(|machine| machine.hold(false));
        Ok(sent?)
    }
}

/// Copies the gradient of a batch's activations, one row behind the other.
pub(super) fn gradient_rows(ws: &Workspace, to: &mut [f32]) {
    copy_rows(ws.gradient(0), to);
}
