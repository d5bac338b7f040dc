//! What all protocols do with their seeds: half of them in each of two tests, or one with all that happens in it.

use goai::comm::simulated::Plan;
use std::fmt::Debug;
use std::ops::AddAssign;
use std::time::Instant;

/// A protocol whose worlds follow from seeds.
pub struct Protocol<'a, Case, Counts> {
    /// The module of its tests.
    pub module: &'a str,
    /// How many seeds, where nobody says.
    pub count: u64,
    /// The case of a seed, and its world.
    pub draw: &'a dyn Fn(u64) -> (Case, Plan),
    /// What sort of case it is.
    pub sort: &'a dyn Fn(&Case) -> String,
    /// Runs it and checks everything.
    pub tell: &'a dyn Fn(&Case, &Plan) -> Result<Counts, String>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

impl<Case: Debug, Counts: Debug + Default + AddAssign> Protocol<'_, Case, Counts> {
    /// Half of the seeds: two tests side by side use two cores.
    pub fn half(&self, half: u64) {
        if let Some(seed) = number("GOAI_SIM_SEED") {
            if half == 0 {
                let (case, plan) = (self.draw)(seed);
                let plan = Plan { trace: true, ..plan };
                println!("{case:#?}\n{plan:#?}");
                (self.tell)(&case, &plan).unwrap();
            }
            return;
        }
        let (start, count) = (Instant::now(), number("GOAI_SIM_SEEDS").unwrap_or(self.count));
        let (mut total, mut failures, mut ran) = (Counts::default(), Vec::new(), 0);
        for seed in (0..count).filter(|seed| seed % 2 == half) {
            let (case, plan) = (self.draw)(seed);
            ran += 1;
            match (self.tell)(&case, &plan) {
                Ok(counts) => total += counts,
                Err(words) => failures.push((seed, format!("{}: {words}; {:?}", (self.sort)(&case), plan.faults))),
            }
        }
        println!("{ran} seeds: {total:?} in {:.1} s", start.elapsed().as_secs_f64());
        let Some((first, _)) = failures.first() else { return };
        let line = |(seed, words): &(u64, String)| format!("seed {seed} ({words})");
        panic!(
            "{} of {ran} seeds failed; GOAI_SIM_SEED={first} cargo test --test sim {}::even -- --nocapture replays the first\n{}",
            failures.len(),
            self.module,
            failures.iter().take(20).map(line).collect::<Vec<_>>().join("\n")
        );
    }
}

/// However the system runs the threads: the same seeds, twice at the same time.
pub fn check_replays(hash: impl Fn(u64) -> u64 + Sync) {
    let hashes = || (0..100).map(&hash).collect::<Vec<u64>>();
    std::thread::scope(|scope| {
        let other = scope.spawn(hashes);
        assert_eq!(hashes(), other.join().unwrap());
    });
}
