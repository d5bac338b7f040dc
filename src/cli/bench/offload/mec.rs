//! The published planners and ours under the published mobile-edge-cloud model, over budgets.

use super::OffloadBenchArgs;
use crate::cli::failure::Failure;
use crate::plan::placement::TaskGraph;
use crate::plan::placement::mec::{self, Budget, Effort, Instance, Mec, Method, Row};
use crate::report::text::table;
use serde::Serialize;
use std::fmt::Write;

/// Parts of what everything in the cloud costs, where no budgets are given.
const PARTS: [f64; 6] = [0.3, 0.4, 0.5, 0.6, 0.8, 1.0];

/// What one method comes to under one budget. The model's own units: with GFLOP and megabits they are seconds.
#[derive(Debug, Serialize)]
struct Entry {
    graph: String,
    budget: f64,
    budget_of_cloud: f64,
    method: &'static str,
    finish_s: f64,
    cost: f64,
    meets_budget: bool,
    meets_utility: bool,
    exact: bool,
    ours_earlier_percent: Option<f64>,
}

/// The sweep as text, or as JSON.
///
/// # Errors
/// Exit code 3 when nothing meets the smallest budget: it says the smallest that works.
pub fn sweep(args: &OffloadBenchArgs, graphs: &[TaskGraph]) -> Result<String, Failure> {
    let instances: Vec<(&str, Instance)> =
        graphs.iter().map(|graph| (graph.name(), Instance::of_graph(graph))).collect();
    let mut parts = if args.budgets.is_empty() { PARTS.to_vec() } else { args.budgets.clone() };
    parts.sort_by(f64::total_cmp);
    let budgets: Vec<Budget> = parts.iter().map(|part| Budget::OfCloud(*part)).collect();
    let rows = mec::sweep(&instances, &Mec::cooperating(), &budgets, &Effort::default())
        .map_err(|error| Failure::new(3, error))?;
    match args.json {
        true => Ok(serde_json::to_string_pretty(&entries(&rows, &parts)).expect("figures are JSON") + "\n"),
        false => Ok(told(&rows, &parts)),
    }
}

/// Rows come graph by graph, budget by budget, method by method.
fn entries(rows: &[Row], parts: &[f64]) -> Vec<Entry> {
    let part = |at: usize| parts[at / Method::ALL.len() % parts.len()];
    let entry = |(at, row): (usize, &Row)| Entry {
        graph: row.instance.clone(),
        budget: row.budget,
        budget_of_cloud: part(at),
        method: row.method.name(),
        finish_s: row.figures.finish.0,
        cost: row.figures.cost,
        meets_budget: row.meets_budget,
        meets_utility: row.meets_utility,
        exact: row.exact,
        ours_earlier_percent: row.ours_earlier_percent,
    };
    rows.iter().enumerate().map(entry).collect()
}

fn told(rows: &[Row], parts: &[f64]) -> String {
    let mut text = String::from(
        "the published mobile-edge-cloud model: one device, four edge servers, a cloud; finish times in s of one request\n",
    );
    for of_graph in rows.chunks(parts.len() * Method::ALL.len()) {
        let mut head = vec!["budget".to_owned()];
        head.extend(Method::ALL.map(|method| method.name().to_owned()));
        let cell = |row: &Row| match row.meets_budget && row.meets_utility {
            true => format!("{:.3}{}", row.figures.finish.0, if row.exact { "" } else { " " }),
            false => format!("({:.3})", row.figures.finish.0),
        };
        let line = |(part, own): (&f64, &[Row])| {
            let mut line = vec![format!("{:.0} %", part * 100.0)];
            line.extend(own.iter().map(cell));
            line
        };
        let lines = parts.iter().zip(of_graph.chunks(Method::ALL.len())).map(line);
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(lines).collect();
        let _ = write!(
            text,
            "\n{}, budgets in parts of what everything in the cloud costs\n{}",
            of_graph[0].instance,
            table(&lines)
        );
        text += &gains(of_graph);
    }
    text += "\nin brackets: no plan, since it costs more than the budget or an edge server loses money by it\n\
             auto is never later than any plan of the others; one edge: the same without edge-to-edge cooperation\n\
             the model keeps a quirk of the published one: its cost adds money and joules, and its power laws take speeds in Hz\n";
    text
}

/// By how much ours is earlier, on average over the budgets where the other has a plan.
fn gains(rows: &[Row]) -> String {
    let mean = |method: Method| {
        let gains: Vec<f64> =
            rows.iter().filter(|row| row.method == method).filter_map(|row| row.ours_earlier_percent).collect();
        match gains.len() {
            0 => format!("{}: no plan", method.name()),
            plans => format!("{}: {:.1} % ({plans})", method.name(), gains.iter().sum::<f64>() / plans as f64),
        }
    };
    let others = [Method::Sep, Method::Gcc, Method::Hermes, Method::Alone].map(mean);
    format!("auto is earlier, mean over the budgets (in brackets: how many) with a plan, than {}\n", others.join(", "))
}
