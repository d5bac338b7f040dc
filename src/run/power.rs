//! The energy that this machine really uses, where it offers to say so: measured, never modelled.
//!
//! Two sources are read: RAPL, the energy counters of the processor packages (`/sys/class/powercap`), and any file that
//! holds the power of the moment in milliwatts, as the sensors of Jetson boards do. A machine without either has no
//! figure, which is not the same as none used.

use super::RunError;
use crate::units::{Joules, Watts};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Where Linux shows the energy counters.
const POWERCAP: &str = "/sys/class/powercap";

/// How often the source is read: power is integrated over it, and a counter must not come around twice between.
const PERIOD: Duration = Duration::from_millis(500);

/// Counts energy from its opening on, on a thread of its own.
///
/// One rank a node is to open it: the figure is of the whole node.
#[derive(Debug)]
pub struct EnergyMeter {
    state: Arc<Mutex<State>>,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EnergyMeter {
    /// Opens a sensor file, or without one this machine's RAPL counters; `None` if it has none that may be read.
    ///
    /// # Units
    /// The sensor file holds milliwatts.
    ///
    /// # Errors
    /// When the sensor cannot be read or holds no power.
    pub fn open(sensor: Option<&Path>) -> Result<Option<Self>, RunError> {
        Self::open_at(Path::new(POWERCAP), sensor, PERIOD)
    }

    fn open_at(powercap: &Path, sensor: Option<&Path>, period: Duration) -> Result<Option<Self>, RunError> {
        let source = match sensor {
            Some(path) => {
                let watts = milliwatts(path)?;
                Source::Sensor { path: path.to_owned(), area: Area::new(Instant::now(), watts) }
            }
            None => match packages(powercap) {
                counters if counters.is_empty() => return Ok(None),
                counters => Source::Counters(counters),
            },
        };
        let state = Arc::new(Mutex::new(State { source, joules: Some(0.0) }));
        let (end, ended) = channel();
        let shared = Arc::clone(&state);
        let sample = move || {
            while ended.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                lock(&shared).sample();
            }
        };
        // Without a thread every reading is taken by joules(): coarser, and no reason to end a run.
        let thread = std::thread::Builder::new().name("energy".to_owned()).spawn(sample).ok();
        Ok(Some(Self { state, end: Some(end), thread }))
    }

    /// The energy used since it was opened; nothing once a reading has failed, for the rest would be missing.
    pub fn joules(&self) -> Option<Joules> {
        let mut state = lock(&self.state);
        state.sample();
        state.joules.map(Joules)
    }
}

impl Drop for EnergyMeter {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A sampler that panicked has already said so.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct State {
    source: Source,
    joules: Option<f64>,
}

impl State {
    fn sample(&mut self) {
        let more = match &mut self.source {
            Source::Counters(counters) => counters.iter_mut().map(Counter::advance).sum::<Option<f64>>(),
            Source::Sensor { path, area } => milliwatts(path).ok().map(|watts| area.advance(Instant::now(), watts)),
        };
        self.joules = self.joules.zip(more).map(|(joules, more)| joules + more);
    }
}

#[derive(Debug)]
enum Source {
    /// One a processor package.
    Counters(Vec<Counter>),
    /// A file with the power of the moment.
    Sensor { path: PathBuf, area: Area },
}

/// An energy counter that begins again at 0 behind its range.
#[derive(Debug)]
struct Counter {
    path: PathBuf,
    range: u64,
    last: u64,
}

impl Counter {
    /// The joules since the last call.
    fn advance(&mut self) -> Option<f64> {
        let now = number(&self.path.join("energy_uj"))?;
        let more = match now.checked_sub(self.last) {
            Some(more) => more,
            None => (self.range + 1).saturating_sub(self.last) + now,
        };
        self.last = now;
        Some(more as f64 * 1e-6)
    }
}

/// The counters of the processor packages that may be read, each once.
///
/// The parts of a package (`intel-rapl:0:0`) are in its own counter, and other interfaces show the same packages again.
fn packages(powercap: &Path) -> Vec<Counter> {
    let entries = fs::read_dir(powercap).into_iter().flatten().flatten();
    let mut domains: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    domains.sort_unstable();
    let is_whole = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix("intel-rapl:").is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut seen = Vec::new();
    let open = |path: PathBuf| {
        let name = fs::read_to_string(path.join("name")).ok()?;
        if !name.starts_with("package") || seen.contains(&name) {
            return None;
        }
        seen.push(name);
        let (range, last) = (number(&path.join("max_energy_range_uj"))?, number(&path.join("energy_uj"))?);
        Some(Counter { path, range, last })
    };
    domains.into_iter().filter(is_whole).filter_map(open).collect()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Power integrated over time, straight from reading to reading.
#[derive(Debug)]
struct Area {
    time: Instant,
    watts: Watts,
}

impl Area {
    fn new(time: Instant, watts: Watts) -> Self {
        Self { time, watts }
    }

    /// The joules since the last reading.
    ///
    /// # Math
    /// (P₀ + P₁)/2 · Δt
    fn advance(&mut self, time: Instant, watts: Watts) -> f64 {
        let mean = (self.watts.0 + watts.0) / 2.0;
        let joules = mean * time.saturating_duration_since(self.time).as_secs_f64();
        *self = Self { time, watts };
        joules
    }
}

fn milliwatts(path: &Path) -> Result<Watts, RunError> {
    let wrong = |why| RunError::Sensor { path: path.to_owned(), why };
    let text = fs::read_to_string(path).map_err(|why| wrong(format!("cannot read this power sensor: {why}")))?;
    match text.trim().parse::<f64>() {
        Ok(milliwatts) if milliwatts >= 0.0 && milliwatts.is_finite() => Ok(Watts(milliwatts / 1000.0)),
        _ => Err(wrong(format!("{:?} is no power", text.trim().chars().take(24).collect::<String>()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test: only joules() reads.
    const NEVER: Duration = Duration::from_secs(3600);

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn domain(&self, folder: &str, name: &str, energy: u64) {
            fs::create_dir(self.0.path().join(folder)).unwrap();
            self.write(&format!("{folder}/name"), &format!("{name}\n"));
            self.write(&format!("{folder}/max_energy_range_uj"), "9999999\n");
            self.write(&format!("{folder}/energy_uj"), &format!("{energy}\n"));
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.0.path().join(file), text).unwrap();
        }

        fn meter(&self) -> Option<EnergyMeter> {
            EnergyMeter::open_at(self.0.path(), None, NEVER).unwrap()
        }
    }

    /// Two packages use 2 J and 3 J; what is in a package, beside it, or shown a second time is not added.
    #[test]
    fn packages_are_counted_once_and_their_parts_not_again() {
        let tree = Tree::new();
        let all = [
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:0:0", "core"),
            ("intel-rapl:0:1", "dram"),
            ("intel-rapl:1", "package-1"),
            ("intel-rapl:2", "psys"),
            ("intel-rapl:3", "package-0"),
            ("intel-rapl-mmio:0", "package-0"),
        ];
        all.iter().for_each(|(folder, name)| tree.domain(folder, name, 1_000_000));
        fs::create_dir(tree.0.path().join("intel-rapl")).unwrap();
        let meter = tree.meter().unwrap();
        assert_eq!(meter.joules(), Some(Joules(0.0)), "what was used before does not count");
        all.iter().for_each(|(folder, _)| tree.write(&format!("{folder}/energy_uj"), "3000000\n"));
        tree.write("intel-rapl:1/energy_uj", "4000000\n");
        assert_eq!(meter.joules(), Some(Joules(5.0)));
    }

    /// From 9 J over the end of the range, 10 J, to 1 J: 2 J.
    #[test]
    fn a_counter_may_come_around() {
        let tree = Tree::new();
        tree.domain("intel-rapl:0", "package-0", 9_000_000);
        let meter = tree.meter().unwrap();
        tree.write("intel-rapl:0/energy_uj", "1000000\n");
        assert_eq!(meter.joules(), Some(Joules(2.0)));
        tree.write("intel-rapl:0/energy_uj", "1500000\n");
        assert_eq!(meter.joules(), Some(Joules(2.5)));
    }

    #[test]
    fn no_counter_is_no_figure_and_a_lost_one_ends_it() {
        let tree = Tree::new();
        assert!(tree.meter().is_none());
        assert!(EnergyMeter::open_at(Path::new("/no/such/folder"), None, NEVER).unwrap().is_none());
        tree.domain("intel-rapl:0", "package-0", 0);
        let meter = tree.meter().unwrap();
        fs::remove_file(tree.0.path().join("intel-rapl:0/energy_uj")).unwrap();
        assert_eq!(meter.joules(), None);
        tree.write("intel-rapl:0/energy_uj", "5000000\n");
        assert_eq!(meter.joules(), None, "what was missed is not known");
        fs::remove_file(tree.0.path().join("intel-rapl:0/energy_uj")).unwrap();
        assert!(tree.meter().is_none(), "a counter that may not be read is none");
    }

    /// 4 W falling to 2 W in 3 s is 9 J, then 2 W for 1 s is 2 J.
    #[test]
    fn power_is_integrated_by_trapezoids() {
        let start = Instant::now();
        let mut area = Area::new(start, Watts(4.0));
        assert_eq!(area.advance(start + Duration::from_secs(3), Watts(2.0)), 9.0);
        assert_eq!(area.advance(start + Duration::from_secs(4), Watts(2.0)), 2.0);
    }

    #[test]
    fn a_sensor_is_read_on_a_thread() {
        let tree = Tree::new();
        tree.write("in_power0_input", "2000\n");
        let path = tree.0.path().join("in_power0_input");
        let before = Instant::now();
        let meter = EnergyMeter::open_at(tree.0.path(), Some(&path), Duration::from_millis(2)).unwrap().unwrap();
        let opened = Instant::now();
        std::thread::sleep(Duration::from_millis(30));
        let least = opened.elapsed().as_secs_f64() * 2.0;
        let joules = meter.joules().unwrap().0;
        assert!((least..=before.elapsed().as_secs_f64() * 2.0).contains(&(joules + 1e-9)), "{joules} J of {least} J");
        // While it is written a file may be empty for a moment, so it is replaced as a whole.
        tree.write("new", "4000\n");
        fs::rename(tree.0.path().join("new"), &path).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let rising = meter.joules().unwrap().0 - joules;
        assert!(rising > 4.0 * 0.02, "{rising} J after the power rose: nobody read between the two calls");
    }

    #[test]
    fn a_sensor_that_is_none_is_refused() {
        let tree = Tree::new();
        let refused = |path: &Path| EnergyMeter::open_at(tree.0.path(), Some(path), NEVER).unwrap_err().to_string();
        let missing = refused(&tree.0.path().join("missing"));
        assert!(missing.contains("cannot read this power sensor") && !missing.contains('\n'), "{missing}");
        for text in ["", "fast\n", "-5\n", "nan\n"] {
            tree.write("sensor", text);
            let message = refused(&tree.0.path().join("sensor"));
            assert!(message.contains(" is no power") && message.contains("milliwatts"), "{message}");
        }
    }
}
