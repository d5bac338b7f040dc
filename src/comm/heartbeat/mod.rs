//! The heartbeat: rank 0 knows which ranks have died or stand still, without asking MPI.
//!
//! # Why
//! MPI does not say it. Open MPI 4 reports no failure at all: a send to a dead rank succeeds, a receive from it waits for
//! ever. Nor may a second thread ask through MPI, which is funnelled to the thread that computes. So a star of sockets
//! stands beside it. Each other rank has one to rank 0, and a thread that beats on it four times in the timeout. The
//! kernel closes a dead process's socket (`kill -9` too), so a death is known in milliseconds ([`Life::Lost`]); a stopped
//! process, or a cut network, lets the beats stop ([`Life::Silent`]), and when they are heard again the rank lives again.
//! A rank that ends in order says goodbye, and is not lost. What happens then is nobody's business here.
//!
//! The frames carry a token that only the job's ranks know (it travels by their own messages), have a fixed size and a
//! version; anything else that comes to the port is dropped unread, and after the start nothing listens any more. The
//! token keeps jobs apart and strangers out; it is no defence against somebody who reads the network.
//!
//! # Which launchers let the others live
//! [`Launcher::survival`](super::launcher::Launcher) reads what `docs/adr/0017-heartbeats.md` found: under Open MPI 4
//! `mpirun --mca orte_enable_recovery 1`, under Open MPI 5 `mpirun --with-ft ulfm`. Under all others a rank's death is
//! the job's, one or two seconds later.

mod frame;
mod hub;
mod spoke;
mod wire;
mod wishes;

#[cfg(test)]
mod tests;

use super::{CommError, Communicator, Life, Pulse, Vitals, gather_texts};
use hub::Hub;
use spoke::Spoke;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use wishes::{LastWord, Wishes};

/// This rank's part in the watch. Dropping it says goodbye.
#[derive(Debug)]
pub struct Heartbeat {
    rank: usize,
    vitals: Arc<Vitals>,
    notes: Vec<String>,
    caller: Caller,
    thread: Option<JoinHandle<()>>,
}

/// Ends the job over the heartbeat, from any thread.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    wishes: Arc<Wishes>,
    /// A rank waits on its socket: closing the reading half wakes it.
    wake: Option<Arc<TcpStream>>,
}

impl Caller {
    /// Tells all ranks that the job ends with this code, and waits until that is said. Their
    /// [`Vitals::ending`] knows it then; what they do about it is their business.
    ///
    /// Where the launcher lets ranks survive, `MPI_Abort` ends nobody else (Open MPI 4).
    pub fn end(&self, code: u8) {
        self.last_word(LastWord::End(code));
        self.wishes.wait();
    }

    fn last_word(&self, word: LastWord) {
        self.wishes.end(word);
        if let Some(wake) = &self.wake {
            let _ = wake.shutdown(std::net::Shutdown::Read);
        }
    }
}

impl Heartbeat {
    /// Connects all ranks and begins to watch; `hosts` are the ranks' host names, in rank order.
    ///
    /// A rank that cannot reach rank 0 is told of in [`Heartbeat::notes`] and never judged.
    ///
    /// # Collective
    /// Every rank must call it with the same hosts and timeout.
    ///
    /// # Errors
    /// When the ranks' own messages fail.
    ///
    /// # Panics
    /// If there is not one host a rank.
    pub fn start(comm: &dyn Communicator, hosts: &[String], timeout: Duration) -> Result<Self, CommError> {
        assert_eq!(hosts.len(), comm.size());
        let mut heart = Self {
            rank: comm.rank(),
            vitals: Vitals::new(comm.size()),
            notes: Vec::new(),
            caller: Caller::default(),
            thread: None,
        };
        heart.set_timeout(timeout);
        heart.vitals.set(comm.rank(), super::vitals::Condition::Here);
        if comm.size() == 1 {
            return Ok(heart);
        }
        let opened = match comm.rank() {
            0 => heart.open(hosts),
            _ => Ok(String::new()),
        };
        let invitation = match &opened {
            Ok(text) => text,
            Err(why) => why,
        };
        let invitation = gather_texts(comm, invitation)?.swap_remove(0);
        let joined = match comm.rank() {
            0 => opened.map(|_| ()),
            _ => heart.join(&invitation, hosts),
        };
        let troubles = gather_texts(comm, &joined.err().unwrap_or_default())?;
        heart.caller.wishes.close();
        heart.notes = in_words(&troubles, hosts);
        Ok(heart)
    }

    /// Rank 0 listens. The text tells the others where: `PORT TOKEN ADDRESS...`.
    fn open(&mut self, hosts: &[String]) -> Result<String, String> {
        let alone = hosts.iter().all(|host| *host == hosts[0]);
        let listener = listen(alone).map_err(|error| format!("cannot listen: {error}"))?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        // The hasher's keys are the operating system's random numbers.
        let token = RandomState::new().hash_one((std::process::id(), port));
        let hub = Hub::new(listener, token, Arc::clone(&self.vitals)).map_err(|error| error.to_string())?;
        self.spawn(move |wishes| hub.run(wishes))?;
        let mut text = format!("{port} {token}");
        let interfaces = if alone { Vec::new() } else { if_addrs::get_if_addrs().unwrap_or_default() };
        interfaces.iter().filter(|i| !i.is_loopback() && !i.is_link_local()).for_each(|i| {
            text += &format!(" {}", i.ip());
        });
        Ok(text)
    }

    /// Any other rank connects.
    fn join(&mut self, invitation: &str, hosts: &[String]) -> Result<(), String> {
        let (port, token, mut addresses) = parse(invitation).ok_or("rank 0 does not listen")?;
        if hosts[self.rank] == hosts[0] {
            addresses.insert(0, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        let wire = spoke::find(&addresses, (&hosts[0], port), token, self.rank)?;
        self.caller.wake = wire.stream().try_clone().ok().map(Arc::new);
        let spoke = Spoke::new(wire, self.rank, Arc::clone(&self.vitals));
        self.spawn(move |wishes| spoke.run(wishes))
    }

    fn spawn(&mut self, work: impl FnOnce(&Wishes) + Send + 'static) -> Result<(), String> {
        let wishes = Arc::clone(&self.caller.wishes);
        let thread = std::thread::Builder::new().name("heartbeat".into()).spawn(move || work(&wishes));
        self.thread = Some(thread.map_err(|error| format!("cannot start a thread: {error}"))?);
        Ok(())
    }

    /// What is known of all ranks; rank 0 knows of all, another one of rank 0 and itself.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    /// Whether the rank lives, as far as is known.
    pub fn life(&self, rank: usize) -> Life {
        self.vitals.life(rank)
    }

    /// The hand with which this rank tells how far it is.
    pub fn pulse(&self) -> Pulse {
        self.vitals.pulse(self.rank)
    }

    /// What the reader should know: ranks that are not watched, and why. The same on every rank.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Ends without a goodbye: to the others this rank is lost now. For a rank that gives up while the others, whom
    /// the launcher may let live, wait for it.
    pub fn break_off(self) {
        self.caller.last_word(LastWord::Nothing);
    }

    /// Whom to ask for the end of the job.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// From now on a rank that is not heard of for so long is silent; zero: no rank ever is. Deaths are known anyway.
    pub fn set_timeout(&self, timeout: Duration) {
        self.caller.wishes.set_timeout(timeout);
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.caller.last_word(LastWord::Farewell);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A listening socket on a free port: for this host alone, or for all.
fn listen(alone: bool) -> std::io::Result<TcpListener> {
    match alone {
        true => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)),
        // Hears IPv4 too, where the host does not forbid it or has no IPv6 at all.
        false => {
            TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))
        }
    }
}

/// Reads `PORT TOKEN ADDRESS...`; anything else is rank 0's reason why it does not listen.
fn parse(invitation: &str) -> Option<(u16, u64, Vec<SocketAddr>)> {
    let mut words = invitation.split(' ');
    let (port, token) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let addresses = words.filter_map(|word| Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, port)));
    Some((port, token, addresses.collect()))
}

/// The ranks that are not watched.
fn in_words(troubles: &[String], hosts: &[String]) -> Vec<String> {
    if !troubles[0].is_empty() {
        return vec![format!("no heartbeat: rank 0 on {} {}; ranks that die are not noticed", hosts[0], troubles[0])];
    }
    let troubled = troubles.iter().zip(hosts).enumerate().filter(|(_, (trouble, _))| !trouble.is_empty());
    let line = |(rank, (trouble, host)): (usize, (&String, &String))| {
        format!(
            "rank {rank} on {host} has no heartbeat and is not watched: it cannot reach rank 0 on {} ({trouble})",
            hosts[0]
        )
    };
    troubled.map(line).collect()
}
