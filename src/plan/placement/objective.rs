//! What a plan is judged by: one figure to make small, and figures that must not be passed.
//!
//! Every method and every search goes by the same judge, which asks the simulation: whatever a method believes of its own
//! plan, plans are compared by what they come to.

use super::auto::no_room;
use super::{Comes, PlacementError, Plan, Problem, simple};
use crate::units::{Joules, Seconds};

/// What is to be small.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Objective {
    /// The time from a request to its answer.
    #[default]
    Time,
    /// What all ranks use meanwhile.
    Energy,
    /// Both, each as a share of what it is when the source does everything.
    Weighted {
        /// The weight of time, 0 to 1; the rest is that of energy.
        alpha: f64,
    },
    /// What computing costs: what a budget limits.
    Price,
}

/// What must not be passed; each rank's memory must not be either.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// The highest price of a request.
    pub budget: Option<f64>,
    /// The longest time of a request.
    pub deadline: Option<Seconds>,
    /// The most that all ranks may use for a request.
    pub energy: Option<Joules>,
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::budget`].
    Budget,
    /// [`Limits::deadline`].
    Deadline,
    /// [`Limits::energy`].
    Energy,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Budget, Self::Deadline, Self::Energy];

    /// Its name with its unit, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Deadline => "deadline in s",
            Self::Energy => "energy in J",
        }
    }

    /// What has to be small to keep it.
    pub fn objective(self) -> Objective {
        match self {
            Self::Budget => Objective::Price,
            Self::Deadline => Objective::Time,
            Self::Energy => Objective::Energy,
        }
    }

    /// What it limits.
    pub fn of(self, comes: &Comes) -> f64 {
        match self {
            Self::Budget => comes.price,
            Self::Deadline => comes.time.0,
            Self::Energy => comes.energy.0,
        }
    }
}

impl Limits {
    /// The value of one of them, where it is set.
    pub fn get(&self, limit: Limit) -> Option<f64> {
        match limit {
            Limit::Budget => self.budget,
            Limit::Deadline => self.deadline.map(|time| time.0),
            Limit::Energy => self.energy.map(|energy| energy.0),
        }
    }

    /// The same, and one more.
    pub fn with(mut self, limit: Limit, value: f64) -> Self {
        match limit {
            Limit::Budget => self.budget = Some(value),
            Limit::Deadline => self.deadline = Some(Seconds(value)),
            Limit::Energy => self.energy = Some(Joules(value)),
        }
        self
    }

    /// By how much they are passed, each as a share of itself, added up.
    fn excess(&self, comes: &Comes) -> f64 {
        let over = |limit: Limit| self.get(limit).map_or(0.0, |most| over(limit.of(comes), most));
        Limit::ALL.into_iter().map(over).sum()
    }
}

/// The share of `most` by which something is above it; of nothing, the whole of it.
fn over(value: f64, most: f64) -> f64 {
    let share = (value - most).max(0.0);
    if most > 0.0 { share / most } else { share }
}

/// What a plan comes to, in the eyes of who asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Its figures.
    pub comes: Comes,
    /// The objective: smaller is better.
    pub score: f64,
    /// By how much limits and memories are passed, as shares of them; 0 where all are kept, infinite where the plan gives
    /// a task to a rank that may not run it, or never ends.
    pub violation: f64,
}

impl Judged {
    /// Whether it is better: it breaks limits by less, or by as little and has the smaller score.
    pub fn better(&self, other: &Self) -> bool {
        self.violation.total_cmp(&other.violation).then(self.score.total_cmp(&other.score)).is_lt()
    }

    /// Whether every limit is kept.
    pub fn keeps(&self) -> bool {
        self.violation == 0.0
    }
}

/// Who says what plans for a problem are worth.
#[derive(Debug, Clone)]
pub struct Judge<'a> {
    /// What the plans are for.
    pub problem: &'a Problem<'a>,
    /// What is to be small.
    pub objective: Objective,
    /// What must not be passed.
    pub limits: Limits,
    /// What it comes to when the source does everything, and 1 where that is nothing or for ever: what time and energy
    /// are shares of.
    norms: (f64, f64),
}

impl<'a> Judge<'a> {
    /// For a problem, an objective and limits.
    pub fn new(problem: &'a Problem<'a>, objective: Objective, limits: Limits) -> Self {
        let all = simple::local(problem).map(|plan| problem.comes(&plan)).unwrap_or_default();
        let norm = |figure: f64| if figure.is_finite() && figure > 0.0 { figure } else { 1.0 };
        Self { problem, objective, limits, norms: (norm(all.time.0), norm(all.energy.0)) }
    }

    /// The same problem, judged by something else.
    pub fn by(&self, objective: Objective, limits: Limits) -> Self {
        Self { objective, limits, ..self.clone() }
    }

    /// What a second, a joule and a unit of money weigh in the objective.
    ///
    /// # Math
    /// α/T_local, (1 − α)/E_local where both are weighed
    pub fn weights(&self) -> (f64, f64, f64) {
        match self.objective {
            Objective::Time => (1.0, 0.0, 0.0),
            Objective::Energy => (0.0, 1.0, 0.0),
            Objective::Weighted { alpha } => (alpha / self.norms.0, (1.0 - alpha) / self.norms.1, 0.0),
            Objective::Price => (0.0, 0.0, 1.0),
        }
    }

    /// Checks that what a plan gives to each rank fits into it.
    ///
    /// # Errors
    /// The largest task on a rank that overflows, of those that may move.
    pub fn check_room(&self, plan: &Plan) -> Result<(), PlacementError> {
        if self.overflow(plan) > 0.0 { Err(no_room(self.problem, plan)) } else { Ok(()) }
    }

    /// Checks the limits for one request alone.
    ///
    /// # Errors
    /// The first that a plan breaks, with what it comes to.
    pub fn check_limits(&self, plan: &Plan) -> Result<(), PlacementError> {
        let comes = self.judge(plan).comes;
        let broken = |limit: &Limit| self.limits.get(*limit).filter(|most| limit.of(&comes) > *most);
        match Limit::ALL.into_iter().find_map(|limit| Some((limit, broken(&limit)?))) {
            None => Ok(()),
            Some((limit, given)) => Err(PlacementError::Budget { limit: limit.name(), given, least: limit.of(&comes) }),
        }
    }

    /// What a plan is worth, as simulated.
    pub fn judge(&self, plan: &Plan) -> Judged {
        let endless = Seconds(f64::INFINITY);
        let never = Comes { time: endless, energy: Joules(endless.0), price: endless.0 };
        let none = Judged { comes: never, score: f64::INFINITY, violation: f64::INFINITY };
        if plan.rank.iter().enumerate().any(|(task, rank)| !self.problem.allows(task, *rank)) {
            return none;
        }
        let comes = self.problem.comes(plan);
        if !comes.time.0.is_finite() {
            return none;
        }
        let violation = self.limits.excess(&comes) + self.overflow(plan);
        Judged { comes, score: self.score(&comes), violation }
    }

    /// The objective of figures, however they came about.
    pub fn score(&self, comes: &Comes) -> f64 {
        let (time, energy, price) = self.weights();
        let figures = [(time, comes.time.0), (energy, comes.energy.0), (price, comes.price)];
        figures.into_iter().filter(|(weight, _)| *weight > 0.0).map(|(weight, figure)| weight * figure).sum()
    }

    /// The shares of their memories by which ranks overflow, added up.
    fn overflow(&self, plan: &Plan) -> f64 {
        let held = plan.held(self.problem);
        held.iter().zip(&self.problem.memory).map(|(held, room)| over(held.0 as f64, room.0 as f64)).sum()
    }
}

#[cfg(test)]
mod tests;
