//! Split learning: devices are killed, asked to leave, stopped; the server is killed.

use crate::grid::{Chance, count_notes, in_the_middle, rows, way_on};
use crate::job::{End, Job, MOST, Plan};
use crate::needs_mpi;
use crate::survivors::no_recovery;

/// A launcher that lets the others live when a rank dies, and one that ends the job.
const RECOVERY: &str = "mpirun --mca orte_enable_recovery 1 -n 5 {exe}";
const PLAIN: &str = "mpirun -n 5 {exe}";

/// 3600 rows, 24 a step, rounds of 30 steps.
const ROWS: &str =
    "--mode split --dataset rows.csv --data-split 0.6/0.2/0.2 --batch 6 --round-steps 30 --run-dir run --progress none";
const EPOCHS: usize = 40;

fn plan(launcher: &str, more: &str) -> Plan {
    Plan::new(&format!("{launcher} {ROWS} --epochs {EPOCHS} {more}")).file("rows.csv", &rows())
}

/// A training some epochs of which are over.
fn begun(launcher: &str, more: &str, seed: u64) -> Job {
    let mut job = plan(launcher, more).start();
    job.training();
    in_the_middle(&mut job, 3, &mut Chance::new(seed));
    job
}

fn check_complete(end: &End) {
    assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
    assert!(end.errors().is_empty() && !end.text.contains("panicked") && end.late.is_empty(), "{end}");
    let run = end.run.as_ref().expect("it is complete");
    assert!(run["final"]["test_acc"].as_f64().unwrap() > 0.75, "{end}");
}

fn hash(end: &End) -> String {
    let run = end.run.as_ref().unwrap_or_else(|| panic!("{end}"));
    run["final"]["weights_hash"].as_str().unwrap_or_else(|| panic!("{end}")).to_owned()
}

/// In how many rounds after a rank's death it still has a row: in none.
fn rows_of_the_dead(end: &End, rank: usize) -> usize {
    let table = end.file("run/splits.csv");
    let rounds: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let last: u64 = rounds.last().unwrap_or_else(|| panic!("{end}"))[1].parse().unwrap();
    let of = |cells: &&Vec<&str>| cells[2] == rank.to_string() && cells[1].parse::<u64>().unwrap() + 30 > last;
    rounds.iter().filter(of).count()
}

#[test]
fn a_round_goes_on_without_a_device_that_is_killed() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let table = [
        ("--protocol ares --split 0,1,2,1", 1),
        ("--protocol ares --split auto --alpha 1", 4),
        ("--protocol ares --split 1 --non-iid 1", 2),
        ("--protocol splitfed-v1 --split 1", 3),
        ("--protocol splitfed-v2 --split 1", 1),
        ("--protocol federated", 2),
    ];
    for (seed, (line, rank)) in table.into_iter().enumerate() {
        let mut job = begun(RECOVERY, line, seed as u64);
        let pids = job.ranks();
        job.signal("KILL", pids[rank]);
        let end = job.end();
        check_complete(&end);
        assert_eq!(
            count_notes(&end, &format!("rank {rank} is lost: its process ended; the round goes on")),
            1,
            "{end}"
        );
        assert_eq!((count_notes(&end, "is lost"), rows_of_the_dead(&end, rank)), (1, 0), "{end}");
    }
}

/// Long messages come in pieces, as they do between hosts: who is killed in the middle of one never sends the rest.
#[test]
fn a_device_that_is_killed_in_the_middle_of_a_message_stops_nobody() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let launcher = RECOVERY.replace("-n 5", "--mca btl_vader_single_copy_mechanism none -n 5");
    let large = "--protocol ares --split 2 --set inputLayerNeurons=300 --set hiddenLayerNeurons=300 --epochs 2";
    for seed in 0..3 {
        let line = format!("{launcher} {ROWS} {large}");
        let mut job = Plan::new(&line).file("rows.csv", &rows()).start();
        job.wait_for("round", "run/splits.csv", |rounds| rounds.lines().count() > 1);
        let pids = job.ranks();
        std::thread::sleep(std::time::Duration::from_millis(Chance::new(seed).below(100)));
        job.signal("KILL", pids[1 + seed as usize]);
        let end = job.end();
        assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
        assert_eq!(count_notes(&end, "is lost"), 1, "{end}");
    }
}

#[test]
fn sequential_training_ends_without_a_device_and_goes_on_from_what_it_kept() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = begun(RECOVERY, "--protocol sequential --split 1", 7);
    let pids = job.ranks();
    job.signal("KILL", pids[2]);
    let end = job.end();
    assert!(end.took < MOST, "{end}");
    assert_eq!((end.field("state"), end.field("exit_code")), ("failed".into(), "7".into()), "{end}");
    let told = end.errors();
    assert!(told.len() == 1 && told[0].contains("rank 2 is lost in epoch") && told[0].contains("--resume"), "{end}");
    let end = Plan::new(&format!("{RECOVERY} --resume run --progress none")).after(end).start().end();
    check_complete(&end);
}

#[test]
fn a_server_without_devices_keeps_what_there_is() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = begun(RECOVERY, "--protocol ares --split 1", 8);
    let pids = job.ranks();
    pids[1..].iter().for_each(|pid| job.signal("KILL", *pid));
    let end = job.end();
    assert!(end.took < MOST, "{end}");
    assert_eq!((end.field("state"), end.field("exit_code")), ("failed".into(), "7".into()), "{end}");
    assert_eq!((end.errors().len(), count_notes(&end, "is lost")), (1, 4), "{end}");
    let end = way_on(&end).after(end).start().end();
    check_complete(&end);
}

#[test]
fn without_the_server_the_job_ends_and_goes_on_from_its_last_checkpoint() {
    needs_mpi!();
    for launcher in [RECOVERY, PLAIN] {
        if launcher == RECOVERY && no_recovery() {
            continue;
        }
        let mut job = begun(launcher, "--protocol ares --split 1 --checkpoint-every 60", 9);
        let pids = job.ranks();
        job.signal("KILL", pids[0]);
        let end = job.end();
        assert!(end.took < MOST && end.errors().len() <= 1, "{end}");
        assert!(launcher == PLAIN || end.errors()[0].contains("rank 0 on "), "{end}");
        assert_eq!(end.field("state"), "running", "{end}");
        let end = Plan::new(&format!("{launcher} --resume run --progress none")).after(end).start().end();
        check_complete(&end);
    }
}

#[test]
fn where_the_launcher_ends_the_job_it_can_be_resumed() {
    needs_mpi!();
    // The launcher asks the others to stop a second after the death: there has to be something left to do.
    let line = format!("{PLAIN} {ROWS} --epochs 300 --protocol ares --split 1 --checkpoint-every 60");
    let mut job = Plan::new(&line).file("rows.csv", &rows()).start();
    job.training();
    in_the_middle(&mut job, 3, &mut Chance::new(10));
    let pids = job.ranks();
    job.signal("KILL", pids[3]);
    let end = job.end();
    assert!(end.took < MOST && end.code() == 137, "{end}");
    assert!(["running", "checkpointed"].contains(&end.field("state").as_str()), "{end}");
    let end = Plan::new(&format!("{PLAIN} --resume run --progress none")).after(end).start().end();
    check_complete(&end);
}

/// Whoever the signal reaches: all stop, and go on to the bits of a training that nobody stopped.
#[test]
fn a_stopped_training_goes_on_to_the_same_bits() {
    needs_mpi!();
    let table = [
        ("--protocol ares --split 0,1,2,1 --optimizer momentum", "USR1", None),
        ("--protocol splitfed-v1 --split 1 --optimizer adam", "TERM", Some(3)),
        ("--protocol splitfed-v2 --split 1", "USR1", Some(0)),
        ("--protocol sequential --split 1 --optimizer momentum", "USR1", None),
        ("--protocol federated --non-iid 1", "USR1", Some(1)),
    ];
    for (seed, (line, signal, rank)) in table.into_iter().enumerate() {
        let whole = plan(PLAIN, line).start().end();
        check_complete(&whole);
        let mut job = begun(PLAIN, line, 20 + seed as u64);
        let pid = rank.map_or(job.pid(), |rank| job.ranks()[rank]);
        job.signal(signal, pid);
        let end = job.end();
        assert!(end.took < MOST && end.errors().is_empty(), "{end}");
        assert_eq!((end.code(), end.field("state")), (75, "checkpointed".into()), "{end}");
        let end = way_on(&end).after(end).start().end();
        check_complete(&end);
        assert_eq!(hash(&end), hash(&whole), "{line}: {end}");
    }
}

#[test]
fn a_device_that_is_asked_to_leave_leaves_and_the_others_complete() {
    needs_mpi!();
    for (protocol, rank) in [("ares", 2), ("splitfed-v1", 1), ("splitfed-v2", 4), ("sequential", 3), ("federated", 1)] {
        let cut = if protocol == "federated" { "" } else { "--split 1" };
        let mut job = begun(PLAIN, &format!("--protocol {protocol} {cut}"), rank as u64);
        let pids = job.ranks();
        job.signal("USR2", pids[rank]);
        let end = job.end();
        check_complete(&end);
        let note = format!("rank {rank} leaves after this round; the others go on");
        assert_eq!((count_notes(&end, "leaves"), count_notes(&end, &note)), (1, 1), "{end}");
        assert_eq!(rows_of_the_dead(&end, rank), 0, "it works on: {end}");
    }
}

/// What it was sending when it froze, be it in pieces, is waited for: the weights are those of a training that nobody froze.
#[test]
fn a_frozen_device_that_comes_back_has_lost_nothing() {
    needs_mpi!();
    let launcher = PLAIN.replace("-n 5", "--mca btl_vader_single_copy_mechanism none -n 5");
    let large = "--protocol ares --split 2 --set inputLayerNeurons=300 --set hiddenLayerNeurons=300 --heartbeat 0.5";
    let line = format!("{launcher} {ROWS} {large} --epochs 1");
    let start = || Plan::new(&line).file("rows.csv", &rows()).start();
    let whole = start().end();
    for seed in 0..2 {
        let mut job = start();
        job.wait_for("round", "run/splits.csv", |rounds| rounds.lines().count() > 1);
        let (pid, mut chance) = (job.ranks()[1 + seed as usize], Chance::new(seed));
        std::thread::sleep(std::time::Duration::from_millis(chance.below(30)));
        job.signal("STOP", pid);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        job.signal("CONT", pid);
        let end = job.end();
        assert_eq!((end.code(), end.field("state")), (0, "complete".into()), "{end}");
        assert_eq!(hash(&end), hash(&whole), "{end}");
    }
}

/// Where machines are emulated the server waits for each device's message before it takes the first: not for the dead.
#[test]
fn in_virtual_time_a_round_goes_on_too() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    for protocol in ["ares --split 1", "splitfed-v1 --split 1", "federated"] {
        let line = format!("{RECOVERY} {ROWS} --epochs {EPOCHS} --protocol {protocol} --devices greenai");
        let mut job = Plan::new(&line).file("rows.csv", &rows()).start();
        job.training();
        in_the_middle(&mut job, 3, &mut Chance::new(30));
        let pids = job.ranks();
        job.signal("KILL", pids[2]);
        let end = job.end();
        check_complete(&end);
        assert_eq!(count_notes(&end, "rank 2 is lost"), 1, "{end}");
    }
}

/// Those who are left stop in order: nothing is done together with the dead.
#[test]
fn who_is_left_stops_in_order_behind_a_death() {
    needs_mpi!();
    if no_recovery() {
        return;
    }
    let mut job = begun(RECOVERY, "--protocol ares --split 1", 40);
    let pids = job.ranks();
    job.signal("KILL", pids[3]);
    job.wait_for("note", "run/events.jsonl", |events| events.contains("rank 3 is lost"));
    job.signal("USR1", pids[0]);
    let end = job.end();
    assert!(end.took < MOST && end.errors().is_empty(), "{end}");
    assert_eq!(end.field("state"), "checkpointed", "{end}");
    let end = way_on(&end).after(end).start().end();
    check_complete(&end);
}
