//! A pure dependency graph: what may start, and what is most urgent. It knows no AWS.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// Nodes that wait for other nodes.
#[derive(Debug, Clone)]
pub struct Graph<N> {
    graph: DiGraph<N, ()>,
    index: BTreeMap<N, NodeIndex>,
}

/// Nodes that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cycle of {} nodes", .members.len())]
pub struct Cycle<N: Display> {
    /// The nodes of one cycle.
    pub members: Vec<N>,
}

impl<N: Ord + Clone + Display> Graph<N> {
    /// Builds the graph from nodes and what each waits for. Names of nodes that are not there are ignored.
    pub fn new(nodes: impl IntoIterator<Item = (N, Vec<N>)>) -> Result<Self, Cycle<N>> {
        let nodes: Vec<(N, Vec<N>)> = nodes.into_iter().collect();
        let mut graph = DiGraph::new();
        let index: BTreeMap<N, NodeIndex> = nodes
            .iter()
            .map(|(node, _)| (node.clone(), graph.add_node(node.clone())))
            .collect();
        for (node, after) in &nodes {
            for before in after {
                if let (Some(&from), Some(&to)) = (index.get(before), index.get(node)) {
                    graph.update_edge(from, to, ());
                }
            }
        }
        if toposort(&graph, None).is_err() {
            let members = tarjan_scc(&graph)
                .into_iter()
                .find(|part| part.len() > 1 || part.iter().any(|&node| graph.contains_edge(node, node)))
                .unwrap_or_default()
                .into_iter()
                .map(|node| graph[node].clone())
                .collect();
            return Err(Cycle { members });
        }
        Ok(Self { graph, index })
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &N> {
        self.index.keys()
    }

    /// What a node waits for.
    pub fn before(&self, node: &N) -> BTreeSet<&N> {
        self.neighbors(node, petgraph::Direction::Incoming)
    }

    /// What waits for a node.
    pub fn behind(&self, node: &N) -> BTreeSet<&N> {
        self.neighbors(node, petgraph::Direction::Outgoing)
    }

    fn neighbors(&self, node: &N, direction: petgraph::Direction) -> BTreeSet<&N> {
        match self.index.get(node) {
            Some(&at) => self
                .graph
                .neighbors_directed(at, direction)
                .map(|next| &self.graph[next])
                .collect(),
            None => BTreeSet::new(),
        }
    }

    /// For each node, the time from its start to the end of everything behind it: start the largest first.
    pub fn urgency(&self, cost: impl Fn(&N) -> Duration) -> BTreeMap<N, Duration> {
        let order = toposort(&self.graph, None).unwrap_or_default();
        let mut urgency: BTreeMap<N, Duration> = BTreeMap::new();
        for at in order.into_iter().rev() {
            let behind = self
                .graph
                .neighbors_directed(at, petgraph::Direction::Outgoing)
                .filter_map(|next| urgency.get(&self.graph[next]))
                .max()
                .copied()
                .unwrap_or_default();
            let node = &self.graph[at];
            urgency.insert(node.clone(), cost(node) + behind);
        }
        urgency
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cycle_is_named() {
        let cycle = Graph::new([("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["b"])]).unwrap_err();
        let members: BTreeSet<&str> = cycle.members.into_iter().collect();
        assert_eq!(members, BTreeSet::from(["b", "c"]));
        assert!(Graph::new([("a", vec!["a"])]).is_err());
    }

    #[test]
    fn the_longest_chain_is_most_urgent() {
        let graph = Graph::new([("role", vec![]), ("function", vec!["role"]), ("table", vec![])]).unwrap();
        let urgency = graph.urgency(|node| Duration::from_secs(if *node == "table" { 8 } else { 5 }));
        assert_eq!(urgency["role"], Duration::from_secs(10));
        assert!(urgency["role"] > urgency["table"]);
    }

    proptest! {
        /// Edges only ever point backwards, so the graph has no cycle and every node is more urgent than what waits for it.
        #[test]
        fn urgency_falls_along_every_edge(edges in prop::collection::vec((0usize..12, 0usize..12), 0..40)) {
            let nodes: Vec<(usize, Vec<usize>)> = (0..12)
                .map(|n| (n, edges.iter().filter(|(a, b)| *a == n && b < a).map(|(_, b)| *b).collect()))
                .collect();
            let graph = Graph::new(nodes.clone()).unwrap();
            let urgency = graph.urgency(|_| Duration::from_secs(1));
            for (node, after) in nodes {
                for before in after {
                    prop_assert!(urgency[&before] > urgency[&node]);
                    prop_assert!(graph.behind(&before).contains(&node));
                    prop_assert!(graph.before(&node).contains(&before));
                }
            }
        }
    }
}
