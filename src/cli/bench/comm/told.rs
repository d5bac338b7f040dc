//! The tables of `bench comm` for people, in the shape of the OSU benchmarks.

use super::{Findings, Row, Sheet};
use crate::report::text::{count, quantity, table};

/// Everything on a page.
pub(super) fn told(findings: &Findings) -> String {
    let Findings { ranks, hosts, transport, network, .. } = findings;
    let mut text = format!("{} on {}, {transport}", count(*ranks, "rank"), count(*hosts, "host"));
    if findings.oversubscribed {
        text.push_str(", more ranks than cores: they wait for each other's time slices");
    }
    text.push('\n');
    for sheet in &findings.tables {
        text.push_str(&format!("\n# {}\n{}", sheet.title, lines(sheet)));
    }
    let wire = network.wire;
    let bandwidth = if wire.beta > 0.0 { format!(" ({}/s)", quantity(1.0 / wire.beta, "B")) } else { String::new() };
    text.push_str(&format!(
        "\nmeasured: medians of rounds of the slowest rank, {:.1} s in all{}\n\
         fitted: alpha {}, beta {:.3} ns a byte{bandwidth}, half of the messages within {:.0} % of that line; gamma {:.3} ns a byte added\n\
         to give it to plan: goai-rs bench comm --json > net.json; goai-rs plan --network net.json\n",
        findings.elapsed_s,
        match findings.left_out {
            0 => String::new(),
            cells => format!("; {} left out for lack of time or memory: --max asks for less", count(cells, "line")),
        },
        quantity(wire.alpha.0, "s"),
        wire.beta * 1e9,
        100.0 * findings.fit_error,
        wire.gamma * 1e9,
    ));
    text
}

fn lines(sheet: &Sheet) -> String {
    let head = ["bytes", "median µs", "min µs", "max µs", "MB/s"].map(str::to_owned).to_vec();
    let cells = |row: &Row| {
        let us = |value: f64| format!("{value:.2}");
        vec![row.bytes.to_string(), us(row.median_us), us(row.min_us), us(row.max_us), format!("{:.1}", row.mb_per_s)]
    };
    table(&std::iter::once(head).chain(sheet.rows.iter().map(cells)).collect::<Vec<_>>())
}
