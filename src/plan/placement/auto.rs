//! The best plan that any method finds, made better as long as there is time.

use super::chain::nowhere;
use super::{Ask, Judged, Limit, Limits, METHODS, PlacementError, Plan, Problem, anneal};
use crate::units::Bytes;

/// What `auto` calls its own search, which begins with the best that a method found.
const REFINED: &str = "refined";

/// What a plan is called that was there before.
const SO_FAR: &str = "so far";

/// What one method came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The method.
    pub method: &'static str,
    /// What its plan comes to, or why it has none.
    pub outcome: Result<Judged, PlacementError>,
}

/// A plan, and where it is from.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The plan.
    pub plan: Plan,
    /// What it comes to.
    pub judged: Judged,
    /// Who found it.
    pub method: &'static str,
    /// Every method that was tried, in their order.
    pub rows: Vec<Row>,
}

/// The names of all policies.
pub fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|(name, _)| *name).chain(["auto"])
}

/// The plan of one method, which may break limits: [`Judged::violation`] says by how much. That of `auto` keeps them.
///
/// # Errors
/// When it finds none, or nobody has heard of it.
pub fn by_name(policy: &str, ask: &Ask, still: &mut dyn FnMut() -> bool) -> Result<Found, PlacementError> {
    if policy == "auto" {
        return auto(ask, still);
    }
    let Some((name, method)) = METHODS.iter().find(|(name, _)| *name == policy) else {
        let known = names().collect::<Vec<_>>().join(", ");
        return Err(PlacementError::Unknown { policy: policy.to_owned(), known });
    };
    let plan = method(ask, still)?;
    let judged = ask.judge.judge(&plan);
    Ok(Found { plan, judged, method: name, rows: vec![Row { method: name, outcome: Ok(judged) }] })
}

/// The best plan of all methods, annealed until that helps no more or there is no time left; one that keeps all limits is
/// enough when there is not.
///
/// It is never worse than that of any method that there was time for.
///
/// # Errors
/// When no plan keeps all limits: the first one that cannot be kept beside those before it, and the smallest value with
/// which it can be. When a task may run nowhere or memories are too small.
pub fn auto(ask: &Ask, still: &mut dyn FnMut() -> bool) -> Result<Found, PlacementError> {
    replan(ask, None, still)
}

/// The same for conditions that have changed: never worse than going on with the plan so far, as far as it still may be.
///
/// # Errors
/// As [`auto`].
pub fn replan(ask: &Ask, so_far: Option<&Plan>, still: &mut dyn FnMut() -> bool) -> Result<Found, PlacementError> {
    let found = search(ask, so_far, still)?;
    if found.judged.keeps() { Ok(found) } else { rescue(ask, found) }
}

/// The best of all methods and of a plan that there is, whether it keeps limits or not.
fn search(ask: &Ask, so_far: Option<&Plan>, still: &mut dyn FnMut() -> bool) -> Result<Found, PlacementError> {
    let mut best = so_far.map(|plan| (ask.judge.judge(plan), plan.clone(), SO_FAR));
    let row = |(judged, _, method): &(Judged, Plan, &'static str)| Row { method, outcome: Ok(*judged) };
    let mut rows: Vec<Row> = best.iter().map(row).collect();
    for (method, make) in METHODS {
        if best.as_ref().is_some_and(|(judged, ..)| judged.keeps()) && !still() {
            break;
        }
        let outcome = make(ask, still).map(|plan| {
            let judged = ask.judge.judge(&plan);
            if best.as_ref().is_none_or(|(best, ..)| judged.better(best)) {
                best = Some((judged, plan, *method));
            }
            judged
        });
        rows.push(Row { method, outcome });
    }
    let Some((judged, plan, method)) = best.filter(|(judged, ..)| judged.violation.is_finite()) else {
        return Err(nowhere(&ask.judge, "auto"));
    };
    let mut found = Found { plan, judged, method, rows };
    refine(ask, &mut found, still);
    Ok(found)
}

/// Anneals from the best on, again and again as long as that helps.
fn refine(ask: &Ask, found: &mut Found, still: &mut dyn FnMut() -> bool) {
    for round in 1.. {
        if !still() {
            return;
        }
        let (plan, judged) = anneal(&ask.judge, &found.plan, (ask.seed, round), ask.evaluations, still);
        let helped = judged.better(&found.judged);
        if helped {
            (found.plan, found.judged, found.method) = (plan, judged, REFINED);
        }
        if round == 1 {
            found.rows.push(Row { method: REFINED, outcome: Ok(judged) });
        } else if let Some(row) = found.rows.last_mut() {
            row.outcome = Ok(found.judged);
        }
        if !helped {
            return;
        }
    }
}

/// Looks for a plan that keeps all limits by taking them one after the other: each time for the smallest value of one, in
/// the limits before it. Who then gives that value as the limit gets a plan, because the same search finds it again; so
/// this one heeds no time.
fn rescue(ask: &Ask, mut found: Found) -> Result<Found, PlacementError> {
    let mut kept = Limits::default();
    let mut plan: Option<Plan> = None;
    for limit in Limit::ALL {
        let Some(given) = ask.judge.limits.get(limit) else { continue };
        let smallest = Ask { judge: ask.judge.by(limit.objective(), kept), ..ask.clone() };
        let it = search(&smallest, plan.as_ref(), &mut || true)?;
        if !it.judged.keeps() {
            return Err(no_room(ask.judge.problem, &it.plan));
        }
        let least = limit.of(&it.judged.comes);
        if least > given {
            return Err(PlacementError::Budget { limit: limit.name(), given, least });
        }
        kept = kept.with(limit, given);
        plan = Some(it.plan);
    }
    // Without limits it is the memories that none keeps to.
    let Some(plan) = plan else { return Err(no_room(ask.judge.problem, &found.plan)) };
    // It keeps all of them; what is wanted comes after that.
    found.rows.retain(|row| row.method != REFINED);
    (found.judged, found.plan, found.method) = (ask.judge.judge(&plan), plan, REFINED);
    refine(ask, &mut found, &mut || true);
    Ok(found)
}

/// The task that is to blame where memories are too small: the largest on a rank that overflows, of those that may move.
pub(super) fn no_room(problem: &Problem, plan: &Plan) -> PlacementError {
    let (held, tasks) = (plan.held(problem), problem.graph.tasks());
    let full = |task: &usize| held[plan.rank[*task]].0 > problem.memory[plan.rank[*task]].0;
    let largest =
        (0..tasks.len()).filter(full).max_by_key(|task| (problem.pinned[*task].is_none(), tasks[*task].memory.0));
    let task = largest.unwrap_or(0);
    let needs = tasks[task].memory;
    let left = |rank: usize| {
        let others = held[rank].0 - if plan.rank[task] == rank { needs.0 } else { 0 };
        problem.memory[rank].0.saturating_sub(others)
    };
    let most = (0..problem.ranks()).filter(|rank| problem.allows(task, *rank)).map(left).max();
    PlacementError::NoRoom { task: tasks[task].name.clone(), bytes: needs, most: Bytes(most.unwrap_or(0)) }
}

#[cfg(test)]
mod tests;
