//! The figures of `bench split` as tables.

use super::limits::{HIGHEST, Limit};
use super::policies::{Comparison, Row};
use super::sweep::{ALPHAS, Best, Rate, Sweep};
use super::{Figures, Links};
use crate::report::text::{count, table};
use std::fmt::Write;

/// All tables, for people.
pub fn told(figures: &Figures) -> String {
    let Figures { devices, model, batch, round_steps, alpha, boards, .. } = figures;
    let mut text = format!(
        "{model}, batch {batch}, {} a round, on {devices}: server {}, devices {}; alpha {alpha}\n",
        count(*round_steps as usize, "step"),
        boards[0],
        boards[1..].join(", ")
    );
    for comparison in &figures.comparisons {
        text += &compared(comparison);
    }
    for sweep in &figures.sweeps {
        text += &swept(sweep);
        text += &idle(sweep, *alpha);
    }
    if !figures.limits.is_empty() {
        text += &limited(&figures.limits);
    }
    text += &foot(figures);
    text
}

fn links(links: Links) -> &'static str {
    match links {
        Links::Both => "both directions charged",
        Links::Uplink => "uplink only charged",
    }
}

/// A saving as a change: 0.29 saved is -29 %.
fn change(saving: f64) -> String {
    let percent = -100.0 * saving;
    // Nothing is neither more nor less.
    if percent.abs() < 0.05 { "0.0 %".to_owned() } else { format!("{percent:+.1} %") }
}

fn cuts(cuts: &[usize]) -> String {
    cuts.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn compared(comparison: &Comparison) -> String {
    let mut head = words(["policy", "modelled s/round", "modelled J/round", "time", "energy", "cuts"]);
    if comparison.changing {
        head.extend(words(["changes", "regret: time", "energy", "objective"]));
    }
    let cells = |row: &Row| {
        let mut cells = vec![
            row.name.clone(),
            format!("{:.2}", row.modelled_round_s),
            format!("{:.1}", row.modelled_round_j),
            change(row.saved_time),
            change(row.saved_energy),
            cuts(&row.cuts),
        ];
        if comparison.changing {
            cells.push(row.changes.to_string());
            cells.extend(row.regret.map(|regret| change(-regret)));
        }
        cells
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(comparison.rows.iter().map(cells)).collect();
    format!("\n{}, mean of {}\n{}", links(comparison.links), count(comparison.rounds, "round"), table(&lines))
}

fn swept(sweep: &Sweep) -> String {
    let mut head = words(["Mbit/s", "federated s", "J"]);
    head.extend(ALPHAS.map(|alpha| format!("alpha {alpha}")));
    let at = sweep.straggler - 1;
    let cell = |best: &Best| {
        let inexact = if best.exact { "" } else { "~" };
        let percent = |saving: f64| if saving.abs() < 0.005 { 0.0 } else { -100.0 * saving };
        format!("{inexact}{}: {:.0}/{:.0}", best.cuts[at], percent(best.saved_time), percent(best.saved_energy))
    };
    let cells = |rate: &Rate| {
        let mut cells =
            vec![rate.mbit_per_s.to_string(), format!("{:.1}", rate.federated_s), format!("{:.0}", rate.federated_j)];
        cells.extend(rate.best.iter().map(cell));
        cells
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(sweep.rates.iter().map(cells)).collect();
    format!(
        "\nbest cuts by rate of all links, {}: cut of rank {} ({} is no split): change of time/energy in %\n{}",
        links(sweep.links),
        sweep.straggler,
        sweep.whole,
        table(&lines)
    )
}

fn idle(sweep: &Sweep, alpha: f64) -> String {
    let head = words(["Mbit/s", "waiting charged: cuts", "time", "energy", "waiting free: cuts", "time", "energy"]);
    let cells = |rate: &Rate| {
        let mut line = vec![rate.mbit_per_s.to_string()];
        for best in [&rate.idle_charged, &rate.idle_free] {
            line.extend([cuts(&best.cuts), change(best.saved_time), change(best.saved_energy)]);
        }
        line
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(sweep.rates.iter().map(cells)).collect();
    format!("\nwhat charging the energy of waiting changes, {}, alpha {alpha}\n{}", links(sweep.links), table(&lines))
}

fn limited(limits: &[Limit]) -> String {
    let head = words(["least Mbit/s for", "saving", "links", "all devices", "straggler alone"]);
    let mut lines = vec![head];
    // Two in a row are the same of all devices and of one.
    for pair in limits.chunks(2) {
        let saving = if pair[0].saving < 0.01 { "any".to_owned() } else { change(pair[0].saving) };
        let mut line = vec![pair[0].what.to_owned(), saving, links(pair[0].links).to_owned()];
        line.extend(pair.iter().map(|limit| match limit.mbit_per_s {
            Some(mbit) if mbit >= 1000.0 => format!("{mbit:.0}"),
            Some(mbit) => format!("{mbit:.1}"),
            None => format!("not up to {HIGHEST}"),
        }));
        lines.push(line);
    }
    format!(
        "\nwhere the published savings (48 % of time, 61.4 % of energy) are reached; below the first line's rates not \
         splitting is fastest\n{}straggler alone: one step of it, the server takes no time\n",
        table(&lines)
    )
}

fn foot(figures: &Figures) -> String {
    let mut text = String::from(
        "\nall figures are modelled, by the device file and the planner's simulator; nothing was trained\n",
    );
    let energy = match figures.idle_charged {
        true => "energy is that of all devices, waiting for others included, without the server's",
        false => "energy is that of all devices while they compute, send and receive, without the server's",
    };
    let least = match figures.least_cut {
        0 => "cut 0 sends the samples themselves to the server".to_owned(),
        least => format!("devices keep {} at least: --least-cut 0 would let samples leave them", count(least, "block")),
    };
    let _ = writeln!(text, "{energy}; {least}");
    for note in &figures.notes {
        let _ = writeln!(text, "{note}");
    }
    text
}
