//! What a rank can do: how long it needs for its side at each cut, what it draws, what fits into it.

use super::sides::Sides;
use super::wire::Hello;
use crate::comm::{Buffer, CommError, Kind, Tag};
use crate::data::Visit;
use crate::device::{Clock, Pass, Power};
use crate::strategy::Task;
use crate::strategy::figures::{elements, read, write};
use crate::strategy::portion::{At, Portion};
use crate::units::{Bytes, Seconds, Watts};
use std::ops::Range;

/// What a rank can do. Modelled where it emulates a machine, else measured on one batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ability {
    /// The machine that it emulates; empty where it is itself.
    pub name: String,
    /// Whether it emulates a machine.
    pub emulated: bool,
    pub power: Power,
    pub memory: Bytes,
    /// Seconds of a batch on the first p blocks, forward and backward; from p = 0.
    pub first: Vec<[Seconds; 2]>,
    /// Seconds of a batch on the blocks behind the first p, both ways.
    pub rest: Vec<Seconds>,
}

impl Ability {
    /// This rank's, for batches of so many samples. Where nobody `wanted` to know it, nothing is measured for it.
    pub fn of(task: &Task, clock: &dyn Clock, sides: &Sides, rows: usize, wanted: bool) -> Self {
        let blocks = sides.blocks();
        let both = |range: Range<usize>, price: &dyn Fn(Range<usize>, Pass) -> Seconds| {
            if range.is_empty() {
                [Seconds(0.0); 2]
            } else {
                [Pass::Forward, Pass::Backward].map(|pass| price(range.clone(), pass))
            }
        };
        let table = |price: &dyn Fn(Range<usize>, Pass) -> Seconds| {
            let first = (0..=blocks).map(|cut| both(0..cut, price)).collect();
            let rest = (0..=blocks).map(|cut| both(cut..blocks, price).into_iter().sum()).collect();
            (first, rest)
        };
        if let Some(machine) = clock.machine() {
            let (first, rest) = table(&|range, pass| machine.price(&sides.work(range, rows, pass)));
            let profile = machine.profile();
            let (name, power) = (profile.name.clone(), profile.at(Seconds(0.0)).power);
            return Self { name, emulated: true, power, memory: profile.memory, first, rest };
        }
        let measured = if wanted { measure(task, clock, sides, rows) } else { [Seconds(0.0); 2] };
        let share = |range: Range<usize>, pass| sides.work(range, rows, pass).flops.0 as f64;
        let (first, rest) = table(&|range, pass| {
            let [forward, backward] = measured;
            let whole = if pass == Pass::Forward { forward } else { backward };
            Seconds(whole.0 * share(range, pass) / share(0..blocks, pass).max(1.0))
        });
        let (name, power, memory) = (String::new(), Power::default(), Bytes(u64::MAX));
        Self { name, emulated: false, power, memory, first, rest }
    }

    /// As a message.
    pub fn packed(&self) -> Buffer {
        let seconds: Vec<f64> = self.first.iter().flatten().chain(&self.rest).map(|seconds| seconds.0).collect();
        let watts = [self.power.compute, self.power.idle, self.power.send, self.power.receive].map(|watts| watts.0);
        let [compute_w, idle_w, send_w, receive_w] = watts;
        let emulated = f64::from(u8::from(self.emulated));
        let hello = Hello { emulated, compute_w, idle_w, send_w, receive_w, memory: self.memory.0 as f64 };
        let words = self.name.len().div_ceil(4);
        let mut message = Buffer::new(Kind::F32, words + 2 * seconds.len() + elements::<Hello>(Kind::F32));
        let (name, rest) = message.payload_mut().split_at_mut(4 * words);
        name[..self.name.len()].copy_from_slice(self.name.as_bytes());
        rest[..8 * seconds.len()].copy_from_slice(bytemuck::cast_slice(&seconds));
        message.note.rows = self.name.len() as u32;
        write(&mut message, hello);
        message
    }

    /// Out of a message, for a network of so many blocks.
    ///
    /// # Errors
    /// When it is none.
    pub fn unpacked(message: &Buffer, from: usize, blocks: usize) -> Result<Self, CommError> {
        let hello: Hello = read(message, from, Tag::Activations)?;
        let name = message.payload().get(..message.note.rows as usize).unwrap_or_default();
        let start = 4 * name.len().div_ceil(4);
        let end = message.payload().len() - 4 * elements::<Hello>(Kind::F32);
        let bytes = message.payload().get(start..end).unwrap_or_default();
        let numbers: Vec<f64> = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
        if numbers.len() != 3 * (blocks + 1) || !numbers.iter().all(|number| *number >= 0.0) {
            let why = "not what a device of this network can do";
            return Err(CommError::Garbage { from, tag: Tag::Activations, why });
        }
        let (first, rest) = numbers.split_at(2 * (blocks + 1));
        Ok(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            emulated: hello.emulated > 0.0,
            power: Power {
                compute: Watts(hello.compute_w),
                idle: Watts(hello.idle_w),
                send: Watts(hello.send_w),
                receive: Watts(hello.receive_w),
            },
            memory: Bytes(hello.memory as u64),
            first: first.chunks_exact(2).map(|pair| [Seconds(pair[0]), Seconds(pair[1])]).collect(),
            rest: rest.iter().copied().map(Seconds).collect(),
        })
    }
}

/// Seconds of one batch through the whole network, forward and backward; the second of two, when memory is warm.
fn measure(task: &Task, clock: &dyn Clock, sides: &Sides, rows: usize) -> [Seconds; 2] {
    let side = sides.device(sides.blocks()).expect("a device that holds all has something");
    let samples: Vec<u32> = (0..rows.min(task.train.len()) as u32).collect();
    let theta = task.hyper.init.draw(task.network, task.hyper.seed);
    let portion = Portion::new(task, clock, &side.share, &side.program, &theta);
    let (mut ws, mut gradient) = (side.program.workspace(rows), portion.gradient());
    let labels: Vec<u32> = samples.iter().map(|sample| task.train.label(*sample as usize)).collect();
    let at = At { epoch: 0, samples: &samples };
    let mut seconds = [Seconds(0.0); 2];
    for _ in 0..2 {
        portion.load(&mut ws, task.train, Visit::MEASURE, &samples);
        let start = clock.now();
        portion.forward(&portion.training(at), &mut ws, samples.len());
        portion.losses(&mut ws, &labels);
        let half = clock.now();
        portion.backward(at, &mut ws, &mut gradient);
        seconds = [half - start, clock.now() - half];
    }
    seconds
}
