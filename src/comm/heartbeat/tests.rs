//! Real sockets on this host; every wait is for a condition, with a deadline that only a failure reaches.

use super::frame::{Frame, LEN, Word};
use super::*;
use crate::comm::{Solo, Tag, ThreadOptions, Watched, run_threads};
use std::io::{Read, Write};
use std::time::Instant;

const TOKEN: u64 = 77;
/// Long: nobody may become silent while it lives.
const LONG: Duration = Duration::from_secs(30);
/// Short: for those who shall become silent.
const SHORT: Duration = Duration::from_millis(200);

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A hub without ranks of its own: the test plays them.
struct Stage {
    port: u16,
    vitals: Arc<Vitals>,
    wishes: Arc<Wishes>,
    thread: Option<JoinHandle<()>>,
}

impl Stage {
    fn new(ranks: usize, timeout: Duration) -> Self {
        let listener = listen(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (vitals, wishes) = (Vitals::new(ranks), Arc::<Wishes>::default());
        let hub = Hub::new(listener, TOKEN, Arc::clone(&vitals)).unwrap();
        wishes.set_timeout(timeout);
        let asked = Arc::clone(&wishes);
        let thread = Some(std::thread::spawn(move || hub.run(&asked)));
        Self { port, vitals, wishes, thread }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Plays a rank up to its first beat.
    fn join(&self, rank: u32) -> TcpStream {
        let mut stream = self.connect();
        let mut answer = [0; LEN];
        stream.write_all(&say(rank, Word::Hello)).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(Frame::read(&answer, TOKEN), Some(Frame { rank: 0, word: Word::Welcome }));
        stream.write_all(&say(rank, beat(0))).unwrap();
        until("the rank is watched", || self.vitals.watched(rank as usize));
        stream
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.wishes.end(LastWord::Farewell);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn say(rank: u32, word: Word) -> [u8; LEN] {
    Frame { rank, word }.write(TOKEN)
}

fn beat(step: u64) -> Word {
    Word::Beat { step, waiting: false }
}

fn same_host(ranks: usize) -> Vec<String> {
    vec!["here".into(); ranks]
}

#[test]
fn rank_0_learns_how_far_the_ranks_are_and_that_they_left_in_order() {
    run_threads(4, ThreadOptions::default(), |comm| {
        let heart = Heartbeat::start(comm, &same_host(4), Duration::from_millis(400)).unwrap();
        assert!(heart.notes().is_empty(), "{:?}", heart.notes());
        let pulse = heart.pulse();
        pulse.at(10 + comm.rank() as u64);
        pulse.waits(comm.rank() == 2);
        let vitals = Arc::clone(heart.vitals());
        if comm.rank() == 0 {
            until("all steps", || {
                (0..4).all(|rank| vitals.step(rank) == 10 + rank as u64 && vitals.waiting(rank) == (rank == 2))
            });
        } else {
            until("rank 0's step", || vitals.step(0) == 10);
        }
        comm.barrier().unwrap();
        if comm.rank() == 0 {
            until("goodbyes", || (1..4).all(|rank| !vitals.watched(rank)));
            assert!((0..4).all(|rank| heart.life(rank) == Life::Alive));
        }
    });
}

#[test]
fn a_closed_socket_is_a_death_known_within_a_tenth_of_a_second() {
    let stage = Stage::new(3, LONG);
    let (one, two) = (stage.join(1), stage.join(2));
    let start = Instant::now();
    drop(two);
    until("the death", || stage.vitals.life(2) == Life::Lost);
    // Twenty milliseconds on a quiet machine; the tests of a busy one get more.
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(stage.vitals.life(1), Life::Alive);
    drop(one);
}

#[test]
fn silence_passes_when_beats_are_heard_again() {
    let stage = Stage::new(2, SHORT);
    let mut rank = stage.join(1);
    for step in 1..3 {
        until("the silence", || stage.vitals.life(1) == Life::Silent);
        // In pieces, as a network may bring it.
        let frame = say(1, beat(step));
        rank.write_all(&frame[..5]).unwrap();
        rank.write_all(&frame[5..]).unwrap();
        until("the beat", || stage.vitals.step(1) == step && stage.vitals.life(1) == Life::Alive);
    }
    rank.write_all(&say(1, Word::Farewell)).unwrap();
    rank.shutdown(std::net::Shutdown::Write).unwrap();
    rank.read_to_end(&mut Vec::new()).unwrap();
    until("the goodbye", || !stage.vitals.watched(1));
    assert_eq!(stage.vitals.life(1), Life::Alive);
}

#[test]
fn strangers_are_shown_the_door() {
    let stage = Stage::new(3, LONG);
    let mut one = stage.join(1);
    let good = say(2, Word::Hello);
    let mut old = good;
    old[4] += 1;
    let cases: [(&str, &[u8]); 7] = [
        ("another protocol", b"GET / HTTP/1.1\r\nHost: goai-rs\r\n\r\n"),
        ("another version", &old),
        ("another job", &Frame { rank: 2, word: Word::Hello }.write(TOKEN + 1)),
        ("no such rank", &say(3, Word::Hello)),
        ("rank 0", &say(0, Word::Hello)),
        ("a rank that is there", &say(1, Word::Hello)),
        ("a beat before the welcome", &say(2, beat(5))),
    ];
    for (what, bytes) in cases {
        let mut stranger = stage.connect();
        stranger.write_all(bytes).unwrap();
        // The end of the stream, or a reset where bytes were left unread.
        assert_eq!(stranger.read(&mut [0; 1]).unwrap_or(0), 0, "{what}");
    }
    // One who says nothing, one who leaves in the middle, one who is welcome but goes elsewhere.
    let quiet = stage.connect();
    stage.connect().write_all(&good[..9]).unwrap();
    let mut elsewhere = stage.connect();
    elsewhere.write_all(&good).unwrap();
    elsewhere.read_exact(&mut [0; LEN]).unwrap();
    drop(elsewhere);
    let two = stage.join(2);
    one.write_all(&say(1, beat(9))).unwrap();
    until("the beat", || stage.vitals.step(1) == 9);
    assert!((0..3).all(|rank| stage.vitals.life(rank) == Life::Alive));
    drop((quiet, two));
}

#[test]
fn nobody_is_let_in_after_the_start() {
    let stage = Stage::new(2, LONG);
    stage.wishes.close();
    until("the closed port", || TcpStream::connect((Ipv4Addr::LOCALHOST, stage.port)).is_err());
}

#[test]
fn a_rank_passes_over_addresses_where_somebody_else_listens() {
    let stage = Stage::new(2, LONG);
    let stranger = listen(true).unwrap();
    let answers = std::thread::spawn({
        let stranger = stranger.try_clone().unwrap();
        move || stranger.accept().unwrap().0.write_all(&[7; 2 * LEN]).unwrap()
    });
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let other = at(stranger.local_addr().unwrap().port());
    let wire = spoke::find(&[other, at(stage.port)], ("", 0), TOKEN, 1).unwrap();
    until("the rank is watched", || stage.vitals.watched(1));
    answers.join().unwrap();
    drop(wire);
    drop(stranger);
    assert!(spoke::find(&[other], ("", 0), TOKEN, 1).is_err_and(|why| why.starts_with(&other.to_string())));
}

/// A rank of its own at a stage, up to the end of its thread.
fn outlive(stage: Stage, end: impl FnOnce(Stage)) -> Arc<Vitals> {
    let vitals = Vitals::new(stage.vitals.size());
    let wire = spoke::find(&[SocketAddr::from((Ipv4Addr::LOCALHOST, stage.port))], ("", 0), TOKEN, 1).unwrap();
    let (spoke, wishes) = (Spoke::new(wire, 1, Arc::clone(&vitals)), Wishes::default());
    until("the rank is watched", || stage.vitals.watched(1));
    std::thread::scope(|scope| {
        scope.spawn(|| spoke.run(&wishes));
        end(stage);
    });
    vitals
}

#[test]
fn every_other_rank_knows_when_rank_0_is_gone() {
    let orderly = outlive(Stage::new(2, LONG), drop);
    assert_eq!((orderly.life(0), orderly.watched(0)), (Life::Alive, false));
    let lost = outlive(Stage::new(2, LONG), |stage| stage.wishes.end(LastWord::Nothing));
    assert_eq!((lost.life(0), lost.ending()), (Life::Lost, None));
}

#[test]
fn any_rank_ends_the_job_for_all() {
    let by_server = outlive(Stage::new(2, LONG), |stage| stage.wishes.end(LastWord::End(7)));
    assert_eq!((by_server.ending(), by_server.life(0)), (Some(7), Life::Alive));
    let by_worker = outlive(Stage::new(3, LONG), |stage| {
        stage.join(2).write_all(&say(2, Word::End(101))).unwrap();
        until("the end", || stage.vitals.ending() == Some(101));
        assert_eq!(stage.vitals.life(2), Life::Alive);
    });
    assert_eq!(by_worker.ending(), Some(101));
}

/// The communicator's own wait ends when the heartbeat knows that nobody will send.
#[test]
fn a_wait_for_a_lost_rank_ends_and_a_wait_for_any_does_not_fail() {
    run_threads(3, ThreadOptions::default(), |comm| {
        let heart = Heartbeat::start(comm, &same_host(3), LONG).unwrap();
        let watched = Watched::new(comm, heart.vitals());
        if comm.rank() == 2 {
            heart.break_off();
            return comm.barrier().unwrap();
        }
        if comm.rank() == 0 {
            let patience = Duration::from_secs(20);
            let lost = watched.message_within(Some(2), Tag::Report, patience);
            assert_eq!(lost, Err(CommError::PeerLost { rank: 2, tag: Tag::Report }));
            assert_eq!([1, 2].map(|rank| watched.life(rank)), [Life::Alive, Life::Lost]);
            assert_eq!(watched.message_within(None, Tag::Report, Duration::ZERO), Ok(None));
        }
        watched.barrier().unwrap();
    });
}

#[test]
fn one_rank_is_watched_by_nobody() {
    let heart = Heartbeat::start(&Solo::new(), &same_host(1), SHORT).unwrap();
    heart.pulse().at(3);
    assert_eq!((heart.vitals().step(0), heart.life(0)), (3, Life::Alive));
}

#[test]
fn ranks_that_cannot_be_watched_are_told() {
    let hosts = ["a".to_owned(), "b".to_owned()];
    let told = |troubles: [&str; 2]| in_words(&troubles.map(str::to_owned), &hosts);
    assert!(told(["", ""]).is_empty());
    assert!(told(["", "1.2.3.4:5: timed out"])[0].starts_with("rank 1 on b has no heartbeat"));
    let none = told(["cannot listen: no", "rank 0 does not listen"]);
    assert!(none.len() == 1 && none[0].starts_with("no heartbeat: rank 0 on a cannot listen"), "{none:?}");
    assert_eq!(parse("cannot listen: no"), None);
    let addresses = ["10.0.0.1:80", "[::2]:80"].map(|text| text.parse().unwrap());
    assert_eq!(parse("80 5 10.0.0.1 ::2"), Some((80, 5, addresses.to_vec())));
}
