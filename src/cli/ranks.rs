//! The ranks of a job: one, threads of this process, or MPI's; and how a job ends.
//!
//! A failure is *agreed* when all ranks know of it at the same point: rank 0 tells it once and
//! everybody ends in order. Any other failure is one rank's own: that rank tells it and the job is
//! ended by force, because the others may wait for it for ever.

use super::failure::Failure;
use super::host::host;
use super::vigil::Vigil;
use crate::comm::launcher::Launcher;
use crate::comm::{
    CommError, Communicator, Solo, ThreadComm, ThreadOptions, Values, Verdict, Watched, agree, run_threads,
};
use crate::strategy::TrainError;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// How the ranks come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// One rank, no MPI.
    Solo,
    /// This many threads.
    Threads(usize),
    /// MPI's ranks.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    Mpi,
}

/// Why a rank's work ended without success.
#[derive(Debug, Clone)]
pub enum Ended {
    /// All ranks know these failures, rank by rank.
    Agreed(Vec<(usize, Failure)>),
    /// Only this rank knows.
    Own(Failure),
    /// A peer's end ended this rank; the peer tells why.
    PeerLost(Failure),
}

impl From<CommError> for Ended {
    fn from(error: CommError) -> Self {
        let lost = error.is_death();
        let code = match error {
            CommError::Deadline { .. } => 7,
            _ if lost => 7,
            _ => 5,
        };
        let failure = Failure::new(code, error);
        if lost { Self::PeerLost(failure) } else { Self::Own(failure) }
    }
}

impl From<TrainError> for Ended {
    fn from(error: TrainError) -> Self {
        let message = error.to_string();
        match error {
            TrainError::Comm(error) => error.into(),
            TrainError::Diverged { .. } => Self::all(6, message),
            TrainError::Replicas { .. } => Self::all(5, message),
            TrainError::Resume(_) => Self::all(4, message),
            TrainError::Local(_) => Self::all(3, message),
            TrainError::Deserted { .. } | TrainError::DeviceLost { .. } | TrainError::Stranded { .. } => {
                Self::Own(Failure::new(7, message))
            }
            TrainError::Infeasible(_) => Self::Own(Failure::new(3, message)),
            TrainError::OutOfStep { .. } => Self::Own(Failure::new(5, message)),
            _ => Self::Own(Failure::new(4, message)),
        }
    }
}

impl Ended {
    /// A failure that all ranks have in common.
    pub fn all(code: u8, message: impl Into<String>) -> Self {
        Self::Agreed(vec![(0, Failure::new(code, message.into()))])
    }

    /// The same, with the way on from the checkpoint of a step where there is one: after a divergence with a smaller rate.
    pub fn with_way_on(mut self, step: u64, command: &str, rate: f64) -> Self {
        let failure = match &mut self {
            Self::Agreed(failures) => &mut failures[0].1,
            Self::Own(failure) | Self::PeerLost(failure) => failure,
        };
        let way = match failure.code {
            6 => format!("{command} --lr {}", rate / 2.0),
            7 => command.to_owned(),
            _ => return self,
        };
        failure.message.push_str(&format!("; the checkpoint of step {step} is kept: go on with: {way}"));
        self
    }

    /// The exit code and the one line of the failure.
    pub fn summary(&self) -> (u8, String) {
        match self {
            Self::Agreed(failures) => (failures[0].1.code, failures[0].1.message.clone()),
            Self::Own(failure) | Self::PeerLost(failure) => (failure.code, failure.message.clone()),
        }
    }
}

/// Agrees with all ranks on whether this point was reached well by everybody.
///
/// # Collective
/// Every rank must call it.
pub fn agreed<T>(comm: &dyn Communicator, mine: Result<T, Failure>) -> Result<T, Ended> {
    let summary = match &mine {
        Ok(_) => Ok(()),
        Err(failure) => Err((failure.code, format!("{}\u{1}{}", host(), failure.message))),
    };
    match (agree(comm, summary)?, mine) {
        (Verdict::Go, Ok(value)) => Ok(value),
        (Verdict::Go, Err(failure)) => Err(Ended::Own(failure)),
        (Verdict::Stop(failures), _) => Err(Ended::Agreed(name_ranks(failures, comm.size()))),
    }
}

/// What rank 0 makes, for all ranks; the others do not call `make`.
///
/// # Collective
/// Every rank must call it.
pub fn from_rank_0<T: Serialize + DeserializeOwned>(
    comm: &dyn Communicator,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Ended> {
    let mine = match comm.rank() {
        0 => make().map(Some),
        _ => Ok(None),
    };
    let mine = agreed(comm, mine)?;
    let mut text = serde_json::to_vec(&mine).expect("what rank 0 makes for all is JSON");
    let mut len = [text.len() as i64];
    comm.broadcast(0, Values::I64(&mut len))?;
    text.resize(len[0] as usize, 0);
    comm.broadcast(0, Values::U8(&mut text))?;
    let shared: Option<T> = serde_json::from_slice(&text).expect("rank 0 sent what it made");
    Ok(shared.expect("rank 0 made it"))
}

/// Joins equal messages; one that not all ranks have names the ranks that have it.
fn name_ranks(failures: Vec<(usize, u8, String)>, size: usize) -> Vec<(usize, Failure)> {
    let mut groups: Vec<(String, u8, Vec<usize>, String)> = Vec::new();
    for (rank, code, text) in failures {
        let (host, message) = text.split_once('\u{1}').unwrap_or(("?", &text));
        match groups.iter_mut().find(|(known, ..)| known == message) {
            Some((.., ranks, _)) => ranks.push(rank),
            None => groups.push((message.into(), code, vec![rank], host.into())),
        }
    }
    let tell = |(message, code, ranks, host): (String, u8, Vec<usize>, String)| {
        let message = match ranks.as_slice() {
            // What only rank 0 does needs no rank: there is only one that could fail.
            all if all.len() == size || all == [0] => message,
            [rank] => format!("rank {rank} on {host}: {message}"),
            [rank, ..] => format!("rank {rank} on {host} and {} more: {message}", ranks.len() - 1),
            [] => message,
        };
        (ranks.first().copied().unwrap_or(0), Failure { code, message })
    };
    groups.into_iter().map(tell).collect()
}

/// Tells failures on stderr, one line each, the first few.
fn tell(failures: &[(usize, Failure)]) {
    const MOST: usize = 5;
    failures.iter().take(MOST).for_each(|(_, failure)| failure.tell());
    if let Some((_, failure)) = failures.get(MOST) {
        let message = format!("and {} more ranks with other messages", failures.len() - MOST);
        Failure { code: failure.code, message }.tell();
    }
}

impl World {
    /// Runs `body` on every rank of this world and returns the exit code of the process.
    pub fn run(self, launcher: &Launcher, body: impl Fn(&dyn Communicator, &Vigil) -> Result<(), Ended> + Sync) -> i32 {
        match self {
            World::Solo => {
                let (comm, vigil) = (Solo::new(), Vigil::over_threads(1));
                finish(vec![body(&Watched::new(&comm, vigil.vitals()), &vigil)])
            }
            World::Threads(size) => {
                let vigil = Vigil::over_threads(size);
                finish(run_threads(size, ThreadOptions::default(), |comm: &ThreadComm| {
                    body(&Watched::new(comm, vigil.vitals()), &vigil)
                }))
            }
            World::Mpi => run_mpi(launcher, body),
        }
    }
}

/// Tells how the ranks of this process ended: the cause, not the ranks that it took along.
fn finish(results: Vec<Result<(), Ended>>) -> i32 {
    let ended: Vec<(usize, Ended)> =
        results.into_iter().enumerate().filter_map(|(rank, result)| Some((rank, result.err()?))).collect();
    let many = ended.len() > 1;
    let cause = ended.iter().find(|(_, e)| !matches!(e, Ended::PeerLost(_))).or(ended.first());
    match cause {
        None => 0,
        Some((_, ended @ Ended::Agreed(failures))) => {
            tell(failures);
            ended.summary().0.into()
        }
        Some((rank, ended)) => {
            let (code, message) = ended.summary();
            let message = if many { format!("rank {rank}: {message}") } else { message };
            tell(&[(*rank, Failure { code, message })]);
            code.into()
        }
    }
}

/// A flag that starts ranks without MPI, where a launcher started some already.
pub fn clash(flag: &str, size: usize, launcher: &Launcher) -> Failure {
    let name = launcher.name.unwrap_or("the launcher");
    let message = format!("{flag} starts no MPI, but {name} started {size} processes; leave one of the two out");
    Failure { code: 2, message }
}

/// Tells a failure that every process finds by itself, and returns its exit code.
///
/// Rank 0 speaks. The others wait a little, because the launcher kills all of them when the first one ends.
pub fn tell_alone(launcher: &Launcher, failure: Failure) -> i32 {
    let code = failure.code.into();
    match launcher.rank.unwrap_or(0) {
        0 => tell(&[(0, failure)]),
        _ => std::thread::sleep(Duration::from_secs(1)),
    }
    code
}

/// Says which rank panics: the panic's own words know the thread and the line, but no rank and no host.
#[cfg(feature = "mpi")]
fn name_rank_on_panic(launcher: &Launcher) {
    let (rank, end) = (launcher.rank.unwrap_or(0), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        Failure { code: 101, message: format!("rank {rank} on {}: a bug in goai-rs:", host()) }.tell();
        Vigil::end_all(101);
        end(panic);
    }));
}

/// The time that a watchdog has to tell of a rank's end: it knows which one.
#[cfg(feature = "mpi")]
const WATCHDOG_TELLS: Duration = Duration::from_secs(4);

/// Tells the failure that only this rank knows, and ends the others where the launcher would not.
#[cfg(feature = "mpi")]
fn tell_own(ended: &Ended, rank: usize) {
    if matches!(ended, Ended::Agreed(_)) {
        return;
    }
    let (code, message) = ended.summary();
    if matches!(ended, Ended::PeerLost(_)) {
        // Every rank sees it, and not all know of whom: the watchdog does, says so once and ends the job.
        std::thread::sleep(WATCHDOG_TELLS);
    }
    tell(&[(rank, Failure { code, message: format!("rank {rank} on {}: {message}", host()) })]);
    Vigil::end_all(code);
}

#[cfg(feature = "mpi")]
fn run_mpi(launcher: &Launcher, body: impl Fn(&dyn Communicator, &Vigil) -> Result<(), Ended>) -> i32 {
    use crate::comm::mpi;
    mpi::abort_on_panic(101);
    name_rank_on_panic(launcher);
    let comm = match mpi::MpiComm::start(launcher) {
        Ok(comm) => comm,
        // Every rank of the job finds the same library; one line is enough.
        Err(error) => return tell_alone(launcher, Failure { code: 5, message: error.to_string() }),
    };
    if let Err(message) = launcher.check_world(comm.size()) {
        comm.finish();
        return tell_alone(launcher, Failure { code: 5, message });
    }
    let mut complete = true;
    let result = match Vigil::over_processes(&comm, launcher) {
        // The watch ends with the work: what comes after is MPI's.
        Ok(vigil) => {
            let result = body(&Watched::new(&comm, vigil.vitals()), &vigil);
            complete = vigil.is_complete();
            if !complete && comm.rank() > 0 && result.is_ok() && !launcher.survival.lets_live() {
                vigil.await_rank_0();
            }
            result.inspect_err(|ended| tell_own(ended, comm.rank()))
        }
        Err(error) => Err(error.into()),
    };
    // After a death MPI_Finalize may wait for ever, and whether there was one nobody knows for certain.
    let part = match launcher.survival.lets_live() || !complete {
        true => mpi::MpiComm::leave,
        false => mpi::MpiComm::finish,
    };
    match result {
        Ok(()) => {
            part(comm);
            0
        }
        Err(ended @ Ended::Agreed(_)) => {
            let code = ended.summary().0.into();
            if let (0, Ended::Agreed(failures)) = (comm.rank(), &ended) {
                tell(failures);
            }
            part(comm);
            code
        }
        Err(ended) => mpi::abort(ended.summary().0.into()),
    }
}

#[cfg(not(feature = "mpi"))]
fn run_mpi(launcher: &Launcher, _: impl Fn(&dyn Communicator, &Vigil) -> Result<(), Ended>) -> i32 {
    let message =
        "this binary was built without MPI; give --ranks N to run the ranks as threads, --single, or build with `make`"
            .into();
    tell_alone(launcher, Failure { code: 5, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MPICH's error texts are a stack of lines, and a word of the command line may hold anything.
    #[test]
    fn a_failure_of_the_ranks_is_one_line() {
        let mpi = CommError::Mpi { call: "MPI_Recv", code: 15, text: "failed, stack:\nPMPI_Recv(173)".into() };
        for ended in [mpi.into(), Ended::all(5, "the command line is 'a\nb' on rank 1")] {
            let (code, message) = ended.summary();
            assert_eq!((code, message.lines().count()), (5, 1), "{message}");
        }
    }
}
