//! The model's constants, where a task may be, and what a placement comes to.

use super::table::Table;
use super::{Instance, MecError};
use crate::units::{Joules, Seconds};

/// What a server draws while it computes, by its speed f.
///
/// # Math
/// P(f) = scale (f / 10^9)^exponent + base, with f **as given**. The published work gives f in GHz (3.6) and divides it by
/// 10^9 all the same, so that P is the base to nine digits. The quirk is kept: its results are reproduced only with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLaw {
    /// α.
    pub scale: f64,
    /// s.
    pub exponent: f64,
    /// β.
    pub base: f64,
}

impl PowerLaw {
    /// The watts at a speed.
    pub fn at(&self, speed: f64) -> f64 {
        self.scale * (speed / 1e9).powf(self.exponent) + self.base
    }
}

/// Where a task is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// On the device itself.
    #[default]
    Local,
    /// On the edge server of this index.
    Edge(usize),
    /// In the cloud.
    Cloud,
}

/// The constants of the mobile-edge-cloud model.
///
/// # Math
/// R = bandwidth log2(1 + P_tx gain / noise²). Of a task with work W and data d:
///
/// | place | time | energy | cost | to the edge's utility | to the cloud's |
/// |---|---|---|---|---|---|
/// | device | W / f_l | E_l = k W f_l² | E_l | | |
/// | edge i | W / f_e | E_e = P_e W / f_e | price_i d + E_t | price_i d - E_e | |
/// | cloud | W / f_c | E_c = P_c W / f_c | price_c d + E_t + E_s | - E_s | price_c d - E_c |
///
/// with the upload T_t = d / R, E_t = P_tx T_t, and the way from edge to cloud T_r = d / W_cloud, E_s = P0 T_r. The upload is
/// paid for wherever the data come from. A task on the device is ready at the last finish of its predecessors: results
/// come back for free; on an edge server also T_t behind those on the device and d / edge_link behind those on other
/// edge servers; in the cloud T_r behind those on the edge and T_t + T_r behind those on the device. Nothing queues.
#[derive(Debug, Clone, PartialEq)]
pub struct Mec {
    /// f_l.
    pub local_speed: f64,
    /// f_e, of every edge server.
    pub edge_speed: f64,
    /// f_c.
    pub cloud_speed: f64,
    /// W in R.
    pub bandwidth: f64,
    /// P_tx.
    pub transmit_power: f64,
    /// G.
    pub gain: f64,
    /// w.
    pub noise: f64,
    /// W_cloud, from any edge server to the cloud.
    pub cloud_link: f64,
    /// From one edge server to another. Infinite in the published formulas: there it is free.
    pub edge_link: f64,
    /// P0, what sending from edge to cloud draws.
    pub relay_power: f64,
    /// k in E_l.
    pub switched_capacitance: f64,
    /// Of each edge server, a unit of data.
    pub edge_prices: Vec<f64>,
    /// Of the cloud, a unit of data.
    pub cloud_price: f64,
    /// Of an edge server.
    pub edge_power: PowerLaw,
    /// Of the cloud.
    pub cloud_power: PowerLaw,
    /// The work that GCC gives one edge server at most. It is a rule of that planner: the model has no queues, and no other
    /// method heeds it.
    pub max_workload: f64,
}

impl Mec {
    /// The constants of the published edge-cloud programme (SEP): one edge server.
    pub fn edge_cloud() -> Self {
        Self {
            local_speed: 1.0,
            edge_speed: 3.6,
            cloud_speed: 4.0,
            bandwidth: 5.0,
            transmit_power: 0.2,
            gain: 10.0,
            noise: 1.0,
            cloud_link: 10.0,
            edge_link: f64::INFINITY,
            relay_power: 0.1,
            switched_capacitance: 1e-11,
            edge_prices: vec![1.0],
            cloud_price: 2.0,
            edge_power: PowerLaw { scale: 1.6, exponent: 1.2, base: 1.6 },
            cloud_power: PowerLaw { scale: 2.6, exponent: 1.2, base: 2.6 },
            max_workload: 100.0,
        }
    }

    /// The constants of the published programme in which edge servers work together (GCC): four of them, with their prices.
    pub fn cooperating() -> Self {
        let exponent = 1.5;
        Self {
            cloud_speed: 5.0,
            cloud_link: 100.0,
            edge_prices: vec![1.0, 0.8, 0.6, 0.7],
            edge_power: PowerLaw { scale: 1.6, exponent, base: 1.6 },
            cloud_power: PowerLaw { scale: 2.6, exponent, base: 2.6 },
            ..Self::edge_cloud()
        }
    }

    /// The same without edge-to-edge cooperation: only the first edge server.
    pub fn alone(&self) -> Self {
        Self { edge_prices: self.edge_prices[..1].to_vec(), ..self.clone() }
    }

    /// R, what the device uploads in a second.
    pub fn upload_rate(&self) -> f64 {
        self.bandwidth * (1.0 + self.transmit_power * self.gain / self.noise.powi(2)).log2()
    }

    /// Checks constants that a user gave.
    ///
    /// # Errors
    /// When a speed, a bandwidth or a link is not above zero, a price or a power is negative, or there is no edge server.
    pub fn check(&self) -> Result<(), MecError> {
        let above = [
            ("local speed", self.local_speed),
            ("edge speed", self.edge_speed),
            ("cloud speed", self.cloud_speed),
            ("bandwidth", self.bandwidth),
            ("transmit power", self.transmit_power),
            ("gain", self.gain),
            ("noise", self.noise),
            ("cloud link", self.cloud_link),
            ("edge link", self.edge_link),
        ];
        let endless = |name| matches!(name, "cloud link" | "edge link");
        if let Some((name, value)) =
            above.into_iter().find(|(name, it)| !(*it > 0.0 && (it.is_finite() || endless(name))))
        {
            return Err(MecError::Constant { name, value, cure: "a number above zero" });
        }
        let prices = self.edge_prices.iter().map(|price| ("price of an edge server", *price));
        let more = [
            ("price of the cloud", self.cloud_price),
            ("relay power", self.relay_power),
            ("switched capacitance", self.switched_capacitance),
            ("power of an edge server", self.edge_power.at(self.edge_speed)),
            ("power of the cloud", self.cloud_power.at(self.cloud_speed)),
        ];
        if let Some((name, value)) = prices.chain(more).find(|(_, it)| !(it.is_finite() && *it >= 0.0)) {
            return Err(MecError::Constant { name, value, cure: "a number that is not negative" });
        }
        if self.edge_prices.is_empty() {
            return Err(MecError::NoEdge);
        }
        Ok(())
    }
}

impl Default for Mec {
    fn default() -> Self {
        Self::cooperating()
    }
}

/// What a placement comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// When the last task is done.
    pub finish: Seconds,
    /// What the device pays, in money and in joules added as the model has it.
    pub cost: f64,
    /// What the edge servers gain together; not negative in a plan that they agree to.
    pub edge_utility: f64,
    /// What the cloud gains. Reported, and no constraint: the published optimum has none on it.
    pub cloud_utility: f64,
    /// What all of them use: E_l; E_t + E_e; E_t + E_s + E_c.
    pub energy: Joules,
}

impl Figures {
    /// Whether it costs no more than a budget, but for rounding.
    pub fn meets_budget(&self, budget: f64) -> bool {
        self.cost <= most(budget)
    }

    /// Whether the edge servers lose nothing, but for rounding.
    pub fn meets_utility(&self) -> bool {
        self.edge_utility >= LEAST_UTILITY
    }

    /// Whether it is a plan at all, under a budget.
    pub fn feasible(&self, budget: f64) -> bool {
        self.meets_budget(budget) && self.meets_utility()
    }
}

/// Zero but for the rounding of sums in another order.
pub(super) const LEAST_UTILITY: f64 = -1e-9;

/// A budget but for the rounding of sums in another order.
pub(super) fn most(budget: f64) -> f64 {
    budget + budget.abs() * 1e-12
}

/// What a placement comes to under the model; a place for each task.
///
/// # Panics
/// When there are more or fewer places than tasks, or an edge server that the model has not.
pub fn evaluate(instance: &Instance, mec: &Mec, places: &[Place]) -> Figures {
    assert_eq!(places.len(), instance.tasks(), "a place for each task");
    Table::new(instance, mec).figures(places)
}
