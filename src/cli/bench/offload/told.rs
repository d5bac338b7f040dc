//! The figures of `bench offload` as tables.

use super::{Compared, Figures};
use crate::report::offload::policy_lines;
use crate::report::text::count;
use std::fmt::Write;

/// All tables, for people.
pub fn told(figures: &Figures) -> String {
    let ranks: Vec<String> = figures.ranks.iter().enumerate().map(|(rank, name)| format!("{rank} {name}")).collect();
    let sources = figures.sources.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let mut text = format!(
        "{} ({}) from rank {sources} on {}: {}\n",
        count(figures.requests, "request"),
        figures.arrivals,
        figures.devices,
        ranks.join(", ")
    );
    figures.graphs.iter().for_each(|compared| text += &table(compared, figures));
    let _ = writeln!(
        text,
        "\nall figures are modelled, by the device file and the simulator that emulated ranks follow; nothing ran\n\
         joules are those of all ranks until the last answer, waiting included; exec is the computing on critical paths"
    );
    figures.notes.iter().for_each(|note| {
        let _ = writeln!(text, "{note}");
    });
    if let Some(first) = figures.charts.first() {
        let _ =
            writeln!(text, "{} and a trace for ui.perfetto.dev each: {first}, …", count(figures.charts.len(), "chart"));
    }
    text
}

fn table(compared: &Compared, figures: &Figures) -> String {
    format!(
        "\n{}: {} of {}s, {:.2} GFLOP a request; objective {}\n{}\n",
        compared.graph,
        count(compared.tasks, "task"),
        figures.granularity,
        compared.gflop,
        figures.objective,
        policy_lines(&compared.policies).join("\n")
    )
}
