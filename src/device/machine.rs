//! One emulated machine: what time it is on it, and what it did until then.
//!
//! The time moves only when work is charged or something is waited for, so the same program gives the same times
//! everywhere. All of it is modelled, nothing measured.

use super::{Power, Profile, Work};
use crate::units::{Joules, Seconds};
use std::ops::Sub;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a machine did until a time. The difference of two is what it did between them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ledger {
    /// The time.
    pub time: Seconds,
    /// Time spent computing.
    pub computing: Seconds,
    /// Time that the transmitter was busy; the processor may have been at work meanwhile, or have ended before.
    pub sending: Seconds,
    /// Time that the receiver was busy, likewise.
    pub receiving: Seconds,
}

impl Ledger {
    /// Time spent not computing.
    pub fn idle(&self) -> Seconds {
        self.time - self.computing
    }
}

impl Sub for Ledger {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            time: self.time - earlier.time,
            computing: self.computing - earlier.computing,
            sending: self.sending - earlier.sending,
            receiving: self.receiving - earlier.receiving,
        }
    }
}

/// What a machine used, by what it was used for.
///
/// A profile's watts are what the whole board draws while it does only one thing. Sending and receiving are therefore
/// charged with what they draw above idling, because the time that they take is already charged, as idle or as computing:
/// phases one after the other cost exactly their watts times their seconds, and phases at the same time do not pay for
/// the board twice.
///
/// # Math
/// E = P_compute·t_c + P_idle·(T − t_c) + max(P_send − P_idle, 0)·t_s + max(P_receive − P_idle, 0)·t_r
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Energy {
    /// Computing: P_compute·t_c.
    pub compute: Joules,
    /// Waiting: P_idle·(T − t_c).
    pub idle: Joules,
    /// Sending, above idling.
    pub send: Joules,
    /// Receiving, above idling.
    pub receive: Joules,
}

impl Energy {
    /// All of it.
    pub fn total(&self) -> Joules {
        self.compute + self.idle + self.send + self.receive
    }

    /// What a board with this power used for that.
    pub fn of(ledger: &Ledger, power: &Power) -> Self {
        let above = |watts: crate::units::Watts| crate::units::Watts((watts.0 - power.idle.0).max(0.0));
        Self {
            compute: power.compute * ledger.computing,
            idle: power.idle * ledger.idle(),
            send: above(power.send) * ledger.sending,
            receive: above(power.receive) * ledger.receiving,
        }
    }
}

/// Parts of a second: a power of two, so that seconds that are one are exact.
const PARTS: f64 = (1u64 << 60) as f64;

#[derive(Debug, Default)]
struct State {
    /// All but the time that the receiver was busy.
    ledger: Ledger,
    /// That, in parts of a second: messages from several ranks come in any order, and a sum of integers has none.
    received: i128,
    held: bool,
    awake: bool,
}

/// Where a machine stood when it began something that may be called off: see [`Machine::cancel`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    ledger: Ledger,
    received: i128,
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
        assert!(rates.iter().all(|rate| *rate > 0.0), "a machine that computes nothing has no time");
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
        Ledger { receiving: Seconds(state.received as f64 / PARTS), ..state.ledger }
    }

    /// What it used for that, a whole [`Machine::ledger`] or the difference of two.
    pub fn energy(&self, ledger: &Ledger) -> Energy {
        Energy::of(ledger, &self.profile.power)
    }

    /// The time that some work takes.
    pub fn price(&self, work: &Work) -> Seconds {
        self.profile.price(&self.model, work)
    }

    /// Computes for as long as some work takes.
    pub fn charge(&self, work: &Work) {
        self.charge_seconds(self.price(work));
    }

    /// Computes for some time.
    pub fn charge_seconds(&self, time: Seconds) {
        self.change(|state| {
            state.ledger.time += time;
            state.ledger.computing += time;
        });
    }

    /// Takes a message that arrived at this time, after being received for so long: waits for it, if it is not there.
    pub fn arrived(&self, arrival: Seconds, transmission: Seconds) {
        self.change(|state| {
            state.ledger.time = Seconds(state.ledger.time.0.max(arrival.0));
            state.received += (transmission.0 * PARTS) as i128;
        });
    }

    /// Gave a message to the transmitter, which is busy with it for so long; the machine does not wait for that.
    pub fn sent(&self, transmission: Seconds) {
        self.change(|state| state.ledger.sending += transmission);
    }

    /// The transmitter was busy for so long altogether: what it was given since is taken back.
    pub fn unsent(&self, sending: Seconds) {
        self.change(|state| state.ledger.sending = sending);
    }

    /// Where it stands now.
    pub fn mark(&self) -> Mark {
        let state = self.lock();
        Mark { ledger: state.ledger, received: state.received }
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
            state.received = mark.received;
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
mod tests {
    use super::super::Pass;
    use super::*;
    use crate::units::{Flops, Watts};

    fn machine(flops_per_s: f64) -> Machine {
        let watts = |compute, idle, send, receive| Power {
            compute: Watts(compute),
            idle: Watts(idle),
            send: Watts(send),
            receive: Watts(receive),
        };
        Machine::new(&Profile { power: watts(8.0, 2.0, 3.0, 2.5), ..Profile::new("toy", flops_per_s) }, "mlp")
    }

    fn compute(machine: &Machine, flops: u64) {
        machine.charge(&Work { flops: Flops(flops), blocks: 0..1, rows: 1, pass: Pass::Forward });
    }

    /// Two machines, 1 and 2 FLOP/s. The first works 6 FLOP (6 s) and sends, the link takes 0.5 s; the second
    /// has worked 10 FLOP (5 s) and takes the message at 6.5 s, then works 3 FLOP (1.5 s): 8 s.
    #[test]
    fn a_two_stage_chain_by_hand() {
        let (slow, fast) = (machine(1.0), machine(2.0));
        compute(&slow, 6);
        compute(&fast, 10);
        assert_eq!((slow.now(), fast.now()), (Seconds(6.0), Seconds(5.0)));
        fast.arrived(slow.now() + Seconds(0.5), Seconds(0.5));
        compute(&fast, 3);
        assert_eq!(fast.now(), Seconds(8.0));
        fast.arrived(Seconds(1.0), Seconds(0.5));
        assert_eq!(fast.now(), Seconds(8.0), "an old message does not turn the clock back");
        assert_eq!(fast.ledger().receiving, Seconds(1.0), "and was received all the same");
    }

    /// 4 s computing, then 1 s sending and 2 s receiving with nothing else to do: 8·4 + 3·1 + 2.5·2 = 40 J. The same
    /// once more while computing: 8·4 + (3 - 2)·1 + (2.5 - 2)·2 = 34 J in 4 s.
    #[test]
    fn energy_by_hand() {
        let machine = machine(1.0);
        compute(&machine, 4);
        machine.sent(Seconds(1.0));
        machine.advance_to(Seconds(5.0));
        machine.arrived(Seconds(7.0), Seconds(2.0));
        let serial = machine.ledger();
        let (compute_j, idle_j) = (Joules(32.0), Joules(6.0));
        let expected = Energy { compute: compute_j, idle: idle_j, send: Joules(1.0), receive: Joules(1.0) };
        assert_eq!(machine.energy(&serial), expected);
        assert_eq!(machine.energy(&serial).total(), Joules(40.0));
        machine.sent(Seconds(1.0));
        compute(&machine, 4);
        machine.arrived(Seconds(9.0), Seconds(2.0));
        let overlapping = machine.ledger() - serial;
        assert_eq!((overlapping.time, overlapping.idle()), (Seconds(4.0), Seconds(0.0)));
        assert_eq!(machine.energy(&overlapping).total(), Joules(34.0));
    }

    /// A board that draws less while it sends than while it waits, as measurements may say, earns nothing by sending.
    #[test]
    fn sending_is_never_paid_back() {
        let power = Power { idle: Watts(2.0), send: Watts(1.0), ..Power::default() };
        let ledger = Ledger { time: Seconds(3.0), sending: Seconds(3.0), ..Ledger::default() };
        assert_eq!(Energy::of(&ledger, &power).total(), Joules(6.0));
    }

    #[test]
    fn nothing_moves_a_held_machine() {
        let machine = machine(1.0);
        compute(&machine, 1);
        let before = machine.ledger();
        machine.hold(true);
        compute(&machine, 5);
        machine.arrived(Seconds(9.0), Seconds(1.0));
        machine.sent(Seconds(1.0));
        machine.advance_to(Seconds(20.0));
        assert_eq!(machine.ledger(), before);
        machine.hold(false);
        compute(&machine, 5);
        assert_eq!(machine.now(), Seconds(6.0));
    }

    /// At 3 s of idling a task of 10 s begins, whose answer is sent for 2 s. Called off at 7 s it has cost 3·2 J of waiting
    /// and 4·8 J of computing; the second of receiving before it, 0.5 J above idling, stays.
    #[test]
    fn what_is_called_off_costs_what_was_done_until_then() {
        let begun = || {
            let machine = machine(1.0);
            machine.arrived(Seconds(3.0), Seconds(1.0));
            let mark = machine.mark();
            compute(&machine, 10);
            machine.sent(Seconds(2.0));
            machine.arrived(Seconds(14.0), Seconds(0.5));
            (machine, mark)
        };
        for (at, time, computing, joules) in [
            (7.0, 7.0, 4.0, 6.0 + 32.0 + 0.5),
            (3.0, 3.0, 0.0, 6.5),
            // Before it began: it did not begin.
            (1.0, 3.0, 0.0, 6.5),
        ] {
            let (machine, mark) = begun();
            machine.cancel(&mark, Seconds(at));
            let expected = Ledger {
                time: Seconds(time),
                computing: Seconds(computing),
                sending: Seconds(0.0),
                receiving: Seconds(1.0),
            };
            assert_eq!(machine.ledger(), expected, "called off at {at}");
            assert_eq!(machine.energy(&expected).total(), Joules(joules), "called off at {at}");
            compute(&machine, 2);
            assert_eq!(machine.now(), Seconds(time + 2.0), "it goes on from there");
        }
        for at in [14.0, 20.0] {
            let (machine, mark) = begun();
            let before = machine.ledger();
            machine.cancel(&mark, Seconds(at));
            assert_eq!(machine.ledger(), before, "all was done before {at}");
        }
        let (machine, mark) = begun();
        machine.hold(true);
        machine.cancel(&mark, Seconds(7.0));
        assert_eq!(machine.now(), Seconds(14.0), "nothing moves a held machine");
    }

    #[test]
    fn a_machine_that_is_kept_awake_says_how_long_to_sleep() {
        let start = Instant::now();
        let machine = machine(1.0).paced(start);
        machine.keep_awake(true);
        let mark = machine.mark();
        compute(&machine, 1000);
        assert!(start.elapsed() < Duration::from_secs(100), "it slept");
        assert!((Duration::from_secs(900)..=Duration::from_secs(1000)).contains(&machine.lag()), "{:?}", machine.lag());
        machine.cancel(&mark, Seconds(0.0));
        assert_eq!(machine.lag(), Duration::ZERO);
        machine.keep_awake(false);
        machine.charge_seconds(Seconds(0.02));
        assert!(start.elapsed() >= Duration::from_millis(20) && machine.lag() == Duration::ZERO);
        let unpaced = self::machine(1.0);
        compute(&unpaced, 1000);
        assert_eq!(unpaced.lag(), Duration::ZERO, "nobody waits for virtual time");
    }
}
