//! What the exit heads of a chain came to, and what exit thresholds would do, as tables for the terminal.

use super::text::{count, fitted, percent, quantity};
use crate::event::{HeadRecord, SweepRow};

/// The figures of every head on `samples` samples of a part, and the sweep over thresholds.
pub fn exit_lines(part: &str, samples: u64, heads: &[HeadRecord], sweep: &[SweepRow]) -> Vec<String> {
    let mut lines = Vec::new();
    // One head alone has no exits, and its accuracy is the run's.
    if heads.len() < 2 {
        return lines;
    }
    lines.push(format!("exit heads, measured on {} of the {part} part", count(samples as usize, "sample")));
    let modelled = heads.iter().any(|head| head.latency_s.is_some() || head.energy_j.is_some());
    if modelled {
        lines.push("(latency and energy are modelled for a lone sample, idling left out):".into());
    }
    // That all samples leave at the end goes without saying.
    let early = heads[..heads.len() - 1].iter().any(|head| head.exit_share > 0.0);
    let rows = heads.iter().map(|head| {
        vec![
            head.stage.to_string(),
            head.loss.map_or(String::new(), |loss| format!("{loss:.4}")),
            head.accuracy.map_or(String::new(), |share| format!("{share:.3}")),
            percent(Some(head.exit_share).filter(|_| early)),
            seconds(head.latency_s),
            joules(head.energy_j),
        ]
    });
    lines.extend(fitted(
        &["stage", "loss", "accuracy", "left here", "latency", "energy"],
        rows.collect(),
        "events.jsonl has them all",
    ));
    lines.extend(sweep_lines(sweep));
    lines
}

fn sweep_lines(sweep: &[SweepRow]) -> Vec<String> {
    let Some(stages) = sweep.first().map(|row| row.exit_shares.len()) else { return Vec::new() };
    let rows = sweep.iter().map(|row| {
        vec![
            row.threshold.to_string(),
            format!("{:.3}", row.accuracy),
            shares(&row.exit_shares),
            seconds(row.latency_s),
            joules(row.energy_j),
        ]
    });
    let head = match stages {
        0..=4 => format!("% leaving at {}", (0..stages).map(|s| s.to_string()).collect::<Vec<_>>().join("/")),
        _ => format!("% leaving at 0..{}", stages - 1),
    };
    let mut lines = vec!["the same with an exit threshold at all stages:".to_owned()];
    lines.extend(fitted(
        &["threshold", "accuracy", &head, "latency", "energy"],
        rows.collect(),
        "exits.csv has them all",
    ));
    lines
}

/// `12/30/58`: percents of the stages; of a long chain only the first ones and the last.
fn shares(shares: &[f64]) -> String {
    const MOST: usize = 10;
    let text = |share: &f64| format!("{:.0}", share * 100.0);
    match shares {
        [first @ .., last] if shares.len() > MOST => {
            let first: Vec<String> = first[..MOST - 2].iter().map(text).collect();
            format!("{}/../{}", first.join("/"), text(last))
        }
        few => few.iter().map(text).collect::<Vec<_>>().join("/"),
    }
}

fn seconds(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| quantity(value, "s"))
}

fn joules(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| quantity(value, "J"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(stage: usize, latency_s: Option<f64>) -> HeadRecord {
        let energy_j = latency_s.map(|s| 2.0 * s);
        HeadRecord { stage, loss: Some(1.25), accuracy: Some(0.5), exit_share: 0.25, latency_s, energy_j }
    }

    fn row(threshold: f64, exit_shares: Vec<f64>, latency_s: Option<f64>) -> SweepRow {
        SweepRow { threshold, accuracy: 0.625, exit_shares, latency_s, energy_j: latency_s }
    }

    #[test]
    fn heads_and_sweep_say_what_is_modelled() {
        let sweep = [row(0.5, vec![0.25, 0.75], Some(0.0045)), row(1.0, vec![0.0, 1.0], Some(0.007))];
        let expected = "\
exit heads, measured on 1000 samples of the test part
(latency and energy are modelled for a lone sample, idling left out):
stage    loss  accuracy  left here  latency   energy
0      1.2500     0.500     25.0 %  1.00 ms  2.00 mJ
1      1.2500     0.500     25.0 %  7.00 ms  14.0 mJ
the same with an exit threshold at all stages:
threshold  accuracy  % leaving at 0/1  latency   energy
0.5           0.625             25/75  4.50 ms  4.50 mJ
1             0.625             0/100  7.00 ms  7.00 mJ
";
        let heads = [head(0, Some(0.001)), head(1, Some(0.007))];
        assert_eq!(exit_lines("test", 1000, &heads, &sweep).join("\n") + "\n", expected);
    }

    #[test]
    fn without_machines_nothing_is_modelled_and_without_exits_nothing_is_said() {
        let heads = [head(0, None), head(1, None)];
        let lines = exit_lines("validation", 1, &heads, &[]);
        assert_eq!(lines[0], "exit heads, measured on 1 sample of the validation part");
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(!lines.join(" ").contains("latency"));
        assert!(exit_lines("test", 10, &heads[..1], &[]).is_empty());
        let late = heads.map(|head| HeadRecord { exit_share: head.stage as f64, ..head });
        assert!(!exit_lines("test", 10, &late, &[]).join(" ").contains("left here"));
    }

    #[test]
    fn long_chains_stay_within_a_terminal() {
        let heads: Vec<HeadRecord> = (0..40).map(|stage| head(stage, Some(0.987_654))).collect();
        let sweep = [row(0.123_456_789, vec![0.1; 40], Some(0.1))];
        let lines = exit_lines("test", 10_000, &heads, &sweep);
        for line in &lines {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let text = lines.join("\n");
        assert!(text.contains("10/10/10/10/10/10/10/10/../10") && text.contains("and 8 more: events.jsonl"), "{text}");
    }
}
