//! Signals: all ranks stop at one step, write a checkpoint, and say how to go on.

use super::hash;
use crate::run::{Launch, Outcome, PROGRAM, Run};
use std::path::Path;
use std::time::Duration;

/// Long enough to be caught within.
const LONG: &str = "--epochs 900 --run-dir r --progress none";

/// Starts, and sends a signal when so many epochs are done, and a moment later.
fn stopped(args: &str, launch: Launch, signal: &str, epochs: usize, moment: Duration) -> Outcome {
    let mut running = Run::new(args).within(Duration::from_secs(120)).start(launch);
    let rows = |dir: &Path| std::fs::read_to_string(dir.join("r/metrics.csv")).map_or(0, |text| text.lines().count());
    running.wait_until("epochs", |dir| rows(dir) > epochs);
    std::thread::sleep(moment);
    running.signal(signal);
    running.finish()
}

/// What a stopped run has to be like; gives the command that goes on.
fn check_stopped(outcome: &Outcome, code: i32, signal: &str) -> String {
    assert_eq!(outcome.code, code, "{}\n{}", outcome.stdout, outcome.stderr);
    let run = outcome.json_of("r");
    assert_eq!((run["state"].as_str(), run["exit_code"].as_i64()), (Some("checkpointed"), Some(75)), "{run}");
    assert!(run["error"].is_null(), "{run}");
    assert_eq!(outcome.errors(), [""; 0], "{}", outcome.stderr);
    let line = outcome.stderr.lines().map(str::trim).find(|line| line.starts_with("checkpointed: "));
    let line = line.unwrap_or_else(|| panic!("{}", outcome.stderr));
    assert!(line.contains(&format!("SIG{signal} after step ")), "{line}");
    line.split_once("go on with: ").expect("a command").1.to_owned()
}

/// The arguments of the command behind the program's name.
fn arguments(command: &str) -> &str {
    command.split_once(PROGRAM).expect("the program").1
}

#[test]
fn ranks_that_are_threads_stop_and_go_on() {
    let whole = Run::new(LONG).launch(Launch::Threads(3)).ok();
    let expected = hash(&whole, "r");
    for (i, signal) in ["USR1", "TERM", "INT", "USR2"].into_iter().enumerate() {
        let moment = Duration::from_millis(7 * i as u64);
        let outcome = stopped(LONG, Launch::Threads(3), signal, 3 + 5 * i, moment);
        let command = check_stopped(&outcome, 75, signal);
        assert!(command.ends_with("--ranks 3 --resume r"), "{command}");
        let outcome = outcome.again(&format!("{} --quiet", arguments(&command))).launch(Launch::Plain).ok();
        assert_eq!(hash(&outcome, "r"), expected, "SIG{signal}");
        assert_eq!(outcome.text("r/metrics.csv").lines().count(), 901, "each epoch once");
    }
}

/// SIGUSR1 to mpirun, at some step, in some mode; then the same command with `--resume auto`, as a requeued job gives it.
fn usr1_to_mpirun(times: u64) {
    const MODES: [&str; 3] = ["allreduce", "sendrecv", "pipeline --learn backprop"];
    let launch = Launch::Mpi(3);
    if !launch.possible() {
        return;
    }
    let line = |mode: &str| format!("{LONG} --mode {mode} --resume auto");
    let expected =
        MODES.map(|mode| hash(&Run::new(&line(mode)).within(Duration::from_secs(120)).launch(launch).ok(), "r"));
    for i in 0..times {
        let which = (i % 3) as usize;
        let mixed = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (epochs, moment) = ((mixed >> 40) as usize % 40, Duration::from_millis((mixed >> 20) % 60));
        let outcome = stopped(&line(MODES[which]), launch, "USR1", epochs, moment);
        let command = check_stopped(&outcome, 75, "USR1");
        assert!(command.starts_with("mpirun -n 3 ") && command.ends_with(" --resume r"), "{command}");
        let outcome = outcome.again(&line(MODES[which])).within(Duration::from_secs(120)).launch(launch).ok();
        assert_eq!(hash(&outcome, "r"), expected[which], "{} stopped at {epochs} epochs", MODES[which]);
    }
}

#[test]
fn sigusr1_to_mpirun_stops_all_ranks_at_one_step_and_they_go_on() {
    usr1_to_mpirun(5);
}

#[test]
#[ignore = "50 jobs at random moments, minutes (make test-long)"]
fn sigusr1_to_mpirun_fifty_times_of_fifty() {
    usr1_to_mpirun(50);
}

#[test]
fn a_stop_without_a_place_for_the_checkpoint_is_no_checkpoint() {
    let prepared = |dir: &Path| {
        std::fs::create_dir(dir.join("r")).unwrap();
        std::fs::write(dir.join("r/ckpt"), "in the way").unwrap();
    };
    for (signal, code) in [("TERM", 143), ("INT", 130), ("USR1", 138)] {
        let mut running = Run::new(LONG).prepare(prepared).start(Launch::Threads(2));
        running.wait_until("an epoch", |dir| {
            std::fs::read_to_string(dir.join("r/metrics.csv")).is_ok_and(|text| text.lines().count() > 2)
        });
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.code, code, "{}", outcome.stderr);
        assert!(outcome.errors()[0].contains(&format!("SIG{signal} after step")), "{}", outcome.stderr);
        assert!(outcome.errors()[0].contains("no checkpoint was written"), "{}", outcome.stderr);
        assert!(outcome.stdout.contains("r/ckpt: cannot"), "{}", outcome.stdout);
        assert_eq!(outcome.json_of("r")["state"], "failed");
    }
}

/// The first is heard when a task of half a minute is over; nobody has to wait for that.
#[test]
fn a_second_signal_ends_at_once() {
    let line = "--mode sendrecv --sync k-batch --clock real --delay const:30 --run-dir r --progress none";
    let mut running = Run::new(line).start(Launch::Threads(3));
    running.wait_until("the start", |dir| {
        std::fs::read_to_string(dir.join("r/events.jsonl")).is_ok_and(|text| text.contains("started"))
    });
    std::thread::sleep(Duration::from_millis(300));
    running.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    running.signal("INT");
    let outcome = running.finish();
    assert_eq!(outcome.code, 130, "{}", outcome.stderr);
    assert!(outcome.took < Duration::from_secs(20), "took {:?}", outcome.took);
    assert_eq!(outcome.json_of("r")["state"], "running");
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}

#[test]
fn a_cross_validation_keeps_no_checkpoint() {
    let mut running = Run::new("--folds 10 --repeats 200 --epochs 200 --run-dir r").start(Launch::Solo);
    running.wait_until("the start", |dir| {
        dir.join("r/run.json").exists() && {
            std::fs::read_to_string(dir.join("r/events.jsonl")).is_ok_and(|text| text.contains("started"))
        }
    });
    running.signal("USR1");
    let outcome = running.finish();
    assert_eq!(outcome.code, 138, "{}", outcome.stderr);
    assert!(outcome.errors()[0].contains("no checkpoint was written"), "{}", outcome.stderr);
}
