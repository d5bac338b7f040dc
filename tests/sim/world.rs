//! What a simulated world promises: schedules that repeat, faults as planned, and a word on everything that is wrong.

use goai::comm::simulated::{End, Fault, Garble, Left, Moment, Plan, SimComm, Why, run_simulated};
use goai::comm::{Buffer, CommError, Communicator, Kind, Life, Reduce, Tag, Values};
use goai::device::{Clock, Pass, Work};
use goai::units::Flops;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn message(step: u32) -> Buffer {
    let mut message = Buffer::new(Kind::F32, 20);
    message.note.step = step;
    message
}

fn work() -> Work {
    Work { flops: Flops(1), blocks: 0..1, rows: 1, pass: Pass::Forward }
}

/// Workers report to rank 0 thirty times; it answers whoever comes first. Says who came, in order.
fn chatter(comm: &SimComm) -> Vec<usize> {
    let clock = comm.clock();
    if comm.rank() > 0 {
        for step in 0..30 {
            clock.charge(work());
            comm.send(0, Tag::Report, &mut message(step)).unwrap();
            comm.recv(0, Tag::Task, &mut message(0)).unwrap();
        }
        return Vec::new();
    }
    let answer = |_| {
        // Not `recv_any`: the end of a worker that is through would end that.
        let from = comm.message_within(None, Tag::Report, Duration::from_secs(60)).unwrap().unwrap();
        comm.recv(from, Tag::Report, &mut message(0)).unwrap();
        comm.send(from, Tag::Task, &mut message(0)).unwrap();
        from
    };
    (0..30 * (comm.size() - 1)).map(answer).collect()
}

#[test]
fn a_seed_is_a_schedule() {
    let run = |seed| {
        let outcome = run_simulated(5, Plan::new(seed), chatter);
        let (hash, time) = (outcome.hash, outcome.time);
        (outcome.results().swap_remove(0), hash, time)
    };
    let first: Vec<_> = (0..20).map(run).collect();
    assert_eq!(first, (0..20).map(run).collect::<Vec<_>>());
    let hashes: std::collections::HashSet<u64> = first.iter().map(|(_, hash, _)| *hash).collect();
    let orders: std::collections::HashSet<&Vec<usize>> = first.iter().map(|(order, ..)| order).collect();
    assert!(hashes.len() == 20 && orders.len() > 15);
}

/// The same on every machine: this hash was found on one of them.
#[test]
fn a_schedule_is_the_same_everywhere() {
    let faults = vec![
        Fault::Slow { rank: 1, factor: 10 },
        Fault::SlowLink { from: 2, to: 0, bytes_per_s: 1_000_000 },
        Fault::Freeze { rank: 2, from: MS, until: 5 * MS },
    ];
    assert_eq!(run_simulated(3, Plan { faults, ..Plan::new(7) }, chatter).hash, 10_978_743_246_208_355_471);
}

#[test]
fn a_virtual_hour_passes_at_once() {
    let start = Instant::now();
    let plan = Plan { limit: Duration::from_secs(10_000), ..Plan::new(1) };
    let outcome = run_simulated(2, plan, |comm| {
        let clock = comm.clock();
        let hour = Duration::from_secs(3600);
        assert_eq!(comm.message_within(None, Tag::Task, hour).unwrap(), None);
        clock.now().0
    });
    assert!(outcome.results().iter().all(|now| (3600.0..3600.001).contains(now)));
    assert!(start.elapsed().as_secs() < 10);
}

#[test]
fn who_waits_for_whom_is_told() {
    let outcome = run_simulated(3, Plan::new(1), |comm| match comm.rank() {
        0 => comm.await_message(None, Tag::Report).map(drop),
        1 => comm.recv(2, Tag::Push, &mut message(0)),
        _ => comm.recv(1, Tag::Pull, &mut message(0)),
    });
    let words = outcome.stuck.as_ref().unwrap().to_string();
    let expected = "deadlock; rank 0 waits for Report of any rank; rank 1 waits for Push of rank 2; rank 2 waits for Pull of rank 1";
    assert_eq!(words, expected);
    assert_eq!(outcome.ends, [End::Stuck, End::Stuck, End::Stuck]);
}

#[test]
fn long_messages_wait_for_their_receiver() {
    let swap = |comm: &SimComm| {
        let other = 1 - comm.rank();
        comm.send(other, Tag::Push, &mut message(0)).unwrap();
        comm.recv(other, Tag::Push, &mut message(0)).unwrap();
    };
    let with = |eager| run_simulated(2, Plan { eager, ..Plan::new(3) }, swap);
    assert!(with(usize::MAX).stuck.is_none());
    let words = with(64).stuck.unwrap().to_string();
    assert!(words.contains("rank 0 waits for rank 1 to receive Push"), "{words}");
}

#[test]
fn who_goes_round_in_circles_is_stopped() {
    let poll = |comm: &SimComm| while comm.message_within(None, Tag::Task, Duration::ZERO).unwrap().is_none() {};
    let with = |plan: Plan| run_simulated(2, plan, poll).stuck.unwrap().why;
    assert_eq!(with(Plan { limit: MS, ..Plan::new(1) }), Why::Time);
    assert_eq!(with(Plan { most_events: 1_000, ..Plan::new(1) }), Why::Events);
}

#[test]
fn messages_that_nobody_received_are_listed() {
    let outcome = run_simulated(3, Plan::new(2), |comm| match comm.rank() {
        1 => (0..2).try_for_each(|step| comm.send(0, Tag::Push, &mut message(step))),
        0 => comm.recv(1, Tag::Push, &mut message(0)),
        _ => Ok(()),
    });
    assert_eq!(outcome.left, [Left { from: 1, to: 0, tag: Tag::Push, step: 1 }]);
}

/// Rank 1's third call is its second send, behind a wait of a millisecond.
#[test]
fn a_rank_crashes_where_the_plan_says() {
    for (moment, arrive) in [(Moment::Before, 1), (Moment::In, 1), (Moment::After, 2)] {
        let faults = vec![Fault::Crash { rank: 1, call: 3, moment }];
        let outcome = run_simulated(2, Plan { faults, ..Plan::new(5) }, |comm| {
            if comm.rank() == 1 {
                comm.send(0, Tag::Push, &mut message(0)).unwrap();
                comm.message_within(None, Tag::Task, MS).unwrap();
                comm.send(0, Tag::Push, &mut message(1)).unwrap();
                panic!("a crashed rank goes on");
            }
            let mut got = 0;
            while comm.recv(1, Tag::Push, &mut message(0)).is_ok() {
                got += 1;
            }
            let lost = CommError::PeerLost { rank: 1, tag: Tag::Push };
            assert_eq!(comm.recv(1, Tag::Push, &mut message(0)), Err(lost.clone()));
            assert_eq!(comm.message_within(Some(1), Tag::Push, MS), Err(lost.clone()));
            assert_eq!(comm.message_within(None, Tag::Push, MS), Ok(None));
            assert_eq!(comm.send(1, Tag::Push, &mut message(0)), Err(lost));
            assert_eq!(comm.life(1), Life::Lost);
            got
        });
        assert_eq!(outcome.ends[1], End::Crashed);
        // A message on its way may come after the news of its sender's end.
        let got = *outcome.ends[0].returned().unwrap();
        assert!(got <= arrive && got + 1 >= arrive, "{moment:?}: {got}");
        assert!(outcome.left.is_empty());
    }
}

/// It sends when its stack is unwound, which a process that is gone would not.
struct Farewell<'a>(&'a SimComm);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        assert!(self.0.send(0, Tag::Report, &mut message(9)).is_err() || !std::thread::panicking());
    }
}

#[test]
fn who_has_crashed_sends_nothing() {
    let faults = vec![Fault::Crash { rank: 1, call: 1, moment: Moment::Before }];
    let outcome = run_simulated(2, Plan { faults, trace: true, ..Plan::new(5) }, |comm| {
        let _farewell = (comm.rank() == 1).then(|| Farewell(comm));
        comm.message_within(None, Tag::Report, 10 * MS).unwrap_or(None)
    });
    assert_eq!(outcome.ends, [End::Returned(None), End::Crashed]);
    assert!(!outcome.trace.iter().any(|line| line.contains("sends")), "{:#?}", outcome.trace);
}

#[test]
fn who_is_frozen_is_silent_and_comes_back() {
    for (until, silent) in [(20 * MS, true), (Duration::MAX, true), (12 * MS, false)] {
        let faults = vec![Fault::Freeze { rank: 1, from: 10 * MS, until }];
        let plan = Plan { faults, heartbeat: 5 * MS, latency: MS / 1000, ..Plan::new(5) };
        let outcome = run_simulated(2, plan, |comm| {
            if comm.rank() == 1 {
                comm.message_within(None, Tag::Task, 11 * MS).unwrap();
                let now = comm.clock().now().0;
                comm.send(0, Tag::Report, &mut message(0)).unwrap();
                return (now, Life::Alive, true);
            }
            assert_eq!(comm.message_within(None, Tag::Report, 16 * MS).unwrap().is_none(), silent);
            let life = comm.life(1);
            let came = comm.message_within(Some(1), Tag::Report, 30 * MS).unwrap().is_some();
            if came {
                comm.recv(1, Tag::Report, &mut message(0)).unwrap();
            }
            (0.0, life, came)
        });
        let (_, life, came) = *outcome.ends[0].returned().unwrap();
        assert_eq!((life == Life::Silent, came), (silent, until < Duration::MAX), "{until:?}");
        match outcome.ends[1].returned() {
            Some((now, ..)) => assert!((until.as_secs_f64()..until.as_secs_f64() + 1e-3).contains(now)),
            None => assert_eq!(outcome.ends[1], End::Frozen),
        }
    }
}

#[test]
fn slow_ranks_and_links_are_slow() {
    let time = |faults| {
        let plan = Plan { faults, work: MS, latency: MS / 1000, ..Plan::new(11) };
        run_simulated(3, plan, chatter).time.as_secs_f64()
    };
    let usual = time(vec![]);
    assert!(time(vec![Fault::Slow { rank: 1, factor: 10 }]) > 7.0 * usual);
    // 30 messages of 112 bytes at 1120 bytes a second take 3 s.
    let slow = time(vec![Fault::SlowLink { from: 2, to: 0, bytes_per_s: 1_120 }]);
    assert!((3.0..3.2).contains(&slow), "{slow}");
    let out = time(vec![Fault::Outage { from: 2, to: 0, at: Duration::ZERO, until: 700 * MS }]);
    assert!((0.7..0.7 + 2.0 * usual).contains(&out), "{out}");
}

#[test]
fn wishes_and_full_disks_reach_the_body() {
    let faults = vec![
        Fault::Leave { rank: 1, at: 5 * MS },
        Fault::Stop { rank: 0, at: 7 * MS },
        Fault::Disk { rank: 0, save: 2 },
    ];
    let outcome = run_simulated(2, Plan { faults, ..Plan::new(1) }, |comm| {
        let seen = |ms: u32| {
            comm.message_within(None, Tag::Task, ms * MS).unwrap();
            (comm.leave_wished(), comm.stop_wished())
        };
        ([seen(4), seen(2), seen(2)], [comm.save_fails(), comm.save_fails(), comm.save_fails()])
    });
    let (no, fails) = (false, [false, true, false]);
    assert_eq!(outcome.ends[0], End::Returned(([(no, no), (no, no), (no, true)], fails)));
    assert_eq!(outcome.ends[1], End::Returned(([(no, no), (true, no), (true, no)], [no; 3])));
}

#[test]
fn damaged_messages_are_refused_by_name() {
    let cases = [Garble::Shorten(5), Garble::Shorten(40), Garble::Lengthen(8), Garble::Flip(0, 1), Garble::Flip(3, 99)];
    for how in cases {
        let faults = vec![Fault::Garble { from: 1, to: 0, message: 1, how }];
        let outcome = run_simulated(2, Plan { faults, ..Plan::new(1) }, |comm| match comm.rank() {
            1 => (0..2).try_for_each(|step| comm.send(0, Tag::Push, &mut message(step))).unwrap(),
            _ => {
                let refused = comm.recv(1, Tag::Push, &mut Buffer::open(Kind::F32)).unwrap_err();
                assert!(refused.to_string().contains("rank 1"), "{refused}");
                comm.recv(1, Tag::Push, &mut message(0)).unwrap();
            }
        });
        outcome.results();
    }
}

#[test]
fn a_panic_is_the_end_of_its_rank() {
    let outcome = run_simulated(2, Plan::new(1), |comm| {
        assert!(comm.rank() == 0, "as it happens");
        comm.all_reduce(Values::I64(&mut [1]), Reduce::Sum)
    });
    assert!(matches!(&outcome.ends[1], End::Panicked(words) if words == "as it happens"));
    assert!(matches!(&outcome.ends[0], End::Returned(Err(CommError::PeerLost { rank: 1, .. }))));
}
