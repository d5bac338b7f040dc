//! `goai-rs bench comm`: what messages between the ranks cost, and the network that `plan` takes from it.

mod fit;
mod operations;
mod rounds;
mod told;

use crate::cli::args::CommArgs;
use crate::cli::host::{Place, host};
use crate::cli::printed::printed;
use crate::cli::ranks::{self, Ended, World};
use crate::comm::launcher::Launcher;
use crate::comm::{CommError, Communicator, gather_texts};
use crate::device::{Network, Point};
use crate::report::text::count;
use crate::units::{Bytes, Seconds};
use operations::Operation;
use rounds::{Cell, largest};
use serde::Serialize;
use std::io::Write;
use std::time::Instant;

/// Bytes from which training sums in shared memory, where there is such: `strategy::summing`.
const SHARED_FROM: usize = 64 << 10;

/// What was found.
#[derive(Debug, Serialize)]
struct Findings {
    version: &'static str,
    ranks: usize,
    hosts: usize,
    /// The MPI library, or threads.
    transport: String,
    oversubscribed: bool,
    places: Vec<Place>,
    elapsed_s: f64,
    /// Lines for which there was no time or memory.
    left_out: usize,
    tables: Vec<Sheet>,
    /// How far the median message is from the fitted line, relative to what it took.
    fit_error: f64,
    network: Network,
}

/// One operation at all sizes.
#[derive(Debug, Serialize)]
struct Sheet {
    operation: &'static str,
    #[serde(skip)]
    title: String,
    rows: Vec<Row>,
}

/// One size.
#[derive(Debug, Serialize)]
struct Row {
    bytes: usize,
    median_us: f64,
    min_us: f64,
    max_us: f64,
    mb_per_s: f64,
    calls: usize,
}

/// Runs the measurement on all ranks; rank 0 prints.
pub fn comm(args: &CommArgs, launcher: &Launcher) -> i32 {
    let world = match (args.ranks, launcher.size.filter(|size| *size > 1)) {
        (Some(_), Some(size)) => Err(ranks::clash("--ranks", size, launcher)),
        (Some(ranks), None) => Ok(World::Threads(ranks.get())),
        (None, _) if cfg!(feature = "mpi") => Ok(World::Mpi),
        (None, _) => Ok(World::Solo),
    };
    match world {
        Ok(world) => world.run(launcher, |comm, _| all_ranks(comm, args, launcher, world)),
        // By way of MPI it is told once.
        Err(failure) if cfg!(feature = "mpi") => {
            World::Mpi.run(launcher, |_, _| Err(Ended::all(failure.code, failure.message.clone())))
        }
        Err(failure) => ranks::tell_alone(launcher, failure),
    }
}

fn all_ranks(comm: &dyn Communicator, args: &CommArgs, launcher: &Launcher, world: World) -> Result<(), Ended> {
    if comm.size() == 1 {
        let cure = "start it as mpirun -n 2 ./goai-rs bench comm, or give --ranks 2";
        return Err(Ended::all(2, format!("bench comm: one rank has nobody to talk to; {cure}")));
    }
    let start = Instant::now();
    let plan = Plan::new(args);
    let peers = Peers::find(comm)?;
    let (sheets, left_out) = plan.carry_out(comm, &peers)?;
    if comm.rank() > 0 {
        return Ok(());
    }
    let transport = match world {
        World::Mpi => library(),
        _ => "threads of one process".to_owned(),
    };
    let source = format!(
        "measured by goai-rs bench comm: {} on {}, {transport}",
        count(comm.size(), "rank"),
        count(peers.hosts, "host")
    );
    let network = network(&sheets, comm.size(), source);
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        ranks: comm.size(),
        hosts: peers.hosts,
        transport,
        oversubscribed: launcher.oversubscribed() || peers.crowded(),
        elapsed_s: start.elapsed().as_secs_f64(),
        left_out,
        fit_error: fit::error(network.wire, &points(&sheets, Operation::SendRecv)),
        tables: sheets.iter().map(|sheet| written(sheet, peers.peer)).collect(),
        network,
        places: peers.places,
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&findings).expect("findings are JSON") + "\n",
        false => told::told(&findings),
    };
    let out = &mut std::io::stdout();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush())).map_err(Ended::Own)
}

#[cfg(feature = "mpi")]
fn library() -> String {
    crate::comm::mpi::library()
}

#[cfg(not(feature = "mpi"))]
fn library() -> String {
    "no MPI".to_owned()
}

/// Where the ranks are, and which one rank 0 sends to.
struct Peers {
    places: Vec<Place>,
    hosts: usize,
    /// The first rank of another host, where there is one: the way between hosts is what limits a job.
    peer: usize,
}

impl Peers {
    /// # Collective
    /// Every rank must call it.
    fn find(comm: &dyn Communicator) -> Result<Self, CommError> {
        let mine = serde_json::to_string(&Place::here()).expect("a place is JSON");
        let texts = gather_texts(comm, &mine)?;
        let places: Vec<Place> = texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        let mut hosts: Vec<&str> = places.iter().map(|place| place.host.as_str()).collect();
        let peer = hosts.iter().position(|name| *name != hosts[0]).unwrap_or(1);
        hosts.sort_unstable();
        hosts.dedup();
        Ok(Self { hosts: hosts.len(), peer, places })
    }

    /// Whether ranks share cores.
    fn crowded(&self) -> bool {
        let same = |p: &Place, q: &Place| p.host == q.host && p.cores == q.cores;
        self.places.iter().any(|p| self.places.iter().filter(|q| same(p, q)).count() > p.num_cores)
    }
}

/// An operation with what was measured of it, by sizes.
type Measured = (Operation, Vec<(usize, Cell)>);

/// What is measured, and how long that may take.
struct Plan {
    operations: &'static [Operation],
    sizes: Vec<usize>,
    budget: f64,
}

impl Plan {
    fn new(args: &CommArgs) -> Self {
        let (step, budget, most) = if args.quick { (16, 1.0, 1 << 20) } else { (4, 10.0, 16 << 20) };
        let most = args.max.map_or(most, |bytes| bytes.0 as usize);
        let mut sizes: Vec<usize> =
            std::iter::successors(Some(8), |size| Some(size * step)).take_while(|size| *size <= most).collect();
        if sizes.last() != Some(&most) {
            sizes.push(most);
        }
        Self { operations: &Operation::ALL, sizes, budget }
    }

    /// Measures all of it; also says how many cells there was no time or memory for.
    ///
    /// # Collective
    /// Every rank must call it with the same plan.
    fn carry_out(&self, comm: &dyn Communicator, peers: &Peers) -> Result<(Vec<Measured>, usize), CommError> {
        let slot = self.budget / (self.operations.len() * self.sizes.len()) as f64;
        let (start, mut left_out, mut sheets) = (Instant::now(), 0, Vec::new());
        for (at, &operation) in self.operations.iter().enumerate() {
            let mut cells = Vec::new();
            // Twice its share: what one operation takes longer, the later ones do not pay with their lines.
            let share = 2.0 * self.budget * (at + 1) as f64 / self.operations.len() as f64;
            for &bytes in &self.sizes {
                let late = largest(comm, start.elapsed().as_secs_f64())? > share;
                // Without small messages there is no network at all.
                if !operation.fits(comm.size(), bytes) || (late && bytes > self.sizes[0]) {
                    left_out += 1;
                    continue;
                }
                match operation.measure(comm, peers.peer, bytes, slot)? {
                    Some(cell) => cells.push((bytes, cell)),
                    None => break,
                }
            }
            sheets.push((operation, cells));
        }
        sheets.retain(|(_, cells)| !cells.is_empty());
        Ok((sheets, left_out))
    }
}

/// The network between these ranks, measured in about a tenth of a second; none where a rank is alone.
///
/// # Collective
/// Every rank must call it; all get the same figures.
///
/// # Errors
/// When the transport fails.
pub fn quick(comm: &dyn Communicator) -> Result<Option<Network>, CommError> {
    const OPERATIONS: [Operation; 4] = [Operation::SendRecv, Operation::AllReduce, Operation::Shared, Operation::Serve];
    if comm.size() == 1 {
        return Ok(None);
    }
    let texts = gather_texts(comm, &host())?;
    let peer = texts.iter().position(|name| *name != texts[0]).unwrap_or(1);
    let peers = Peers { places: Vec::new(), hosts: 0, peer };
    let plan = Plan { operations: &OPERATIONS, sizes: vec![8, 4 << 10, SHARED_FROM, 1 << 20], budget: 0.05 };
    let (sheets, _) = plan.carry_out(comm, &peers)?;
    let source = format!("measured before the start, {}", count(comm.size(), "rank"));
    Ok(Some(network(&sheets, comm.size(), source)))
}

/// Bytes and seconds of an operation.
fn points(sheets: &[Measured], operation: Operation) -> Vec<(f64, f64)> {
    let found = sheets.iter().filter(|(of, _)| *of == operation).flat_map(|(_, cells)| cells);
    found.map(|(bytes, cell)| (*bytes as f64, cell.median)).collect()
}

fn network(sheets: &[Measured], ranks: usize, source: String) -> Network {
    let plain = points(sheets, Operation::AllReduce);
    let point = |(bytes, seconds): (f64, f64)| Point { ranks, bytes: Bytes(bytes as u64), seconds: Seconds(seconds) };
    // What training does: large vectors lie in shared memory where there is such.
    let shared = points(sheets, Operation::Shared);
    let is_shared = |bytes: f64| bytes >= SHARED_FROM as f64 && shared.iter().any(|(size, _)| *size == bytes);
    let mut sums: Vec<(f64, f64)> = plain.iter().copied().filter(|(bytes, _)| !is_shared(*bytes)).collect();
    sums.extend(shared.iter().filter(|(bytes, _)| is_shared(*bytes)));
    sums.sort_by(|a, b| a.0.total_cmp(&b.0));
    Network {
        name: "measured".to_owned(),
        wire: fit::fit(&points(sheets, Operation::SendRecv), &plain, ranks),
        source,
        all_reduce: sums.into_iter().map(point).collect(),
        serve: points(sheets, Operation::Serve).into_iter().map(point).collect(),
    }
}

fn written((operation, cells): &Measured, peer: usize) -> Sheet {
    let row = |(bytes, cell): &(usize, Cell)| Row {
        bytes: *bytes,
        median_us: cell.median * 1e6,
        min_us: cell.least * 1e6,
        max_us: cell.most * 1e6,
        mb_per_s: *bytes as f64 / cell.median / 1e6,
        calls: cell.calls,
    };
    Sheet { operation: operation.word(), title: operation.title(peer), rows: cells.iter().map(row).collect() }
}

#[cfg(test)]
mod tests;
