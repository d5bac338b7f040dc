//! Plans that need no thought: everything in one place, or anywhere.

use super::{Judge, PlacementError, Plan, Problem, TaskId};
use crate::device::Tier;
use crate::rng::{self, Purpose};
use crate::units::Bytes;

/// What tells a random plan's draws from those of other methods.
const EPOCH: u64 = 0;

/// The rank that asks: the one that the graph's first task is pinned to.
pub fn source(problem: &Problem) -> usize {
    problem.graph.order().first().and_then(|task| problem.pinned[*task]).unwrap_or(0)
}

/// Everything on the rank that asks.
///
/// # Errors
/// When a task may run nowhere.
pub fn local(problem: &Problem) -> Result<Plan, PlacementError> {
    all_on(problem, source(problem))
}

/// Everything that is not pinned elsewhere on one rank of a tier, the best of them.
///
/// # Errors
/// When no rank is of that tier, or a task may run nowhere.
pub fn on_tier(
    method: &'static str,
    tier: Tier,
    judge: &Judge,
    tiers: &[Option<Tier>],
) -> Result<Plan, PlacementError> {
    let ranks = (0..judge.problem.ranks()).filter(|rank| tiers.get(*rank) == Some(&Some(tier)));
    let plans = ranks.map(|rank| all_on(judge.problem, rank)).collect::<Result<Vec<_>, _>>()?;
    let lacks = || PlacementError::Needs { method, lacks: format!("a rank with tier = \"{method}\"") };
    best(judge, plans).ok_or_else(lacks)
}

/// The best of some plans, the first of those that are alike.
pub fn best(judge: &Judge, plans: Vec<Plan>) -> Option<Plan> {
    let judged = plans.into_iter().map(|plan| (judge.judge(&plan), plan));
    judged.reduce(|best, next| if next.0.better(&best.0) { next } else { best }).map(|(_, plan)| plan)
}

/// Each task on any rank that may run it and has room for it, all as likely.
///
/// # Errors
/// When a task may run nowhere, or nowhere there is room for it.
pub fn random(problem: &Problem, seed: u64) -> Result<Plan, PlacementError> {
    let mut left: Vec<u64> = problem.memory.iter().map(|memory| memory.0).collect();
    let mut ranks = vec![0; problem.graph.tasks().len()];
    // Those that have no choice take their room first.
    let mut order = problem.graph.order().to_vec();
    order.sort_by_key(|task| problem.pinned[*task].is_none());
    for task in order {
        let needs = problem.graph.tasks()[task].memory;
        let allowed = allowed(problem, task)?;
        let roomy: Vec<usize> = allowed.iter().copied().filter(|rank| left[*rank] >= needs.0).collect();
        if roomy.is_empty() {
            let most = Bytes(allowed.iter().map(|rank| left[*rank]).max().unwrap_or(0));
            return Err(PlacementError::NoRoom { task: problem.graph.tasks()[task].name.clone(), bytes: needs, most });
        }
        let mut draws = rng::stream(seed, Purpose::Placement, EPOCH, task as u64);
        ranks[task] = roomy[rng::below(&mut draws, roomy.len() as u64) as usize];
        left[ranks[task]] -= needs.0;
    }
    Ok(Plan::in_order(problem, ranks))
}

/// The ranks that may run a task.
///
/// # Errors
/// When there is none.
pub fn allowed(problem: &Problem, task: TaskId) -> Result<Vec<usize>, PlacementError> {
    let ranks: Vec<usize> = (0..problem.ranks()).filter(|rank| problem.allows(task, *rank)).collect();
    match ranks.is_empty() {
        true => Err(PlacementError::NoRank { task: problem.graph.tasks()[task].name.clone() }),
        false => Ok(ranks),
    }
}

/// Everything on one rank; what may not run there, where it is quickest.
fn all_on(problem: &Problem, rank: usize) -> Result<Plan, PlacementError> {
    let place = |task: TaskId| {
        let ranks = allowed(problem, task)?;
        let quickest = |a: &&usize, b: &&usize| problem.time[task][**a].0.total_cmp(&problem.time[task][**b].0);
        Ok(if ranks.contains(&rank) { rank } else { *ranks.iter().min_by(quickest).expect("one at least") })
    };
    let ranks = (0..problem.graph.tasks().len()).map(place).collect::<Result<_, _>>()?;
    Ok(Plan::in_order(problem, ranks))
}

#[cfg(test)]
mod tests {
    use super::super::Objective;
    use super::super::testing::Shape;
    use super::*;

    #[test]
    fn tiers_take_all_but_what_is_pinned_elsewhere() {
        let shape = Shape { tasks: 6, ranks: 3, pinned: true, ..Shape::default() };
        let graph = shape.chain(1);
        let problem = shape.problem(&graph, 1);
        let judge = Judge::new(&problem, Objective::Time, Default::default());
        let tiers = [Some(Tier::Device), Some(Tier::Edge), Some(Tier::Edge)];
        assert_eq!(local(&problem).unwrap().rank, [0; 6]);
        let edge = on_tier("edge", Tier::Edge, &judge, &tiers).unwrap();
        let time = |rank: usize| judge.judge(&all_on(&problem, rank).unwrap()).score;
        let rank = if time(1) <= time(2) { 1 } else { 2 };
        assert_eq!(edge.rank, [0, rank, rank, rank, rank, 0]);
        let message = on_tier("cloud", Tier::Cloud, &judge, &tiers).unwrap_err().to_string();
        assert!(message.contains("the policy cloud needs a rank with tier = \"cloud\""), "{message}");
        let message = on_tier("edge", Tier::Edge, &judge, &[]).unwrap_err().to_string();
        assert!(message.contains("the policy edge needs"), "{message}");
    }

    #[test]
    fn random_plans_repeat_and_keep_to_memory() {
        let shape = Shape { tasks: 8, ranks: 2, ..Shape::default() };
        let graph = shape.chain(2);
        let mut problem = shape.problem(&graph, 2);
        let seen: std::collections::HashSet<Vec<usize>> =
            (0..50).map(|seed| random(&problem, seed).unwrap().rank).collect();
        assert!(seen.len() > 30, "{}", seen.len());
        assert_eq!(random(&problem, 7), random(&problem, 7));
        let whole: u64 = graph.tasks().iter().map(|task| task.memory.0).sum();
        problem.memory = vec![Bytes(whole), Bytes(0)];
        assert_eq!(random(&problem, 7).unwrap().rank, [0; 8]);
        problem.memory = vec![Bytes(whole - 1), Bytes(0)];
        assert!(matches!(random(&problem, 7), Err(PlacementError::NoRoom { .. })));
        problem.time[3] = vec![crate::units::Seconds(f64::INFINITY); 2];
        assert!(matches!(random(&problem, 7), Err(PlacementError::NoRank { .. })));
    }
}
