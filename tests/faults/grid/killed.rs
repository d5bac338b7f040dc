//! `kill -9`: of a worker, of all but one, of all, of the server.

use super::{Chance, EPOCHS, PLAIN, RECOVERY, check_complete, check_ledger, count_notes, in_the_middle, plan, way_on};
use crate::job::{End, MOST, Plan};
use crate::needs_mpi;
use crate::survivors::no_recovery;

const K_BATCH: &str = "--sync k-batch --k 3 --epochs 24";

fn accuracy(end: &End) -> f64 {
    end.run.as_ref().and_then(|run| run["final"]["test_acc"].as_f64()).unwrap_or_else(|| panic!("{end}"))
}

fn undisturbed(seed: u64) -> f64 {
    let end = plan(RECOVERY, &format!("{K_BATCH} --seed {seed}")).start().end();
    check_complete(&end, EPOCHS);
    let run = end.run.as_ref().expect("it is complete");
    assert_eq!(run["final"]["test_size"], 1200, "{end}");
    accuracy(&end)
}

/// Some worker is killed at some moment.
fn disturbed(seed: u64) -> f64 {
    let mut chance = Chance::new(seed);
    let mut job = plan(RECOVERY, &format!("{K_BATCH} --seed {seed}")).start();
    let pids = job.training();
    in_the_middle(&mut job, 1 + chance.below(EPOCHS as u64 - 4) as usize, &mut chance);
    let rank = 1 + chance.below(4) as usize;
    job.signal("KILL", pids[rank]);
    let end = job.end();
    check_complete(&end, EPOCHS);
    assert_eq!(count_notes(&end, "is lost"), 1, "{end}");
    assert_eq!(count_notes(&end, &format!("rank {rank} is lost")), 1, "{end}");
    accuracy(&end)
}

#[test]
fn a_killed_worker_is_no_loss() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    for seed in 1..=3 {
        assert!(disturbed(seed) > 0.75);
    }
}

#[test]
#[ignore = "120 jobs, several minutes (make test-long)"]
fn a_killed_worker_is_no_loss_hundred_times_of_hundred() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let calm: Vec<f64> = (1..=20).map(undisturbed).collect();
    let killed: Vec<f64> = (1..=100).map(disturbed).collect();
    let (calm, killed) = (mean(&calm), mean(&killed));
    println!("mean test accuracy: {calm:.4} of 20 undisturbed, {killed:.4} of 100 with a killed worker");
    assert!((calm - killed).abs() <= 0.02, "{calm} undisturbed, {killed} with a killed worker");
}

/// Long messages come in pieces, as they do between hosts: who is killed in the middle of one never sends the rest.
#[test]
fn a_worker_that_is_killed_in_the_middle_of_a_report_stops_nobody() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let launcher = RECOVERY.replace("-n 5", "--mca btl_vader_single_copy_mechanism none -n 5");
    let large = "--set inputLayerNeurons=300 --set hiddenLayerNeurons=300 --epochs 2";
    for seed in 0..4 {
        let mut job = plan(&launcher, &format!("--sync k-batch --k 3 {large}")).start();
        job.wait_for("step", "run/ledger.csv", |ledger| ledger.lines().count() > 1);
        let pids = job.ranks();
        std::thread::sleep(std::time::Duration::from_millis(Chance::new(seed).below(200)));
        job.signal("KILL", pids[1 + seed as usize]);
        let end = job.end();
        check_complete(&end, 2);
    }
}

/// Below K live workers k-sync closes its steps with those there are.
#[test]
fn one_worker_of_four_goes_on_alone() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    for rule in ["k-sync", "k-batch"] {
        let mut job = plan(RECOVERY, &format!("--sync {rule} --k 3 --epochs 24")).start();
        let pids = job.training();
        [3, 1, 4].into_iter().for_each(|rank| job.signal("KILL", pids[rank]));
        let end = job.end();
        check_complete(&end, EPOCHS);
        assert_eq!(count_notes(&end, "is lost"), 3, "{end}");
        let last = end.file("run/ledger.csv").lines().last().map(|line| line.split(',').nth(3) == Some("2"));
        assert_eq!(last, Some(true), "{end}");
    }
}

#[test]
fn a_server_without_workers_keeps_what_there_is() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = plan(RECOVERY, K_BATCH).start();
    let pids = job.training();
    pids[1..].iter().for_each(|pid| job.signal("KILL", *pid));
    let end = job.end();
    assert!(end.took < MOST, "{end}");
    assert_eq!((end.field("state"), end.field("exit_code")), ("failed".into(), "7".into()), "{end}");
    assert_eq!(end.errors().len(), 1, "{end}");
    assert_eq!(count_notes(&end, "is lost"), 4, "{end}");
    let end = way_on(&end).after(end).start().end();
    check_complete(&end, EPOCHS);
}

#[test]
fn after_the_server_training_goes_on_from_its_last_checkpoint() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = plan(RECOVERY, &format!("{K_BATCH} --checkpoint-every 40")).start();
    let pids = job.training();
    in_the_middle(&mut job, 3, &mut Chance::new(9));
    job.signal("KILL", pids[0]);
    let end = job.end();
    assert!(end.took < MOST, "{end}");
    assert_eq!((end.field("state"), end.errors().len()), ("running".into(), 1), "{end}");
    assert!(end.errors()[0].contains("rank 0 on "), "{end}");
    let end = Plan::new(&format!("{RECOVERY} --resume run --progress none")).after(end).start().end();
    check_complete(&end, EPOCHS);
}

/// The launcher of Open MPI 4 asks the others to stop a second after the death and kills them a second later
/// (`odls_base_sigkill_timeout`), so this training is far from its end by then.
#[test]
fn where_the_launcher_ends_the_job_it_can_be_resumed() {
    const LONG: usize = 10 * EPOCHS;
    needs_mpi!();
    let line = format!("{K_BATCH} --checkpoint-every 40").replace("--epochs 24", &format!("--epochs {LONG}"));
    let mut job = plan(PLAIN, &line).start();
    let pids = job.training();
    in_the_middle(&mut job, 3, &mut Chance::new(11));
    job.signal("KILL", pids[3]);
    let end = job.end();
    assert!(end.took < MOST && end.code() == 137, "{end}");
    // Rank 0 may have the time to save before it is killed.
    assert!(["running", "checkpointed"].contains(&end.field("state").as_str()), "{end}");
    let end = Plan::new(&format!("{PLAIN} --resume run --progress none")).after(end).start().end();
    assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
    check_ledger(&end, LONG);
}
