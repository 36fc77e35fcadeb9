//! The DAG: a stable topological order, rings, and who stands before and after whom. Linear in stages and needs (times a
//! logarithm for the order).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::ir::{Plan, StageIndex};

/// A topological order, file order where the DAG leaves it open. `needs[i]` are the stages that `i` waits for.
/// Where there are rings: the stages of each.
pub fn order(needs: &[Vec<StageIndex>]) -> Result<Vec<StageIndex>, Vec<Vec<StageIndex>>> {
    let edges = needs.iter().map(Vec::len).sum();
    let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(needs.len(), edges);
    needs.iter().for_each(|_| {
        graph.add_node(());
    });
    for (stage, list) in needs.iter().enumerate() {
        for need in list {
            graph.add_edge(NodeIndex::new(need.0 as usize), NodeIndex::new(stage), ());
        }
    }
    let mut waits: Vec<u32> = needs.iter().map(|list| list.len() as u32).collect();
    let mut ready: BinaryHeap<Reverse<u32>> =
        (0..needs.len()).filter(|at| waits[*at] == 0).map(|at| Reverse(at as u32)).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(stage)) = ready.pop() {
        order.push(StageIndex(stage));
        for dependent in graph.neighbors_directed(NodeIndex::new(stage as usize), Direction::Outgoing) {
            let left = &mut waits[dependent.index()];
            *left -= 1;
            if *left == 0 {
                ready.push(Reverse(dependent.index() as u32));
            }
        }
    }
    if order.len() == needs.len() {
        return Ok(order);
    }
    let rings = tarjan_scc(&graph)
        .into_iter()
        .filter(|ring| ring.len() > 1 || ring.first().is_some_and(|at| graph.find_edge(*at, *at).is_some()));
    Err(rings.map(|ring| ring.into_iter().rev().map(|at| StageIndex(at.index() as u32)).collect()).collect())
}

/// Which stages can be reached from `start` (these too) by `next`.
pub fn reach<'a>(count: usize, start: &[StageIndex], next: impl Fn(StageIndex) -> &'a [StageIndex]) -> Vec<bool> {
    let mut reached = vec![false; count];
    let mut todo = start.to_vec();
    while let Some(at) = todo.pop() {
        if !std::mem::replace(&mut reached[at.0 as usize], true) {
            todo.extend_from_slice(next(at));
        }
    }
    reached
}

/// Every transitive ancestor of `stage`, in file order, without itself.
pub fn ancestors(plan: &Plan, stage: StageIndex) -> Vec<StageIndex> {
    let reached = reach(plan.stages.len(), &plan.stage(stage).needs, |at| &plan.stage(at).needs);
    (0..plan.stages.len() as u32).map(StageIndex).filter(|at| reached[at.0 as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(needs: &[&[u32]]) -> Result<Vec<u32>, Vec<Vec<u32>>> {
        let needs: Vec<Vec<StageIndex>> = needs.iter().map(|l| l.iter().copied().map(StageIndex).collect()).collect();
        let plain = |list: Vec<StageIndex>| list.into_iter().map(|at| at.0).collect::<Vec<u32>>();
        order(&needs).map(plain).map_err(|rings| rings.into_iter().map(plain).collect())
    }

    #[test]
    fn file_order_decides_where_needs_do_not() {
        assert_eq!(order_of(&[&[3], &[], &[1], &[]]).unwrap(), [1, 2, 3, 0]);
        assert_eq!(order_of(&[]).unwrap(), Vec::<u32>::new());
    }

    #[test]
    fn rings_are_named() {
        let mut rings = order_of(&[&[], &[0, 2], &[1], &[3]]).unwrap_err();
        rings.iter_mut().for_each(|ring| ring.sort_unstable());
        rings.sort();
        assert_eq!(rings, [vec![1, 2], vec![3]]);
    }
}
