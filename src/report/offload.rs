//! What requests took: figures of a whole script, and tables of policies and ranks for the terminal.

use super::text::{count, fitted, percent, quantity, with_unit};
use crate::device::Devices;
use crate::plan::placement::TaskGraph;
use crate::plan::placement::critical::{Record, Shares, shares};
use crate::plan::placement::simulate::{Act, Script};
use crate::units::{Joules, Seconds};
use serde::Serialize;

/// What all requests of a script came to.
pub use crate::run::state::RequestFigures as Summary;

impl Summary {
    /// Of a script, with what all ranks used and cost where that is known, and the longest that a request may take.
    pub fn of(
        graph: &TaskGraph,
        script: &Script,
        energy: Option<Joules>,
        price: Option<f64>,
        deadline: Option<Seconds>,
    ) -> Self {
        // A source that was lost has no answers.
        let answers = || script.answers.iter().filter(|answer| answer.time().0.is_finite());
        let mut times: Vec<f64> = answers().map(|answer| answer.time().0).collect();
        times.sort_by(f64::total_cmp);
        let first = answers().map(|answer| answer.arrival.0).fold(f64::INFINITY, f64::min);
        let last = answers().map(|answer| answer.end.0).fold(f64::NEG_INFINITY, f64::max);
        let (answered, makespan) = (times.len(), (last - first).max(0.0));
        let total: f64 = times.iter().sum();
        // The smallest time that 95 % do not exceed.
        let at = (answered * 95).div_ceil(100).clamp(1, answered.max(1)) - 1;
        let Shares { execution, transfer, waiting } = all_shares(graph, script);
        Self {
            requests: script.answers.len(),
            mean_s: if answered == 0 { 0.0 } else { total / answered as f64 },
            p95_s: times.get(at).copied().unwrap_or(0.0),
            max_s: times.last().copied().unwrap_or(0.0),
            makespan_s: makespan,
            throughput_per_s: if makespan > 0.0 { answered as f64 / makespan } else { 0.0 },
            energy_j: energy.map(|energy| energy.0),
            price,
            missed: deadline.map(|most| times.iter().filter(|time| **time > most.0).count()),
            busy_share: busy_share(script, makespan),
            execution_share: execution,
            transfer_share: transfer,
            waiting_share: waiting,
        }
    }

    /// How the time of the requests was spent, in a line.
    pub fn spent(&self) -> String {
        let share = |share| percent(Some(share));
        format!(
            "of the requests' time {} execution, {} transfer, {} waiting",
            share(self.execution_share),
            share(self.transfer_share),
            share(self.waiting_share)
        )
    }
}

/// What of the time from the first arrival to the last answer the ranks that computed anything spent computing.
fn busy_share(script: &Script, makespan: f64) -> f64 {
    let computed = |acts: &Vec<Act>| acts.iter().map(|act| (act.end - act.start).0).sum::<f64>();
    let busy: Vec<f64> = script.acts.iter().map(computed).filter(|computed| *computed > 0.0).collect();
    let all = makespan * busy.len() as f64;
    if all > 0.0 { busy.iter().sum::<f64>() / all } else { 0.0 }
}

/// The shares of all requests' critical paths, each path as long as it is.
fn all_shares(graph: &TaskGraph, script: &Script) -> Shares {
    let record = Record::new(graph, script);
    let answered = (0..script.answers.len()).filter(|request| script.answers[*request].end.0.is_finite());
    let steps: Vec<_> = answered.flat_map(|request| record.path(request)).collect();
    shares(&steps)
}

/// What all ranks of a simulation on devices cost: seconds of computing times what a second costs.
pub fn price(script: &Script, devices: &Devices) -> f64 {
    let paid = script.ledgers.iter().zip(devices.profiles());
    paid.map(|(ledger, profile)| ledger.computing.0 * profile.price_per_s).sum()
}

/// A row of the table of policies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyRow {
    /// The policy.
    pub policy: String,
    /// What it comes to.
    #[serde(flatten)]
    pub summary: Option<Summary>,
    /// Why it comes to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How long planning took, measured.
    pub plan_s: f64,
}

/// The table of policies; below it why some have no row.
pub fn policy_lines(rows: &[PolicyRow]) -> Vec<String> {
    let head = ["policy", "mean", "p95", "max", "joules", "price", "missed", "1/s", "exec"];
    let cells = |row: &PolicyRow| {
        let it = row.summary.as_ref()?;
        let seconds = [it.mean_s, it.p95_s, it.max_s].map(|time| quantity(time, "s"));
        let mut cells = vec![row.policy.clone()];
        cells.extend(seconds);
        cells.push(it.energy_j.map_or(String::new(), |joules| quantity(joules, "J")));
        cells.push(it.price.filter(|price| *price > 0.0).map_or(String::new(), few_digits));
        cells.push(it.missed.map_or(String::new(), |missed| missed.to_string()));
        cells.push(format!("{:.2}", it.throughput_per_s));
        cells.push(percent(Some(it.execution_share)));
        Some(cells)
    };
    let mut lines = fitted(&head, rows.iter().filter_map(cells).collect(), "--json has them all");
    let refused = rows.iter().filter_map(|row| Some(format!("{}: {}", row.policy, row.refused.as_ref()?)));
    lines.extend(refused);
    lines
}

/// A price, which has no unit that anybody knows.
fn few_digits(price: f64) -> String {
    if price >= 0.01 { format!("{price:.3}") } else { format!("{price:.1e}") }
}

/// The table of ranks: what each did until the last answer. Joules by rank where they are counted.
pub fn rank_lines(script: &Script, names: &[String], joules: Option<&[Joules]>) -> Vec<String> {
    let head = ["rank", "tasks", "busy", "sent", "received", "joules"];
    let bytes = |own: fn(&crate::plan::placement::simulate::Message) -> usize, rank: usize| {
        let sum: u64 =
            script.messages.iter().filter(|message| own(message) == rank).map(|message| message.bytes.0).sum();
        with_unit(sum as f64, "B")
    };
    let end = script.end().0;
    let width = script.acts.len().saturating_sub(1).to_string().len();
    let cells = |rank: usize| {
        let busy: f64 = script.acts[rank].iter().map(|act| (act.end - act.start).0).sum();
        vec![
            format!("{rank:<width$} {}", names.get(rank).map_or("", String::as_str)).trim_end().to_owned(),
            script.acts[rank].len().to_string(),
            percent((end > 0.0).then_some(busy / end)),
            bytes(|message| message.from, rank),
            bytes(|message| message.to, rank),
            joules.map_or(String::new(), |joules| quantity(joules[rank].0, "J")),
        ]
    };
    fitted(&head, (0..script.acts.len()).map(cells).collect(), "tasks.csv has them all")
}

/// The lines for a run that answered requests: how many, how fast, what their time was spent with, and by rank.
pub fn run_lines(summary: &Summary, modelled: bool, ranks: &[String]) -> Vec<String> {
    let clock = if modelled { "modelled" } else { "measured" };
    let mut lines = vec![format!(
        "{} in {}, {clock}: mean {}, p95 {}, max {}, {:.2}/s",
        count(summary.requests, "request"),
        quantity(summary.makespan_s, "s"),
        quantity(summary.mean_s, "s"),
        quantity(summary.p95_s, "s"),
        quantity(summary.max_s, "s"),
        summary.throughput_per_s
    )];
    lines.push(summary.spent());
    lines.push(format!("the ranks that computed did so {} of the time", percent(Some(summary.busy_share))));
    if let Some(joules) = summary.energy_j {
        lines.push(format!("{} of all ranks, {clock}, waiting included", quantity(joules, "J")));
    }
    if let Some(price) = summary.price.filter(|price| *price > 0.0) {
        lines.push(format!("computing cost {} in the device file's money, {clock}", few_digits(price)));
    }
    if let Some(missed) = summary.missed {
        lines.push(format!("{} took longer than the deadline", count(missed, "request")));
    }
    lines.extend(ranks.iter().cloned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::gantt::tests::{diamond, script};

    fn summary(requests: usize, deadline: Option<f64>) -> (Script, Summary) {
        let graph = diamond();
        let script = script(&graph, requests);
        let summary = Summary::of(&graph, &script, Some(Joules(12.5)), Some(0.25), deadline.map(Seconds));
        (script, summary)
    }

    /// By hand: the input is there at once; rank 0 takes 6 s for right and 2 s for answer, so requests end at 8 s, 16 s, …
    #[test]
    fn figures_of_a_whole_script() {
        let (_, one) = summary(1, None);
        assert_eq!((one.requests, one.mean_s, one.p95_s, one.max_s, one.makespan_s), (1, 8.0, 8.0, 8.0, 8.0));
        assert_eq!((one.throughput_per_s, one.missed, one.execution_share), (0.125, None, 1.0));
        let (script, many) = summary(40, Some(30.0));
        let times: Vec<f64> = script.answers.iter().map(|answer| answer.time().0).collect();
        assert_eq!(many.missed, Some(times.iter().filter(|time| **time > 30.0).count()));
        assert_eq!(many.p95_s, times[37], "38 of 40 do not take longer");
        assert_eq!(many.max_s, times[39]);
        assert!((many.execution_share + many.transfer_share + many.waiting_share - 1.0).abs() < 1e-12);
        assert!(many.waiting_share > 0.5, "they queue up");
        let nothing = Script { acts: vec![], messages: vec![], answers: vec![], ledgers: vec![] };
        let empty = Summary::of(&diamond(), &nothing, None, None, None);
        assert_eq!((empty.requests, empty.mean_s, empty.throughput_per_s), (0, 0.0, 0.0));
    }

    #[test]
    fn requests_of_a_source_that_was_lost_are_in_no_mean() {
        let (mut script, whole) = summary(2, None);
        let mut unanswered = script.answers[1];
        unanswered.end = Seconds(f64::NAN);
        script.answers.push(unanswered);
        let with = Summary::of(&diamond(), &script, Some(Joules(12.5)), Some(0.25), None);
        assert_eq!((with.requests, whole.requests), (3, 2));
        assert_eq!(
            (with.mean_s, with.max_s, with.throughput_per_s),
            (whole.mean_s, whole.max_s, whole.throughput_per_s)
        );
    }

    #[test]
    fn tables_fit_into_a_terminal_and_tell_what_was_refused() {
        let (script, summary) = summary(3, Some(9.0));
        let row = |policy: &str| PolicyRow {
            policy: policy.into(),
            summary: Some(summary.clone()),
            refused: None,
            plan_s: 0.1,
        };
        let none = PolicyRow { summary: None, refused: Some("no cloud in d.toml".into()), ..row("cloud") };
        let lines = policy_lines(&[row("heft"), none, row("auto")]);
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("policy") && lines[1].starts_with("heft") && lines[2].starts_with("auto"));
        assert_eq!(lines[3], "cloud: no cloud in d.toml");
        let names = ["a board".to_owned(), "a server with a rather long name, in a power mode".to_owned()];
        let ranks = rank_lines(&script, &names, Some(&[Joules(1.0), Joules(2.0)]));
        assert_eq!(ranks.len(), 3);
        assert!(ranks[1].contains("30 B") && ranks[1].contains("15 B") && ranks[1].contains("100.0 %"), "{ranks:?}");
        let told = run_lines(&summary, true, &ranks);
        assert!(told[0].starts_with("3 requests in 24.0 s, modelled: mean "), "{told:?}");
        for line in lines.iter().chain(&told) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
