//! Whose batch the server takes next.

use super::Protocol;

/// The batches that wait, and whose turn it is.
///
/// Where each device has its own part on the server, whoever comes is served. Where all share one, the steps of an epoch
/// are taken one after the other: of a step's batches in any order where their gradients are averaged, in the order of
/// the devices where each moves the part. So the weights do not depend on who is fast.
#[derive(Debug, Default)]
pub(super) struct Turns {
    protocol: Protocol,
    /// Of the epoch, where steps are taken one after the other.
    pub step: u64,
    served: Vec<bool>,
}

impl Turns {
    /// Turns of so many devices, from a step on.
    pub fn new(protocol: Protocol, devices: usize, step: u64) -> Self {
        Self { protocol, step, served: vec![false; devices] }
    }

    /// The device to serve: `waiting` tells the step of a device's waiting batch and when it came, in virtual time; `due`
    /// whether a device has a batch in a step.
    pub fn next(
        &self,
        waiting: impl Fn(usize) -> Option<(u64, f64)>,
        due: impl Fn(usize, u64) -> bool,
    ) -> Option<usize> {
        let mut devices = 0..self.served.len();
        let came = |d: &usize| waiting(*d).filter(|(step, _)| !self.in_step() || *step == self.step);
        match self.protocol {
            Protocol::SplitFedV2 => {
                let first = devices.find(|d| !self.served[*d] && due(*d, self.step))?;
                came(&first).map(|_| first)
            }
            _ => {
                let there = devices.filter_map(|d| came(&d).map(|(_, time)| (time, d)));
                there.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, d)| d)
            }
        }
    }

    /// Whether a step is over before the next begins.
    fn in_step(&self) -> bool {
        matches!(self.protocol, Protocol::SplitFedV1 | Protocol::SplitFedV2)
    }

    /// A device was served.
    pub fn serve(&mut self, device: usize) {
        self.served[device] = true;
    }

    /// Whether all who have a batch in this step were served; the next step is the first in which somebody has one.
    pub fn close(&mut self, end: u64, due: impl Fn(usize, u64) -> bool) -> bool {
        let devices = 0..self.served.len();
        if !self.in_step() || devices.clone().any(|d| due(d, self.step) && !self.served[d]) {
            return false;
        }
        self.served.fill(false);
        self.step += 1;
        while self.step < end && !devices.clone().any(|d| due(d, self.step)) {
            self.step += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves what waits until nobody is to be served; tells whom, and the step that then runs.
    fn serve(turns: &mut Turns, waiting: &mut [Option<u64>], due: &dyn Fn(usize, u64) -> bool) -> (Vec<usize>, u64) {
        let mut served = Vec::new();
        while let Some(device) = turns.next(|d| waiting[d].map(|step| (step, 0.0)), due) {
            waiting[device] = None;
            turns.serve(device);
            served.push(device);
            turns.close(10, due);
        }
        (served, turns.step)
    }

    #[test]
    fn whose_turn_it_is() {
        let all = |_: usize, step: u64| step < 10;
        let of = |protocol| Turns::new(protocol, 3, 4);
        // Device 2 is a step ahead, device 0 is late.
        let late = [None, Some(4), Some(5)];
        assert_eq!(serve(&mut of(Protocol::Ares), &mut late.clone(), &all), (vec![1, 2], 4));
        assert_eq!(serve(&mut of(Protocol::SplitFedV1), &mut late.clone(), &all), (vec![1], 4));
        assert_eq!(serve(&mut of(Protocol::SplitFedV2), &mut late.clone(), &all), (vec![], 4));
        let there = [Some(4), Some(4), Some(4)];
        assert_eq!(serve(&mut of(Protocol::SplitFedV1), &mut there.clone(), &all), (vec![0, 1, 2], 5));
        assert_eq!(serve(&mut of(Protocol::SplitFedV2), &mut there.clone(), &all), (vec![0, 1, 2], 5));
        // Device 0 has died, or has no batch in step 4: nobody waits for it.
        let some = |device: usize, step: u64| device > 0 && step < 10;
        assert_eq!(serve(&mut of(Protocol::SplitFedV2), &mut [None, Some(4), Some(4)], &some), (vec![1, 2], 5));
        let times = [Some((4, 3.0)), Some((5, 1.0)), Some((4, 2.0))];
        assert_eq!(of(Protocol::SplitFedV1).next(|d| times[d], all), Some(2), "who came first");
        assert_eq!(of(Protocol::Ares).next(|d| times[d], all), Some(1));
        // Nobody has a batch in steps 5 and 6.
        let gap = |_: usize, step: u64| step == 4 || step == 7;
        assert_eq!(serve(&mut of(Protocol::SplitFedV1), &mut there.clone(), &gap), (vec![0, 1, 2], 7));
    }
}
