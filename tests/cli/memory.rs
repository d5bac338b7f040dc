//! The memory that a run says it will take, against what the kernel says it took, and that it stays so.

use crate::pictures::with_set;
use crate::run::{Launch, Run};
use goai::data::synth::Kind;

/// What the prediction leaves out: the program, its threads, the labels.
const BESIDES: f64 = 64.0 * 1048576.0;

/// Runs the program, and while it runs writes down how much of its memory is no file's.
const WATCH: &str = r#""$0" "$@" & pid=$!
while grep RssAnon: /proc/$pid/status >> rss 2> /dev/null; do sleep 0.01; done
wait $pid"#;

/// The bytes that the head predicts for a rank.
fn predicted(head: &str) -> f64 {
    let text = head.split("memory about ").nth(1).and_then(|rest| rest.split(" a rank (predicted)").next());
    let (number, unit) = text.and_then(|text| text.split_once(' ')).expect("a prediction in the head");
    let unit = match unit {
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        other => panic!("{other}"),
    };
    number.parse::<f64>().expect("a number") * unit
}

#[test]
fn a_run_takes_no_more_memory_than_predicted() {
    for (args, least) in [
        ("--model img_cnn --image-size 48 --global-batch 64", 20e6),
        ("--model img_cnn --image-size 96 --global-batch 8 --optimizer adam", 50e6),
        ("--model vgg5 --image-size 64 --global-batch 32 --deterministic", 50e6),
        ("--model img_mlp --image-size 96 --global-batch 64 --optimizer momentum", 5e6),
    ] {
        let run = with_set(Run::new(&format!("--dataset img --data-dir d --epochs 2 {args}")), Kind::Img, 16, 2);
        let outcome = run.around(WATCH).launch(Launch::Solo).ok();
        let predicted = predicted(&outcome.stdout);
        let kib = |line: &str| line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok());
        let measured = 1024.0 * outcome.text("rss").lines().filter_map(kib).fold(0.0, f64::max);
        println!("{args}: {:.1} MB predicted, {:.1} MB measured", predicted / 1e6, measured / 1e6);
        assert!(measured > 1e6 && predicted > least, "{args}: {measured} measured, {predicted} predicted");
        assert!(measured <= predicted + BESIDES, "{args}: {measured} measured, {predicted} predicted");
    }
}

/// What MPI and the loops hold on to: at most 1 MiB in 10,000 steps.
#[test]
fn many_steps_take_no_more_memory_than_few() {
    const EPOCHS: usize = 170;
    for launch in [Launch::Threads(2), Launch::Mpi(2)].into_iter().filter(|launch| launch.possible()) {
        for mode in ["allreduce", "sendrecv"] {
            let line = format!("--mode {mode} --global-batch 2 --epochs {EPOCHS} --run-dir r --quiet");
            let outcome = Run::new(&line).launch(launch).ok();
            let table = outcome.text("r/ranks.csv");
            let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split(',').collect()).collect();
            let column = rows[0].iter().position(|name| *name == "rss_mb").expect("the column");
            let memory = |epoch: usize| -> f64 {
                let of_it = rows[1..].iter().filter(|row| row[0] == epoch.to_string());
                of_it.map(|row| row[column].parse::<f64>().expect("a number")).fold(0.0, f64::max)
            };
            let (before, after) = (memory(20), memory(EPOCHS));
            println!("{mode} on {launch:?}: {before} MiB after 1,200 steps, {after} after 10,200");
            assert!(before > 1.0 && after - before <= 1.0, "{mode} on {launch:?}: {before}, {after}");
        }
    }
}
