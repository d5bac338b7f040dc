//! The smallest cut of a directed graph between two of its nodes.
//!
//! # References
//! Dinic, *Algorithm for solution of a problem of maximum flow in networks with power estimation*, Soviet Math. Doklady
//! 11, 1970. Ford and Fulkerson, *Flows in Networks*, Princeton University Press, 1962 (that it is the smallest cut).

use std::collections::VecDeque;

/// A directed edge, and how much more may flow along it.
#[derive(Debug, Clone, Copy)]
struct Edge {
    to: usize,
    left: f64,
}

/// Nodes, and edges with a capacity. Capacities may be infinite.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Each beside its way back: edge `e` and edge `e ^ 1`.
    edges: Vec<Edge>,
    /// By node: the edges that leave it.
    leaving: Vec<Vec<usize>>,
}

impl Network {
    /// So many nodes, and no edges.
    pub fn new(nodes: usize) -> Self {
        Self { edges: Vec::new(), leaving: vec![Vec::new(); nodes] }
    }

    /// One more node; gives its index.
    pub fn node(&mut self) -> usize {
        self.leaving.push(Vec::new());
        self.leaving.len() - 1
    }

    /// One more edge; what may flow is not negative.
    pub fn edge(&mut self, from: usize, to: usize, capacity: f64) {
        for (from, to, left) in [(from, to, capacity), (to, from, 0.0)] {
            self.leaving[from].push(self.edges.len());
            self.edges.push(Edge { to, left });
        }
    }

    /// The nodes on the source's side of a smallest cut, as few as there can be; none when every cut is infinite.
    pub fn smallest_cut(mut self, source: usize, sink: usize) -> Option<Vec<bool>> {
        loop {
            let level = self.levels(source);
            if level[sink] == usize::MAX {
                return Some(level.into_iter().map(|level| level != usize::MAX).collect());
            }
            // By node: how many of the edges that leave it need not be tried again in this round.
            let mut tried = vec![0; self.leaving.len()];
            while let Some(path) = self.path(source, sink, &level, &mut tried) {
                let most = path.iter().map(|edge| self.edges[*edge].left).fold(f64::INFINITY, f64::min);
                if most == f64::INFINITY {
                    return None;
                }
                for edge in path {
                    self.edges[edge].left -= most;
                    self.edges[edge ^ 1].left += most;
                }
            }
        }
    }

    /// By node: the fewest edges with something left on a way to it.
    fn levels(&self, source: usize) -> Vec<usize> {
        let mut level = vec![usize::MAX; self.leaving.len()];
        level[source] = 0;
        let mut next = VecDeque::from([source]);
        while let Some(node) = next.pop_front() {
            for Edge { to, left } in self.leaving[node].iter().map(|edge| self.edges[*edge]) {
                if left > 0.0 && level[to] == usize::MAX {
                    level[to] = level[node] + 1;
                    next.push_back(to);
                }
            }
        }
        level
    }

    /// Edges that lead from the source to the sink, level by level, with something left on each.
    fn path(&self, source: usize, sink: usize, level: &[usize], tried: &mut [usize]) -> Option<Vec<usize>> {
        let mut path: Vec<usize> = Vec::new();
        let mut node = source;
        while node != sink {
            let Some(edge) = self.leaving[node].get(tried[node]).copied() else {
                // A dead end: the edge that led here need not be tried again.
                let back = path.pop()?;
                node = self.edges[back ^ 1].to;
                tried[node] += 1;
                continue;
            };
            let Edge { to, left } = self.edges[edge];
            if left > 0.0 && level[to] == level[node] + 1 {
                path.push(edge);
                node = to;
            } else {
                tried[node] += 1;
            }
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ways from 0 to 3, and a bridge between them: 2 + 3 in all, cut behind 1 and behind 0.
    #[test]
    fn cuts_by_hand() {
        let network = |bridge: f64| {
            let mut network = Network::new(4);
            for (from, to, capacity) in [(0, 1, 9.0), (0, 2, 3.0), (1, 3, 2.0), (2, 3, 9.0), (1, 2, bridge)] {
                network.edge(from, to, capacity);
            }
            network
        };
        assert_eq!(network(0.0).smallest_cut(0, 3), Some(vec![true, true, false, false]));
        // The bridge lets 6 more through, until 2 -> 3 is full: 2 + 9.
        assert_eq!(network(7.0).smallest_cut(0, 3), Some(vec![true, true, true, false]));
        let mut endless = network(1.0);
        endless.edge(0, 3, f64::INFINITY);
        assert_eq!(endless.smallest_cut(0, 3), None);
    }
}
