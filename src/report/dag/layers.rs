//! Layers: each node stands one layer behind the last of those that it waits for.

/// The layer of each node. Nodes of a cycle, which a plan never has, come last.
pub(super) fn assign(dependents: &[Vec<usize>]) -> Vec<usize> {
    let mut waits = vec![0usize; dependents.len()];
    for &to in dependents.iter().flatten() {
        waits[to] += 1;
    }
    let mut layers = vec![0; dependents.len()];
    let mut ready: Vec<usize> = (0..dependents.len()).filter(|i| waits[*i] == 0).collect();
    let mut at = 0;
    while at < ready.len() {
        let from = ready[at];
        at += 1;
        for &to in &dependents[from] {
            layers[to] = layers[to].max(layers[from] + 1);
            waits[to] -= 1;
            if waits[to] == 0 {
                ready.push(to);
            }
        }
    }
    let last = layers.iter().max().map_or(0, |last| last + 1);
    for (layer, waits) in layers.iter_mut().zip(waits) {
        if waits > 0 {
            *layer = last;
        }
    }
    layers
}

/// Drops edges that others imply (`a → c` beside `a → b → c`), and those that do not lead to a later layer. For small
/// graphs: the work grows with nodes times edges.
pub(super) fn reduce(dependents: &[Vec<usize>], layers: &[usize]) -> Vec<Vec<usize>> {
    let mut reduced = Vec::with_capacity(dependents.len());
    for list in dependents {
        let mut implied = vec![false; dependents.len()];
        let mut todo: Vec<usize> = list.clone();
        let mut seen = vec![false; dependents.len()];
        while let Some(at) = todo.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                for &next in &dependents[at] {
                    implied[next] = true;
                    todo.push(next);
                }
            }
        }
        reduced.push(list.iter().copied().filter(|to| !implied[*to]).collect());
    }
    forward(&reduced, layers)
}

/// Drops edges that do not lead to a later layer.
pub(super) fn forward(dependents: &[Vec<usize>], layers: &[usize]) -> Vec<Vec<usize>> {
    let later = |from: usize, list: &[usize]| list.iter().copied().filter(|to| layers[*to] > layers[from]).collect();
    dependents.iter().enumerate().map(|(from, list)| later(from, list)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_follow_the_longest_way_and_implied_edges_go() {
        let dependents = vec![vec![1, 2], vec![2], vec![], vec![4], vec![3]];
        let layers = assign(&dependents);
        assert_eq!(layers, [0, 1, 2, 3, 3]);
        assert_eq!(reduce(&dependents, &layers), [vec![1], vec![2], vec![], vec![], vec![]]);
    }
}
