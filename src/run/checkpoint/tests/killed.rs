//! A process that saves is killed at any moment: what it said was saved is there.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// Names the folder to the process that saves.
const FOLDER: &str = "GOAI_TEST_CHECKPOINTS";

/// Runs in a process of its own: saves one checkpoint after the other and says so, until it is killed.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let dir = Path::new(&folder);
    let network = network();
    let store = open(dir);
    let newest = newest_valid(&RealDisk, dir).unwrap().loaded;
    let mut step = newest.map_or(0, |loaded| loaded.about.cursor.step);
    let theta = vec![0.5; network.theta_len()];
    let sigma = vec![1.0; network.sigma_len()];
    let optimizer = Rule::Adam.build(theta.len(), 0.0);
    let mut out = std::io::stdout();
    let mut beside = step.is_multiple_of(2).then(|| Writer::spawn(store.clone()));
    loop {
        step += 1;
        let state = State {
            cursor: cursor(step),
            theta: &theta,
            sigma: &sigma,
            scales: &[],
            applied: &[],
            optimizer: &*optimizer,
        };
        let checkpoint = Checkpoint::of(&network, &state, meta(), about());
        let done = match &mut beside {
            None => store.save(&checkpoint).map(|_| vec![step]).unwrap(),
            Some(writer) => {
                writer.submit(checkpoint);
                std::thread::sleep(Duration::from_millis(1));
                writer.results().into_iter().map(|result| result.unwrap().step).collect()
            }
        };
        for step in done {
            let _ = writeln!(out, "saved {step}").and_then(|()| out.flush());
        }
    }
}

fn kill_while_saving(times: u32) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("ckpt");
    let mut steps = 0;
    for time in 0..times {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "run::checkpoint::tests::killed::child", "--nocapture"]);
        let mut child =
            command.env(FOLDER, &dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the test itself");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("saved ") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "the child ended by itself");
        }
        // Any moment of the saving that goes on: the clock's last digits are as good as dice.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let dice = u64::from(now.subsec_nanos()) * 7919 + u64::from(time) * 2_654_435_761;
        std::thread::sleep(Duration::from_micros(dice % 30_000));
        child.kill().unwrap();
        let mut rest = line;
        out.read_to_string(&mut rest).unwrap();
        child.wait().unwrap();
        let whole_lines = rest.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let said =
            whole_lines.filter_map(|line| line.trim().strip_prefix("saved ")?.parse::<u64>().ok()).max().unwrap();
        let newest = newest_valid(&RealDisk, &dir).unwrap();
        let found = newest.loaded.expect("a whole one").about.cursor.step;
        assert!(found >= said, "{time}: step {said} was saved, and {found} is the newest whole one");
        assert!(newest.refused.is_empty(), "{time}: no name stands before its file is whole: {:?}", newest.refused);
        steps = found;
    }
    assert!(steps >= u64::from(times));
}

#[test]
fn what_a_killed_process_saved_is_there_ten_times() {
    kill_while_saving(10);
}

#[test]
#[ignore = "200 processes, half a minute (make test-long)"]
fn what_a_killed_process_saved_is_there_two_hundred_times() {
    kill_while_saving(200);
}
