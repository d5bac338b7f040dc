//! Rank 0's side of the heartbeat: the sockets of all other ranks, looked at every few milliseconds by one thread.

use super::frame::{Frame, Word};
use super::wire::{Heard, Wire};
use super::wishes::{LAST_WORDS, LastWord, Wishes};
use crate::comm::Vitals;
use crate::comm::vitals::Condition;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the thread sleeps between two looks: what a death stays unknown at most, and fifty wake-ups a second.
const LOOK: Duration = Duration::from_millis(20);
/// How long somebody who connected may take to say who it is.
const MANNERS: Duration = Duration::from_secs(2);
/// Strangers who are heard at once, beyond the ranks themselves.
const STRANGERS: usize = 16;

/// The watch at rank 0.
pub struct Hub {
    listener: Option<TcpListener>,
    token: u64,
    vitals: Arc<Vitals>,
    guests: Vec<Guest>,
    peers: Vec<Option<Peer>>,
    /// The last word is said: who closes now does as told.
    parting: bool,
}

/// Somebody who connected and is not yet known to be a rank that chose this connection.
struct Guest {
    wire: Wire,
    since: Instant,
    rank: Option<usize>,
}

/// A rank.
struct Peer {
    wire: Wire,
    heard: Instant,
}

impl Hub {
    /// A watch over the ranks that will connect to this listener.
    pub fn new(listener: TcpListener, token: u64, vitals: Arc<Vitals>) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let peers = (0..vitals.size()).map(|_| None).collect();
        Ok(Self { listener: Some(listener), token, vitals, guests: Vec::new(), peers, parting: false })
    }

    /// Watches until asked to end.
    pub fn run(mut self, wishes: &Wishes) {
        let (mut last, mut next_beat) = (Instant::now(), Instant::now());
        while wishes.last_word().is_none() {
            let now = Instant::now();
            if now - last > wishes.period() * 2 {
                // This process itself stood still: what was not heard meanwhile is nobody's silence. Who was silent
                // before has to be heard to be back.
                for (rank, peer) in self.peers.iter_mut().enumerate() {
                    let silent = self.vitals.condition(rank) == Condition::Silent;
                    peer.iter_mut().filter(|_| !silent).for_each(|peer| peer.heard = now);
                }
            }
            last = now;
            self.admit(now);
            if wishes.is_closed() {
                self.listener = None;
            }
            self.listen(now);
            self.judge(now, wishes.timeout());
            if now >= next_beat {
                next_beat = now + wishes.period();
                self.tell(Word::Beat { step: self.vitals.step(0), waiting: self.vitals.waiting(0) });
            }
            std::thread::sleep(LOOK);
        }
        match wishes.last_word() {
            Some(LastWord::Farewell) => self.part(Word::Farewell),
            Some(LastWord::End(code)) => self.part(Word::End(code)),
            _ => {}
        }
        wishes.done();
    }

    /// Says the last word, and leaves when it was heard.
    fn part(&mut self, word: Word) {
        self.tell(word);
        self.parting = true;
        self.peers.iter().flatten().for_each(|peer| peer.wire.end());
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until && self.peers.iter().any(Option::is_some) {
            self.listen(Instant::now());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes in who connects, and makes those ranks who said which one they are and stayed.
    fn admit(&mut self, now: Instant) {
        while let Some(listener) = &self.listener
            && self.guests.len() < self.peers.len() + STRANGERS
            && let Ok((stream, _)) = listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() {
                self.guests.push(Guest { wire: Wire::new(stream, self.token), since: now, rank: None });
            }
        }
        let (peers, vitals) = (&mut self.peers, &self.vitals);
        let mut at = 0;
        while let Some(guest) = self.guests.get_mut(at) {
            let rank = guest.rank;
            match (guest.wire.receive(), rank) {
                (Heard::Frame(Frame { rank, word: Word::Hello }), None)
                    if (1..peers.len()).contains(&(rank as usize)) && peers[rank as usize].is_none() =>
                {
                    guest.rank = Some(rank as usize);
                    guest.wire.send(Frame { rank: 0, word: Word::Welcome });
                }
                // A rank tries several of our addresses and beats on the first that answers in time.
                (Heard::Frame(Frame { rank: again, word: Word::Beat { step, waiting } }), Some(rank))
                    if again as usize == rank && peers[rank].is_none() =>
                {
                    peers[rank] = Some(Peer { wire: self.guests.swap_remove(at).wire, heard: now });
                    vitals.note(rank, step, waiting);
                    vitals.set(rank, Condition::Here);
                    continue;
                }
                (Heard::Nothing, _) if now - guest.since < MANNERS => {}
                _ => {
                    self.guests.swap_remove(at);
                    continue;
                }
            }
            at += 1;
        }
    }

    /// Hears all ranks out. One that ends the job is heard by all.
    fn listen(&mut self, now: Instant) {
        let ended = self.vitals.ending();
        for (rank, place) in self.peers.iter_mut().enumerate() {
            while let Some(peer) = place {
                match peer.wire.receive() {
                    Heard::Nothing => break,
                    Heard::Frame(Frame { word: Word::Beat { step, waiting }, .. }) => {
                        peer.heard = now;
                        self.vitals.note(rank, step, waiting);
                    }
                    Heard::Frame(Frame { word: Word::Farewell, .. }) => {
                        self.vitals.set(rank, Condition::Left);
                        *place = None;
                    }
                    Heard::Frame(Frame { word: Word::End(code), .. }) => {
                        self.vitals.end(code);
                        *place = None;
                    }
                    Heard::Frame(_) | Heard::Closed => {
                        self.vitals.set(rank, if self.parting { Condition::Left } else { Condition::Lost });
                        *place = None;
                    }
                }
            }
        }
        if let (None, Some(code)) = (ended, self.vitals.ending()) {
            self.tell(Word::End(code));
        }
    }

    fn judge(&self, now: Instant, timeout: Option<Duration>) {
        for (rank, peer) in self.peers.iter().enumerate() {
            let Some(peer) = peer else { continue };
            let silent = timeout.is_some_and(|timeout| now - peer.heard > timeout);
            self.vitals.set(rank, if silent { Condition::Silent } else { Condition::Here });
        }
    }

    fn tell(&mut self, word: Word) {
        self.peers.iter_mut().flatten().for_each(|peer| peer.wire.send(Frame { rank: 0, word }));
    }
}
