//! From a policy's name to plans for all requests of all sources.

use super::stream::{Deal, Stream};
use super::{Ask, Comes, Found, PlacementError, Problem, by_name};

/// What one candidate for all requests comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// A request's figures, on average, when all are served; or why there is no plan.
    pub outcome: Result<Comes, PlacementError>,
}

/// Plans for all requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Dealt {
    /// The plans.
    pub deal: Deal,
    /// What a request comes to on average.
    pub comes: Comes,
    /// What was looked at, in the order in which it was.
    pub tried: Vec<Tried>,
}

/// Plans each source's requests by one policy. Where `auto` plans for several requests it also looks at what one request
/// alone would not ask for: runs of the graph over ranks, and whole requests dealt to ranks.
///
/// `asks` has a problem for each source that has requests; limits hold for one request alone. `still` says whether a share
/// of the time that there is for planning is not over yet.
///
/// # Errors
/// When a source's requests have no plan, the policy's plan does not fit into a rank's memory, or none keeps the limits and
/// the policy is `auto`. Another policy's plan may break limits.
pub fn deal(
    policy: &str,
    asks: &[(usize, Ask)],
    stream: &Stream,
    still: &mut dyn FnMut(f64) -> bool,
) -> Result<Dealt, PlacementError> {
    let sources = asks.len() as f64;
    let plan = |(at, (_, ask)): (usize, &(usize, Ask))| {
        let found = by_name(policy, ask, &mut || still((at + 1) as f64 / (sources + 1.0)))?;
        ask.judge.check_room(&found.plan)?;
        Ok(found)
    };
    let found: Vec<Found> = asks.iter().enumerate().map(plan).collect::<Result<_, _>>()?;
    let (_, first) = asks.first().expect("somebody asks");
    let problem = first.judge.problem;
    let of_source = |source: usize| asks.iter().position(|(known, _)| *known == source).expect("every source asks");
    let mut methods: Vec<&str> = found.iter().map(|found| found.method).collect();
    methods.dedup();
    let name = if policy == "auto" { methods.join(", ") } else { policy.to_owned() };
    let (all, stream) = (stream, &stream.prefix());
    let one = Deal {
        name,
        plans: found.iter().map(|found| found.plan.clone()).collect(),
        choice: all.requests.iter().map(|request| of_source(request.source)).collect(),
    };
    let single = stream.requests.len() <= 1;
    let mut tried: Vec<Tried> = match single {
        true => found[0]
            .rows
            .iter()
            .map(|row| Tried { name: row.method.into(), outcome: row.outcome.clone().map(|j| j.comes) })
            .collect(),
        false => Vec::new(),
    };
    let comes = stream.comes(problem, &one);
    let mut best = (first.judge.score(&comes), one, comes);
    if !single {
        tried.push(Tried { name: best.1.name.clone(), outcome: Ok(comes) });
    }
    if policy == "auto" && !single {
        let problems: Vec<(usize, Problem)> =
            asks.iter().map(|(source, ask)| (*source, ask.judge.problem.clone())).collect();
        for deal in all.deals(&problems) {
            if !still(1.0) {
                break;
            }
            // Limits are a request's: a plan that breaks them alone does not keep them in company.
            let keeps = deal.plans.iter().zip(0..).all(|(plan, at)| {
                let request = deal.choice.iter().position(|choice| *choice == at);
                let source = request.map(|request| of_source(all.requests[request].source));
                source.is_none_or(|source| asks[source].1.judge.judge(plan).keeps())
            });
            let comes = stream.comes(problem, &deal);
            tried.push(Tried { name: deal.name.clone(), outcome: Ok(comes) });
            let score = first.judge.score(&comes);
            if keeps && score < best.0 {
                best = (score, deal, comes);
            }
        }
    }
    let (_, deal, comes) = best;
    Ok(Dealt { deal, comes, tried })
}
