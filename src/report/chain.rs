//! What stages, devices of split learning and emulated machines told during a run, kept until somebody asks: for the
//! terminal, for run.json, for a chart. A run without all of them leaves it empty, and it has nothing to say.

use super::chart;
use super::exits::exit_lines;
use super::splits::Rounds;
use super::stages::{energy_lines, stage_lines};
use super::svg::Chart;
use crate::event::{Event, HeadRecord, MachineRecord, StageRecord, SweepRow};
use crate::run::state::Final;

/// The last epoch's stages, the sums of all phases' energy, the last word on each part's exits, the rounds of devices.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    epoch: u64,
    epoch_s: Option<f64>,
    stages: Vec<StageRecord>,
    accuracies: Vec<chart::StageAccuracies>,
    modelled_s: Option<f64>,
    machines: Vec<MachineRecord>,
    exits: Vec<(&'static str, u64, Vec<HeadRecord>, Vec<SweepRow>)>,
    rounds: Rounds,
    /// The last epoch that ended.
    ended: u64,
}

impl Chain {
    /// Keeps what belongs here.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Epoch(record) => (self.ended, self.epoch_s) = (record.epoch, Some(record.epoch_s)),
            Event::Stages { epoch, stages } => {
                self.epoch = *epoch;
                self.stages.clone_from(stages);
                self.accuracies.push(chart::StageAccuracies::of(*epoch, stages));
            }
            Event::Energy { machines, .. } => self.add(machines),
            Event::Round { devices, .. } => self.rounds.add(devices),
            Event::Exits { part, samples, heads, sweep } => {
                self.exits.retain(|(known, ..)| known != part);
                self.exits.push((part, *samples, heads.clone(), sweep.clone()));
            }
            _ => {}
        }
    }

    /// Adds a phase. It takes as long as its slowest machine; phases follow each other.
    fn add(&mut self, machines: &[MachineRecord]) {
        let seconds = machines.iter().filter_map(|machine| machine.modelled_s).reduce(f64::max);
        add(&mut self.modelled_s, seconds);
        for machine in machines {
            let known = self.machines.iter().position(|known| known.rank == machine.rank);
            let Some(known) = known else {
                self.machines.push(machine.clone());
                continue;
            };
            let sum = &mut self.machines[known];
            add(&mut sum.modelled_s, machine.modelled_s);
            add(&mut sum.modelled_compute_s, machine.modelled_compute_s);
            add(&mut sum.modelled_send_s, machine.modelled_send_s);
            add(&mut sum.modelled_receive_s, machine.modelled_receive_s);
            add(&mut sum.modelled_compute_j, machine.modelled_compute_j);
            add(&mut sum.modelled_idle_j, machine.modelled_idle_j);
            add(&mut sum.modelled_send_j, machine.modelled_send_j);
            add(&mut sum.modelled_receive_j, machine.modelled_receive_j);
            add(&mut sum.measured_j, machine.measured_j);
        }
    }

    /// Seconds on emulated machines so far, modelled.
    pub fn modelled_s(&self) -> Option<f64> {
        self.modelled_s
    }

    /// The tables of the last epoch's stages, or of its rounds.
    pub fn epoch_lines(&self) -> Vec<String> {
        let stages = stage_lines(self.epoch, self.epoch_s, &self.stages);
        stages.into_iter().chain(self.rounds.epoch_lines(self.ended)).collect()
    }

    /// All tables, at the end of a run.
    pub fn end_lines(&self) -> Vec<String> {
        let mut lines = stage_lines(self.epoch, self.epoch_s, &self.stages);
        lines.extend(self.rounds.end_lines());
        lines.extend(energy_lines(self.modelled_s, &self.machines));
        for (part, samples, heads, sweep) in &self.exits {
            lines.extend(exit_lines(part, *samples, heads, sweep));
        }
        lines
    }

    /// Enters what is modelled, and the stages, into the final figures.
    pub fn enter(&self, figures: &mut Final) {
        figures.modelled_s = self.modelled_s;
        figures.modelled_energy_j = self.machines.iter().filter_map(MachineRecord::modelled_j).reduce(|a, b| a + b);
        figures.energy_j = self.machines.iter().filter_map(|machine| machine.measured_j).reduce(|a, b| a + b);
        figures.stages.clone_from(&self.stages);
    }

    /// stages.svg, if a stage's accuracy was measured.
    pub fn chart(&self) -> Option<Chart> {
        chart::stages(&self.accuracies)
    }
}

fn add(sum: &mut Option<f64>, value: Option<f64>) {
    *sum = match (*sum, value) {
        (Some(sum), Some(value)) => Some(sum + value),
        (sum, value) => sum.or(value),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EpochRecord;
    use crate::report::stages::tests::board;

    fn energy(phase: &'static str, seconds: [f64; 2]) -> Event {
        let machine = |rank: usize| MachineRecord {
            rank,
            device: "pi".into(),
            modelled_s: Some(seconds[rank]),
            modelled_compute_j: Some(2.0 * seconds[rank]),
            modelled_idle_j: Some(1.0),
            modelled_send_j: Some(0.0),
            modelled_receive_j: Some(0.0),
            ..MachineRecord::default()
        };
        Event::Energy { epoch: 1, phase, machines: vec![machine(0), machine(1)] }
    }

    /// Two phases of 3 s and 0.5 s; joules: 2·(3 + 2 + 0.5 + 0.5) + 4·1 = 16.
    #[test]
    fn phases_follow_each_other_and_machines_work_side_by_side() {
        let mut chain = Chain::default();
        chain.hear(&energy("train", [3.0, 2.0]));
        chain.hear(&energy("measure", [0.5, 0.5]));
        let mut figures = Final::default();
        chain.enter(&mut figures);
        assert_eq!((figures.modelled_s, figures.modelled_energy_j), (Some(3.5), Some(16.0)));
        let lines = chain.end_lines();
        assert_eq!(lines[0], "modelled: 3.50 s, 16.0 J (compute 12.0 J, idle 4.00 J, send 0 J, receive 0 J)");
        assert_eq!(lines.len(), 4, "no stages: {lines:?}");
        assert!(lines[2].starts_with("0 pi ") && lines[2].ends_with("9.00 J"), "{lines:?}");
    }

    #[test]
    fn the_last_epoch_and_the_last_word_on_a_part_count() {
        let mut chain = Chain::default();
        for epoch in [1, 2] {
            let stages = vec![StageRecord { batches: epoch, proposals: 30, ..board() }];
            chain.hear(&Event::Stages { epoch, stages });
            chain.hear(&Event::Epoch(EpochRecord { epoch, epoch_s: 2.0, ..EpochRecord::default() }));
            let head = |stage| HeadRecord {
                stage,
                loss: None,
                accuracy: Some(0.5),
                exit_share: 0.5,
                latency_s: None,
                energy_j: None,
            };
            for part in ["validation", "test"] {
                let heads = vec![head(0), head(1)];
                chain.hear(&Event::Exits { part, samples: 10 * epoch, heads, sweep: Vec::new() });
            }
        }
        let text = chain.end_lines().join("\n");
        assert!(text.starts_with("stages in epoch 2, ") && text.matches("stages in epoch").count() == 1, "{text}");
        assert!(text.contains("20 samples of the test part") && text.contains("20 samples of the validation part"));
        assert_eq!(text.matches("exit heads").count(), 2, "{text}");
        assert!(text.lines().any(|line| line.split_whitespace().take(3).eq(["1", "30", "15"])), "a rate: {text}");
        let mut figures = Final::default();
        chain.enter(&mut figures);
        assert_eq!(figures.stages.iter().map(|stage| stage.batches).collect::<Vec<_>>(), [2]);
        assert_eq!((figures.modelled_s, figures.modelled_energy_j), (None, None));
        assert_eq!(chain.chart().unwrap().series[0].points, [(1.0, Some(0.5)), (2.0, Some(0.5))]);
    }

    #[test]
    fn other_runs_have_nothing_to_say() {
        let mut chain = Chain::default();
        chain.hear(&Event::Epoch(EpochRecord::default()));
        chain.hear(&Event::Note { text: "a".into() });
        assert!(chain.epoch_lines().is_empty() && chain.end_lines().is_empty() && chain.chart().is_none());
    }
}
