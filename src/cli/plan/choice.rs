//! The best of what was predicted, and why it is.

use super::candidates::Candidate;
use super::predict::Predicted;
use crate::cli::failure::Failure;
use crate::report::text::quantity;

/// A way to train and what it is predicted to take.
#[derive(Debug, Clone)]
pub struct Row {
    /// The way.
    pub candidate: Candidate,
    /// What it takes, or why it cannot be.
    pub predicted: Result<Predicted, Failure>,
}

impl Row {
    /// Seconds of an epoch, of a way that follows the global batch's gradient on so many ranks.
    fn seconds(&self, ranks: Option<usize>) -> Option<f64> {
        let fits = self.candidate.same && ranks.is_none_or(|ranks| ranks == self.candidate.ranks);
        let predicted = self.predicted.as_ref().ok().filter(|_| fits)?;
        Some(predicted.epoch.epoch.0).filter(|seconds| seconds.is_finite())
    }
}

/// The fastest of the ways that follow the same gradient, and the one after it; with `ranks` only of those that take as
/// many.
pub fn best(rows: &[Row], ranks: Option<usize>) -> Option<(&Row, Option<&Row>)> {
    let mut timed: Vec<(f64, &Row)> = rows.iter().filter_map(|row| Some((row.seconds(ranks)?, row))).collect();
    timed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let first = timed.first()?.1;
    Some((first, timed.get(1).map(|second| second.1)))
}

/// Why the best is the best, in one sentence.
pub fn why(first: &Row, second: Option<&Row>) -> String {
    let (Ok(best), name) = (&first.predicted, &first.candidate.flags) else { return String::new() };
    let told = format!("{name}: {} an epoch, predicted", quantity(best.epoch.epoch.0, "s"));
    let Some((second, other)) = second.and_then(|row| Some((row, row.predicted.as_ref().ok()?))) else {
        return format!("{told}; nothing else is possible");
    };
    let (a, b) = (best.epoch, other.epoch);
    // What the other one spends more on.
    let parts =
        [("computes", b.compute.0 - a.compute.0), ("talks", b.talk.0 - a.talk.0), ("waits", b.wait.0 - a.wait.0)];
    let (what, more) = parts.into_iter().max_by(|x, y| x.1.total_cmp(&y.1)).expect("there are three");
    let batches = match (best.global_batch, other.global_batch) {
        (mine, others) if mine == others => String::new(),
        (mine, others) => format!("; a step takes {mine} samples in the first and {others} in the second"),
    };
    let reason =
        if more > 0.0 { format!(", a rank {what} {} longer there", quantity(more, "s")) } else { String::new() };
    format!("{told}; next is {} with {}{reason}{batches}", second.candidate.flags, quantity(b.epoch.0, "s"))
}
