//! What a chain's exit heads came to on the test part.

use super::measure::Seen;
use super::stage::Stage;
use super::{Pipeline, total};
use crate::comm::Communicator;
use crate::event::{Event, HeadRecord};
use crate::nn::Tally;
use crate::strategy::exits::{Answer, Sureness, Way, sweep};
use crate::strategy::modelled::aside;
use crate::strategy::{Job, TrainError};

/// A measured part as one rank saw it.
pub(super) struct Tested<'s> {
    pub part: &'static str,
    /// With every sample going to the end.
    pub all: &'s Seen,
    /// With the run's own exits.
    pub seen: &'s Seen,
    pub ways: Option<Vec<Way>>,
}

/// Numbers that a rank gives: of all samples that it saw, of those that left, whether it has a head, how many answers.
const NUMBERS: usize = 8;

impl Tested<'_> {
    /// Tells every head's figures and the sweep; returns the sums over all samples, each where it left.
    ///
    /// # Collective
    /// Every rank must call it.
    pub fn tell(
        self,
        stage: &Stage,
        pipeline: &Pipeline,
        comm: &dyn Communicator,
        job: &mut dyn Job,
    ) -> Result<Tally, TrainError> {
        let has_head = !stage.program.network().outputs().is_empty();
        let triple = |tally: Tally| [tally.loss, tally.correct as f64, tally.samples as f64];
        let ([a, b, c], [d, e, f]) = (triple(self.all.all), triple(self.seen.left));
        let mine: [f64; NUMBERS] = [a, b, c, d, e, f, f64::from(u8::from(has_head)), self.all.answers.len() as f64];
        let mut rows = vec![0.0f64; NUMBERS * comm.size()];
        aside(stage.clock, || comm.all_gather(bytemuck::cast_slice(&mine), bytemuck::cast_slice_mut(&mut rows)))?;
        let tally = |row: &[f64]| Tally { loss: row[0], correct: row[1] as u64, samples: row[2] as u64 };
        let rows: Vec<&[f64]> = rows.chunks_exact(NUMBERS).collect();
        let left = total(rows.iter().map(|row| tally(&row[3..6])));
        if left.samples == 0 {
            return Ok(left);
        }
        let answers = self.answers(stage, &rows, comm)?;
        let heads = rows.chunks(stage.place.replicas).enumerate().filter(|(_, of_stage)| of_stage[0][6] > 0.0);
        let heads = heads.map(|(stage, of_stage)| {
            let all = total(of_stage.iter().map(|row| tally(&row[..3])));
            let way = self.ways.as_ref().map(|ways| ways[stage]);
            let gone: f64 = of_stage.iter().map(|row| row[5]).sum();
            HeadRecord {
                stage,
                loss: all.mean_loss(),
                accuracy: all.accuracy(),
                exit_share: gone / left.samples as f64,
                latency_s: way.map(|way| way.latency_s),
                energy_j: way.map(|way| way.energy_j),
            }
        });
        let heads: Vec<HeadRecord> = heads.collect();
        let sureness = pipeline.exits.as_ref().map_or(Sureness::Confidence, |exits| exits.sureness);
        let thresholds = sureness.thresholds();
        let answers: Option<Vec<&[Answer]>> = answers.as_ref().map(|all| all.iter().map(Vec::as_slice).collect());
        let sweep = answers.map_or(Vec::new(), |all| sweep(&all, sureness, thresholds, self.ways.as_deref()));
        job.emit(Event::Exits { part: self.part, samples: left.samples, heads, sweep });
        Ok(left)
    }

    /// Every stage's answer to every sample, `[S][N]`; none where a stage has no head, or there is but one.
    fn answers(
        &self,
        stage: &Stage,
        rows: &[&[f64]],
        comm: &dyn Communicator,
    ) -> Result<Option<Vec<Vec<Answer>>>, TrainError> {
        let place = stage.place;
        if place.stages == 1 || place.replicas > 1 || rows.iter().any(|row| row[6] == 0.0) {
            return Ok(None);
        }
        let flat = |answer: &Answer| [answer.confidence, answer.entropy, answer.right as f32];
        let mine: Vec<f32> = self.all.answers.iter().flat_map(flat).collect();
        let mut all = vec![0.0f32; mine.len() * comm.size()];
        aside(stage.clock, || comm.all_gather(bytemuck::cast_slice(&mine), bytemuck::cast_slice_mut(&mut all)))?;
        let answer = |t: &[f32]| Answer { confidence: t[0], entropy: t[1], right: t[2] as u32 };
        let of_stage = |flat: &[f32]| flat.chunks_exact(3).map(answer).collect();
        Ok(Some(all.chunks_exact(mine.len().max(1)).map(of_stage).collect()))
    }
}

/// The ways to all stages. `mine` is this stage's: seconds until its answer; joules until then; and of the whole sample.
///
/// # Collective
/// Every rank must call it.
pub(super) fn ways(stage: &Stage, comm: &dyn Communicator, mine: [f64; 3]) -> Result<Vec<Way>, TrainError> {
    let mut all = vec![0.0f64; 3 * comm.size()];
    aside(stage.clock, || comm.all_gather(bytemuck::cast_slice(&mine), bytemuck::cast_slice_mut(&mut all)))?;
    let mut before = 0.0;
    let firsts = all.chunks_exact(3).step_by(stage.place.replicas);
    let way = |of: &[f64]| {
        let way = Way { latency_s: of[0], energy_j: before + of[1] };
        before += of[2];
        way
    };
    Ok(firsts.map(way).collect())
}
