//! What a rank tells rank 0 in the end, and what rank 0 makes of it.

use super::offset::Offset;
use super::{Offload, Served};
use crate::comm::{Buffer, CommError, Kind, Tag};
use crate::device::{Energy, Ledger};
use crate::plan::placement::TensorId;
use crate::plan::placement::simulate::{Act, Answer, Message, RequestId, Script};
use crate::units::{Bytes, Joules, Seconds};
use std::collections::HashMap;

/// A tensor that was given to the communicator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub request: RequestId,
    pub plan: u32,
    pub tensor: TensorId,
    pub to: usize,
    pub sent: Seconds,
}

/// A tensor that was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    pub request: RequestId,
    pub plan: u32,
    pub tensor: TensorId,
    pub from: usize,
    pub arrival: Seconds,
}

/// A rank's own record, in its own time.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Under which plan, and what.
    pub acts: Vec<(u32, Act)>,
    pub sent: Vec<Sent>,
    pub arrived: Vec<Arrived>,
    /// Requests that were taken up here, the plans that they were answered under, and when they were taken up.
    pub begun: Vec<(RequestId, usize, Seconds)>,
    pub answers: Vec<(RequestId, Vec<f32>)>,
    pub ledger: Ledger,
    pub replanned: usize,
}

/// Numbers of a ledger.
const LEDGER: usize = 8;

impl Told {
    /// All of it as numbers.
    pub fn message(&self) -> Buffer {
        let mut all: Vec<f64> = ledger_numbers(&self.ledger).to_vec();
        all.push(self.replanned as f64);
        all.push(self.acts.len() as f64);
        let act = |(plan, a): &(u32, Act)| [f64::from(*plan), a.request as f64, a.task as f64, a.start.0, a.end.0];
        all.extend(self.acts.iter().flat_map(act));
        all.push(self.sent.len() as f64);
        all.extend(
            self.sent
                .iter()
                .flat_map(|s| [f64::from(s.plan), s.request as f64, s.tensor as f64, s.to as f64, s.sent.0]),
        );
        all.push(self.arrived.len() as f64);
        all.extend(
            self.arrived
                .iter()
                .flat_map(|a| [f64::from(a.plan), a.request as f64, a.tensor as f64, a.from as f64, a.arrival.0]),
        );
        all.push(self.begun.len() as f64);
        all.extend(self.begun.iter().flat_map(|(request, plan, at)| [*request as f64, *plan as f64, at.0]));
        all.push(self.answers.len() as f64);
        for (request, values) in &self.answers {
            all.extend([*request as f64, values.len() as f64]);
            all.extend(values.iter().map(|value| f64::from(*value)));
        }
        let mut buffer = Buffer::new(Kind::F64, all.len());
        buffer.payload_mut().copy_from_slice(bytemuck::cast_slice(&all));
        buffer
    }

    /// What a rank's message says.
    ///
    /// # Errors
    /// When it ends before all is said.
    pub fn read(buffer: &Buffer, from: usize) -> Result<Self, CommError> {
        let numbers: Vec<f64> = bytemuck::pod_collect_to_vec(buffer.payload());
        let mut rest = numbers.iter().copied();
        Self::parse(&mut rest).ok_or(CommError::Garbage { from, tag: Tag::Report, why: "its record is cut short" })
    }

    fn parse(rest: &mut dyn Iterator<Item = f64>) -> Option<Self> {
        let mut told = Self { ledger: ledger_of(&mut *rest)?, ..Self::default() };
        told.replanned = rest.next()? as usize;
        for _ in 0..rest.next()? as usize {
            let (plan, [request, task, start, end]) = (rest.next()? as u32, four(rest)?);
            let (request, task, start, end) = (request as usize, task as usize, Seconds(start), Seconds(end));
            told.acts.push((plan, Act { request, task, start, end }));
        }
        for _ in 0..rest.next()? as usize {
            let (plan, [request, tensor, to, sent]) = (rest.next()? as u32, four(rest)?);
            let (request, tensor, to, sent) = (request as usize, tensor as usize, to as usize, Seconds(sent));
            told.sent.push(Sent { request, plan, tensor, to, sent });
        }
        for _ in 0..rest.next()? as usize {
            let (plan, [request, tensor, from, arrival]) = (rest.next()? as u32, four(rest)?);
            let (request, tensor, from, arrival) = (request as usize, tensor as usize, from as usize, Seconds(arrival));
            told.arrived.push(Arrived { request, plan, tensor, from, arrival });
        }
        for _ in 0..rest.next()? as usize {
            told.begun.push((rest.next()? as usize, rest.next()? as usize, Seconds(rest.next()?)));
        }
        for _ in 0..rest.next()? as usize {
            let (request, len) = (rest.next()? as usize, rest.next()? as usize);
            let values: Vec<f32> = (0..len).map_while(|_| rest.next()).map(|value| value as f32).collect();
            (values.len() == len).then(|| told.answers.push((request, values)))?;
        }
        Some(told)
    }

    /// The same on rank 0's clock, from the moment on in which requests began to count.
    fn corrected(mut self, offset: &Offset, origin: Seconds) -> Self {
        let set = |time: &mut Seconds| *time = offset.correct(*time) - origin;
        for (_, act) in &mut self.acts {
            set(&mut act.start);
            set(&mut act.end);
        }
        self.sent.iter_mut().for_each(|sent| set(&mut sent.sent));
        self.arrived.iter_mut().for_each(|arrived| set(&mut arrived.arrival));
        self.begun.iter_mut().for_each(|begun| set(&mut begun.2));
        self.ledger.time = self.ledger.time - origin;
        self
    }

    /// Leaves out what was done under plans that were called off.
    fn counted(mut self, plans: &[Option<usize>]) -> Self {
        let counts = |request: usize, plan: u32| plans[request] == Some(plan as usize);
        self.acts.retain(|(plan, act)| counts(act.request, *plan));
        self.sent.retain(|sent| counts(sent.request, sent.plan));
        self.arrived.retain(|arrived| counts(arrived.request, arrived.plan));
        self
    }
}

fn four(rest: &mut dyn Iterator<Item = f64>) -> Option<[f64; 4]> {
    Some([rest.next()?, rest.next()?, rest.next()?, rest.next()?])
}

fn ledger_numbers(ledger: &Ledger) -> [f64; LEDGER] {
    let Ledger { time, computing, sending, receiving, switched: Energy { compute, idle, send, receive } } = *ledger;
    [time.0, computing.0, sending.0, receiving.0, compute.0, idle.0, send.0, receive.0]
}

fn ledger_of(rest: &mut dyn Iterator<Item = f64>) -> Option<Ledger> {
    let [time, computing, sending, receiving] = four(rest)?.map(Seconds);
    let [compute, idle, send, receive] = four(rest)?.map(Joules);
    Some(Ledger { time, computing, sending, receiving, switched: Energy { compute, idle, send, receive } })
}

/// One record out of those of all ranks; of a lost one there is none. Times count from `origin`, on rank 0's clock; of
/// requests that were planned anew what counted in the end is told.
pub(super) fn together(
    offload: &Offload,
    told: Vec<Option<Told>>,
    offsets: Vec<Offset>,
    header: Bytes,
    origin: Seconds,
) -> Served {
    let lost: Vec<usize> = (0..told.len()).filter(|rank| told[*rank].is_none()).collect();
    let corrected = |(rank, told): (usize, Option<Told>)| {
        told.unwrap_or_default().corrected(&offsets.get(rank).copied().unwrap_or_default(), origin)
    };
    let told: Vec<Told> = told.into_iter().enumerate().map(corrected).collect();
    let newest = |(request, it): (usize, &super::Request)| {
        told[it.source].begun.iter().rfind(|begun| begun.0 == request).map(|begun| (begun.1, begun.2))
    };
    let begun: Vec<Option<(usize, Seconds)>> = offload.requests.iter().enumerate().map(newest).collect();
    let plans: Vec<Option<usize>> = begun.iter().map(|begun| begun.map(|(plan, _)| plan)).collect();
    let told: Vec<Told> = told.into_iter().map(|told| told.counted(&plans)).collect();
    let never = Seconds(f64::NAN);
    let answer = |(request, it): (usize, &super::Request)| {
        let (plan, begun) = begun[request].unwrap_or((offload.choice[request], never));
        // A source's clock is compared, not the same: it may seem to have begun a moment too early.
        let begun = if begun < it.arrival { it.arrival } else { begun };
        let last = |(_, act): &&(u32, Act)| act.request == request && act.task == offload.work.answer();
        let end = told[it.source].acts.iter().rfind(last).map_or(never, |(_, act)| act.end);
        Answer { source: it.source, arrival: it.arrival, begun, end, plan }
    };
    let answers = offload.requests.iter().enumerate().map(answer).collect();
    let messages = messages(offload, &told, header);
    let mut values: Vec<Option<Vec<f32>>> = vec![None; offload.requests.len()];
    let replanned = told.iter().map(|told| told.replanned).sum();
    let ledgers = told.iter().map(|told| told.ledger).collect();
    let mut acts = Vec::with_capacity(told.len());
    for told in told {
        told.answers.into_iter().for_each(|(request, logits)| values[request] = Some(logits));
        acts.push(told.acts.into_iter().map(|(_, act)| act).collect());
    }
    let record = Script { acts, messages, answers, ledgers };
    Served { record, answers: values, offsets, lost, replanned }
}

/// What arrived, with when it was sent, in the order in which it was.
fn messages(offload: &Offload, told: &[Told], header: Bytes) -> Vec<Message> {
    let mut arrivals: HashMap<(RequestId, TensorId, usize, usize), Seconds> = HashMap::new();
    for (to, told) in told.iter().enumerate() {
        arrivals.extend(told.arrived.iter().map(|a| ((a.request, a.tensor, a.from, to), a.arrival)));
    }
    let mut messages: Vec<Message> = Vec::new();
    for (from, told) in told.iter().enumerate() {
        messages.extend(told.sent.iter().filter_map(|&Sent { request, tensor, to, sent, .. }| {
            let arrival = *arrivals.get(&(request, tensor, from, to))?;
            let bytes = offload.work.graph.tensors()[tensor].bytes + header;
            Some(Message { request, tensor, from, to, bytes, sent, arrival })
        }));
    }
    messages.sort_by(|a, b| a.sent.0.total_cmp(&b.sent.0));
    messages
}
