//! splits.csv: what each device of split learning did in each round, and why it hands over where it does next.
//!
//! Measured and modelled figures have columns of their own: the same six of each, the modelled ones by name.

use super::metrics::micros;
use crate::event::{SplitRecord, SplitTimes};

/// The header of splits.csv.
pub const SPLITS_HEADER: &str = "epoch,round,rank,device,cut,next_cut,steps,samples,round_s,device_s,server_s,wait_s,up_mbit_per_s,down_mbit_per_s,modelled_round_s,modelled_device_s,modelled_server_s,modelled_wait_s,modelled_up_mbit_per_s,modelled_down_mbit_per_s,modelled_j,predicted_s,predicted_j,bytes_up,bytes_down,reason";

/// The row of a device in a round.
pub(super) fn split_row(round: u64, device: &SplitRecord) -> Vec<String> {
    let names = [device.epoch.to_string(), round.to_string(), device.rank.to_string(), device.device.clone()];
    let counts =
        [device.cut as u64, device.next_cut as u64, device.steps, device.samples].map(|count| count.to_string());
    let figures = [device.modelled_j, device.predicted_s, device.predicted_j].map(exact);
    let bytes = [device.bytes_up.to_string(), device.bytes_down.to_string()];
    // A row is a line.
    let reason = device.reason.replace(char::is_control, " ");
    let rest = figures.into_iter().chain(bytes).chain([reason]);
    names
        .into_iter()
        .chain(counts)
        .chain(measured(&device.measured))
        .chain(modelled(device.modelled))
        .chain(rest)
        .collect()
}

/// Seconds to the microsecond, and links to the bit a second.
fn measured(times: &SplitTimes) -> [String; 6] {
    let SplitTimes { round_s, device_s, server_s, wait_s, up_mbit_per_s, down_mbit_per_s } = *times;
    let [round, device, server, wait] = [round_s, device_s, server_s, wait_s].map(micros);
    let [up, down] = [up_mbit_per_s, down_mbit_per_s].map(|rate| rate.map_or(String::new(), micros));
    [round, device, server, wait, up, down]
}

/// Every digit: they are the same on every machine.
fn modelled(times: Option<SplitTimes>) -> [String; 6] {
    let of = |value: fn(&SplitTimes) -> f64| exact(times.as_ref().map(value));
    let link = |value: fn(&SplitTimes) -> Option<f64>| exact(times.as_ref().and_then(value));
    [
        of(|times| times.round_s),
        of(|times| times.device_s),
        of(|times| times.server_s),
        of(|times| times.wait_s),
        link(|times| times.up_mbit_per_s),
        link(|times| times.down_mbit_per_s),
    ]
}

fn exact(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::run::stages::StageLogs;

    fn round(epoch: u64, round: u64) -> Event {
        let measured =
            SplitTimes { round_s: 2.0, device_s: 1.0 / 3.0, up_mbit_per_s: Some(850.5), ..SplitTimes::default() };
        let modelled = SplitTimes { round_s: 0.1 + 0.2, wait_s: 0.25, down_mbit_per_s: Some(20.0), ..measured };
        let emulated = SplitRecord {
            rank: 1,
            device: "raspberry_pi".into(),
            epoch,
            cut: 7,
            next_cut: 2,
            steps: 10,
            samples: 1000,
            bytes_up: 64,
            bytes_down: 32,
            measured,
            modelled: Some(modelled),
            modelled_j: Some(1.5),
            predicted_s: Some(0.5),
            predicted_j: None,
            reason: "cut 2 takes 12 s, \"7\" 20 s\nat 20 Mbit/s".into(),
            next_reason: "told on the terminal".into(),
        };
        let itself = SplitRecord { rank: 2, epoch, measured, ..SplitRecord::default() };
        Event::Round { round, devices: vec![emulated, itself] }
    }

    fn rows(epoch: u64, round: u64) -> String {
        format!(
            "{epoch},{round},1,raspberry_pi,7,2,10,1000,2.000000,0.333333,0.000000,0.000000,850.500000,,\
             0.30000000000000004,0.3333333333333333,0,0.25,850.5,20,1.5,0.5,,64,32,\
             \"cut 2 takes 12 s, \"\"7\"\" 20 s at 20 Mbit/s\"\n\
             {epoch},{round},2,,0,0,0,0,2.000000,0.333333,0.000000,0.000000,850.500000,,,,,,,,,,,0,0,\n"
        )
    }

    #[test]
    fn rounds_have_exactly_these_bytes_and_go_with_their_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let mut logs = StageLogs::new(dir.path());
        for (epoch, number) in [(1, 1), (1, 2), (2, 3)] {
            logs.hear(&round(epoch, number)).unwrap();
        }
        drop(logs);
        let path = dir.path().join("splits.csv");
        let before = format!("{SPLITS_HEADER}\n{}{}", rows(1, 1), rows(1, 2));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{before}{}", rows(2, 3)));
        let mut logs = StageLogs::reopen(dir.path(), 1, 20).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        logs.hear(&round(2, 3)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{before}{}", rows(2, 3)));
    }

    #[test]
    fn every_row_has_as_many_cells_as_its_header() {
        assert_eq!(split_row(1, &SplitRecord::default()).len(), SPLITS_HEADER.split(',').count());
    }
}
