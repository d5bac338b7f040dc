//! A grid loses nothing: its workers are killed, frozen, asked to leave, and training is as good as without that.

mod frozen;
mod killed;
mod stopped;

use crate::job::{End, Job, Plan};
use std::collections::BTreeMap;

/// A launcher that lets the others live when a rank dies.
const RECOVERY: &str = "mpirun --mca orte_enable_recovery 1 -n 5 {exe}";
/// One that ends the job.
const PLAIN: &str = "mpirun -n 5 {exe}";

/// What the tests train on: 3600 rows, 24 a step.
const ROWS: &str =
    "--mode sendrecv --dataset rows.csv --data-split 0.6/0.2/0.2 --batch 6 --run-dir run --progress none";

/// Epochs of a training that is long enough to be disturbed, and soon over.
const EPOCHS: usize = 24;

/// Numbers that look like chance, the same in every run of the test.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn unit(&mut self) -> f64 {
        (self.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30)
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// 6000 rows of three classes around three centres; they overlap, so that nobody is right about all of them.
pub fn rows() -> String {
    let (mut chance, mut text) = (Chance::new(5), String::from("x,y,z,label\n"));
    for row in 0..6000 {
        let centre = [[0.0, 0.0, 0.0], [2.0, 0.5, 0.0], [0.5, 2.0, 1.0]][row % 3];
        let cells = centre.map(|middle| format!("{:.3}", middle + chance.normal()));
        text += &format!("{},{}\n", cells.join(","), ["a", "b", "c"][row % 3]);
    }
    text
}

/// A training that has not begun.
fn plan(launcher: &str, more: &str) -> Plan {
    Plan::new(&format!("{launcher} {ROWS} {more}")).file("rows.csv", &rows())
}

/// Waits until so many epochs are over, and then some moments more.
pub fn in_the_middle(job: &mut Job, epochs: usize, chance: &mut Chance) {
    job.wait_for("epoch", "run/metrics.csv", |metrics| metrics.lines().count() > epochs);
    std::thread::sleep(std::time::Duration::from_millis(chance.below(40)));
}

/// The training came to its end, soon, and each chunk of each epoch was applied exactly once.
fn check_complete(end: &End, epochs: usize) {
    assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
    assert!(end.errors().is_empty() && !end.text.contains("panicked"), "{end}");
    assert!(end.late.is_empty(), "{end}");
    check_ledger(end, epochs);
}

/// Each chunk of each epoch stands in the ledger exactly once, and steps are numbered without a gap.
fn check_ledger(end: &End, epochs: usize) {
    let mut applied: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut last = 0;
    for line in end.file("run/ledger.csv").lines().skip(1) {
        let cells: Vec<u64> = line.split(',').map(|cell| cell.parse().expect("numbers")).collect();
        let [epoch, step, chunk, ..] = cells[..] else { panic!("{line}: {end}") };
        applied.entry(epoch).or_default().push(chunk);
        assert!(step == last || step == last + 1, "step {step} after {last}: {end}");
        last = step;
    }
    assert_eq!(applied.keys().copied().collect::<Vec<_>>(), (1..=epochs as u64).collect::<Vec<_>>(), "{end}");
    let chunks = applied[&1].len() as u64;
    for (epoch, mut chunks_of_it) in applied {
        chunks_of_it.sort_unstable();
        assert_eq!(chunks_of_it, (0..chunks).collect::<Vec<_>>(), "epoch {epoch}: {end}");
    }
}

/// Notes that hold these words.
pub fn count_notes(end: &End, words: &str) -> usize {
    end.notes().iter().filter(|note| note.contains(words)).count()
}

/// The sum of a column of ranks.csv over the epochs, for a rank.
fn total(end: &End, rank: usize, column: &str) -> u64 {
    let table = end.file("run/ranks.csv");
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap_or_default();
    let place = |name: &str| header.iter().position(|cell| *cell == name).unwrap_or_else(|| panic!("no {name}: {end}"));
    let (of, at) = (place("rank"), place(column));
    lines.filter(|cells| cells[of] == rank.to_string()).filter_map(|cells| cells[at].parse::<u64>().ok()).sum()
}

/// The command that an ended job says goes on with it, to be started where that ended.
pub fn way_on(end: &End) -> Plan {
    let said = end.text.split("go on with: ").nth(1).and_then(|text| text.lines().next());
    let said = said.unwrap_or_else(|| panic!("no command: {end}")).trim().to_owned();
    // With the launcher's flag that lets ranks survive, where there was one.
    assert!(said.starts_with("mpirun ") && said.contains(" -n 5 ") && said.ends_with(" --resume run"), "{said}");
    Plan::new(&said)
}
