//! What is said, to whom, and what happens when nobody listens or somebody interrupts.

use crate::run::{Launch, Outcome, Run, Running};
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn quiet_prints_nothing() {
    for launch in [Launch::Solo, Launch::Threads(3), Launch::Mpi(3)].into_iter().filter(|launch| launch.possible()) {
        let outcome = Run::new("--epochs 2 --quiet").launch(launch).ok();
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""), "{launch:?}");
        assert_eq!(outcome.json()["state"], "complete");
    }
}

#[test]
fn lines_are_plain_and_come_from_rank_0_alone() {
    for launch in [Launch::Solo, Launch::Threads(3), Launch::Mpi(3)].into_iter().filter(|launch| launch.possible()) {
        let outcome = Run::new("--epochs 30").launch(launch).ok();
        let text = &outcome.stdout;
        assert!(!text.contains(['\r', '\u{1b}']), "{launch:?}: {text:?}");
        assert_eq!(text.matches("goai-rs").count().min(1), 1, "{launch:?} has a head: {text}");
        let last = text.lines().filter(|line| line.starts_with("epoch 30/30")).count();
        assert_eq!(last, 1, "{launch:?}: {text}");
        let shown = text.lines().filter(|line| line.starts_with("epoch ")).count();
        let most = 3 + outcome.took.as_secs() as usize;
        assert!(shown <= most, "{launch:?}: {shown} lines in {:?}", outcome.took);
        let dir = std::fs::read_link(outcome.path("runs/latest")).expect("a link");
        assert!(text.contains(&*dir.to_string_lossy()), "{launch:?} says where the results are: {text}");
        assert_eq!(outcome.stderr, "", "{launch:?}");
    }
}

#[test]
fn nobody_listening_is_no_reason_to_stop() {
    let scripts = [
        ("closed stdout", "exec \"$0\" \"$@\" >&-"),
        ("closed stdout and stderr", "exec \"$0\" \"$@\" >&- 2>&-"),
        ("full device", "exec \"$0\" \"$@\" >/dev/full 2>/dev/full"),
        ("a reader that leaves", "\"$0\" \"$@\" | head -n 1"),
    ];
    for (name, script) in scripts {
        for args in ["--epochs 60", "--epochs 5 --json"] {
            let outcome = Run::new(args).around(script).launch(Launch::Solo).ok();
            assert_eq!(outcome.json()["state"], "complete", "{name}, {args}");
            assert!(!outcome.stderr.contains("panicked"), "{name}, {args}: {}", outcome.stderr);
        }
    }
}

/// Starts a training without end and waits for its third epoch.
fn endless(args: &str, launch: Launch) -> Running {
    let mut running = Run::new(&format!("--epochs 2000000 {args}")).start(launch);
    let third = |work: &Path| {
        std::fs::read_to_string(work.join("runs/latest/metrics.csv")).is_ok_and(|text| text.lines().count() > 3)
    };
    running.wait_until("the third epoch", third);
    running
}

/// Whether a process is there and not a zombie.
fn lives(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("\nState:\tZ")
}

fn stopped(outcome: &Outcome, signal: &str) {
    assert_eq!(outcome.code, 75, "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with(&format!("checkpointed: {signal} after step ")), "{}", outcome.stderr);
    assert_eq!(outcome.json()["state"], "checkpointed");
    assert_eq!(outcome.json()["exit_code"], 75);
}

#[test]
fn a_signal_ends_a_run_in_order() {
    for (launch, args) in [(Launch::Solo, ""), (Launch::Threads(3), ""), (Launch::Threads(3), "--mode sendrecv")] {
        for name in ["TERM", "INT"] {
            let running = endless(args, launch);
            running.signal(name);
            stopped(&running.finish(), &format!("SIG{name}"));
        }
    }
}

#[test]
fn one_signal_ends_a_run_that_waits_for_its_configuration() {
    let run = Run::new("--env pipe").prepare(|work| {
        let made = std::process::Command::new("mkfifo").arg(work.join("pipe")).status();
        assert!(made.is_ok_and(|status| status.success()));
    });
    let running = run.start(Launch::Solo);
    // Nobody writes to the pipe; it is waited for by now.
    std::thread::sleep(Duration::from_millis(500));
    running.signal("TERM");
    let sent = Instant::now();
    assert_ne!(running.finish().code, 0);
    assert!(sent.elapsed() < Duration::from_secs(5), "took {:?}", sent.elapsed());
}

#[test]
fn a_signal_to_mpirun_ends_every_rank() {
    if !Launch::Mpi(3).possible() {
        return;
    }
    for args in ["--mode allreduce", "--mode sendrecv"] {
        let running = endless(args, Launch::Mpi(3));
        running.signal("TERM");
        let sent = Instant::now();
        let outcome = running.finish();
        assert_ne!(outcome.code, 0);
        assert!(sent.elapsed() < Duration::from_secs(10), "{args} took {:?}", sent.elapsed());
        let run = outcome.json();
        assert_ne!(run["state"], "complete", "{args}");
        let places = run["placement"].as_array().expect("places");
        let pids: Vec<u64> = places.iter().filter_map(|place| place["pid"].as_u64()).collect();
        // mpirun does not wait for the last breath of its ranks.
        while pids.iter().any(|pid| lives(*pid)) {
            assert!(sent.elapsed() < Duration::from_secs(10), "{args}: a rank of {pids:?} is left");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn doctor_says_what_the_launcher_gives() {
    for (launch, ranks) in [(Launch::Plain, 1), (Launch::Mpi(2), 2)] {
        if !launch.possible() {
            continue;
        }
        let outcome = Run::new("doctor --json").launch(launch).ok();
        let found: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("one JSON object");
        assert_eq!(found["ranks"], ranks, "{launch:?}");
        assert_eq!(found["places"].as_array().map(Vec::len), Some(ranks));
        let text = Run::new("doctor").launch(launch).ok().stdout;
        assert!(text.contains("rank   0") && !text.contains('\r'), "{launch:?}: {text}");
    }
}

#[test]
fn help_and_version_succeed_and_no_command_is_left_out() {
    let help = Run::new("--help").launch(Launch::Plain).ok().stdout;
    for word in ["eval", "predict", "doctor", "config", "state", "--mode", "--ranks", "--run-dir", "--deterministic"] {
        assert!(help.contains(word), "{word} is not in the help");
    }
    if Launch::Mpi(3).possible() {
        let once = Run::new("--help").launch(Launch::Mpi(3)).ok().stdout;
        assert_eq!(once.matches("Usage:").count(), 1, "{once}");
    }
    let version = Run::new("--version").launch(Launch::Plain).ok().stdout;
    assert_eq!(version.trim(), format!("goai-rs {}", env!("CARGO_PKG_VERSION")));
}
