//! Measuring a chain: samples flow through the stages, every exit head answers, and who may leaves early.

use super::channel::{Inlet, Outlet};
use super::stage::Stage;
use crate::comm::{Communicator, Note};
use crate::data::{Samples, Visit};
use crate::device::{Ledger, Machine, Pass};
use crate::nn::{Context, Tally, Workspace};
use crate::strategy::TrainError;
use crate::strategy::exits::{Answer, Exits, answer};
use crate::strategy::portion::copy_rows;
use std::ops::Range;

/// What a stage saw of a part of the data.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// All samples that came to this stage, answered by its own head; none where it has no head.
    pub all: Tally,
    /// Those that left here, with their answers.
    pub left: Tally,
    /// Every sample's answer, in order; complete only where none leaves early.
    pub answers: Vec<Answer>,
    /// What the emulated machine had done when this stage answered last.
    pub answered: Ledger,
}

/// A stage's end of a measuring.
pub(super) struct Measure<'a, 's> {
    pub stage: &'s Stage<'a>,
    pub comm: &'a dyn Communicator,
    pub window: usize,
    /// The rule by which samples leave early; none: all go to the end.
    pub exits: Option<&'s Exits>,
}

impl Measure<'_, '_> {
    /// Sends a range of samples through the chain, as many at a time as the workspace has room for.
    pub fn run(&self, samples: &dyn Samples, range: Range<usize>, ws: &mut Workspace) -> Result<Seen, TrainError> {
        let place = self.stage.place;
        let inlet =
            place.before().map(|rank| Inlet::new(self.comm, rank, self.stage.program.network().shapes()[0].elements()));
        let outlet = place.after().map(|rank| Outlet::new(self.comm, rank, self.stage.share.handed_on(), self.window));
        let (mut inlet, mut outlet, mut seen) = (inlet, outlet, Seen::default());
        let block = ws.capacity();
        let mut labels: Vec<u32> = Vec::with_capacity(block);
        for (number, start) in range.clone().step_by(block).enumerate() {
            let rows: Vec<u32> = (start..(start + block).min(range.end)).map(|row| row as u32).collect();
            labels.clear();
            match &mut inlet {
                None => {
                    labels.extend(rows.iter().map(|row| samples.label(*row as usize)));
                    self.stage.load(ws, samples, Visit::MEASURE, &rows);
                }
                Some(inlet) => {
                    let clock = self.stage.clock;
                    let parcel = inlet.take(|| clock.machine().map_or(0.0, |machine| machine.now().0))?;
                    labels.extend_from_slice(parcel.labels());
                    self.stage.receive(ws, &parcel);
                    inlet.reuse(parcel);
                }
            }
            let staying = self.answer(ws, &labels, &mut seen);
            if let Some(outlet) = &mut outlet {
                let note = Note { step: number as u32, ..Note::default() };
                self.hand_on(ws, &labels, &staying, note, outlet)?;
            }
        }
        if let Some(outlet) = &mut outlet {
            outlet.finish()?;
        }
        if let Some(inlet) = &mut inlet {
            inlet.finish()?;
        }
        Ok(seen)
    }

    /// Runs forward and lets those leave that may; returns the rows that go on.
    fn answer(&self, ws: &mut Workspace, labels: &[u32], seen: &mut Seen) -> Vec<usize> {
        let stage = self.stage;
        if labels.is_empty() {
            return Vec::new();
        }
        let ids: Vec<u32> = (0..labels.len() as u32).collect();
        let context = Context { team: crate::strategy::team(), ..Context::eval(&ids, &stage.sigma) };
        stage.clock.work([stage.work(labels.len(), Pass::Forward)], || {
            stage.program.forward(&context, &stage.theta, ws);
        });
        seen.answered = stage.clock.machine().map(Machine::ledger).unwrap_or_default();
        let Some(head) = stage.program.network().outputs().len().checked_sub(1) else {
            return (0..labels.len()).collect();
        };
        seen.all += stage.program.tally(ws, head, labels);
        let output = stage.program.network().outputs()[head];
        let logits = ws.value(output.value);
        let mut staying = Vec::with_capacity(labels.len());
        for (b, label) in labels.iter().enumerate() {
            let row = logits.row(b);
            let answer = answer(output.loss, row.to_slice().expect("a row is contiguous"), *label);
            seen.answers.push(answer);
            let leaves =
                stage.place.is_last() || self.exits.is_some_and(|exits| exits.lets_go(stage.place.stage, &answer));
            if leaves {
                let loss = output.loss.evaluate(logits.slice(ndarray::s![b..=b, ..]), &[*label], None);
                seen.left += loss;
            } else {
                staying.push(b);
            }
        }
        staying
    }

    fn hand_on(
        &self,
        ws: &Workspace,
        labels: &[u32],
        staying: &[usize],
        note: Note,
        outlet: &mut Outlet,
    ) -> Result<(), TrainError> {
        if staying.is_empty() {
            // All have left; the later stages have to know that nothing comes.
            return Ok(outlet.send(note, &[], |_| {})?);
        }
        if staying.len() == labels.len() {
            return Ok(outlet.send(note, labels, |rows| self.stage.hand_on(ws, rows))?);
        }
        let kept: Vec<u32> = staying.iter().map(|b| labels[*b]).collect();
        let value = ws.value(self.stage.share.export.expect("a stage that another follows hands a value on"));
        outlet.send(note, &kept, |rows| {
            let dims = value.ncols();
            for (b, to) in staying.iter().zip(rows.chunks_exact_mut(dims)) {
                copy_rows(value.slice(ndarray::s![*b..=*b, ..]), to);
            }
        })?;
        Ok(())
    }
}
