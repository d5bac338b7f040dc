//! Measured here: what it costs to run a chain of stages beside what these compute: messages at both their ends and on
//! their way, and the loop that takes up one piece after the other.

use super::rates::{Beside, Rates};
use super::stage_costs::{self, Way};
use super::steps;
use super::subject::Subject;
use super::wires;
use crate::comm::{ThreadOptions, run_threads};
use crate::nn::Network;
use crate::plan::scale::{Carrier, Fabric, Upkeep};
use crate::strategy::{self, Hyper, Learn, Pipeline};
use crate::units::{Bytes, Seconds};
use std::collections::HashMap;
use std::time::Instant;

/// What goes over a link at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// Samples.
    pub rows: usize,
    /// Elements of each.
    pub dims: usize,
    /// Pieces that may wait at the link, where these are counted.
    pub window: Option<usize>,
}

/// What was measured.
#[derive(Default)]
pub struct Loops {
    links: HashMap<Piece, Upkeep>,
    around: HashMap<(Way, usize, usize), [Seconds; 2]>,
    packing: Option<Seconds>,
}

/// Work beyond which the microseconds of a loop are neither seen nor of interest.
const LONG: Seconds = Seconds(1e-3);

/// Of a chain, for a step of so many pieces; none of emulated machines, whose loops cost nothing.
pub fn of(
    subject: &Subject,
    hyper: &Hyper,
    rates: &mut Rates,
    fabric: &Fabric,
    (network, plan, way): (&Network, &Pipeline, Way),
    piece: Piece,
    pieces: usize,
) -> Option<Upkeep> {
    if subject.devices.is_some() {
        return None;
    }
    let key = (way, piece.rows, pieces);
    let around = match rates.loops.around.get(&key) {
        Some(known) => *known,
        None => {
            let found = on_threads(rates, subject, || around(subject, hyper, network, plan, way, piece.rows, pieces));
            *rates.loops.around.entry(key).or_insert(found)
        }
    };
    let link = match rates.loops.links.get(&piece) {
        Some(known) => *known,
        None => {
            let found = link(rates, fabric, piece);
            *rates.loops.links.entry(piece).or_insert(found)
        }
    };
    Some(Upkeep { piece: around[0], step: around[1], ..link })
}

impl Loops {
    /// What a rank does for an averaging beside the sum.
    pub fn packing(&mut self, subject: &Subject, hyper: &Hyper) -> Seconds {
        *self.packing.get_or_insert_with(|| {
            let mut once = strategy::packing(subject.network, hyper);
            once();
            let mut times: Vec<f64> = (0..25)
                .map(|_| {
                    let start = Instant::now();
                    once();
                    start.elapsed().as_secs_f64()
                })
                .collect();
            times.sort_by(f64::total_cmp);
            Seconds(times[times.len() / 2])
        })
    }
}

/// Measures on as many threads as a rank would have.
fn on_threads<T: Send>(rates: &Rates, subject: &Subject, measure: impl FnOnce() -> T + Send) -> T {
    match rates.beside() {
        Beside::Launched { .. } => measure(),
        Beside::Started => {
            let threads = subject.threads(subject.ranks);
            let alone = move || {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build();
                let _pool = pool.ok();
                measure()
            };
            std::thread::scope(|scope| scope.spawn(alone).join()).expect("measuring does not panic")
        }
    }
}

/// Messages between neighbours: measured where there are two, else by the constants of a network that is elsewhere.
fn link(rates: &Rates, fabric: &Fabric, piece: Piece) -> Upkeep {
    let Piece { rows, dims, window } = piece;
    let found = match rates.beside() {
        Beside::Launched { comm, peer } if comm.size() > 1 => wires::upkeep(comm, peer, rows, dims, window).ok(),
        Beside::Started if fabric.carrier == Carrier::Threads => {
            let both = run_threads(2, ThreadOptions::default(), |comm| wires::upkeep(comm, 1, rows, dims, window));
            both.into_iter().next().and_then(Result::ok)
        }
        _ => None,
    };
    found.unwrap_or_else(|| Upkeep::assumed(fabric, Bytes(4 * (rows * (dims + 1)) as u64)))
}

/// What the loop takes for a piece and for a step: by how much a step of the whole network as one stage takes longer than
/// its passes and its update, with one piece and with all.
fn around(
    subject: &Subject,
    hyper: &Hyper,
    network: &Network,
    plan: &Pipeline,
    way: Way,
    rows: usize,
    pieces: usize,
) -> [Seconds; 2] {
    let whole = stage_costs::here(subject, hyper, std::slice::from_ref(network), 0, way, rows);
    let passes = whole.forward + whole.backward_input + whole.backward_params;
    if passes.0 > LONG.0 {
        return [Seconds(0.0); 2];
    }
    let excess = |pieces: usize| {
        let learn = match plan.learn {
            Learn::Backprop { schedule, .. } => Learn::Backprop { schedule, micro_batches: pieces },
            local => local,
        };
        let plan = Pipeline { cuts: Vec::new(), learn, ..plan.clone() };
        // What disturbs it only makes it longer.
        let twice = [(); 2].map(|()| steps::in_one_stage(subject, hyper, rows * pieces, network, &plan).0);
        (twice[0].min(twice[1]) - passes.0 * pieces as f64 - whole.update.0).max(0.0)
    };
    let one = excess(1);
    let piece = match pieces {
        0 | 1 => 0.0,
        _ => ((excess(pieces) - one) / (pieces - 1) as f64).max(0.0),
    };
    [Seconds(piece), Seconds((one - piece).max(0.0))]
}
