//! The conformance table on one rank alone and on ranks as threads, buffered and with forced rendezvous.

use crate::cases::Case;
use crate::cases::conformance::CASES;
use goai::comm::{Buffer, Communicator, Emulated, Group, Kind, Reduce, Solo, Tag, ThreadOptions, Values, run_threads};
use goai::device::{Devices, Link, Machine, Profile};
use goai::units::Seconds;
use std::time::Duration;

/// Longer than any case takes on a busy machine; a hang becomes a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub const BUFFERED: ThreadOptions = ThreadOptions { rendezvous: false, deadline: Some(DEADLINE) };
pub const RENDEZVOUS: ThreadOptions = ThreadOptions { rendezvous: true, deadline: Some(DEADLINE) };

/// Runs a table on threads; the name of the case that fails is the last line of its output.
pub fn run_table(cases: &[Case], ranks: usize, options: ThreadOptions) {
    for (name, case) in cases {
        println!("{ranks} ranks: {name}");
        run_threads(ranks, options, |comm| {
            case(comm);
            comm.barrier().unwrap();
        });
    }
}

#[test]
fn solo_conforms() {
    for (name, case) in CASES {
        println!("solo: {name}");
        case(&Solo::new());
    }
}

#[test]
fn threads_conform_with_buffered_sends() {
    (1..=4).for_each(|ranks| run_table(CASES, ranks, BUFFERED));
}

#[test]
fn threads_conform_with_forced_rendezvous() {
    (1..=4).for_each(|ranks| run_table(CASES, ranks, RENDEZVOUS));
}

/// All but the case that gives a note a time of its own: there the stamp counts.
#[test]
fn emulated_machines_conform() {
    for (options, ranks) in [BUFFERED, RENDEZVOUS].into_iter().flat_map(|o| (1..=4).map(move |ranks| (o, ranks))) {
        let devices = Devices::new("toy", vec![Profile::new("toy", 1e9); ranks], Link::new(1e6, Seconds(0.001)));
        let machines: Vec<Machine> = devices.profiles().iter().map(|profile| Machine::new(profile, "mlp")).collect();
        for (name, case) in CASES.iter().filter(|(name, _)| !name.starts_with("a note travels")) {
            println!("{ranks} emulated ranks: {name}");
            run_threads(ranks, options, |comm| {
                let emulated = Emulated::new(comm, &machines[comm.rank()], &devices);
                case(&emulated);
                emulated.barrier().unwrap();
            });
        }
        assert!(ranks == 1 || machines.iter().all(|machine| machine.now().0 > 0.01));
    }
}

#[test]
#[should_panic(expected = "a receive under way needs its length")]
fn an_open_buffer_cannot_be_received_into_without_blocking() {
    run_threads(2, BUFFERED, |comm| {
        let _ = comm.start_recv(1 - comm.rank(), Tag::Push, Buffer::open(Kind::F32));
    });
}

#[test]
fn one_world_passes_all_cases_in_a_row() {
    for options in [BUFFERED, RENDEZVOUS] {
        run_threads(3, options, |comm| {
            for (_, case) in CASES {
                case(comm);
                comm.barrier().unwrap(); // else a receive from any takes the next case's message
            }
        });
    }
}

/// Runs the table on the group that a rank is in, all groups at the same time; between the cases the world is used.
fn groups_conform(world: usize, options: ThreadOptions, members: impl Fn(usize) -> Vec<usize> + Sync) {
    run_threads(world, options, |comm| {
        let group = Group::new(comm, members(comm.rank()));
        for (name, case) in CASES {
            if comm.rank() == 0 {
                println!("group of {} of {world} ranks: {name}", group.size());
            }
            case(&group);
            let mut sum = [1];
            comm.all_reduce(Values::I64(&mut sum), Reduce::Sum).unwrap();
            assert_eq!(sum, [world as i64]);
        }
    });
}

#[test]
fn groups_conform_side_by_side() {
    for options in [BUFFERED, RENDEZVOUS] {
        // Every second rank: 2 + 1, 2 + 2, 4 + 3 ranks.
        for world in [3, 4, 7] {
            groups_conform(world, options, |rank| (rank % 2..world).step_by(2).collect());
        }
        // All of them, backwards.
        groups_conform(3, options, |_| vec![2, 1, 0]);
    }
}

#[test]
fn groups_of_groups_and_overlapping_groups_conform() {
    run_threads(4, BUFFERED, |comm| {
        let half = Group::new(comm, if comm.rank() < 2 { vec![1, 0] } else { vec![2, 3] });
        let own = Group::new(&half, vec![1, 0]);
        let across = Group::new(comm, vec![comm.rank() % 2, comm.rank() % 2 + 2]);
        let overlapping = Group::new(comm, vec![3, 1, 0, 2]);
        for (_, case) in CASES {
            for group in [&own, &across, &half, &overlapping] {
                case(group);
                comm.barrier().unwrap();
            }
        }
    });
}
