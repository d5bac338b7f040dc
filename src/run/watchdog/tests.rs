//! Time is a number here: no test waits for a stall.

use super::*;
use crate::comm::Pulse;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ranks(count: usize) -> (Arc<Vitals>, Vec<Pulse>, Vec<String>) {
    let vitals = Vitals::of_threads(count);
    let pulses = (0..count).map(|rank| vitals.pulse(rank)).collect();
    (vitals, pulses, (0..count).map(|rank| format!("rank {rank} on node{rank}")).collect())
}

fn rules(warn: u64, abort: u64) -> Rules {
    let some = |seconds| Some(s(seconds)).filter(|time| !time.is_zero());
    Rules { warn: some(warn), abort: some(abort), ..Rules::default() }
}

#[test]
fn a_stall_is_told_at_doubling_intervals_until_a_step_is_made() {
    let (vitals, pulses, names) = ranks(2);
    let mut watch = Watch::new(&vitals, names);
    let mut warned = Vec::new();
    for second in 0..=600 {
        if second == 500 {
            pulses[1].at(1);
        }
        match watch.look(s(second), &rules(60, 0), true) {
            Some(Alarm::Warn(_)) => warned.push(second),
            None => {}
            Some(end) => panic!("{end:?}"),
        }
    }
    assert_eq!(warned, [60, 120, 240, 480, 560]);
}

#[test]
fn steps_of_any_rank_and_times_without_steps_are_no_stall() {
    let (vitals, pulses, names) = ranks(3);
    let mut watch = Watch::new(&vitals, names);
    for second in 0..300 {
        pulses[2].at(second / 50);
        assert_eq!(watch.look(s(second), &rules(60, 60), true), None);
    }
    for second in 300..1000 {
        assert_eq!(watch.look(s(second), &rules(60, 60), false), None, "loading, measuring");
    }
    assert_eq!(watch.look(s(1001), &rules(60, 60), true), None, "time begins with the steps");
}

#[test]
fn a_stall_that_lasts_ends_the_job_with_the_command_to_go_on() {
    let (vitals, pulses, names) = ranks(2);
    pulses[0].waits(true);
    let mut watch = Watch::new(&vitals, names);
    let rules = Rules { resume: Some("goai-rs --resume runs/x".into()), ..rules(0, 90) };
    assert_eq!(watch.look(s(89), &rules, true), None);
    let Some(Alarm::End(7, Some(text))) = watch.look(s(90), &rules, true) else { panic!() };
    assert_eq!(
        text,
        "no step for 90 s, at step 0: waiting for rank 1 on node1 (still at work); ended by --stall-abort; go on with `goai-rs --resume runs/x`"
    );
}

#[test]
fn only_the_missing_ranks_are_named() {
    let (vitals, pulses, names) = ranks(4);
    let mut watch = Watch::new(&vitals, names);
    // All wait: the one that is behind is missing.
    for (pulse, step) in pulses.iter().zip([5, 5, 3, 5]) {
        pulse.at(step);
        pulse.waits(true);
    }
    assert_eq!(missing(&vitals), [(2, Why::Behind(3))]);
    // One is at work while the others wait.
    pulses[1].waits(false);
    assert_eq!(missing(&vitals), [(1, Why::Busy)]);
    pulses[1].waits(true);
    pulses[2].at(5);
    assert!(missing(&vitals).is_empty());
    assert_eq!(watch.look(s(0), &rules(10, 0), true), None);
    let told = watch.look(s(10), &rules(10, 0), true);
    assert_eq!(told, Some(Alarm::Warn("no step for 10 s, at step 5: all ranks wait for each other".into())));
    // All at work: nobody is missed more than another, but for those behind.
    pulses.iter().for_each(|pulse| pulse.waits(false));
    assert!(missing(&vitals).is_empty());
}

#[test]
fn one_rank_is_told_too() {
    let (vitals, pulses, names) = ranks(1);
    pulses[0].at(12);
    let mut watch = Watch::new(&vitals, names);
    assert_eq!(watch.look(s(0), &rules(10, 0), true), None);
    let told = watch.look(s(10), &rules(10, 0), true);
    assert_eq!(
        told,
        Some(Alarm::Warn("no step for 10 s, at step 12: waiting for rank 0 on node0 (still at work)".into()))
    );
}

/// With a heartbeat beside it: real sockets, and the thread itself.
#[test]
fn a_death_ends_the_job_where_the_mode_cannot_go_on() {
    use crate::comm::{Communicator, Heartbeat, ThreadOptions, run_threads};
    use std::sync::mpsc;
    let hosts = vec!["here".to_owned(); 3];
    run_threads(3, ThreadOptions::default(), |comm| {
        let heart = Heartbeat::start(comm, &hosts, s(30)).unwrap();
        match comm.rank() {
            2 => heart.break_off(),
            0 => {
                let names = (0..3).map(|rank| format!("rank {rank} on node{rank}")).collect();
                let (says, hears) = mpsc::channel();
                let deadly = Rules { deaths: Some(Duration::ZERO), ..Rules::default() };
                let dog =
                    Watchdog::start(Arc::clone(heart.vitals()), names, deadly, move |alarm| says.send(alarm).unwrap());
                let alarm = hears.recv_timeout(s(20)).unwrap();
                let text = "rank 2 on node2 is lost (its process ended), and with it the job";
                assert_eq!(alarm, Alarm::End(7, Some(text.into())));
                drop(dog.unwrap());
                heart.caller().end(7);
            }
            _ => {
                let vitals = Arc::clone(heart.vitals());
                let mut watch = Watch::new(&vitals, (0..3).map(|rank| rank.to_string()).collect());
                let start = Instant::now();
                let alarm = loop {
                    assert!(start.elapsed() < s(20));
                    if let Some(alarm) = watch.look(s(0), &Rules::default(), false) {
                        break alarm;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                };
                assert_eq!(alarm, Alarm::End(7, None));
            }
        }
    });
}
