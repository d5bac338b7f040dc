//! `goai-rs doctor`: run under the job's own mpirun or srun line, it says what that line gives.

use super::args::DoctorArgs;
use super::failure::Failure;
use super::host::{self, Place};
use super::ranks::{Ended, World};
use crate::comm::launcher::{Launcher, Survival};
use crate::comm::{Communicator, gather_texts};
use crate::report::text::count;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

/// Runs the examination on all ranks; rank 0 prints.
pub fn doctor(args: &DoctorArgs, launcher: &Launcher) -> i32 {
    let world = if cfg!(feature = "mpi") { World::Mpi } else { World::Solo };
    world.run(launcher, |comm, _| examine(comm, args, launcher))
}

/// What was found.
#[derive(Debug, serde::Serialize)]
struct Findings {
    version: &'static str,
    built_for: &'static str,
    mpi: String,
    launcher: Option<&'static str>,
    ranks: usize,
    hosts: usize,
    threads: Vec<usize>,
    places: Vec<Place>,
    instruction_set: &'static str,
    oversubscribed: bool,
    all_reduce_us: f64,
    a_rank_dies: Option<Fates>,
    problems: Vec<String>,
}

fn examine(comm: &dyn Communicator, args: &DoctorArgs, launcher: &Launcher) -> Result<(), Ended> {
    let mine = serde_json::to_string(&Place::here()).expect("a place is JSON");
    let texts = gather_texts(comm, &mine)?;
    let places: Vec<Place> = texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    let all_reduce_us = time_all_reduce(comm)?;
    if comm.rank() > 0 {
        return Ok(());
    }
    let mut hosts: Vec<&str> = places.iter().map(|place| place.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let (built_for, mpi) = libraries();
    let findings = Findings {
        version: env!("CARGO_PKG_VERSION"),
        built_for,
        mpi,
        launcher: launcher.name,
        ranks: comm.size(),
        hosts: hosts.len(),
        threads: host::threads(&places, 0, None),
        instruction_set: crate::nn::kernels::Isa::detect().name(),
        oversubscribed: launcher.oversubscribed(),
        all_reduce_us,
        a_rank_dies: (comm.size() > 1).then(|| a_rank_dies(launcher)),
        problems: problems(comm.size(), &places, launcher, all_reduce_us),
        places,
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&findings).expect("findings are JSON") + "\n",
        false => describe(&findings),
    };
    std::io::stdout().write_all(text.as_bytes()).or_else(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Ended::Own(Failure { code: 4, message: format!("cannot write to stdout: {error}") })),
    })
}

#[cfg(feature = "mpi")]
fn libraries() -> (&'static str, String) {
    (crate::comm::mpi::BUILT_FOR, crate::comm::mpi::library())
}

#[cfg(not(feature = "mpi"))]
fn libraries() -> (&'static str, String) {
    ("no MPI", "none".into())
}

/// The median time of an all-reduce of the iris network's gradient, in microseconds, measured.
fn time_all_reduce(comm: &dyn Communicator) -> Result<f64, Ended> {
    let mut values = vec![0.0f32; 837];
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        comm.all_reduce(crate::comm::Values::F32(&mut values), crate::comm::Reduce::Sum)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// What is wrong with this launch, and the cure.
fn problems(ranks: usize, places: &[Place], launcher: &Launcher, all_reduce_us: f64) -> Vec<String> {
    let mut problems = Vec::new();
    if ranks == 1 && launcher.name.is_none() {
        problems.push(
            "one rank: started without mpirun or srun; run `mpirun -n 4 ./goai-rs doctor` to see your job's line"
                .into(),
        );
    }
    let shared = places.iter().find(|p| {
        let sharing = places.iter().filter(|q| q.host == p.host && q.cores == p.cores).count();
        sharing > p.num_cores
    });
    if let Some(place) = shared {
        problems.push(format!(
            "more ranks than cores on {}: ranks wait for each other's time slices; ask for more cores (-c, --cpus-per-task) or start fewer ranks",
            place.host
        ));
    }
    if all_reduce_us > 5000.0 {
        let cure = match launcher.oversubscribed() {
            true => "start fewer ranks",
            false => "export OMPI_MCA_mpi_yield_when_idle=1, or start fewer ranks",
        };
        problems
            .push(format!("an exchange of 3 kB takes {all_reduce_us:.0} µs: the ranks do not get their cores; {cure}"));
    }
    problems
}

/// What the present line makes of a rank's death, by mode, and what to know besides.
#[derive(Debug, serde::Serialize)]
struct Fates {
    /// `--mode sendrecv` with any `--sync` but `full`, and `--mode split` with any `--protocol` but `sequential`.
    grid: &'static str,
    allreduce: &'static str,
    /// Also `--mode sendrecv --sync full` and `--mode split --protocol sequential`.
    pipeline: &'static str,
    hint: &'static str,
}

fn a_rank_dies(launcher: &Launcher) -> Fates {
    const ENDS: &str = "the job ends within seconds, to be resumed";
    const WITHOUT: &str = "training goes on without it, unless it is rank 0";
    const SHRINKS: &str = "the others go back a step at most and training goes on without it, unless it is rank 0";
    let open_mpi_5 = libraries().1.contains(" v5");
    let all = Fates { grid: ENDS, allreduce: ENDS, pipeline: ENDS, hint: "" };
    match (launcher.survival, launcher.name) {
        (Survival::Recovery, _) => Fates {
            grid: WITHOUT,
            hint: "found by the heartbeat; mpirun's exit code is 0 whatever happens, run.json tells",
            ..all
        },
        (Survival::Ulfm, _) => {
            Fates { grid: WITHOUT, allreduce: SHRINKS, hint: "found by the heartbeat and by MPI (ULFM)", ..all }
        }
        (Survival::Ends, Some("mpirun (Open MPI)")) if open_mpi_5 => Fates {
            hint: "to go on without it in grid, split and allreduce, start with `mpirun --with-ft ulfm`",
            ..all
        },
        (Survival::Ends, Some("mpirun (Open MPI)")) => Fates {
            hint: "to go on without it in a grid or a split, start with `mpirun --mca orte_enable_recovery 1`",
            ..all
        },
        (Survival::Ends, _) => Fates {
            hint: "only Open MPI's mpirun can let the others go on (4: --mca orte_enable_recovery 1, 5: --with-ft ulfm)",
            ..all
        },
    }
}

fn describe(findings: &Findings) -> String {
    let mut text = String::new();
    let f = findings;
    let _ = writeln!(text, "goai-rs {}, built for {}, running on {}", f.version, f.built_for, f.mpi);
    let _ = writeln!(
        text,
        "launcher {}, {} on {}, kernels {}",
        f.launcher.unwrap_or("none"),
        count(f.ranks, "rank"),
        count(f.hosts, "host"),
        f.instruction_set
    );
    for (rank, (place, threads)) in f.places.iter().zip(&f.threads).enumerate() {
        let _ = writeln!(
            text,
            "rank {rank:>3}  {}  pid {}  cores {}  {}",
            place.host,
            place.pid,
            place.cores,
            count(*threads, "thread")
        );
    }
    if f.ranks > 1 {
        let _ = writeln!(text, "all-reduce of 3.3 kB: {:.1} µs (median of 21, measured)", f.all_reduce_us);
    }
    if let Some(fates) = &f.a_rank_dies {
        let _ = writeln!(text, "if a rank dies ({})", fates.hint);
        let _ = writeln!(
            text,
            "  grid (sendrecv with --sync other than full), split but for --protocol sequential: {}",
            fates.grid
        );
        let _ = writeln!(text, "  allreduce: {}", fates.allreduce);
        let _ =
            writeln!(text, "  pipeline, sendrecv with --sync full, split --protocol sequential: {}", fates.pipeline);
    }
    if f.oversubscribed {
        let _ =
            writeln!(text, "more ranks than cores: Open MPI was told to yield while it waits (mpi_yield_when_idle)");
    }
    for problem in &f.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    if f.problems.is_empty() {
        let _ = writeln!(text, "no problem found");
    }
    text
}
