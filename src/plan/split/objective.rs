//! What a good choice is, and what is said when there is none.

use crate::units::{Bytes, Joules, Seconds};
use std::cmp::Ordering;

/// What a choice costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Its time.
    pub time: Seconds,
    /// Its energy.
    pub energy: Joules,
}

impl Point {
    /// What is never done.
    pub const ENDLESS: Self = Self { time: Seconds(f64::INFINITY), energy: Joules(f64::INFINITY) };

    /// Whether it ends.
    pub fn ends(&self) -> bool {
        self.time.0.is_finite() && self.energy.0.is_finite()
    }
}

/// What is made small, within which limits.
///
/// # Math
/// J(s) = α·T(s)/‖T‖₂ + (1 − α)·E(s)/‖E‖₂ over all choices s, as in ARES. With a deadline alone, the least energy that
/// meets it; with a budget alone, the least time; with both, the least J. Of equals, the one with less energy (with a
/// deadline alone, less time), then the first.
///
/// # References
/// Samikwa et al., *ARES: Adaptive Resource-Aware Split Learning for Internet of Things*, Computer Networks 218 (2022)
/// 109380.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Weight of time against energy, from 0 to 1.
    pub alpha: f64,
    /// Most time.
    pub deadline: Option<Seconds>,
    /// Most energy.
    pub budget: Option<Joules>,
}

/// What times and energies are measured in when both count: the Euclidean norms over some choices.
///
/// Values of [`Objective::value`] compare only with the same norms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norms {
    /// ‖T‖₂
    pub time: f64,
    /// ‖E‖₂
    pub energy: f64,
}

impl Norms {
    /// Over those of these choices that end.
    pub fn over(points: impl IntoIterator<Item = Point>) -> Self {
        let (time, energy) = points.into_iter().filter(Point::ends).fold((0.0, 0.0), |(time, energy), point| {
            (time + point.time.0 * point.time.0, energy + point.energy.0 * point.energy.0)
        });
        Self { time: time.sqrt(), energy: energy.sqrt() }
    }
}

/// A number with four digits that count, whatever its size.
fn short(value: f64) -> String {
    let digits = if value == 0.0 || !value.is_finite() { 0 } else { 3 - value.abs().log10().floor() as i32 };
    format!("{value:.*}", digits.clamp(0, 12) as usize)
}

/// No choice is within the limits: which limit, and by how much the best one misses it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Infeasible {
    /// There is nothing to choose from.
    #[error("there is no cut to choose from")]
    Nothing,
    /// Nothing fits into a device.
    #[error(
        "no cut fits the memory of {name}: the smallest needs {}, {} more than its {}; use a smaller batch or model, or \
         leave this device out", bytes(.needs.0), bytes(.needs.0 - .has.0), bytes(.has.0)
    )]
    Memory {
        /// The device.
        name: String,
        /// What the smallest cut needs.
        needs: Bytes,
        /// What there is.
        has: Bytes,
    },
    /// The server's parts do not fit into it.
    #[error(
        "no cuts fit the memory of the server: the smallest parts need {}, {} more than its {}; use fewer devices, a \
         smaller batch or a protocol that shares the server's part",
        bytes(.needs.0), bytes(.needs.0 - .has.0), bytes(.has.0)
    )]
    ServerMemory {
        /// What the smallest parts need.
        needs: Bytes,
        /// What there is.
        has: Bytes,
    },
    /// Every choice sends over a link that carries nothing.
    #[error("every cut takes for ever: a link carries 0 Mbit/s; give it a bandwidth above 0, or leave its device out")]
    Endless,
    /// Nothing is fast enough.
    #[error(
        "no cut meets the deadline of {} s: the fastest takes {} s, {} s too long; allow at least that, or \
         give faster links or devices", short(.limit.0), short(.best.0), short(.best.0 - .limit.0)
    )]
    Deadline {
        /// The most time.
        limit: Seconds,
        /// The least there is.
        best: Seconds,
    },
    /// Nothing is frugal enough.
    #[error(
        "no cut keeps the energy budget of {} J: the most frugal takes {} J, {} J too many; allow at least \
         that, or use a lower power mode", short(.limit.0), short(.best.0), short(.best.0 - .limit.0)
    )]
    Budget {
        /// The most energy.
        limit: Joules,
        /// The least there is.
        best: Joules,
    },
    /// Each limit could be kept, but not both.
    #[error(
        "no cut keeps both limits: within {} s the most frugal takes {} J, {} J above the budget of {} J; \
         allow more energy, or at least {} s", short(.deadline.0), short(.frugal.0), short(.frugal.0 - .budget.0), short(.budget.0), short(.fast.0)
    )]
    Both {
        /// The most time.
        deadline: Seconds,
        /// The most energy.
        budget: Joules,
        /// The least energy within the deadline.
        frugal: Joules,
        /// The least time within the budget.
        fast: Seconds,
    },
}

fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| count >= *size);
    unit.map_or_else(|| format!("{count} B"), |(size, name)| format!("{:.2} {name}", count as f64 / *size as f64))
}

impl Objective {
    /// This weight, without limits.
    pub fn weighted(alpha: f64) -> Self {
        Self { alpha, deadline: None, budget: None }
    }

    /// Whether a choice is within the limits, and ends.
    pub fn allows(&self, point: Point) -> bool {
        point.ends()
            && self.deadline.is_none_or(|deadline| point.time.0 <= deadline.0)
            && self.budget.is_none_or(|budget| point.energy.0 <= budget.0)
    }

    /// What is made small: J, or with one limit alone what that does not limit. None outside the limits.
    pub fn value(&self, point: Point, norms: &Norms) -> Option<f64> {
        let weighted = || {
            // A norm of 0 is one over zeros: then there is nothing to choose by.
            let share = |weight: f64, value: f64, norm: f64| if norm > 0.0 { weight * value / norm } else { 0.0 };
            share(self.alpha, point.time.0, norms.time) + share(1.0 - self.alpha, point.energy.0, norms.energy)
        };
        self.allows(point).then(|| match (self.deadline, self.budget) {
            (Some(_), None) => point.energy.0,
            (None, Some(_)) => point.time.0,
            _ => weighted(),
        })
    }

    /// Which of two choices is the better one: less is better. What is outside the limits comes last.
    pub fn compare(&self, one: Point, other: Point, norms: &Norms) -> Ordering {
        let key = |point: Point| {
            let value = self.value(point, norms).unwrap_or(f64::INFINITY);
            let second = if self.deadline.is_some() && self.budget.is_none() { point.time.0 } else { point.energy.0 };
            (value, second)
        };
        let ((one, then), (other, other_then)) = (key(one), key(other));
        one.total_cmp(&other).then(then.total_cmp(&other_then))
    }

    /// The best of these choices; the norms are over all of them. None is a choice that cannot be made.
    ///
    /// # Errors
    /// When none is within the limits.
    pub fn choose(&self, points: &[Option<Point>]) -> Result<usize, Infeasible> {
        self.choose_with(points, &Norms::over(points.iter().copied().flatten()))
    }

    /// The same with other norms.
    ///
    /// # Errors
    /// When none is within the limits.
    pub fn choose_with(&self, points: &[Option<Point>], norms: &Norms) -> Result<usize, Infeasible> {
        let allowed = points.iter().enumerate().filter_map(|(at, point)| Some((at, (*point)?)));
        allowed
            .filter(|(_, point)| self.allows(*point))
            .min_by(|(_, one), (_, other)| self.compare(*one, *other, norms))
            .map(|(at, _)| at)
            .ok_or_else(|| self.missed(points.iter().copied().flatten()))
    }

    /// Why none of these choices is within the limits.
    pub fn missed(&self, points: impl IntoIterator<Item = Point>) -> Infeasible {
        let all: Vec<Point> = points.into_iter().collect();
        let ending = || all.iter().filter(|point| point.ends());
        let least = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
        let (fastest, most_frugal) =
            (least(&mut ending().map(|point| point.time.0)), least(&mut ending().map(|point| point.energy.0)));
        match (self.deadline, self.budget) {
            _ if all.is_empty() => Infeasible::Nothing,
            _ if ending().next().is_none() => Infeasible::Endless,
            (Some(limit), _) if fastest > limit.0 => Infeasible::Deadline { limit, best: Seconds(fastest) },
            (_, Some(limit)) if most_frugal > limit.0 => Infeasible::Budget { limit, best: Joules(most_frugal) },
            (Some(deadline), Some(budget)) => {
                let within = ending().filter(|point| point.time.0 <= deadline.0);
                let frugal = Joules(least(&mut within.map(|point| point.energy.0)));
                let within = ending().filter(|point| point.energy.0 <= budget.0);
                let fast = Seconds(least(&mut within.map(|point| point.time.0)));
                Infeasible::Both { deadline, budget, frugal, fast }
            }
            _ => Infeasible::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
