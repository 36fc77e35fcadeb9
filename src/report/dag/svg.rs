//! A DAG as one SVG file that needs nothing else: left to right, in the reader's light or dark colours.

use std::fmt::Write;

use crate::report::sanitize::as_markup;
use crate::report::width;

use super::layout;
use super::view::{DagNode, DagView, NodeStatus};

/// Advance of a character of the 12 px monospaced font, rounded up.
const CHAR: f64 = 7.4;
const PAD: f64 = 12.0;
const GAP: f64 = 16.0;
const MARGIN: f64 = 16.0;
/// Between columns; grows with the number of lines there.
const CHANNEL: f64 = 64.0;
/// Labels longer than this are cut; the tooltip has them whole.
const MAX_CHARS: usize = 36;

const STYLE: &str = "svg{background:#fff;color:#1f2328}\
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2328}\
.d{fill:#59636e;font-size:11px}\
.b{fill:#f6f8fa;stroke:#8b949e;stroke-width:1.2}\
.e{fill:none;stroke:#8b949e;stroke-width:1.4}.a{fill:#8b949e}\
.succeeded{stroke:#1a7f37}.failed{stroke:#cf222e;stroke-width:2}.running{stroke:#bf8700;stroke-width:2}\
.lost{stroke:#8250df;stroke-width:2}.skipped{stroke-dasharray:4 3}.cancelled{stroke-dasharray:4 3}\
@media (prefers-color-scheme:dark){svg{background:#0d1117;color:#e6edf3}text{fill:#e6edf3}.d{fill:#9198a1}\
.b{fill:#161b22;stroke:#6e7681}.e{stroke:#6e7681}.a{fill:#6e7681}\
.succeeded{stroke:#3fb950}.failed{stroke:#f85149}.running{stroke:#d29922}.lost{stroke:#a371f7}}";

/// The drawing. Each box has its whole label, detail and status as a tooltip.
pub fn svg(view: &DagView) -> String {
    let layout = layout::of(&view.dependents(), false);
    let heights: Vec<f64> = layout
        .items
        .iter()
        .map(|item| match item.node.map(|node| &view.nodes[node]) {
            Some(node) if node.subtitle().is_empty() => 32.0,
            Some(_) => 48.0,
            None => 8.0,
        })
        .collect();
    let middle = layout.place(&heights, GAP);
    let widths: Vec<f64> = layout
        .layers
        .iter()
        .map(|layer| {
            let nodes = layer.iter().filter_map(|item| layout.items[*item].node);
            nodes.map(|node| box_width(&view.nodes[node])).fold(24.0, f64::max)
        })
        .collect();
    let mut lines = vec![0usize; layout.layers.len()];
    layout.segments.iter().for_each(|s| lines[s.layer] += s.tops.len() * s.bottoms.len());
    let mut lefts = Vec::with_capacity(widths.len());
    let mut x = MARGIN;
    for (layer, width) in widths.iter().enumerate() {
        lefts.push(x);
        x += width + CHANNEL + (lines[layer] as f64 * 1.5).min(120.0);
    }
    let total = (lefts.last().copied().unwrap_or(0.0) + widths.last().copied().unwrap_or(0.0)).max(40.0) + MARGIN;
    let high = (0..middle.len()).map(|i| middle[i] + heights[i] / 2.0).fold(0.0, f64::max) + MARGIN * 2.0;

    let mut out = String::new();
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total:.0}\" height=\"{high:.0}\" \
         viewBox=\"0 0 {total:.0} {high:.0}\" role=\"img\" aria-label=\"pipeline graph\">\n<style>{STYLE}</style>\n"
    );
    let y = |item: usize| middle[item] + MARGIN;
    let mut bends = String::new();
    for segment in &layout.segments {
        for &top in &segment.tops {
            let layer = segment.layer;
            let start = match layout.items[top].node {
                Some(node) => lefts[layer] + box_width(&view.nodes[node]),
                // A bend goes straight through its layer.
                None => lefts[layer] + widths[layer],
            };
            for &bottom in &segment.bottoms {
                let target = &layout.items[bottom];
                let (end, arrow) = (lefts[target.layer], target.node.is_some());
                let stop = if arrow { end - 6.0 } else { end };
                // Boxes of one layer differ in width; lines leave them flat to the layer's edge and turn there.
                let edge = lefts[layer] + widths[layer];
                let half = (stop - edge) / 2.0;
                let (y1, y2) = (y(top), y(bottom));
                let _ = writeln!(
                    out,
                    "<path class=\"e\" d=\"M{start:.1} {y1:.1}H{edge:.1}C{:.1} {y1:.1} {:.1} {y2:.1} {stop:.1} {y2:.1}\"/>",
                    edge + half,
                    stop - half,
                );
                if arrow {
                    let _ = writeln!(out, "<path class=\"a\" d=\"M{end:.1} {y2:.1}l-7 -4v8z\"/>",);
                } else {
                    let through = lefts[target.layer] + widths[target.layer];
                    let _ = writeln!(bends, "<path class=\"e\" d=\"M{end:.1} {y2:.1}H{through:.1}\"/>");
                }
            }
        }
    }
    // A bend that several lines enter is drawn once.
    let mut known: Vec<&str> = bends.lines().collect();
    known.sort_unstable();
    known.dedup();
    known.iter().for_each(|line| {
        let _ = writeln!(out, "{line}");
    });
    for (i, item) in layout.items.iter().enumerate() {
        let Some(node) = item.node else { continue };
        draw_box(&mut out, &view.nodes[node], lefts[item.layer], y(i), heights[i]);
    }
    out.push_str("</svg>\n");
    out
}

fn box_width(node: &DagNode) -> f64 {
    let chars = width::of(&node.title()).max(width::of(&node.subtitle())).clamp(3, MAX_CHARS);
    chars as f64 * CHAR + PAD * 2.0
}

fn draw_box(out: &mut String, node: &DagNode, x: f64, middle: f64, height: f64) {
    let (wide, top) = (box_width(node), middle - height / 2.0);
    let (title, subtitle) = (node.title(), node.subtitle());
    let status = node.status.map_or("", NodeStatus::word);
    let tooltip: Vec<&str> = [title.as_str(), &subtitle, status].into_iter().filter(|text| !text.is_empty()).collect();
    let _ = writeln!(
        out,
        "<g><title>{}</title><rect class=\"b {status}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{height:.1}\" rx=\"6\"/>",
        as_markup(&tooltip.join(", ")),
    );
    let left = x + PAD;
    let first = if subtitle.is_empty() { middle + 4.0 } else { middle - 4.0 };
    let _ = write!(out, "<text x=\"{left:.1}\" y=\"{first:.1}\">{}</text>", as_markup(&width::cut(&title, MAX_CHARS)));
    if !subtitle.is_empty() {
        let cut = width::cut(&subtitle, MAX_CHARS);
        let _ = write!(out, "<text class=\"d\" x=\"{left:.1}\" y=\"{:.1}\">{}</text>", middle + 13.0, as_markup(&cut));
    }
    out.push_str("</g>\n");
}
