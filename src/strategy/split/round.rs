//! A round at the server: orders out, batches served, parts back.

use super::Protocol;
use super::device::gradient_rows;
use super::merge::Bring;
use super::server::Server;
use super::turns::Turns;
use super::wire::{Figures, Order, Round, What, Word};
use crate::comm::{Buffer, CommError, Kind, Tag};
use crate::nn::Tally;
use crate::optim::Step;
use crate::strategy::figures::{elements, read, write};
use crate::strategy::inbox::Post;
use crate::strategy::parcel::Parcel;
use crate::strategy::portion::At;
use crate::strategy::{Job, TrainError, Turn};

/// What a device became in a round.
pub(super) struct Report {
    pub figures: Figures,
    /// When it came, measured and in the server's own time.
    pub at: [f64; 2],
    /// Its bytes and the seconds that they took, where machines are emulated.
    pub bytes: u64,
    pub carried: [f64; 2],
    /// Of its part.
    pub theta: Vec<f32>,
    pub sigma: Vec<f32>,
}

/// A round under way.
struct Running {
    first: u64,
    steps: u64,
    /// The devices that take part, and what they reported.
    parts: Vec<usize>,
    reports: Vec<Option<Report>>,
    /// By device: the first step that it may send a batch of.
    next: Vec<u64>,
    /// By device: the batch that waits for its turn.
    waiting: Vec<Option<Buffer>>,
    turns: Turns,
    /// By device: samples whose gradient waits to be averaged.
    averaged: Vec<usize>,
}

impl Running {
    fn end(&self) -> u64 {
        self.first + self.steps
    }
}

impl Server<'_> {
    /// Trains a round of so many steps. Tells whether it is over; if not, somebody wished to stop, and all is as it was
    /// before.
    pub(super) fn train(&mut self, steps: u64, job: &mut dyn Job) -> Result<bool, TrainError> {
        let (devices, first) = (self.fleet.len(), self.cursor.step_in_epoch);
        self.begin_round();
        self.fleet.part();
        let began = [self.clock.now().0, self.now()];
        let mut running = Running {
            first,
            steps,
            parts: self.fleet.working(),
            reports: (0..devices).map(|_| None).collect(),
            next: vec![first; devices],
            waiting: (0..devices).map(|_| None).collect(),
            turns: Turns::new(self.split.protocol, devices, first),
            averaged: vec![0; devices],
        };
        let rows = self.dealer.batch_of(running.parts.len());
        if rows > self.rows {
            (self.rows, self.workspaces) = (rows, Default::default());
        }
        // One after the other: each begins with what the one before became.
        let groups: Vec<Vec<usize>> = match self.split.protocol {
            Protocol::Sequential => running.parts.iter().map(|device| vec![*device]).collect(),
            _ => vec![running.parts.clone()],
        };
        for (at, group) in groups.iter().enumerate() {
            for device in group {
                self.begin(*device, &running)?;
            }
            if !self.serve_all(&mut running, group, job)? {
                return Ok(false);
            }
            if self.split.protocol == Protocol::Sequential
                && let Some(report) = &running.reports[group[0]]
            {
                self.take_over(group[0], groups.get(at + 1).map(|next| next[0]), report, job)?;
            }
        }
        if running.reports.iter().all(Option::is_none) {
            return Err(self.deserted());
        }
        let last = (first + steps - 1) as f64 / self.dealer.steps() as f64;
        self.rate = self.task.hyper.schedule.at(self.cursor.epoch as f64 + last, 1.0 / self.dealer.steps() as f64);
        self.cursor.step += steps;
        self.cursor.step_in_epoch += steps;
        self.round += 1;
        self.close(running.reports, began, job)?;
        Ok(true)
    }

    /// Sends a device its part, and what to do with it.
    fn begin(&mut self, device: usize, running: &Running) -> Result<(), TrainError> {
        let cut = self.cuts[device];
        let Bring { from, vectors } = std::mem::take(&mut self.bring[device]);
        let state_from = if vectors.iter().all(Vec::is_empty) { cut } else { from };
        let theta_from = self.holds[device].map_or(0, |blocks| blocks.min(cut));
        (self.held[device], self.holds[device]) = (cut, Some(cut));
        let order = Order { what: What::Round, cut, theta_from, state_from, round: self.round };
        let part = running.parts.iter().position(|other| *other == device).expect("it takes part");
        let round = Round {
            epoch: self.cursor.epoch as f64,
            first: running.first as f64,
            steps: running.steps as f64,
            before: self.cursor.step as f64,
            part: part as f64,
            parts: running.parts.len() as f64,
            began: self.first_began,
        };
        let theta = &self.theta[self.sides.theta_at(theta_from)..self.sides.theta_at(cut)];
        let sigma = &self.sigma[self.sides.sigma_at(theta_from)..self.sides.sigma_at(cut)];
        let state: usize = vectors.iter().map(Vec::len).sum();
        let len = theta.len() + sigma.len() + state + elements::<Round>(Kind::F32);
        self.fleet.order(device, order, len, |buffer| {
            let all = theta.iter().chain(sigma).chain(vectors.iter().flatten());
            buffer.f32s_mut().iter_mut().zip(all).for_each(|(to, from)| *to = *from);
            write(buffer, round);
        })?;
        self.expect(device);
        Ok(())
    }

    /// Who is dead owes nothing.
    fn expect(&mut self, device: usize) {
        if self.fleet.lives(device) {
            self.inbox.expect(device);
        }
    }

    /// Serves until all of these devices have reported. Tells whether they have; if not, somebody wished to stop.
    fn serve_all(&mut self, running: &mut Running, group: &[usize], job: &mut dyn Job) -> Result<bool, TrainError> {
        loop {
            while let Some(device) = self.next_turn(running) {
                self.serve(device, running)?;
            }
            if group.iter().all(|device| running.reports[*device].is_some() || !self.fleet.lives(*device)) {
                return Ok(true);
            }
            if let Some(post) = self.post(job)? {
                self.hear(post, running, job)?;
            }
            if self.wish == Turn::Stop {
                return Ok(false);
            }
        }
    }

    /// Takes in a message.
    fn hear(&mut self, post: Post, running: &mut Running, job: &mut dyn Job) -> Result<(), TrainError> {
        let (device, buffer) = (post.worker, post.buffer);
        let from = device + 1;
        match Word::read(buffer.note, from)? {
            Word::Batch => {
                self.check_batch(device, &buffer, running)?;
                running.waiting[device] = Some(buffer);
                return Ok(());
            }
            Word::Report => running.reports[device] = Some(self.part(device, &buffer)?),
            Word::Leave => {
                self.fleet.leave(device);
                self.tell_who_leaves(job);
            }
            Word::Stop => self.wish = Turn::Stop,
            Word::Hello | Word::Echoed | Word::Given | Word::Bye => {
                let why = "an answer that nobody asked for";
                return Err(CommError::Garbage { from, tag: Tag::Activations, why }.into());
            }
        }
        self.inbox.give_back(buffer);
        Ok(())
    }

    /// Refuses a batch that cannot be.
    fn check_batch(&self, device: usize, buffer: &Buffer, running: &Running) -> Result<(), CommError> {
        let mut steps = running.next[device]..running.end();
        let due = steps.find(|step| self.due(running, device, *step)) == Some(u64::from(buffer.note.step));
        match due && self.cuts[device] < self.sides.blocks() {
            true => Ok(()),
            false => {
                let why = "a batch that is not due";
                Err(CommError::Garbage { from: device + 1, tag: Tag::Activations, why })
            }
        }
    }

    /// A device's part, out of its report.
    fn part(&mut self, device: usize, buffer: &Buffer) -> Result<Report, TrainError> {
        let figures: Figures = read(buffer, device + 1, Tag::Activations)?;
        let (theta, sigma) = (self.sides.theta_at(self.cuts[device]), self.sides.sigma_at(self.cuts[device]));
        if buffer.len() != theta + sigma + elements::<Figures>(Kind::F32) {
            let why = "not the part that this device holds";
            return Err(CommError::Garbage { from: device + 1, tag: Tag::Activations, why }.into());
        }
        let (theta, rest) = buffer.f32s().split_at(theta);
        Ok(Report {
            figures: Figures { report_s: self.received, ..figures },
            at: [self.clock.now().0, self.now()],
            bytes: buffer.wire_len() as u64,
            carried: [buffer.wire_len() as f64, self.received],
            theta: theta.to_vec(),
            sigma: rest[..sigma].to_vec(),
        })
    }

    /// Whether a device has a batch in a step.
    fn due(&self, running: &Running, device: usize, step: u64) -> bool {
        let part = running.parts.iter().position(|other| *other == device);
        let lives = self.fleet.lives(device) && running.reports[device].is_none();
        part.is_some_and(|part| {
            lives
                && step < running.end()
                && !self.dealer.samples(device, step as usize, part, running.parts.len()).is_empty()
        })
    }

    fn next_turn(&mut self, running: &mut Running) -> Option<usize> {
        // Somebody may have died on whom a step has waited.
        while self.close_step(running) {}
        let waiting = |device: usize| {
            let note = running.waiting[device].as_ref()?.note;
            Some((note.step.into(), note.time))
        };
        running.turns.next(waiting, |device, step| self.due(running, device, step))
    }

    /// Ends a step that all devices have in common, where all that have a batch in it were served.
    fn close_step(&mut self, running: &mut Running) -> bool {
        let (end, step) = (running.end(), running.turns.step);
        let mut turns = std::mem::take(&mut running.turns);
        let closed = step < end && turns.close(end, |device, step| self.due(running, device, step));
        running.turns = turns;
        if closed && self.split.protocol == Protocol::SplitFedV1 {
            self.follow_mean(running, step);
        }
        closed
    }

    /// Trains the server's part on a batch, and sends its gradient back.
    fn serve(&mut self, device: usize, running: &mut Running) -> Result<(), TrainError> {
        let buffer = running.waiting[device].take().expect("it waits");
        let (cut, slot) = (self.cuts[device], self.slot(device));
        let (begin, measured) = (self.now(), self.clock.now().0);
        let step = u64::from(buffer.note.step);
        let dims = self.sides.crossing(cut);
        let parcel = Parcel::checked(buffer, dims, device + 1)?;
        let part = running.parts.iter().position(|other| *other == device).expect("it takes part");
        let samples = self.dealer.samples(device, step as usize, part, running.parts.len());
        if samples.len() != parcel.rows() {
            let why = "another batch than the one that is due";
            return Err(CommError::Garbage { from: device + 1, tag: Tag::Activations, why }.into());
        }
        let at = At { epoch: self.cursor.epoch, samples };
        let portion = self.parts[slot].as_mut().expect("a device with a batch leaves the server something to do");
        let ws = self.workspaces.entry(cut).or_insert_with(|| portion.program.workspace(self.rows));
        portion.receive(ws, &parcel);
        portion.forward(&portion.training(at), ws, samples.len());
        let tally = portion.losses(ws, parcel.labels());
        // A gradient that waits to be averaged is each device's own; so are parts of different lengths.
        let own = if self.split.protocol == Protocol::SplitFedV1 { device } else { slot };
        let gradient = &mut self.gradients[own];
        if (gradient.theta.len(), gradient.moments.len()) != (portion.theta.len(), portion.sigma.len()) {
            *gradient = portion.gradient();
        }
        portion.backward(at, ws, gradient);
        let len = if cut > 0 { samples.len() * dims } else { 0 };
        self.fleet.send(device, Tag::Gradient, len, |buffer| {
            if cut > 0 {
                gradient_rows(ws, buffer.f32s_mut());
            }
        })?;
        self.rate = portion.rate(at.epoch, step, self.dealer.steps() as u64);
        if self.split.protocol != Protocol::SplitFedV1 {
            let (before, parts) = (self.cursor.step + step - running.first, running.parts.len() as u64);
            let number = match self.split.protocol {
                Protocol::SplitFedV2 => before * parts + part as u64 + 1,
                Protocol::Sequential => {
                    self.cursor.step * parts + part as u64 * running.steps + step - running.first + 1
                }
                _ => before + 1,
            };
            let step = Step { number, rate: self.rate, scale: 1.0 / samples.len() as f64 };
            portion.update(step, &gradient.theta, &gradient.moments, samples.len());
        }
        running.turns.serve(device);
        running.next[device] = u64::from(parcel.note().step) + 1;
        running.averaged[device] = parcel.rows();
        self.count(tally)?;
        self.served[device][0] += self.clock.now().0 - measured;
        self.served[device][1] += self.now() - begin;
        self.expect(device);
        self.inbox.give_back(parcel.buffer);
        Ok(())
    }

    /// Moves the shared part by the mean gradient of a step, summed in the order of the devices.
    fn follow_mean(&mut self, running: &mut Running, step: u64) {
        let Some(portion) = &mut self.parts[0] else { return };
        let mut sum = portion.gradient();
        let mut rows = 0;
        for (device, samples) in running.averaged.iter_mut().enumerate() {
            let mine = &self.gradients[device];
            let own = std::mem::take(samples);
            rows += own;
            if own > 0 {
                sum.theta.iter_mut().zip(&mine.theta).for_each(|(sum, mine)| *sum += mine);
                sum.moments.iter_mut().zip(&mine.moments).for_each(|(sum, mine)| *sum += mine);
            }
        }
        if rows > 0 {
            let number = self.cursor.step + step - running.first + 1;
            let step = Step { number, rate: self.rate, scale: 1.0 / rows as f64 };
            portion.update(step, &sum.theta, &sum.moments, rows);
        }
    }

    /// Adds to the epoch's sums.
    pub(super) fn count(&mut self, tally: Tally) -> Result<(), TrainError> {
        self.tally += tally;
        if tally.loss.is_finite() { Ok(()) } else { Err(self.diverged()) }
    }
}
