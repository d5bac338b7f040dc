//! Under Open MPI 5 with `mpirun --with-ft ulfm` MPI itself tells of a death: a grid and allreduce go on, a pipeline ends.
//!
//! Open MPI 5 is found by a variable, because another MPI may be the machine's own:
//! `GOAI_TEST_MPIRUN5=VENV/bin/mpirun`, its library beside it (CONTRIBUTING.md says how to get it).

use crate::job::{End, Job, MOST, Plan};
use crate::offload::{ASKED, REQUESTS, check_answered};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

const VARIABLE: &str = "GOAI_TEST_MPIRUN5";

/// Open MPI 5's mpirun, where there is one.
fn mpirun() -> Option<String> {
    let path = std::env::var(VARIABLE).unwrap_or_default();
    let found = cfg!(feature = "mpi") && Path::new(&path).is_file();
    if !found {
        println!("SKIP {}: {VARIABLE} names no mpirun of Open MPI 5, or built without the mpi feature", module_path!());
    }
    found.then_some(path)
}

fn start(mpirun: &str, ranks: usize, line: &str) -> Job {
    let lib = Path::new(mpirun).ancestors().nth(2).unwrap().join("lib");
    let line = format!("{mpirun} --with-ft ulfm -n {ranks} {{exe}} {line} --run-dir run --progress none");
    Plan::new(&line).with("LD_LIBRARY_PATH", lib.to_str().unwrap()).start()
}

/// Kills a rank some time after training began. The end, and after how long the server's note named the rank.
fn kill(mut job: Job, rank: usize, after: Duration) -> (End, Option<Duration>) {
    let pids = job.training();
    std::thread::sleep(after);
    job.signal("KILL", pids[rank]);
    let (killed, events) = (Instant::now(), job.dir().join("run/events.jsonl"));
    let named = format!("rank {rank} is lost");
    let mut found = None;
    while found.is_none() && killed.elapsed() < Duration::from_secs(3) {
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        found = text.contains(&named).then(|| killed.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    (job.end(), found)
}

fn column(job: &str, names: [&str; 2]) -> Vec<(String, String)> {
    let mut rows = csv::Reader::from_reader(job.as_bytes());
    let at = names.map(|name| rows.headers().unwrap().iter().position(|column| column == name).unwrap());
    rows.records().map(Result::unwrap).map(|row| (row[at[0]].to_owned(), row[at[1]].to_owned())).collect()
}

/// A grid whose worker is killed; after how long that was known.
fn grid(mpirun: &str, seed: u64) -> Duration {
    let (rank, after) = (1 + seed as usize % 3, Duration::from_millis(100 + seed * 37 % 400));
    let job = start(mpirun, 4, "--mode sendrecv --sync k-batch --k 2 --epochs 1500");
    let ledger = job.dir().join("run/ledger.csv");
    let kept = std::env::temp_dir().join(format!("goai-ledger-{}-{seed}", std::process::id()));
    let link = std::thread::spawn({
        let kept = kept.clone();
        // The job's directory goes with it: a second name keeps the file.
        move || {
            (0..2000).any(|_| {
                std::thread::sleep(Duration::from_millis(5));
                std::fs::hard_link(&ledger, &kept).is_ok()
            })
        }
    });
    let (end, found) = kill(job, rank, after);
    assert!(link.join().unwrap(), "no ledger: {end}");
    let rows = column(&std::fs::read_to_string(&kept).unwrap(), ["epoch", "chunk"]);
    std::fs::remove_file(&kept).unwrap();
    assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len(), "a chunk was applied twice: {end}");
    found.unwrap_or_else(|| panic!("the loss of rank {rank} was not told: {end}"))
}

#[test]
fn a_grid_goes_on_without_a_worker_and_knows_at_once() {
    let Some(mpirun) = mpirun() else { return };
    let found = grid(&mpirun, 1);
    assert!(found < Duration::from_millis(500), "{found:?}");
}

#[test]
#[ignore = "20 jobs, a minute (make test-long)"]
fn twenty_of_twenty_grids_go_on() {
    let Some(mpirun) = mpirun() else { return };
    let mut found: Vec<Duration> = (0..20).map(|seed| grid(&mpirun, seed)).collect();
    found.sort();
    println!("ULFM, grid: 20 of 20, known after {:?} to {:?}, median {:?}", found[0], found[19], found[10]);
    assert!(found[19] <= Duration::from_millis(100), "{found:?}");
}

/// The order-free sum has the same bits at any number of ranks: had a sample been lost, or taken twice, they would differ.
fn allreduce(mpirun: &str, seed: u64) {
    const LINE: &str = "--mode allreduce --deterministic --epochs 500";
    let calm = Plan::new(&format!("{{exe}} --ranks 4 {LINE} --run-dir run --progress none")).start().end();
    let hash = |end: &End| end.run.as_ref().unwrap()["final"]["weights_hash"].clone();
    let rank = 1 + seed as usize % 3;
    let (end, found) = kill(start(mpirun, 4, LINE), rank, Duration::from_millis(20 + seed * 61 % 300));
    assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
    assert!(found.is_some(), "{end}");
    assert_eq!(hash(&end), hash(&calm), "{end}");
}

#[test]
fn allreduce_goes_on_without_a_rank_to_the_same_bits() {
    let Some(mpirun) = mpirun() else { return };
    allreduce(&mpirun, 1);
}

#[test]
#[ignore = "20 jobs, a minute (make test-long)"]
fn twenty_of_twenty_allreduces_go_on() {
    let Some(mpirun) = mpirun() else { return };
    (0..20).for_each(|seed| allreduce(&mpirun, seed));
}

#[test]
fn a_pipeline_and_a_job_without_rank_zero_end_soon_and_say_who() {
    let Some(mpirun) = mpirun() else { return };
    for (line, rank, says) in [
        ("--mode pipeline --learn local", 1, "stage 1 (fc2..exit2), rank 1 on "),
        ("--mode pipeline --learn backprop --schedule gpipe", 2, "stage 2 (fc3"),
        ("--mode allreduce", 0, "rank 0 on "),
        ("--mode sendrecv --sync k-batch --k 2", 0, "rank 0 on "),
    ] {
        let mut job = start(&mpirun, 3, &format!("{line} --epochs 200000"));
        let pids = job.training();
        job.signal("KILL", pids[rank]);
        let end = job.end();
        assert!(end.took < MOST && end.code() == 7, "{end}");
        let told = end.errors();
        assert!(told.len() == 1 && told[0].contains(says) && told[0].contains("is lost"), "{end}");
        assert_eq!(end.field("state"), if rank == 0 { "running" } else { "failed" }, "{end}");
    }
}

#[test]
fn doctor_says_what_ulfm_gives() {
    let Some(mpirun) = mpirun() else { return };
    let lib = Path::new(&mpirun).ancestors().nth(2).unwrap().join("lib");
    for (flag, says) in [("--with-ft ulfm", "allreduce: the others go back a step"), ("", "mpirun --with-ft ulfm")] {
        let plan = Plan::new(&format!("{mpirun} {flag} -n 2 {{exe}} doctor"));
        let end = plan.with("LD_LIBRARY_PATH", lib.to_str().unwrap()).start().end();
        assert!(end.text.contains(says) && end.code() == 0, "{end}");
    }
}

#[test]
fn a_split_goes_on_without_a_device_and_knows_at_once() {
    let Some(mpirun) = mpirun() else { return };
    for (line, rank) in [
        ("--protocol ares --split 1", 2),
        ("--protocol splitfed-v1 --split 1", 1),
        ("--protocol splitfed-v2 --split 1", 3),
        ("--protocol federated", 3),
    ] {
        let line = format!("--mode split {line} --round-steps 5 --epochs 1500");
        let (end, found) = kill(start(&mpirun, 4, &line), rank, Duration::from_millis(100));
        assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
        assert!(found.is_some_and(|found| found < Duration::from_millis(500)), "{found:?}: {end}");
    }
}

#[test]
fn requests_are_answered_without_a_rank() {
    let Some(mpirun) = mpirun() else { return };
    let lib = Path::new(&mpirun).ancestors().nth(2).unwrap().join("lib");
    let plan = Plan::new(&format!("{mpirun} --with-ft ulfm -n 4 {{exe}} {ASKED} --sources 0,2"));
    let mut job = plan.with("LD_LIBRARY_PATH", lib.to_str().unwrap()).start();
    job.wait_for("plan", "run/run.json", |run| run.contains("running"));
    std::thread::sleep(Duration::from_millis(800));
    let pids = job.ranks();
    job.signal("KILL", pids[3]);
    check_answered(&job.end(), REQUESTS, 3);
}
