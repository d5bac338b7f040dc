//! The whole state of a training that is spread over devices: asked for, saved, restored.
//!
//! θ and σ are the server's, as they were averaged last. What an optimizer remembers is each device's own, and is asked
//! for only here and where a cut moves. A round that is called off counts for nothing: its devices show what they
//! remembered before it, so that whoever goes on from the state trains the round again and gets the same bits.

use super::merge::{Bring, joined, mean, split_off};
use super::server::{Server, Vectors};
use super::wire::{Order, Word};
use crate::comm::{Buffer, CommError, Tag};
use crate::optim::Optimizer;
use crate::strategy::{Job, Snapshot, State, TrainError, Turn};

/// Where a round began.
#[derive(Default)]
pub(super) struct Begun {
    theta: Vec<f32>,
    sigma: Vec<f32>,
    /// The optimizer's vectors of the server's parts, and those that devices got with the round.
    parts: Vec<Vectors>,
    bring: Vec<Bring>,
}

impl Server<'_> {
    /// Keeps what a round that is called off has to go back to.
    pub(super) fn begin_round(&mut self) {
        self.begun = Begun {
            theta: self.theta.clone(),
            sigma: self.sigma.clone(),
            parts: self.vectors(),
            bring: self.bring.clone(),
        };
        self.served.fill([0.0; 2]);
    }

    /// This rank's wish.
    pub(super) fn turn(&self, job: &mut dyn Job) -> Result<Turn, TrainError> {
        Ok(job.turn(&self.state(self.idle.as_ref()))?)
    }

    fn state<'s>(&'s self, optimizer: &'s dyn Optimizer) -> State<'s> {
        let (theta, sigma) = (&self.theta, &self.sigma);
        State { cursor: self.cursor, theta, sigma, scales: &[], applied: &[], optimizer }
    }

    /// Saves the state between two rounds.
    pub(super) fn save(&mut self, job: &mut dyn Job) -> Result<(), TrainError> {
        let optimizer = self.collect(job)?;
        Ok(job.save(&self.state(optimizer.as_ref()))?)
    }

    /// Shows the state behind an epoch to the outside, as far as it wants it.
    pub(super) fn keep(&mut self, turn: Turn, job: &mut dyn Job) -> Result<(), TrainError> {
        if turn == Turn::GoOn && !job.keeps_epochs() {
            return Ok(());
        }
        let optimizer = self.collect(job)?;
        let state = self.state(optimizer.as_ref());
        if turn != Turn::GoOn {
            job.save(&state)?;
        }
        if job.keeps_epochs() {
            job.epoch_ended(&state)?;
        }
        Ok(())
    }

    /// Calls the round off and saves the state of its beginning.
    pub(super) fn save_begun(&mut self, job: &mut dyn Job) -> Result<(), TrainError> {
        (0..self.fleet.len()).for_each(|device| self.inbox.forget(device));
        let begun = std::mem::take(&mut self.begun);
        (self.theta, self.sigma) = (begun.theta, begun.sigma);
        let optimizer = match self.hands_around() {
            // Whoever has it now has gone on from there.
            true => {
                let first = begun.bring.into_iter().find(Bring::is_some).unwrap_or_default();
                let front = if first.vectors.is_empty() { self.no_state() } else { first.vectors };
                self.rebuilt(vec![Some(joined(front, begun.parts[0].clone()))])
            }
            false => {
                let mut streams = Vec::new();
                for device in 0..self.fleet.len() {
                    let given = if self.fleet.works(device) {
                        self.ask_state(Order::give(0, true, true), device, job)?
                    } else {
                        None
                    };
                    streams.push(given.map(|given| joined(given, begun.parts[self.slot(device)].clone())));
                }
                self.rebuilt(streams)
            }
        };
        Ok(job.save(&self.state(optimizer.as_ref()))?)
    }

    /// What the optimizer remembers, of all devices, between two rounds.
    fn collect(&mut self, job: &mut dyn Job) -> Result<Box<dyn Optimizer>, TrainError> {
        let parts = self.vectors();
        if self.hands_around() {
            let first = self.bring.iter().find(|bring| bring.is_some()).cloned().unwrap_or_default();
            let front = if first.vectors.is_empty() { self.no_state() } else { first.vectors };
            return Ok(self.rebuilt(vec![Some(joined(front, parts[0].clone()))]));
        }
        let mut streams = Vec::new();
        for device in 0..self.fleet.len() {
            let mut front = match self.fleet.works(device) && self.task.hyper.rule.vectors() > 0 {
                true => self.ask_state(Order::give(0, false, true), device, job)?,
                false => None,
            };
            if let Some(front) = &mut front {
                // What it will get with its next round it does not have yet, and what it will lose it still has.
                let (cut, bring) = (self.cuts[device], &self.bring[device]);
                if bring.is_some() {
                    drop(split_off(front, self.sides.theta_at(bring.from)));
                    *front = joined(std::mem::take(front), bring.vectors.clone());
                }
                drop(split_off(front, self.sides.theta_at(cut)));
            }
            streams.push(front.map(|front| joined(front, parts[self.slot(device)].clone())));
        }
        Ok(self.rebuilt(streams))
    }

    /// An optimizer that remembers what those of all devices do, one behind the other; who died or has not begun is
    /// taken for the mean of the others.
    fn rebuilt(&self, streams: Vec<Option<Vectors>>) -> Box<dyn Optimizer> {
        let (hyper, len) = (&self.task.hyper, self.theta.len());
        let known = |stream: &Option<Vectors>| {
            stream.clone().filter(|vectors| vectors.iter().all(|vector| vector.len() == len))
        };
        let all: Vec<Vectors> = streams.iter().filter_map(known).collect();
        let mean = mean(all);
        let mut optimizer = hyper.rule.build(len * streams.len(), hyper.weight_decay);
        for (i, (_, to)) in optimizer.state_mut().into_iter().enumerate() {
            for (stream, to) in streams.iter().zip(to.chunks_exact_mut(len.max(1))) {
                let mine = known(stream);
                if let Some(vector) = mine.as_ref().unwrap_or(&mean).get(i) {
                    to.copy_from_slice(vector);
                }
            }
        }
        optimizer
    }

    /// Takes a saved state. Gives, by device, the optimizer's vectors over the whole: its own where the state is of as
    /// many devices, else the mean.
    pub(super) fn restore(&mut self, snapshot: &Snapshot) -> Result<Vec<Vectors>, String> {
        snapshot.restore("theta", &mut self.theta)?;
        snapshot.restore("sigma", &mut self.sigma)?;
        self.cursor = snapshot.cursor;
        let (hyper, len) = (&self.task.hyper, self.theta.len().max(1));
        let names = hyper.rule.build(0, hyper.weight_decay);
        let mut devices = vec![Vectors::new(); self.fleet.len()];
        for (name, _) in names.state() {
            let Some((_, saved)) = snapshot.slices.iter().find(|(known, _)| known == name) else {
                return Err(format!("it holds no {name}"));
            };
            if saved.is_empty() || !saved.len().is_multiple_of(len) {
                return Err(format!("its {name} has {} elements, no multiple of {len}", saved.len()));
            }
            let streams: Vec<Vectors> = saved.chunks_exact(len).map(|stream| vec![stream.to_vec()]).collect();
            let alike = streams.len() == devices.len();
            let common = mean(streams.clone()).remove(0);
            for (device, vectors) in devices.iter_mut().enumerate() {
                vectors.push(if alike { streams[device][0].clone() } else { common.clone() });
            }
        }
        Ok(devices)
    }

    /// Asks a device for the optimizer's vectors. Nothing when it dies meanwhile.
    pub(super) fn ask_state(
        &mut self,
        order: Order,
        device: usize,
        job: &mut dyn Job,
    ) -> Result<Option<Vectors>, TrainError> {
        let machine = self.clock.machine().filter(|_| order.asks_quietly());
        machine.inspect(|machine| machine.hold(true));
        self.fleet.order(device, order, 0, |_| {})?;
        machine.inspect(|machine| machine.hold(false));
        if self.fleet.lives(device) {
            self.inbox.expect(device);
        }
        while self.fleet.lives(device) {
            let Some(post) = self.receive(job)? else { continue };
            let (sender, buffer) = (post.worker, post.buffer);
            if sender != device || !Word::Given.is_of(buffer.note) {
                self.overhear(sender, buffer)?;
                if sender == device && self.fleet.lives(device) {
                    self.inbox.expect(device);
                }
                continue;
            }
            let count = self.task.hyper.rule.vectors();
            let theta_at = |block| self.sides.theta_at(block);
            let each = theta_at(self.held[device]).saturating_sub(theta_at(order.state_from));
            if buffer.len() != each * count {
                let why = "not what the optimizer of this device remembers";
                return Err(CommError::Garbage { from: device + 1, tag: Tag::Activations, why }.into());
            }
            let each = if count == 0 { 0 } else { each };
            let vectors = match each {
                0 => self.no_state(),
                each => buffer.f32s().chunks_exact(each).map(<[f32]>::to_vec).collect(),
            };
            self.inbox.give_back(buffer);
            return Ok(Some(vectors));
        }
        Ok(None)
    }

    /// Takes in what comes while something else is waited for.
    pub(super) fn overhear(&mut self, device: usize, buffer: Buffer) -> Result<(), TrainError> {
        match Word::read(buffer.note, device + 1)? {
            Word::Stop => self.wish = Turn::Stop,
            Word::Leave => self.fleet.leave(device),
            // Of a round that was called off.
            Word::Batch | Word::Report => {}
            Word::Hello | Word::Echoed | Word::Given | Word::Bye => {
                let why = "an answer that nobody asked for";
                return Err(CommError::Garbage { from: device + 1, tag: Tag::Activations, why }.into());
            }
        }
        self.inbox.give_back(buffer);
        Ok(())
    }
}
