//! Laws of extra computing time, for the emulation of stragglers.
//!
//! A law says how much longer than its work a task takes on a machine. It is the inverse of its distribution function at
//! a number that the caller draws, so that the draws are the strategy's, keyed by rank, step and chunk, and a law holds
//! no state.
//!
//! ```text
//! exp:1.0                          every task of every rank takes longer by an exponential time with mean 1 s
//! 2=const:1.0;*=exp:0.1            rank 2 has a law of its own, all others have this one
//! 1,4-6=x10                        these compute ten times slower, the others as they are
//! ```
//!
//! # References
//! Dutta et al., *Slow and stale gradients can win the race: error-runtime trade-offs in distributed SGD*, AISTATS 2018,
//! arXiv:1803.01113, for the exponential laws; Dean and Barroso, *The tail at scale*, CACM 2013, for heavy tails.

use super::reader::{shown, unknown};
use super::{DeviceError, Fault};
use crate::units::Seconds;
use std::collections::BTreeMap;
use std::io;

/// The longest time in a law, about 30 years: sums of such times are still exact enough.
const LONGEST: f64 = 1e9;

/// The least shape of a Pareto law. Below it the largest draw of a run would not be a finite number.
const LEAST_SHAPE: f64 = 0.1;

/// The laws, and how to write them.
const FORMS: [(&str, &str); 5] = [
    ("const", "const:S"),
    ("exp", "exp:MEAN"),
    ("shifted-exp", "shifted-exp:SHIFT,MEAN"),
    ("pareto", "pareto:SCALE,SHAPE"),
    ("trace", "trace:FILE.csv"),
];

/// What decides on one task's extra time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The number of the task on its rank, from 0: which line of a trace counts.
    pub task: u64,
    /// A number of the open interval (0, 1), for the laws of chance.
    pub uniform: f64,
}

/// How much longer than its work a task takes.
///
/// # Math
/// inverse distribution functions at u: exp −m·ln(1 − u), mean m, variance m²; shifted s − m·ln(1 − u);
/// Pareto x·(1 − u)^(−1/a), mean a·x/(a − 1) for a > 1
///
/// # Units
/// seconds
#[derive(Debug, Clone, PartialEq)]
pub enum Law {
    /// Always the same time.
    Const(Seconds),
    /// An exponential time with this mean.
    Exp(Seconds),
    /// An exponential time with this mean, after a constant one.
    ShiftedExp {
        /// The constant time.
        shift: Seconds,
        /// The mean of the exponential one.
        mean: Seconds,
    },
    /// A time with a heavy tail.
    Pareto {
        /// The least time.
        scale: Seconds,
        /// The tail's exponent; the smaller, the heavier.
        shape: f64,
    },
    /// Times as they were measured, one a task, from the beginning again after the last.
    Trace(Vec<Seconds>),
    /// The work takes this many times as long.
    Times(f64),
}

impl Law {
    /// Reads one law. `read` gives the text of a trace.
    ///
    /// # Errors
    /// When there is no such law, or a number in it or its trace cannot be.
    pub fn parse(text: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Self, DeviceError> {
        let fault = |why: String, cure: String| DeviceError::Delay { text: shown(text), why, cure };
        if let Some(factor) = text.strip_prefix('x').and_then(|factor| factor.parse::<f64>().ok()) {
            return match (1.0..=LONGEST).contains(&factor) {
                true => Ok(Self::Times(factor)),
                false => {
                    Err(fault(format!("{factor} times as long cannot be"), "give a factor from 1, as in x10".into()))
                }
            };
        }
        let (name, numbers) = text.split_once(':').unwrap_or((text, ""));
        let Some((_, form)) = FORMS.iter().find(|(known, _)| *known == name) else {
            let known = FORMS.map(|(known, _)| known);
            let why = format!("there is no law {}", shown(name));
            return Err(fault(
                why,
                format!("{} Write one of {}, x10", unknown(name, &known), FORMS.map(|f| f.1).join(", ")),
            ));
        };
        if name == "trace" {
            let table = read(numbers).map_err(|error| {
                let cure = "name a CSV file with a column delay_s, as in trace:slow.csv".into();
                fault(format!("cannot read {}: {error}", shown(numbers)), cure)
            })?;
            return trace(&table).map(Self::Trace).map_err(|fault| DeviceError::line(&shown(numbers), fault));
        }
        let numbers: Option<Vec<f64>> = numbers.split(',').map(|number| number.trim().parse().ok()).collect();
        let time = |value: f64, least: f64| match value >= least && value <= LONGEST {
            true => Ok(Seconds(value)),
            false if least > 0.0 => {
                Err(fault(format!("{value} s cannot be"), format!("give seconds above 0 in {form}")))
            }
            false => Err(fault(format!("{value} s cannot be"), format!("give 0 s or more in {form}"))),
        };
        match (name, numbers.as_deref()) {
            ("const", Some(&[value])) => Ok(Self::Const(time(value, 0.0)?)),
            ("exp", Some(&[mean])) => Ok(Self::Exp(time(mean, f64::MIN_POSITIVE)?)),
            ("shifted-exp", Some(&[shift, mean])) => {
                Ok(Self::ShiftedExp { shift: time(shift, 0.0)?, mean: time(mean, f64::MIN_POSITIVE)? })
            }
            ("pareto", Some(&[scale, shape])) if (LEAST_SHAPE..=LONGEST).contains(&shape) => {
                Ok(Self::Pareto { scale: time(scale, f64::MIN_POSITIVE)?, shape })
            }
            ("pareto", Some(&[_, shape])) => {
                Err(fault(format!("the shape {shape} cannot be"), format!("give a shape from {LEAST_SHAPE} in {form}")))
            }
            _ => Err(fault("this is not what the law needs".into(), format!("write {form}, numbers in seconds"))),
        }
    }

    /// The extra time of a task whose work takes so long.
    pub fn extra(&self, work: Seconds, draw: Draw) -> Seconds {
        let exponential = |mean: Seconds| -mean.0 * (-draw.uniform).ln_1p();
        match self {
            Self::Const(time) => *time,
            Self::Exp(mean) => Seconds(exponential(*mean)),
            Self::ShiftedExp { shift, mean } => Seconds(shift.0 + exponential(*mean)),
            Self::Pareto { scale, shape } => Seconds(scale.0 * (1.0 - draw.uniform).powf(-1.0 / shape)),
            Self::Trace(times) => times[(draw.task % times.len() as u64) as usize],
            Self::Times(factor) => Seconds((factor - 1.0) * work.0),
        }
    }
}

/// The laws of all ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct Delay {
    /// What was typed.
    text: String,
    /// The law of the ranks that have none of their own.
    rest: Option<Law>,
    own: BTreeMap<usize, Law>,
}

impl Delay {
    /// Reads `LAW`, or `RANKS=LAW;RANKS=LAW;…` with ranks as in `2`, `1,4-6` or `*` for all others. Traces are files.
    ///
    /// # Errors
    /// As [`Law::parse`], and for ranks that are wrong or have two laws.
    pub fn parse(text: &str) -> Result<Self, DeviceError> {
        Self::parse_with(text, &|path| std::fs::read_to_string(path))
    }

    /// The same, with the texts of traces from `read`.
    ///
    /// # Errors
    /// As [`Delay::parse`].
    pub fn parse_with(text: &str, read: &dyn Fn(&str) -> io::Result<String>) -> Result<Self, DeviceError> {
        let mut delay = Self { text: text.to_owned(), rest: None, own: BTreeMap::new() };
        for part in text.split(';') {
            let part = part.trim();
            let fault = |why: String, cure: &str| DeviceError::Delay { text: shown(part), why, cure: cure.to_owned() };
            // A file's name may hold an equals sign, ranks hold no colon.
            let (ranks, law) = match part.split_once('=') {
                Some((ranks, law)) if !ranks.contains(':') => (ranks.trim(), law.trim()),
                _ => ("*", part),
            };
            let law = Law::parse(law, read)?;
            let twice = |who: String| Err(fault(format!("{who} a law already"), "give every rank one law"));
            if ranks == "*" {
                match delay.rest {
                    None => delay.rest = Some(law),
                    Some(_) => return twice("all other ranks have".into()),
                }
                continue;
            }
            let ranks = listed(ranks)
                .ok_or_else(|| fault(format!("{} are no ranks", shown(ranks)), "write ranks as in 2, 1,4-6 or *"))?;
            for rank in ranks {
                if delay.own.insert(rank, law.clone()).is_some() {
                    return twice(format!("rank {rank} has"));
                }
            }
        }
        Ok(delay)
    }

    /// Checks that every rank with a law of its own is there.
    ///
    /// # Errors
    /// When one is not.
    pub fn check_ranks(&self, ranks: usize) -> Result<(), DeviceError> {
        match self.own.keys().next_back() {
            Some(last) if *last >= ranks => Err(DeviceError::Delay {
                text: shown(&self.text),
                why: format!("there is no rank {last} among {ranks}"),
                cure: format!("name ranks from 0 to {}, or start {} ranks", ranks.saturating_sub(1), last + 1),
            }),
            _ => Ok(()),
        }
    }

    /// The extra time of a task on a rank where its work takes so long.
    pub fn extra(&self, rank: usize, work: Seconds, draw: Draw) -> Seconds {
        let law = self.own.get(&rank).or(self.rest.as_ref());
        law.map_or(Seconds(0.0), |law| law.extra(work, draw))
    }
}

/// The most ranks that a list may name: a mistyped range must not fill the memory.
const MOST_RANKS: usize = 100_000;

fn listed(text: &str) -> Option<Vec<usize>> {
    let mut ranks = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST_RANKS {
            return None;
        }
        ranks.extend(first..=last);
    }
    Some(ranks)
}

/// The column `delay_s` of a table.
fn trace(text: &str) -> Result<Vec<Seconds>, Fault> {
    let fault = |line, why: String, cure: &str| Fault { line, why, cure: cure.to_owned() };
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let header = lines.next().unwrap_or((1, "")).1;
    let column = (header.split(',').position(|name| name.trim() == "delay_s"))
        .ok_or_else(|| fault(1, "there is no column delay_s".into(), "begin with a line that names the columns"))?;
    let mut times = Vec::new();
    for (line, row) in lines.filter(|(_, row)| !row.is_empty()) {
        let field = row.split(',').nth(column).unwrap_or("").trim();
        match field.parse::<f64>() {
            Ok(time) if (0.0..=LONGEST).contains(&time) => times.push(Seconds(time)),
            _ => return Err(fault(line, format!("delay_s = {} cannot be", shown(field)), "write 0 or more seconds")),
        }
    }
    match times.is_empty() {
        true => Err(fault(1, "the trace is empty".into(), "add at least one line with a time")),
        false => Ok(times),
    }
}

#[cfg(test)]
mod tests;
