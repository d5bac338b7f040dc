//! All methods over instances and budgets: the table of the published work, and ours beside it.

use super::hermes::hermes_for_all;
use super::{Answer, Effort, Figures, Instance, Mec, MecError, Place, auto_from, evaluate, gcc, sep};

/// What may be spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// In the model's money.
    Of(f64),
    /// In parts of what everything in the cloud costs.
    OfCloud(f64),
}

impl Budget {
    /// In the model's money.
    pub fn amount(self, instance: &Instance, mec: &Mec) -> f64 {
        match self {
            Self::Of(amount) => amount,
            Self::OfCloud(part) => {
                let at = |task| if instance.on_device(task) { Place::Local } else { Place::Cloud };
                let all: Vec<Place> = (0..instance.tasks()).map(at).collect();
                part * evaluate(instance, mec, &all).cost
            }
        }
    }
}

/// Who plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// The published greedy for one edge server and the cloud.
    Sep,
    /// The published greedy with edge-to-edge cooperation.
    Gcc,
    /// The approximation scheme.
    Hermes,
    /// Ours with the first edge server only, to see what cooperation brings.
    Alone,
    /// Ours.
    Auto,
}

impl Method {
    /// All of them, as rows come.
    pub const ALL: [Self; 5] = [Self::Sep, Self::Gcc, Self::Hermes, Self::Alone, Self::Auto];

    /// As a table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sep => "sep",
            Self::Gcc => "gcc",
            Self::Hermes => "hermes",
            Self::Alone => "auto, one edge",
            Self::Auto => "auto",
        }
    }
}

/// What one method comes to with one instance and budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The instance's name.
    pub instance: String,
    /// In the model's money.
    pub budget: f64,
    /// Who planned.
    pub method: Method,
    /// By task.
    pub places: Vec<Place>,
    /// What it comes to.
    pub figures: Figures,
    /// Whether it costs no more than the budget.
    pub meets_budget: bool,
    /// Whether the edge servers lose nothing.
    pub meets_utility: bool,
    /// Whether nothing is better; only ours prove it.
    pub exact: bool,
    /// By how many percent of its time ours is earlier, where both are plans: 100 (it - ours) / it.
    pub ours_earlier_percent: Option<f64>,
}

/// Each method with each instance under each budget, ascending; ours is never worse under more money.
///
/// # Errors
/// When a constant of the model cannot be, or nothing meets the smallest budget.
pub fn sweep(
    instances: &[(&str, Instance)],
    mec: &Mec,
    budgets: &[Budget],
    effort: &Effort,
) -> Result<Vec<Row>, MecError> {
    mec.check()?;
    let mut rows = Vec::new();
    for (name, instance) in instances {
        let mut amounts: Vec<f64> = budgets.iter().map(|budget| budget.amount(instance, mec)).collect();
        amounts.sort_by(f64::total_cmp);
        let hermes = hermes_for_all(instance, mec, &amounts, effort.epsilon);
        let (mut alone, mut ours): (Option<Answer>, Option<Answer>) = (None, None);
        for (budget, hermes) in amounts.into_iter().zip(hermes) {
            let baselines = [sep(instance, mec, budget), gcc(instance, mec, budget), hermes];
            let before = alone.iter().map(|answer| answer.places.clone());
            let also: Vec<_> = before.chain(baselines.iter().filter(|places| first_only(places)).cloned()).collect();
            let first = auto_from(instance, &mec.alone(), budget, effort, &also)?;
            let before = ours.iter().map(|answer| answer.places.clone());
            let also: Vec<_> = before.chain(baselines.iter().cloned()).chain([first.places.clone()]).collect();
            let best = auto_from(instance, mec, budget, effort, &also)?;
            let plans = baselines.into_iter().map(|places| (places, false));
            let plans = plans.chain([&first, &best].map(|answer| (answer.places.clone(), answer.exact)));
            for (method, (places, exact)) in Method::ALL.into_iter().zip(plans) {
                let figures = evaluate(instance, mec, &places);
                let (meets_budget, meets_utility) = (figures.meets_budget(budget), figures.meets_utility());
                let (it, least) = (figures.finish.0, best.figures.finish.0);
                let percent = if it > 0.0 { 100.0 * (it - least) / it } else { 0.0 };
                let ours_earlier_percent = (meets_budget && meets_utility).then_some(percent);
                let instance = (*name).to_owned();
                #[rustfmt::skip]
                let row = Row { instance, budget, method, places, figures, meets_budget, meets_utility, exact, ours_earlier_percent };
                rows.push(row);
            }
            (alone, ours) = (Some(first), Some(best));
        }
    }
    Ok(rows)
}

/// Whether a placement uses no edge server but the first.
fn first_only(places: &[Place]) -> bool {
    !places.iter().any(|place| matches!(place, Place::Edge(server) if *server > 0))
}
