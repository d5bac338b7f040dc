//! What the stages of a pipeline did in an epoch, and what emulated machines used, as tables for the terminal.
//!
//! Measured and modelled figures stand in tables of their own, each under a line that says which they are.

use super::text::{fitted, percent, quantity, with_unit};
use crate::event::{MachineRecord, StageRecord};

/// The tables of one epoch: what was measured, what was learned, what samplers proposed, what was modelled.
///
/// `epoch_s` are the measured seconds of its training loop.
pub fn stage_lines(epoch: u64, epoch_s: Option<f64>, stages: &[StageRecord]) -> Vec<String> {
    if stages.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("stages in epoch {epoch}, measured; bytes to the next stage and back:")];
    lines.extend(table(stages, &["stage", "busy", "bubble", "waited", "down", "up", "credits"], |stage| {
        let bytes = |bytes: u64| with_unit(bytes as f64, "B");
        vec![
            named(stage, &stage.layers, stages),
            percent(Some(1.0 - stage.bubble)),
            percent(Some(stage.bubble)),
            quantity(stage.wait_s, "s"),
            bytes(stage.bytes_down),
            bytes(stage.bytes_up),
            bytes(stage.bytes_control),
        ]
    }));
    // That all samples leave at the end goes without saying.
    let last = stages.iter().map(|stage| stage.stage).max();
    let early = stages.iter().any(|stage| Some(stage.stage) < last && stage.exit_share > Some(0.0));
    // A stage without an exit head, whose gradients come from the next one, has no answers of its own.
    let has_head = |stage: &&StageRecord| stage.train_loss.is_some() || stage.val_loss.is_some();
    let heads: Vec<StageRecord> = stages.iter().filter(has_head).cloned().collect();
    lines.push("what they learned (validation: of the samples that came to the stage):".into());
    lines.extend(table(&heads, &["stage", "batches", "loss", "acc", "val loss", "val acc", "left here"], |stage| {
        vec![
            named(stage, &stage.device, stages),
            stage.batches.to_string(),
            loss(stage.train_loss),
            share(stage.train_acc),
            loss(stage.val_loss),
            share(stage.val_acc),
            percent(stage.exit_share.filter(|_| early)),
        ]
    }));
    lines.extend(sampler_lines(epoch_s, stages));
    lines.extend(modelled_lines(epoch, stages));
    lines
}

/// How the proposals of samplers went; nothing where none were made.
fn sampler_lines(epoch_s: Option<f64>, stages: &[StageRecord]) -> Vec<String> {
    if stages.iter().all(|stage| stage.proposals == 0) {
        return Vec::new();
    }
    let mut lines = vec!["what they proposed:".to_owned()];
    lines.extend(table(stages, &["stage", "proposals", "a second", "accepted (conv)", "accepted (dense)"], |stage| {
        let speed = epoch_s.filter(|seconds| *seconds > 0.0).map(|seconds| stage.proposals as f64 / seconds);
        vec![
            named(stage, "", stages),
            stage.proposals.to_string(),
            speed.map_or(String::new(), |speed| with_unit(speed, "").trim_end().to_owned()),
            percent(stage.acceptance_conv),
            percent(stage.acceptance_dense),
        ]
    }));
    lines
}

/// The epoch on emulated machines; nothing where none are emulated.
fn modelled_lines(epoch: u64, stages: &[StageRecord]) -> Vec<String> {
    if stages.iter().all(|stage| stage.modelled_epoch_s.is_none()) {
        return Vec::new();
    }
    let seconds = |value: Option<f64>| value.map_or(String::new(), |value| quantity(value, "s"));
    let mut lines = vec![format!("the training of epoch {epoch} on emulated machines, modelled:")];
    lines.extend(table(stages, &["stage", "epoch", "computing", "busy", "bubble"], |stage| {
        vec![
            named(stage, &stage.device, stages),
            seconds(stage.modelled_epoch_s),
            seconds(stage.modelled_busy_s),
            percent(stage.modelled_bubble.map(|bubble| 1.0 - bubble)),
            percent(stage.modelled_bubble),
        ]
    }));
    lines
}

/// What emulated machines took and used: `machines` are sums by rank, `seconds` those from the first to the last phase.
pub fn energy_lines(seconds: Option<f64>, machines: &[MachineRecord]) -> Vec<String> {
    let mut lines = Vec::new();
    let total = |of: fn(&MachineRecord) -> Option<f64>| machines.iter().filter_map(of).reduce(|a, b| a + b);
    let joules = |value: Option<f64>| value.map_or(String::new(), |value| quantity(value, "J"));
    if let (Some(seconds), Some(all)) = (seconds, total(MachineRecord::modelled_j)) {
        let parts: [(&str, Option<f64>); 4] = [
            ("compute", total(|m| m.modelled_compute_j)),
            ("idle", total(|m| m.modelled_idle_j)),
            ("send", total(|m| m.modelled_send_j)),
            ("receive", total(|m| m.modelled_receive_j)),
        ];
        let parts: Vec<String> = parts.into_iter().map(|(name, value)| format!("{name} {}", joules(value))).collect();
        let sums = format!("modelled: {}, {}", quantity(seconds, "s"), quantity(all, "J"));
        let parts = format!("({})", parts.join(", "));
        // In one line, unless a terminal would break it.
        match sums.chars().count() + parts.chars().count() < 80 {
            true => lines.push(format!("{sums} {parts}")),
            false => lines.extend([sums, format!("  {parts}")]),
        }
    }
    if lines.is_empty() && total(|m| m.measured_j).is_none() {
        return lines;
    }
    let head = ["rank", "compute", "idle", "send", "receive", "all", "measured"];
    let width = label_width(machines.iter().map(|machine| machine.rank.to_string()));
    let rows = machines.iter().map(|machine| {
        vec![
            format!("{:<width$} {}", machine.rank, machine.device).trim_end().to_owned(),
            joules(machine.modelled_compute_j),
            joules(machine.modelled_idle_j),
            joules(machine.modelled_send_j),
            joules(machine.modelled_receive_j),
            joules(machine.modelled_j()),
            joules(machine.measured_j),
        ]
    });
    lines.extend(fitted(&head, rows.collect(), "energy.csv has them all"));
    lines
}

fn table(stages: &[StageRecord], head: &[&str], row: impl Fn(&StageRecord) -> Vec<String>) -> Vec<String> {
    fitted(head, stages.iter().map(row).collect(), "stages.csv has them all")
}

/// `3 conv2..pool2`, with its replica where stages have several: `3.1 conv2..pool2`.
fn named(stage: &StageRecord, name: &str, all: &[StageRecord]) -> String {
    let replicated = all.iter().any(|stage| stage.replica > 0);
    let label = |stage: &StageRecord| match replicated {
        true => format!("{}.{}", stage.stage, stage.replica),
        false => stage.stage.to_string(),
    };
    let width = label_width(all.iter().map(label));
    format!("{:<width$} {name}", label(stage)).trim_end().to_owned()
}

fn label_width(labels: impl Iterator<Item = String>) -> usize {
    labels.map(|label| label.len()).max().unwrap_or(0)
}

fn loss(value: Option<f64>) -> String {
    value.map_or(String::new(), |loss| format!("{loss:.4}"))
}

fn share(value: Option<f64>) -> String {
    value.map_or(String::new(), |share| format!("{share:.3}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The second of two stages of a chain of emulated boards.
    pub(in crate::report) fn board() -> StageRecord {
        StageRecord {
            stage: 1,
            rank: 1,
            layers: "conv2..head2".into(),
            device: "j4".into(),
            batches: 376,
            samples: 12_000,
            train_loss: Some(1.5),
            train_acc: Some(0.4567),
            val_acc: Some(0.5),
            exit_share: Some(0.25),
            busy_s: 3.0,
            wait_s: 0.5,
            bubble: 0.25,
            bytes_control: 6016,
            modelled_epoch_s: Some(200.0),
            modelled_busy_s: Some(150.0),
            modelled_bubble: Some(0.25),
            ..StageRecord::default()
        }
    }

    fn first() -> StageRecord {
        StageRecord {
            layers: "conv1..pool1".into(),
            batches: 376,
            exit_share: Some(0.75),
            bubble: 0.1875,
            bytes_down: 24_100_000,
            ..StageRecord::default()
        }
    }

    #[test]
    fn the_tables_of_a_chain() {
        let sampled = StageRecord { proposals: 800, acceptance_conv: Some(0.234), ..board() };
        let expected = "\
stages in epoch 20, measured; bytes to the next stage and back:
stage             busy  bubble  waited     down   up  credits
0 conv1..pool1  81.2 %  18.8 %     0 s  24.1 MB  0 B      0 B
1 conv2..head2  75.0 %  25.0 %  500 ms      0 B  0 B   6.0 kB
what they learned (validation: of the samples that came to the stage):
stage  batches    loss    acc  val acc  left here
1 j4       376  1.5000  0.457    0.500     25.0 %
what they proposed:
stage  proposals  a second  accepted (conv)
0              0         0
1            800       200           23.4 %
the training of epoch 20 on emulated machines, modelled:
stage  epoch  computing    busy  bubble
0
1 j4   200 s      150 s  75.0 %  25.0 %
";
        assert_eq!(stage_lines(20, Some(4.0), &[first(), sampled]).join("\n") + "\n", expected);
        assert!(stage_lines(1, None, &[]).is_empty());
    }

    #[test]
    fn what_there_is_not_has_no_table_and_replicas_are_told_apart() {
        let plain = |stage, replica| StageRecord { stage, replica, layers: "fc".into(), ..StageRecord::default() };
        let lines = stage_lines(2, Some(1.0), &[plain(0, 0), plain(0, 1), plain(11, 0), plain(11, 1)]);
        assert!(!lines.join(" ").contains("proposed") && !lines.join(" ").contains("modelled"), "{lines:?}");
        let late = [first(), board()].map(|stage| StageRecord { exit_share: Some(stage.stage as f64), ..stage });
        assert!(!stage_lines(1, None, &late).join(" ").contains("left here"), "nothing leaves early");
        assert!(lines[2].starts_with("0.0  fc ") && lines[5].starts_with("11.1 fc "), "{lines:?}");
    }

    #[test]
    fn nothing_is_wider_than_a_terminal() {
        let wide = StageRecord {
            layers: "features_block1_conv1..features_block1_pool1".into(),
            device: "jetson nano 4 GB, power mode CUSTOM, as measured".into(),
            train_loss: Some(1234.5),
            train_acc: Some(f64::NAN),
            val_loss: Some(1e4),
            wait_s: 123_456.7,
            bubble: -1.0,
            bytes_down: u64::MAX,
            bytes_up: 123_456_789_012,
            proposals: 123_456_789_012,
            acceptance_conv: Some(1.0),
            acceptance_dense: Some(1.0),
            ..board()
        };
        let machine = MachineRecord {
            device: wide.device.clone(),
            modelled_compute_j: Some(987_654.0),
            modelled_idle_j: Some(0.987),
            modelled_send_j: Some(987e-6),
            modelled_receive_j: Some(98_765.0),
            measured_j: Some(123_456_789.0),
            ..MachineRecord::default()
        };
        let mut lines = stage_lines(1_000_000, Some(1e-3), &vec![wide; 24]);
        lines.extend(energy_lines(Some(86_400.0), &vec![machine; 24]));
        for line in lines {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn energy_is_a_line_and_a_row_a_machine() {
        let machine = |rank, joules: f64| MachineRecord {
            rank,
            device: "pi".into(),
            modelled_compute_j: Some(joules),
            modelled_idle_j: Some(1.0),
            modelled_send_j: Some(0.002),
            modelled_receive_j: Some(0.0),
            ..MachineRecord::default()
        };
        let expected = "\
modelled: 1.50 s, 14.0 J
  (compute 12.0 J, idle 2.00 J, send 4.00 mJ, receive 0 J)
rank  compute    idle     send  receive     all
0 pi   10.0 J  1.00 J  2.00 mJ      0 J  11.0 J
1 pi   2.00 J  1.00 J  2.00 mJ      0 J  3.00 J
";
        let machines = [machine(0, 10.0), machine(1, 2.0)];
        assert_eq!(energy_lines(Some(1.5), &machines).join("\n") + "\n", expected);
        assert!(energy_lines(None, &[]).is_empty());
        assert!(energy_lines(None, &[MachineRecord::default()]).is_empty(), "no figure, no table");
        let measured = MachineRecord { rank: 3, measured_j: Some(35.5), ..MachineRecord::default() };
        assert_eq!(energy_lines(None, &[measured]), ["rank  measured", "3       35.5 J"]);
    }
}
