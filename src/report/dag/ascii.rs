//! A DAG as boxes and lines for a terminal, top to bottom.
//!
//! Lines are read like wires: `┬ ┴ ├ ┤ ┼` join, and where two lines only cross, the one across is broken (`─│─`). Each group
//! of stages that have the same dependents shares its line; needs that others imply are not drawn.

use crate::report::width;

use super::layout::{self, Layout};
use super::list::list;
use super::view::DagView;

/// Above this, boxes say less than a list.
const MAX_NODES: usize = 60;

/// Labels are cut to the first of these widths with which all fits.
const LABEL_WIDTHS: [usize; 6] = [40, 28, 20, 16, 12, 8];

/// Columns between neighbours.
const GAP: usize = 2;

/// The graph in at most `columns` columns: as boxes when it is small enough for that, else as a list (see [`list`]).
pub fn ascii(view: &DagView, columns: usize) -> String {
    if view.nodes.is_empty() {
        return String::from("(no stages)\n");
    }
    if view.nodes.len() > MAX_NODES {
        return list(view);
    }
    let layout = layout::of(&view.dependents(), true);
    let drawn = LABEL_WIDTHS.iter().find_map(|label| Drawing::new(view, &layout, *label, columns));
    drawn.map_or_else(|| list(view), |drawing| drawing.draw(view, &layout))
}

/// Arms of a line in a cell.
const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// Where boxes, bends and ports are, in columns.
struct Drawing {
    label: usize,
    left: Vec<usize>,
    width: Vec<usize>,
}

/// A net between two layers: the columns of its ends.
struct Wire {
    tops: Vec<usize>,
    bottoms: Vec<usize>,
    row: usize,
}

impl Wire {
    fn span(&self) -> (usize, usize) {
        let all = || self.tops.iter().chain(&self.bottoms).copied();
        (all().min().unwrap_or(0), all().max().unwrap_or(0))
    }

    fn is_straight(&self) -> bool {
        self.span().0 == self.span().1
    }
}

impl Drawing {
    fn new(view: &DagView, layout: &Layout, label: usize, columns: usize) -> Option<Drawing> {
        let mut ports = vec![0usize; layout.items.len()];
        layout.segments.iter().flat_map(|s| &s.bottoms).for_each(|item| ports[*item] += 1);
        let mut widths = Vec::with_capacity(layout.items.len());
        for (i, item) in layout.items.iter().enumerate() {
            widths.push(match item.node {
                Some(node) => {
                    let node = &view.nodes[node];
                    let text = width::of(&node.title()).max(width::of(&node.subtitle())).clamp(1, label);
                    // Ports need room for a line each, and one beside it.
                    (text + 4).max(ports[i] * 2 + 3)
                }
                None => 3,
            });
        }
        let sizes: Vec<f64> = widths.iter().map(|width| *width as f64).collect();
        let centers = layout.place(&sizes, GAP as f64);
        let mut left = vec![0; widths.len()];
        for layer in &layout.layers {
            let mut free = 0;
            for &item in layer {
                let wanted = (centers[item] - sizes[item] / 2.0).round().max(0.0) as usize;
                left[item] = wanted.max(free);
                free = left[item] + widths[item] + GAP;
            }
        }
        let fits = (0..left.len()).all(|i| left[i] + widths[i] <= columns);
        fits.then_some(Drawing { label, left, width: widths })
    }

    fn draw(&self, view: &DagView, layout: &Layout) -> String {
        // The column in which each item's line leaves downwards.
        let mut out_column: Vec<usize> = (0..self.left.len()).map(|i| self.left[i] + self.width[i] / 2).collect();
        let mut rows: Vec<Vec<char>> = Vec::new();
        for layer in 0..layout.layers.len() {
            let channel: Vec<usize> =
                (0..layout.segments.len()).filter(|s| layout.segments[*s].layer + 1 == layer).collect();
            let (wires, ports) = self.wires(layout, &channel, &mut out_column);
            rows.extend(draw_wires(&wires));
            let bends: Vec<usize> = layout.layers[layer]
                .iter()
                .filter(|i| layout.items[**i].node.is_none())
                .map(|i| out_column[*i])
                .collect();
            let first = rows.len();
            let mut leaving = Vec::new();
            for &item in &layout.layers[layer] {
                let Some(node) = layout.items[item].node else { continue };
                let mut lines = vec![view.nodes[node].title()];
                lines.extend(Some(view.nodes[node].subtitle()).filter(|text| !text.is_empty()));
                let down = layout.segments.iter().any(|s| s.tops.contains(&item)).then_some(out_column[item]);
                self.draw_box(&mut rows, first, item, &lines, &ports, down);
                leaving.extend(down.map(|column| (column, first + lines.len() + 2)));
            }
            // Lines go on beside what is higher; bends go straight through.
            leaving.extend(bends.into_iter().map(|column| (column, first)));
            let last = rows.len();
            for (column, from) in leaving {
                rows[from.min(last)..].iter_mut().for_each(|row| put(row, column, '│'));
            }
        }
        let mut out = String::new();
        for row in rows {
            let line: String = row.into_iter().filter(|c| *c != '\0').collect();
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// The wires of a channel, and the columns at which they enter boxes.
    fn wires(&self, layout: &Layout, channel: &[usize], out_column: &mut [usize]) -> (Vec<Wire>, Vec<(usize, usize)>) {
        let mut wires: Vec<Wire> = channel
            .iter()
            .map(|s| Wire {
                tops: layout.segments[*s].tops.iter().map(|i| out_column[*i]).collect(),
                bottoms: Vec::new(),
                row: 0,
            })
            .collect();
        let mean = |tops: &[usize]| tops.iter().sum::<usize>() as f64 / tops.len().max(1) as f64;
        // For each item below: the wires that enter it, from left to right as they come.
        let mut entering: Vec<(usize, Vec<usize>)> = Vec::new();
        for (w, s) in channel.iter().enumerate() {
            for &item in &layout.segments[*s].bottoms {
                match entering.iter_mut().find(|(known, _)| *known == item) {
                    Some((_, list)) => list.push(w),
                    None => entering.push((item, vec![w])),
                }
            }
        }
        let mut ports = Vec::new();
        for (item, mut list) in entering {
            list.sort_by(|a, b| mean(&wires[*a].tops).total_cmp(&mean(&wires[*b].tops)));
            let (from, to) = (self.left[item] + 1, self.left[item] + self.width[item] - 2);
            let mut from = if layout.items[item].node.is_none() { from - 1 } else { from };
            let to = if layout.items[item].node.is_none() { to + 1 } else { to };
            let count = list.len();
            for (n, w) in list.into_iter().enumerate() {
                let even = if count == 1 {
                    self.left[item] + self.width[item] / 2
                } else {
                    self.left[item] + 1 + ((n * 2 + 1) * (self.width[item] - 2)) / (count * 2)
                };
                // Straight down where possible; never where another wire comes from above, which would read as one line.
                let last = to - (count - 1 - n) * 2;
                let above = |column: usize, own: bool| {
                    wires.iter().enumerate().any(|(o, wire)| (o == w) == own && wire.tops.contains(&column))
                };
                let column = (from..=last)
                    .min_by_key(|column| {
                        let straight = count == 1 && wires[w].tops.len() == 1 && above(*column, true);
                        let beside = above(column.saturating_sub(1), false) || above(*column + 1, false);
                        (above(*column, false), beside, !straight, column.abs_diff(even))
                    })
                    .unwrap_or(even);
                from = column + 2;
                wires[w].bottoms.push(column);
                ports.push((item, column));
                if layout.items[item].node.is_none() {
                    out_column[item] = column;
                }
            }
        }
        order_rows(&mut wires);
        (wires, ports)
    }

    fn draw_box(
        &self,
        rows: &mut Vec<Vec<char>>,
        first: usize,
        item: usize,
        lines: &[String],
        ports: &[(usize, usize)],
        down: Option<usize>,
    ) {
        let (left, right) = (self.left[item], self.left[item] + self.width[item] - 1);
        let height = lines.len() + 2;
        while rows.len() < first + height {
            rows.push(Vec::new());
        }
        for column in left..=right {
            let edge = |inner, a, b| {
                if column == left {
                    a
                } else if column == right {
                    b
                } else {
                    inner
                }
            };
            put(&mut rows[first], column, edge('─', '┌', '┐'));
            put(&mut rows[first + height - 1], column, edge('─', '└', '┘'));
        }
        for (_, column) in ports.iter().filter(|(to, _)| *to == item) {
            put(&mut rows[first], *column, '▼');
        }
        for (n, line) in lines.iter().enumerate() {
            let row = &mut rows[first + 1 + n];
            put(row, left, '│');
            put(row, right, '│');
            let mut column = left + 2;
            for c in width::cut(line, self.label.max(1)).chars() {
                let size = width::of_char(c);
                put(row, column, c);
                // A wide character takes the cell behind it too.
                (1..size).for_each(|more| put(row, column + more, '\0'));
                column += size;
            }
        }
        if let Some(column) = down {
            put(&mut rows[first + height - 1], column, '┬');
        }
    }
}

/// Orders wires so that few cross, and gives rows to those that go sideways.
fn order_rows(wires: &mut [Wire]) {
    let inside =
        |columns: &[usize], (from, to): (usize, usize)| columns.iter().filter(|c| from < **c && **c < to).count();
    let cost = |upper: &Wire, lower: &Wire| {
        let shared = upper.bottoms.iter().filter(|c| lower.tops.contains(c)).count();
        inside(&upper.bottoms, lower.span()) + inside(&lower.tops, upper.span()) + shared * 1000
    };
    // Pairwise exchanges; at most one pass a wire, since costs need not be an order.
    for _ in 0..wires.len() {
        let mut changed = false;
        for i in 1..wires.len() {
            if cost(&wires[i], &wires[i - 1]) < cost(&wires[i - 1], &wires[i]) {
                wires.swap(i, i - 1);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    for i in 0..wires.len() {
        if wires[i].is_straight() {
            continue;
        }
        let span = wires[i].span();
        let row =
            wires[..i].iter().filter(|w| !w.is_straight() && w.span().0 <= span.1 + 1 && span.0 <= w.span().1 + 1);
        wires[i].row = row.map(|w| w.row + 1).max().unwrap_or(0);
    }
}

/// The rows between two layers.
fn draw_wires(wires: &[Wire]) -> Vec<Vec<char>> {
    if wires.is_empty() {
        return Vec::new();
    }
    let height = wires.iter().filter(|w| !w.is_straight()).map(|w| w.row + 1).max().unwrap_or(0).max(1);
    let mut rows: Vec<Vec<char>> = vec![Vec::new(); height];
    for wire in wires.iter().filter(|wire| !wire.is_straight()) {
        let (from, to) = wire.span();
        for column in from..=to {
            let mut arms = if column > from { LEFT } else { 0 } | if column < to { RIGHT } else { 0 };
            arms |= if wire.tops.contains(&column) { UP } else { 0 };
            arms |= if wire.bottoms.contains(&column) { DOWN } else { 0 };
            put(&mut rows[wire.row], column, glyph(arms));
        }
    }
    // What goes down is drawn last: it is whole where it crosses.
    for wire in wires {
        let row = if wire.is_straight() { None } else { Some(wire.row) };
        for (y, cells) in rows.iter_mut().enumerate() {
            if row.is_none_or(|row| y < row) {
                wire.tops.iter().for_each(|column| put(cells, *column, '│'));
            }
            if row.is_some_and(|row| y > row) {
                wire.bottoms.iter().for_each(|column| put(cells, *column, '│'));
            }
        }
    }
    rows
}

fn glyph(arms: u8) -> char {
    match arms {
        a if a == UP | DOWN | LEFT | RIGHT => '┼',
        a if a == UP | LEFT | RIGHT => '┴',
        a if a == DOWN | LEFT | RIGHT => '┬',
        a if a == UP | DOWN | LEFT => '┤',
        a if a == UP | DOWN | RIGHT => '├',
        a if a == UP | LEFT => '╯',
        a if a == UP | RIGHT => '╰',
        a if a == DOWN | LEFT => '╮',
        a if a == DOWN | RIGHT => '╭',
        a if a & (UP | DOWN) != 0 => '│',
        _ => '─',
    }
}

fn put(row: &mut Vec<char>, column: usize, c: char) {
    if row.len() <= column {
        row.resize(column + 1, ' ');
    }
    row[column] = c;
}
