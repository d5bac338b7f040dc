//! What the devices of split learning did, as tables for the terminal: an epoch's rounds, and all of a run's.
//!
//! Measured and modelled figures stand in tables of their own, each under a line that says which they are.

use super::text::{count, fitted, percent, quantity};
use crate::event::{SplitRecord, SplitTimes};

/// The rounds of a run, summed by device: those of the last epoch, and all.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    epoch: u64,
    of_epoch: Vec<Sum>,
    all: Vec<Sum>,
}

/// The sums of a device over some rounds.
#[derive(Debug, Clone, Default)]
struct Sum {
    rank: usize,
    device: String,
    rounds: u32,
    cuts: (usize, usize),
    measured: Times,
    /// Over the rounds that were modelled.
    modelled: Option<Times>,
    modelled_j: Option<f64>,
    /// Predicted seconds and those that came, over the rounds that have both.
    seconds: Option<(f64, f64)>,
    /// The same of joules.
    joules: Option<(f64, f64)>,
}

/// Seconds, and what was seen of the links.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    rounds: u32,
    round_s: f64,
    device_s: f64,
    server_s: f64,
    wait_s: f64,
    up: Mean,
    down: Mean,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn of(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Times {
    fn add(&mut self, times: &SplitTimes) {
        self.rounds += 1;
        self.round_s += times.round_s;
        self.device_s += times.device_s;
        self.server_s += times.server_s;
        self.wait_s += times.wait_s;
        self.up.add(times.up_mbit_per_s);
        self.down.add(times.down_mbit_per_s);
    }

    /// A round's seconds on the device, at the server and waiting, and the links.
    fn cells(&self) -> Vec<String> {
        let sums = [self.round_s, self.device_s, self.server_s, self.wait_s];
        let mut cells: Vec<String> = sums.map(|sum| quantity(sum / f64::from(self.rounds.max(1)), "s")).into();
        let rate = |mean: Mean| mean.of().map_or("-".to_owned(), |rate| quantity(rate, "").trim_end().replace(' ', ""));
        cells.push(match (self.up.of(), self.down.of()) {
            (None, None) => String::new(),
            _ => format!("{}/{}", rate(self.up), rate(self.down)),
        });
        cells
    }
}

impl Sum {
    fn add(&mut self, record: &SplitRecord) {
        self.cuts = match self.rounds {
            0 => (record.cut, record.cut),
            _ => (self.cuts.0.min(record.cut), self.cuts.1.max(record.cut)),
        };
        self.rounds += 1;
        self.device.clone_from(&record.device);
        self.measured.add(&record.measured);
        if let Some(times) = &record.modelled {
            self.modelled.get_or_insert_default().add(times);
        }
        if let Some(joules) = record.modelled_j {
            *self.modelled_j.get_or_insert_default() += joules;
        }
        // A plan for emulated machines is held against what they took, not against what emulating them took.
        let came = record.modelled.as_ref().unwrap_or(&record.measured).round_s;
        pair(&mut self.seconds, record.predicted_s, Some(came));
        pair(&mut self.joules, record.predicted_j, record.modelled_j);
    }

    /// `2`, or `2..7` where it changed.
    fn cut(&self) -> String {
        match self.cuts {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least}..{most}"),
        }
    }
}

fn pair(sums: &mut Option<(f64, f64)>, predicted: Option<f64>, came: Option<f64>) {
    if let (Some(predicted), Some(came)) = (predicted, came) {
        let sums = sums.get_or_insert_default();
        *sums = (sums.0 + predicted, sums.1 + came);
    }
}

impl Rounds {
    /// Keeps what a round's devices told.
    pub fn add(&mut self, devices: &[SplitRecord]) {
        for record in devices {
            if record.epoch != self.epoch {
                self.epoch = record.epoch;
                self.of_epoch.clear();
            }
            for sums in [&mut self.of_epoch, &mut self.all] {
                let at = sums.iter().position(|sum| sum.rank == record.rank).unwrap_or_else(|| {
                    sums.push(Sum { rank: record.rank, ..Sum::default() });
                    sums.len() - 1
                });
                sums[at].add(record);
            }
        }
    }

    /// The tables of the rounds that ended in this epoch, if it is the last one in which any did.
    pub fn epoch_lines(&self, epoch: u64) -> Vec<String> {
        let of_epoch = if epoch == self.epoch { &self.of_epoch[..] } else { &[] };
        lines(&format!("epoch {epoch}"), of_epoch)
    }

    /// The tables of all rounds.
    pub fn end_lines(&self) -> Vec<String> {
        lines("this run", &self.all)
    }
}

fn lines(when: &str, devices: &[Sum]) -> Vec<String> {
    let Some(rounds) = devices.iter().map(|device| device.rounds).max() else { return Vec::new() };
    let of = format!("{} of {when}, the mean", count(rounds as usize, "round"));
    let mut lines = vec![format!("devices in {of}, measured:")];
    let head = ["rank", "cut", "round", "device", "server", "waited", "Mbit/s up/down"];
    let width = devices.iter().map(|device| device.rank.to_string().len()).max().unwrap_or(0);
    let row = |sum: &Sum, cells: Vec<String>| {
        let name = format!("{:<width$} {}", sum.rank, sum.device).trim_end().to_owned();
        [name, sum.cut()].into_iter().chain(cells).collect::<Vec<String>>()
    };
    let more = "splits.csv has them all";
    lines.extend(fitted(&head, devices.iter().map(|sum| row(sum, sum.measured.cells())).collect(), more));
    if devices.iter().any(|sum| sum.modelled.is_some()) {
        lines.push("on emulated machines, modelled:".into());
        let head = [&head[..], &["energy"]].concat();
        let rows = devices.iter().map(|sum| {
            let mut cells = sum.modelled.map_or(vec![String::new(); 5], |times| times.cells());
            let rounds = f64::from(sum.rounds.max(1));
            cells.push(sum.modelled_j.map_or(String::new(), |joules| quantity(joules / rounds, "J")));
            row(sum, cells)
        });
        lines.extend(fitted(&head, rows.collect(), more));
    }
    lines.extend(predicted_lines(devices, &row));
    lines
}

/// What a planner had predicted and what came; nothing where nothing was predicted.
fn predicted_lines(devices: &[Sum], row: &dyn Fn(&Sum, Vec<String>) -> Vec<String>) -> Vec<String> {
    if devices.iter().all(|sum| sum.seconds.is_none() && sum.joules.is_none()) {
        return Vec::new();
    }
    let came = match devices.iter().any(|sum| sum.modelled.is_some()) {
        true => "modelled",
        false => "measured",
    };
    let mut lines = vec![format!("what was predicted for these rounds, all together, and what came ({came}):")];
    let head = ["rank", "cut", "predicted", "seconds", "off", "predicted", "joules", "off"];
    let cells = |sums: Option<(f64, f64)>, unit: &str| match sums {
        None => vec![String::new(); 3],
        Some((predicted, came)) => {
            let off = (came != 0.0).then(|| predicted / came - 1.0);
            vec![quantity(predicted, unit), quantity(came, unit), percent(off)]
        }
    };
    let rows = devices.iter().map(|sum| row(sum, [cells(sum.seconds, "s"), cells(sum.joules, "J")].concat()));
    lines.extend(fitted(&head, rows.collect(), "splits.csv has them all"));
    lines
}

/// One line about the devices that hand over elsewhere from the next round on; none where none does.
pub fn change_line(round: u64, devices: &[SplitRecord]) -> Option<String> {
    let mut changed = devices.iter().filter(|device| device.cut != device.next_cut);
    let first = changed.next()?;
    let behind = match first.next_cut {
        0 => "everything".to_owned(),
        cut => format!("behind block {cut}"),
    };
    let others = match changed.count() {
        0 => String::new(),
        others => format!(", {} elsewhere too", count(others, "other rank")),
    };
    let why = if first.next_reason.is_empty() { String::new() } else { format!(": {}", first.next_reason) };
    Some(format!("round {round}: rank {} hands over {behind} instead of {}{others}{why}", first.rank, first.cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(rank: usize, epoch: u64, cut: usize, next_cut: usize) -> SplitRecord {
        let measured = SplitTimes { round_s: 0.02, device_s: 0.01, server_s: 0.005, ..SplitTimes::default() };
        let modelled = SplitTimes {
            round_s: 10.0,
            device_s: 6.0,
            server_s: 0.5,
            wait_s: 3.0,
            up_mbit_per_s: Some(20.0),
            down_mbit_per_s: None,
        };
        SplitRecord {
            rank,
            device: "pi".into(),
            epoch,
            cut,
            next_cut,
            measured,
            modelled: Some(modelled),
            modelled_j: Some(50.0),
            predicted_s: Some(9.0),
            predicted_j: Some(55.0),
            reason: "begins".into(),
            next_reason: "its link has 5.0 Mbit/s".into(),
            ..SplitRecord::default()
        }
    }

    #[test]
    fn the_tables_of_two_emulated_devices() {
        let mut rounds = Rounds::default();
        rounds.add(&[record(1, 1, 7, 2), record(10, 1, 7, 7)]);
        rounds.add(&[record(1, 2, 2, 2), record(10, 2, 7, 7)]);
        let expected = "\
devices in 2 rounds of this run, the mean, measured:
rank    cut    round   device   server  waited
1  pi  2..7  20.0 ms  10.0 ms  5.00 ms     0 s
10 pi     7  20.0 ms  10.0 ms  5.00 ms     0 s
on emulated machines, modelled:
rank    cut   round  device  server  waited  Mbit/s up/down  energy
1  pi  2..7  10.0 s  6.00 s  500 ms  3.00 s          20.0/-  50.0 J
10 pi     7  10.0 s  6.00 s  500 ms  3.00 s          20.0/-  50.0 J
what was predicted for these rounds, all together, and what came (modelled):
rank    cut  predicted  seconds      off  predicted  joules     off
1  pi  2..7     18.0 s   20.0 s  -10.0 %      110 J   100 J  10.0 %
10 pi     7     18.0 s   20.0 s  -10.0 %      110 J   100 J  10.0 %
";
        assert_eq!(rounds.end_lines().join("\n") + "\n", expected);
        assert!(rounds.epoch_lines(3).is_empty(), "a round may take longer than an epoch");
        let epoch = rounds.epoch_lines(2);
        assert_eq!(epoch[0], "devices in 1 round of epoch 2, the mean, measured:");
        assert!(epoch[2].starts_with("1  pi    2  "), "{epoch:?}");
    }

    #[test]
    fn what_there_is_not_has_no_table() {
        assert!(Rounds::default().end_lines().is_empty());
        let mut rounds = Rounds::default();
        let itself = SplitRecord { modelled: None, modelled_j: None, predicted_j: None, ..record(1, 1, 3, 3) };
        rounds.add(std::slice::from_ref(&itself));
        let lines = rounds.end_lines();
        assert!(!lines.concat().contains("modelled"), "{lines:?}");
        assert_eq!(lines[3], "what was predicted for these rounds, all together, and what came (measured):");
        let mut rounds = Rounds::default();
        rounds.add(&[SplitRecord { predicted_s: None, ..itself }]);
        assert_eq!(rounds.end_lines().len(), 3);
    }

    #[test]
    fn nothing_is_wider_than_a_terminal() {
        let slow = SplitTimes {
            round_s: 123_456.0,
            device_s: 98_765.4,
            server_s: 1e-3,
            wait_s: 12_345.6,
            up_mbit_per_s: Some(f64::INFINITY),
            down_mbit_per_s: Some(1234.5),
        };
        let wide = |rank: usize, cut| SplitRecord {
            device: "jetson nano 4 GB, power mode CUSTOM, as measured".into(),
            measured: slow,
            modelled: Some(slow),
            modelled_j: Some(987_654_321.0),
            ..record(rank, 1, cut, cut)
        };
        let mut rounds = Rounds::default();
        for cut in [1, 12] {
            rounds.add(&(1..40).map(|rank| wide(rank, cut)).collect::<Vec<_>>());
        }
        for line in rounds.end_lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn a_change_is_one_line() {
        let (keeps, goes) = (record(1, 1, 7, 7), record(2, 1, 7, 2));
        assert_eq!(change_line(3, std::slice::from_ref(&keeps)), None);
        let expected = "round 3: rank 2 hands over behind block 2 instead of 7: its link has 5.0 Mbit/s";
        assert_eq!(change_line(3, &[keeps, goes.clone()]).unwrap(), expected);
        let all = SplitRecord { next_cut: 0, next_reason: String::new(), ..goes.clone() };
        let expected = "round 4: rank 2 hands over everything instead of 7, 2 other ranks elsewhere too";
        assert_eq!(change_line(4, &[all, goes.clone(), goes]).unwrap(), expected);
    }
}
