//! Where things stand: layers with an order in which few lines cross, and places along a layer.
//!
//! Lines are nets: one or several sources of one layer with their targets. A net that goes past a layer has a bend there, an
//! item of its own, so that its line never runs through a box.

use std::collections::HashMap;

use super::layers;

/// Sweeps over all layers; more change little.
const SWEEPS: usize = 8;

/// Bends beyond which lines are drawn straight instead: too many to be followed anyhow.
const MAX_BENDS: usize = 20_000;

/// A box or a bend.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) layer: usize,
    /// The node; none for a bend.
    pub(super) node: Option<usize>,
}

/// The part of a net between a layer and the next.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The layer above.
    pub(super) layer: usize,
    /// Items of that layer.
    pub(super) tops: Vec<usize>,
    /// Items of later layers (of the next one, unless lines are drawn straight).
    pub(super) bottoms: Vec<usize>,
}

/// Items in order. The first items are the nodes.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) items: Vec<Item>,
    /// Items of each layer, in order.
    pub(super) layers: Vec<Vec<usize>>,
    pub(super) segments: Vec<Segment>,
}

/// Lays out nodes. With `bundle`, sources of one layer that have the same targets share their lines.
pub(super) fn lay_out(dependents: &[Vec<usize>], layer_of: &[usize], bundle: bool) -> Layout {
    let mut nets: Vec<(Vec<usize>, &Vec<usize>)> = Vec::new();
    let mut known: HashMap<(usize, &Vec<usize>), usize> = HashMap::new();
    for (from, targets) in dependents.iter().enumerate().filter(|(_, targets)| !targets.is_empty()) {
        if bundle && let Some(net) = known.get(&(layer_of[from], targets)) {
            nets[*net].0.push(from);
            continue;
        }
        known.insert((layer_of[from], targets), nets.len());
        nets.push((vec![from], targets));
    }
    let reach = |net: &(Vec<usize>, &Vec<usize>)| net.1.iter().map(|to| layer_of[*to]).max().unwrap_or(0);
    let bends: usize = nets.iter().map(|net| reach(net).saturating_sub(layer_of[net.0[0]] + 1)).sum();
    let mut items: Vec<Item> = layer_of.iter().enumerate().map(|(i, l)| Item { layer: *l, node: Some(i) }).collect();
    let mut segments = Vec::new();
    for net in &nets {
        let (first, last) = (layer_of[net.0[0]], reach(net));
        if bends > MAX_BENDS {
            segments.push(Segment { layer: first, tops: net.0.clone(), bottoms: net.1.clone() });
            continue;
        }
        let mut tops = net.0.clone();
        for layer in first..last {
            let mut bottoms: Vec<usize> = net.1.iter().copied().filter(|to| layer_of[*to] == layer + 1).collect();
            let mut next = Vec::new();
            if layer + 1 < last {
                items.push(Item { layer: layer + 1, node: None });
                next.push(items.len() - 1);
                bottoms.push(items.len() - 1);
            }
            segments.push(Segment { layer, tops, bottoms });
            tops = next;
        }
    }
    let mut layers = vec![Vec::new(); items.iter().map(|item| item.layer + 1).max().unwrap_or(0)];
    for (i, item) in items.iter().enumerate() {
        layers[item.layer].push(i);
    }
    let mut layout = Layout { items, layers, segments };
    layout.order();
    layout
}

impl Layout {
    /// Above and below each item: the indexes of its segments.
    fn sides(&self) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
        let (mut above, mut below) = (vec![Vec::new(); self.items.len()], vec![Vec::new(); self.items.len()]);
        for (s, segment) in self.segments.iter().enumerate() {
            segment.tops.iter().for_each(|item| below[*item].push(s));
            segment.bottoms.iter().for_each(|item| above[*item].push(s));
        }
        (above, below)
    }

    /// Sorts each layer by the middle of its neighbours, down and up, and keeps the order with the fewest crossings.
    fn order(&mut self) {
        let (above, below) = self.sides();
        let mut best = (self.crossings(), self.layers.clone());
        let sweeps = if self.items.len() > 5_000 { 2 } else { SWEEPS };
        for sweep in 0..sweeps {
            if best.0 == 0 {
                break;
            }
            let down = sweep % 2 == 0;
            let mut place = vec![0.0; self.items.len()];
            self.layers.iter().flat_map(|l| l.iter().enumerate()).for_each(|(i, item)| place[*item] = i as f64);
            let count = self.layers.len();
            // The middle of a segment's far side, found once: that side stands still while it is looked at.
            let mut means: Vec<Option<f64>> = vec![None; self.segments.len()];
            for step in 0..count {
                let layer = if down { step } else { count - 1 - step };
                let mut wanted: Vec<(f64, usize)> = Vec::with_capacity(self.layers[layer].len());
                for &item in &self.layers[layer] {
                    let (mut sum, mut number) = (0.0, 0usize);
                    for &s in if down { &above[item] } else { &below[item] } {
                        let others = if down { &self.segments[s].tops } else { &self.segments[s].bottoms };
                        sum += *means[s].get_or_insert_with(|| {
                            others.iter().map(|other| place[*other]).sum::<f64>() / others.len() as f64
                        });
                        number += 1;
                    }
                    wanted.push((if number == 0 { place[item] } else { sum / number as f64 }, item));
                }
                // Equal ones change sides now and then, or the sweeps could get stuck.
                if sweep % 4 >= 2 {
                    wanted.reverse();
                }
                wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.layers[layer] = wanted.into_iter().map(|(_, item)| item).collect();
                self.layers[layer].iter().enumerate().for_each(|(i, item)| place[*item] = i as f64);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    /// Crossings of lines between neighbouring layers.
    fn crossings(&self) -> usize {
        let mut place = vec![0; self.items.len()];
        self.layers.iter().flat_map(|l| l.iter().enumerate()).for_each(|(i, item)| place[*item] = i);
        let mut lines: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.layers.len()];
        for segment in &self.segments {
            for top in &segment.tops {
                lines[segment.layer].extend(segment.bottoms.iter().map(|bottom| (place[*top], place[*bottom])));
            }
        }
        let mut total = 0;
        for lines in &mut lines {
            lines.sort_unstable();
            // Counts inversions with a tree of prefix sums.
            let size = lines.iter().map(|line| line.1 + 1).max().unwrap_or(0);
            let mut tree = vec![0usize; size + 1];
            for (seen, &(_, bottom)) in lines.iter().enumerate() {
                let (mut at, mut not_right) = (bottom + 1, 0);
                while at > 0 {
                    not_right += tree[at];
                    at &= at - 1;
                }
                total += seen - not_right;
                let mut at = bottom + 1;
                while at <= size {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
            }
        }
        total
    }

    /// The middle of each item along its layer: near its neighbours, in order, `gap` apart, the least at half its size.
    pub(super) fn place(&self, sizes: &[f64], gap: f64) -> Vec<f64> {
        let (above, below) = self.sides();
        let mut centers = vec![0.0; self.items.len()];
        for layer in &self.layers {
            let mut at = 0.0;
            for &item in layer {
                centers[item] = at + sizes[item] / 2.0;
                at += sizes[item] + gap;
            }
        }
        let count = self.layers.len();
        let sweeps = if self.items.len() > 5_000 { 2 } else { SWEEPS };
        for sweep in 0..sweeps {
            let down = sweep % 2 == 0;
            for step in 0..count {
                let layer = &self.layers[if down { step } else { count - 1 - step }];
                let mut wanted = Vec::with_capacity(layer.len());
                for &item in layer {
                    let (mut sum, mut number) = (0.0, 0usize);
                    // The last sweeps look both ways, so that a source stands over the middle of its targets too.
                    let both = sweep + 2 >= sweeps;
                    for (segments, up) in [(&above[item], true), (&below[item], false)] {
                        if !both && up != down {
                            continue;
                        }
                        for &s in segments {
                            let others = if up { &self.segments[s].tops } else { &self.segments[s].bottoms };
                            sum += others.iter().map(|other| centers[*other]).sum::<f64>() / others.len() as f64;
                            number += 1;
                        }
                    }
                    wanted.push(if number == 0 { centers[item] } else { sum / number as f64 });
                }
                spread(layer, &wanted, sizes, gap, &mut centers);
            }
        }
        let least = (0..centers.len()).map(|i| centers[i] - sizes[i] / 2.0).fold(f64::INFINITY, f64::min);
        centers.iter_mut().for_each(|center| *center -= least);
        centers
    }
}

/// Places the items of a layer as near to `wanted` as their order and sizes allow (least squares: items that would overlap
/// are pooled around their common middle).
fn spread(layer: &[usize], wanted: &[f64], sizes: &[f64], gap: f64, centers: &mut [f64]) {
    let mut offset = 0.0;
    let mut pools: Vec<(f64, usize)> = Vec::new();
    let mut offsets = Vec::with_capacity(layer.len());
    for (i, &item) in layer.iter().enumerate() {
        if i > 0 {
            offset += sizes[layer[i - 1]] / 2.0 + gap + sizes[item] / 2.0;
        }
        offsets.push(offset);
        let mut pool = (wanted[i] - offset, 1);
        while let Some(last) = pools.last().copied()
            && last.0 >= pool.0
        {
            pools.pop();
            let number = last.1 + pool.1;
            pool = ((last.0 * last.1 as f64 + pool.0 * pool.1 as f64) / number as f64, number);
        }
        pools.push(pool);
    }
    let mut at = 0;
    for (value, number) in pools {
        for _ in 0..number {
            centers[layer[at]] = value + offsets[at];
            at += 1;
        }
    }
}

/// Layers and layout of a whole graph, as `dependents` has it.
pub(super) fn of(dependents: &[Vec<usize>], bundle: bool) -> Layout {
    let layer_of = layers::assign(dependents);
    let edges = if bundle { layers::reduce(dependents, &layer_of) } else { layers::forward(dependents, &layer_of) };
    lay_out(&edges, &layer_of, bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossed_pairs_are_uncrossed_and_long_lines_get_bends() {
        // 0 → 3, 1 → 2 cross in file order; 0 → 5 goes past a layer.
        let layout = of(&[vec![3, 5], vec![2], vec![4], vec![4], vec![5], vec![]], false);
        assert_eq!(layout.crossings(), 0);
        assert_eq!(layout.items.iter().filter(|item| item.node.is_none()).count(), 2);
    }

    #[test]
    fn nothing_overlaps() {
        let dependents: Vec<Vec<usize>> = (0..30).map(|i| (i + 1..30).filter(|j| (i * j) % 7 == 3).collect()).collect();
        let layout = of(&dependents, false);
        let sizes: Vec<f64> = (0..layout.items.len()).map(|i| 3.0 + (i % 5) as f64).collect();
        let centers = layout.place(&sizes, 2.0);
        for layer in &layout.layers {
            for pair in layer.windows(2) {
                let free = centers[pair[1]] - centers[pair[0]] - (sizes[pair[0]] + sizes[pair[1]]) / 2.0;
                assert!(free >= 2.0 - 1e-6, "{free}");
            }
        }
    }
}
