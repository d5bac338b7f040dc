//! The best cuts of all devices together.
//!
//! Devices that are alike may change places, so what is enumerated is how many of each kind have which cut. A round with
//! every device alone at the server bounds what a round with all of them can be: most cuts need no simulation. Before
//! that, and where even so there are too many, cuts are improved kind by kind.

use super::{Fleet, Infeasible, Norms, Objective, Point, Protocol};
use crate::units::{Joules, Seconds};
use std::cmp::Ordering;

/// As many ways to cut are enumerated whatever it takes.
const ENUMERATED: u128 = 20_000;

/// More are tried as long as bounds leave no more to look at than this, and no more to simulate than [`STEPS`].
const NODES: u64 = 300_000;

/// The most steps that the simulations of one search may have together: less than a tenth of a second.
const STEPS: u64 = 500_000;

/// By how much a bound may exceed the best because of rounding.
const SLACK: f64 = 1.0 + 1e-9;

/// Cuts, and what they cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// A cut a device.
    pub cuts: Vec<usize>,
    /// What a round costs with them, as simulated.
    pub point: Point,
    /// Whether nothing is better, rather than nothing that was looked at. Which of two equal devices has which of two cuts
    /// is looked at only where they share the server's transmitter, and not in all orders.
    pub exact: bool,
    /// How many rounds were simulated to find them.
    pub simulated: usize,
}

impl Fleet {
    /// The best cuts for a round that begins at `start`: exactly, where there are not too many ways to cut. They are never
    /// worse than the same cut for all devices, everything on the devices among them.
    ///
    /// # Errors
    /// When none are within the limits.
    pub fn choose(&self, objective: &Objective, start: Seconds) -> Result<Choice, Infeasible> {
        self.choose_from(objective, start, &[])
    }

    /// The same, never worse than `also` either.
    ///
    /// # Errors
    /// When none are within the limits.
    pub fn choose_from(&self, objective: &Objective, start: Seconds, also: &[usize]) -> Result<Choice, Infeasible> {
        let mut search = Search::new(self, *objective, start)?;
        if also.len() == self.members.len() {
            search.consider(also);
        }
        search.run();
        let exact = search.exact;
        match search.best {
            Some((cuts, point)) if objective.allows(point) => {
                Ok(Choice { cuts, point, exact, simulated: search.simulated })
            }
            Some(_) if objective.deadline.is_none() && objective.budget.is_none() => Err(Infeasible::Endless),
            Some(_) => Err(self.missed(objective, start)?),
            None => Err(self.too_big()),
        }
    }

    /// Why nothing is within the limits: by the best that there is without them.
    fn missed(&self, objective: &Objective, start: Seconds) -> Result<Infeasible, Infeasible> {
        let best = |objective: Objective| self.choose(&objective, start).map(|choice| choice.point);
        let within = |deadline, budget| best(Objective { alpha: 0.5, deadline, budget });
        let (fastest, most_frugal) = (best(Objective::weighted(1.0))?, best(Objective::weighted(0.0))?);
        let mut points = vec![fastest, most_frugal];
        if let (Some(deadline), Some(budget)) = (objective.deadline, objective.budget) {
            let also = [within(Some(deadline), None), within(None, Some(budget))];
            points.extend(also.into_iter().flatten());
        }
        Ok(objective.missed(points))
    }
}

/// Devices that are alike.
struct Kind {
    /// Their places.
    places: Vec<usize>,
    /// The cuts that fit them.
    cuts: Vec<usize>,
    /// By cut, what bounds a round: nothing where it does not fit.
    bounds: Vec<Bound>,
    /// What bounds a round whatever the cut.
    least: Bound,
}

/// What a round costs at least, because of one device.
#[derive(Debug, Clone, Copy, Default)]
struct Bound {
    /// Its time with nobody else at the server.
    time: f64,
    /// The server's work for it.
    served: f64,
    /// Its energy beside what it uses all the time.
    active: f64,
    /// What it uses all the time.
    base: f64,
}

struct Search<'a> {
    fleet: &'a Fleet,
    objective: Objective,
    start: Seconds,
    norms: Norms,
    kinds: Vec<Kind>,
    best: Option<(Vec<usize>, Point)>,
    simulated: usize,
    exact: bool,
    /// Rounds that may still be simulated.
    left: u64,
    /// Beginnings of ways to cut that may still be looked at.
    nodes: u64,
}

impl<'a> Search<'a> {
    fn new(fleet: &'a Fleet, objective: Objective, start: Seconds) -> Result<Self, Infeasible> {
        let uniform = fleet.uniform()?;
        let points: Vec<Point> = uniform.iter().map(|cuts| fleet.point(cuts, start)).collect();
        let norms = Norms::over(points.iter().copied());
        let (kinds, simulated) = (Vec::new(), points.len());
        let mut search =
            Self { fleet, objective, start, norms, kinds, best: None, simulated, exact: true, left: 0, nodes: 0 };
        for (cuts, point) in uniform.iter().zip(points) {
            search.keep(cuts, point);
        }
        Ok(search)
    }

    fn keep(&mut self, cuts: &[usize], point: Point) -> bool {
        let better = self.best.as_ref().is_none_or(|(_, best)| self.order(point, *best).is_lt());
        if better {
            self.best = Some((cuts.to_vec(), point));
        }
        better
    }

    fn order(&self, one: Point, other: Point) -> Ordering {
        self.objective.compare(one, other, &self.norms)
    }

    /// Simulates these cuts, if they fit; whether they are better than all before.
    fn consider(&mut self, cuts: &[usize]) -> bool {
        if !self.fleet.fits(cuts) {
            return false;
        }
        self.simulated += 1;
        let point = self.fleet.point(cuts, self.start);
        self.keep(cuts, point)
    }

    fn run(&mut self) {
        if self.fleet.protocol != Protocol::Ares {
            // One cut for all: these have been looked at.
            return;
        }
        self.sort();
        self.each_for_itself();
        self.descend();
        let ways = self.kinds.iter().fold(1u128, |ways, kind| {
            ways.saturating_mul(multisets(kind.cuts.len() as u128, kind.places.len() as u128))
        });
        (self.left, self.nodes) = if ways <= ENUMERATED { (u64::MAX, u64::MAX) } else { (self.allowed(), NODES) };
        let mut cuts = vec![0; self.fleet.members.len()];
        self.enumerate(0, 0, 0, &mut cuts, Bound::default());
        if !self.fleet.server.ports_each && self.kinds.iter().any(|kind| kind.places.len() > 1) {
            self.swap();
        }
    }

    /// How many rounds may be simulated in one go.
    fn allowed(&self) -> u64 {
        let steps: u64 = self.fleet.members.iter().map(|member| member.steps).sum();
        (STEPS / steps.max(1)).max(100)
    }

    /// Puts devices that are alike together, and bounds what they cost.
    fn sort(&mut self) {
        let members = &self.fleet.members;
        for (place, member) in members.iter().enumerate() {
            if let Some(kind) = self.kinds.iter_mut().find(|kind| members[kind.places[0]].same_as(member)) {
                kind.places.push(place);
                continue;
            }
            let cuts: Vec<usize> = (0..member.cuts.len()).filter(|cut| member.fits(*cut)).collect();
            let mut bounds = vec![Bound::default(); member.cuts.len()];
            let alone = Fleet { members: vec![member.clone()], server_energy: false, ..self.fleet.clone() };
            for cut in &cuts {
                bounds[*cut] = alone.bound(*cut, self.start);
                self.simulated += 1;
            }
            let least = cuts.iter().map(|cut| bounds[*cut]).reduce(Bound::least).unwrap_or_default();
            self.kinds.push(Kind { places: vec![place], cuts, bounds, least });
        }
    }

    /// What every device would choose, were it alone: a good beginning.
    fn each_for_itself(&mut self) {
        let mut cuts = vec![0; self.fleet.members.len()];
        for kind in &self.kinds {
            let alone = |cut: usize| {
                let bound = &kind.bounds[cut];
                Point { time: Seconds(bound.time), energy: Joules(bound.active + bound.base * bound.time) }
            };
            let points: Vec<Option<Point>> = kind.cuts.iter().map(|cut| Some(alone(*cut))).collect();
            let own =
                Objective::weighted(self.objective.alpha).choose(&points).map_or(kind.cuts[0], |at| kind.cuts[at]);
            kind.places.iter().for_each(|place| cuts[*place] = own);
        }
        self.consider(&cuts);
    }

    /// The least that devices with these bounds can cost.
    fn least(&self, bound: &Bound) -> Point {
        let contended = if self.fleet.server.contended { bound.served } else { 0.0 };
        let time = bound.time.max(contended);
        Point { time: Seconds(time), energy: Joules(bound.active + bound.base * time) }
    }

    /// Whether devices with these bounds cannot be better than the best.
    fn hopeless(&self, bound: &Bound) -> bool {
        let Some((_, best)) = &self.best else { return false };
        let least = self.least(bound);
        let slack = Point { time: Seconds(least.time.0 / SLACK), energy: Joules(least.energy.0 / SLACK) };
        match (self.objective.value(slack, &self.norms), self.objective.value(*best, &self.norms)) {
            (Some(least), Some(best)) => least > best,
            (None, Some(_)) => true,
            // Nothing within the limits was found yet: what cannot be within them is no use, but for one to tell of.
            (None, None) => true,
            (Some(_), None) => false,
        }
    }

    /// What bounds a round because of the devices of the kinds from `kind` on, and of that kind those from `place` on.
    fn rest(&self, kind: usize, place: usize) -> Bound {
        let later =
            self.kinds[kind.min(self.kinds.len())..].iter().zip([place].into_iter().chain(std::iter::repeat(0)));
        later.fold(Bound::default(), |bound, (kind, from)| bound.with(&kind.least.times(kind.places.len() - from)))
    }

    /// All ways to give the devices of the kinds from `kind` on, and of that kind those from `place` on, cuts from
    /// the `from`-th on.
    fn enumerate(&mut self, kind: usize, place: usize, from: usize, cuts: &mut Vec<usize>, bound: Bound) {
        self.exact &= self.nodes > 0;
        if !self.exact || self.hopeless(&bound.with(&self.rest(kind, place))) {
            return;
        }
        self.nodes -= 1;
        let Some(this) = self.kinds.get(kind) else {
            self.exact &= self.left > 0;
            self.left = self.left.saturating_sub(1);
            if self.exact {
                self.consider(cuts);
            }
            return;
        };
        if place == this.places.len() {
            return self.enumerate(kind + 1, 0, 0, cuts, bound);
        }
        for at in from..self.kinds[kind].cuts.len() {
            let this = &self.kinds[kind];
            let cut = this.cuts[at];
            cuts[this.places[place]] = cut;
            let with = bound.with(&this.bounds[cut]);
            self.enumerate(kind, place + 1, at, cuts, with);
        }
    }

    /// Lets devices that are alike change places, as long as that helps: the order in which the server sends counts.
    fn swap(&mut self) {
        self.exact = false;
        let places: Vec<Vec<usize>> = self.kinds.iter().map(|kind| kind.places.clone()).collect();
        self.improve(|cuts| {
            let mut neighbours = Vec::new();
            for kind in &places {
                let pairs = kind
                    .iter()
                    .enumerate()
                    .flat_map(|(at, one)| kind[at + 1..].iter().map(move |other| (*one, *other)));
                neighbours.extend(pairs.filter(|(one, other)| cuts[*one] != cuts[*other]).map(|(one, other)| {
                    let mut cuts = cuts.to_vec();
                    cuts.swap(one, other);
                    cuts
                }));
            }
            neighbours
        });
    }

    /// Moves all, half or one of the devices of a kind that have one cut to another, as long as that helps.
    fn descend(&mut self) {
        let kinds: Vec<(Vec<usize>, Vec<usize>)> =
            self.kinds.iter().map(|kind| (kind.places.clone(), kind.cuts.clone())).collect();
        self.improve(|cuts| {
            let mut neighbours = Vec::new();
            for (places, kind_cuts) in &kinds {
                for from in kind_cuts {
                    let there: Vec<usize> = places.iter().copied().filter(|place| cuts[*place] == *from).collect();
                    let mut sizes = vec![there.len(), there.len() / 2, 1];
                    sizes.dedup();
                    sizes.retain(|size| (1..=there.len()).contains(size));
                    for (to, size) in kind_cuts.iter().flat_map(|to| sizes.iter().map(move |size| (to, size))) {
                        let mut cuts = cuts.to_vec();
                        there[..*size].iter().for_each(|place| cuts[*place] = *to);
                        neighbours.extend((to != from).then_some(cuts));
                    }
                }
            }
            neighbours
        });
    }

    /// Takes the first better neighbour as long as there is one and time is left.
    fn improve(&mut self, neighbours: impl Fn(&[usize]) -> Vec<Vec<usize>>) {
        self.left = self.allowed();
        while let Some((cuts, _)) = self.best.clone() {
            let mut improved = false;
            for cuts in neighbours(&cuts) {
                if self.left == 0 {
                    return;
                }
                if self.hopeless(&self.bound_of(&cuts)) {
                    continue;
                }
                self.left -= 1;
                if self.consider(&cuts) {
                    improved = true;
                    break;
                }
            }
            if !improved {
                return;
            }
        }
    }

    fn bound_of(&self, cuts: &[usize]) -> Bound {
        let of_kind = |kind: &Kind| {
            kind.places.iter().fold(Bound::default(), |bound, place| bound.with(&kind.bounds[cuts[*place]]))
        };
        self.kinds.iter().fold(Bound::default(), |bound, kind| bound.with(&of_kind(kind)))
    }
}

impl Bound {
    fn least(self, other: Self) -> Self {
        Self {
            time: self.time.min(other.time),
            served: self.served.min(other.served),
            active: self.active.min(other.active),
            base: self.base.min(other.base),
        }
    }

    fn times(&self, devices: usize) -> Self {
        let many = devices as f64;
        let time = if devices > 0 { self.time } else { 0.0 };
        Self { time, served: many * self.served, active: many * self.active, base: many * self.base }
    }

    fn with(self, other: &Self) -> Self {
        Self {
            time: self.time.max(other.time),
            served: self.served + other.served,
            active: self.active + other.active,
            base: self.base + other.base,
        }
    }
}

impl Fleet {
    /// What the only device of a fleet costs, as a bound for when others are there: they only make it wait. With modes
    /// that change over time waiting may also be cheaper work, so that nothing bounds the energy.
    fn bound(&self, cut: usize, start: Seconds) -> Bound {
        let round = self.simulate(&[cut], start);
        let (member, share) = (&self.members[0], &round.devices[0]);
        let steady = member.phases.all().len() == 1 && share.energy.0.is_finite();
        let base = if steady { self.idle.base(&member.phases.at(start).power).0 } else { 0.0 };
        let active = if steady { share.energy.0 - base * round.time().0 } else { 0.0 };
        // A server that becomes faster works less when it works later.
        let served = if self.server.phases.all().len() == 1 { round.server.served.0 } else { 0.0 };
        Bound { time: round.time().0, served, active, base }
    }
}

/// How many ways there are to choose `count` of `kinds` things with repetition.
fn multisets(kinds: u128, count: u128) -> u128 {
    (1..=count).try_fold(1u128, |ways, at| Some(ways.checked_mul(kinds + at - 1)? / at)).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests;
