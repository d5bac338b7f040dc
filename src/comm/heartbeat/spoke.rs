//! Any other rank's side of the heartbeat: it finds rank 0's address, beats, and hears when rank 0 is gone.

use super::frame::{Frame, Word};
use super::wire::{Heard, Wire};
use super::wishes::{LAST_WORDS, LastWord, Wishes};
use crate::comm::Vitals;
use crate::comm::vitals::Condition;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What one address may take to be reached, and then to answer: a network's round trip is far below.
const REACH: Duration = Duration::from_millis(500);

/// A rank's beating heart.
pub struct Spoke {
    wire: Wire,
    rank: usize,
    vitals: Arc<Vitals>,
}

/// Connects to the first address where this job's rank 0 answers; else why the last one was not it.
///
/// The address of a bridge or of a private network may exist on both hosts, so an open port proves nothing: the answer
/// must carry the job's token.
pub fn find(addresses: &[SocketAddr], name: (&str, u16), token: u64, rank: usize) -> Result<Wire, String> {
    let mut why = "it has no address".to_owned();
    let mut look = |address: &SocketAddr| match greet(address, token, rank) {
        Ok(wire) => Some(wire),
        Err(error) => {
            why = format!("{address}: {error}");
            None
        }
    };
    if let Some(wire) = addresses.iter().find_map(&mut look) {
        return Ok(wire);
    }
    // Last, because a name server that does not answer takes its time.
    let named: Vec<SocketAddr> = name.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    named.iter().filter(|address| !addresses.contains(address)).find_map(look).ok_or(why)
}

fn greet(address: &SocketAddr, token: u64, rank: usize) -> std::io::Result<Wire> {
    let stream = TcpStream::connect_timeout(address, REACH)?;
    stream.set_read_timeout(Some(REACH))?;
    stream.set_write_timeout(Some(REACH))?;
    let mut wire = Wire::new(stream, token);
    let frame = |word| Frame { rank: rank as u32, word };
    wire.send(frame(Word::Hello));
    let until = Instant::now() + REACH;
    loop {
        match wire.receive() {
            Heard::Frame(Frame { rank: 0, word: Word::Welcome }) => {
                wire.send(frame(Word::Beat { step: 0, waiting: false }));
                return Ok(wire);
            }
            Heard::Nothing if Instant::now() < until => {}
            Heard::Nothing => return Err(std::io::ErrorKind::TimedOut.into()),
            _ => return Err(std::io::Error::other("somebody else listens there")),
        }
    }
}

impl Spoke {
    /// Beats of this rank on a wire that [`find`] found.
    pub fn new(wire: Wire, rank: usize, vitals: Arc<Vitals>) -> Self {
        vitals.set(0, Condition::Here);
        Self { wire, rank, vitals }
    }

    /// Beats until asked to end or rank 0 is gone. Waits inside reading, so that rank 0's end is known at once.
    pub fn run(mut self, wishes: &Wishes) {
        self.beat(wishes);
        match wishes.last_word() {
            Some(LastWord::Farewell) => self.part(Word::Farewell),
            Some(LastWord::End(code)) => self.part(Word::End(code)),
            _ => {}
        }
        wishes.done();
    }

    fn beat(&mut self, wishes: &Wishes) {
        let mut last = Instant::now();
        let (mut heard, mut next_beat) = (last, last);
        while wishes.last_word().is_none() {
            let now = Instant::now();
            if now >= next_beat {
                next_beat = now + wishes.period();
                let (step, waiting) = (self.vitals.step(self.rank), self.vitals.waiting(self.rank));
                self.say(Word::Beat { step, waiting });
            }
            let wait = next_beat.saturating_duration_since(now).max(Duration::from_millis(1));
            let _ = self.wire.stream().set_read_timeout(Some(wait));
            let found = self.wire.receive();
            let now = Instant::now();
            match found {
                // The owner wakes this thread by closing the reading half.
                _ if wishes.last_word().is_some() => return,
                Heard::Frame(Frame { word: Word::Beat { step, waiting }, .. }) => {
                    heard = now;
                    self.vitals.note(0, step, waiting);
                }
                Heard::Frame(Frame { word: Word::Farewell, .. }) => return self.vitals.set(0, Condition::Left),
                Heard::Frame(Frame { word: Word::End(code), .. }) => return self.vitals.end(code),
                Heard::Frame(_) | Heard::Closed => return self.vitals.set(0, Condition::Lost),
                Heard::Nothing => {}
            }
            if now - last > wishes.period() * 2 {
                // This process itself stood still: what was not heard meanwhile is nobody's silence.
                heard = now;
            }
            last = now;
            let silent = wishes.timeout().is_some_and(|timeout| now - heard > timeout);
            self.vitals.set(0, if silent { Condition::Silent } else { Condition::Here });
        }
    }

    /// Says the last word, and leaves when it was heard.
    fn part(&mut self, word: Word) {
        self.say(word);
        self.wire.end();
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until && self.wire.receive() != Heard::Closed {}
    }

    fn say(&mut self, word: Word) {
        self.wire.send(Frame { rank: self.rank as u32, word });
    }
}
