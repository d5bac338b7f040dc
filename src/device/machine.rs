//! One emulated machine: what time it is on it, and what it did until then.
//!
//! The time moves only when work is charged or something is waited for, so the same program gives the same times
//! everywhere. All of it is modelled, nothing measured.

use super::{Energy, Ledger, Power, Profile, Work};
use crate::units::{Joules, Seconds};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Parts of a second, or of a joule: a power of two, so that numbers that are one are exact.
const PARTS: f64 = (1u64 << 60) as f64;

#[derive(Debug, Default)]
struct State {
    /// All but the time that the receiver was busy.
    ledger: Ledger,
    /// That, in parts of a second: messages from several ranks come in any order, and a sum of integers has none.
    received: i128,
    /// What receiving used more than in the first power mode, in parts of a joule, likewise.
    received_switched: i128,
    held: bool,
    awake: bool,
}

/// Where a machine stood when it began something that may be called off: see [`Machine::cancel`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    ledger: Ledger,
    received: i128,
    received_switched: i128,
}

/// An emulated machine at time 0 and later. Only its own rank moves it.
#[derive(Debug)]
pub struct Machine {
    profile: Profile,
    model: String,
    /// When the time was 0, for a machine whose program must not run faster than it.
    paced: Option<Instant>,
    state: Mutex<State>,
}

impl Machine {
    /// A machine of this kind at time 0, which works on a model of this name.
    ///
    /// # Panics
    /// If it computes nothing.
    pub fn new(profile: &Profile, model: &str) -> Self {
        let rates = [profile.flops_per_s, profile.backward_flops_per_s, profile.speed];
        let switched = profile.switches.iter().map(|switch| switch.speed);
        assert!(
            rates.into_iter().chain(switched).all(|rate| rate > 0.0),
            "a machine that computes nothing has no time"
        );
        Self { profile: profile.clone(), model: model.to_owned(), paced: None, state: Mutex::default() }
    }

    /// The same machine, which sleeps whenever its time moves until the real time since `start` has caught up with it.
    pub(super) fn paced(self, start: Instant) -> Self {
        Self { paced: Some(start), ..self }
    }

    /// What it is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Its time.
    pub fn now(&self) -> Seconds {
        self.lock().ledger.time
    }

    /// What it did so far.
    pub fn ledger(&self) -> Ledger {
        let state = self.lock();
        let mut ledger = Ledger { receiving: Seconds(state.received as f64 / PARTS), ..state.ledger };
        ledger.switched.receive = Joules(state.received_switched as f64 / PARTS);
        ledger
    }

    /// What it used for that, a whole [`Machine::ledger`] or the difference of two.
    pub fn energy(&self, ledger: &Ledger) -> Energy {
        Energy::of(ledger, &self.profile.power)
    }

    /// The time that some work takes that begins now, in the power modes that it falls into.
    pub fn price(&self, work: &Work) -> Seconds {
        self.profile.price_from(&self.model, work, self.now())
    }

    /// Computes for as long as some work takes.
    pub fn charge(&self, work: &Work) {
        self.charge_seconds(self.price(work));
    }

    /// Computes for some time, which no power mode changes.
    pub fn charge_seconds(&self, time: Seconds) {
        self.change(|state| {
            let began = state.ledger.time;
            state.ledger.time += time;
            state.ledger.computing += time;
            state.ledger.switched.compute += self.profile.beyond(began, state.ledger.time, |power| power.compute);
        });
    }

    /// Takes a message that arrived at this time, after being received for so long: waits for it, if it is not there.
    pub fn arrived(&self, arrival: Seconds, transmission: Seconds) {
        self.change(|state| {
            let began = state.ledger.time;
            state.ledger.time = Seconds(began.0.max(arrival.0));
            state.ledger.switched.idle += self.profile.beyond(began, state.ledger.time, |power| power.idle);
            state.received += (transmission.0 * PARTS) as i128;
            // In the mode of its own arrival, not of the machine's time, which depends on what else was taken before.
            let more = self.profile.above_first(arrival, Power::receiving) * transmission;
            state.received_switched += (more.0 * PARTS) as i128;
        });
    }

    /// Gave a message to a transmitter, which is busy with it for so long; the machine does not wait for that.
    pub fn sent(&self, transmission: Seconds) {
        self.change(|state| {
            state.ledger.sending += transmission;
            let more = self.profile.above_first(state.ledger.time, Power::sending) * transmission;
            state.ledger.switched.send += more;
        });
    }

    /// The transmitters were as busy as in this earlier [`Machine::ledger`]: what they were given since is taken back.
    pub fn unsent(&self, earlier: &Ledger) {
        self.change(|state| {
            state.ledger.sending = earlier.sending;
            state.ledger.switched.send = earlier.switched.send;
        });
    }

    /// Where it stands now.
    pub fn mark(&self) -> Mark {
        let state = self.lock();
        Mark { ledger: state.ledger, received: state.received, received_switched: state.received_switched }
    }

    /// Calls off, at the time `at`, what it has done since a mark: since then it only computed, and only until `at`. What
    /// it sent and received is undone; a message that was sent has to be taken out of the transmitter's books too
    /// (`comm::Communicator::retract`), and the one that brought the news is accounted for afterwards.
    ///
    /// Nothing is called off at a time that is not past, because all is done by then.
    ///
    /// # Math
    /// T = max(T_mark, at); t_c = t_c,mark + T − T_mark
    pub fn cancel(&self, mark: &Mark, at: Seconds) {
        self.change(|state| {
            if at.0 >= state.ledger.time.0 {
                return;
            }
            let time = Seconds(at.0.max(mark.ledger.time.0));
            let computing = mark.ledger.computing + (time - mark.ledger.time);
            state.ledger = Ledger { time, computing, ..mark.ledger };
            let more = self.profile.beyond(mark.ledger.time, time, |power| power.compute);
            state.ledger.switched.compute += more;
            (state.received, state.received_switched) = (mark.received, mark.received_switched);
        });
    }

    /// Waits until this time, if it is not past.
    pub fn advance_to(&self, time: Seconds) {
        self.arrived(time, Seconds(0.0));
    }

    /// While a machine is held nothing moves it: what ranks tell each other to keep books, between epochs for one,
    /// is no part of what the emulated program does.
    pub fn hold(&self, held: bool) {
        self.lock().held = held;
    }

    /// Whether it is held.
    pub fn is_held(&self) -> bool {
        self.lock().held
    }

    /// While a machine is kept awake its program does not sleep when the time moves: it sleeps off the
    /// [`Machine::lag`] by itself, in pieces, and looks for news between them.
    pub fn keep_awake(&self, awake: bool) {
        self.lock().awake = awake;
    }

    /// Whether its program must not run faster than it.
    pub fn is_paced(&self) -> bool {
        self.paced.is_some()
    }

    /// How long the real time needs to catch up with the machine's; nothing where it need not.
    pub fn lag(&self) -> Duration {
        // A time past all representable ones is never caught up with.
        let due = || Duration::try_from_secs_f64(self.now().0).unwrap_or(Duration::MAX);
        self.paced.map_or(Duration::ZERO, |start| due().saturating_sub(start.elapsed()))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if state.held {
            return;
        }
        change(&mut state);
        let awake = state.awake;
        drop(state);
        if self.paced.is_some() && !awake {
            std::thread::sleep(self.lag());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A change is whole: sums of numbers do not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
