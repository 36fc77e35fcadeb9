//! A DAG as an indented list, for graphs that are too large for boxes: one line a node, in an order in which it could run.

use std::fmt::Write;

use super::layers;
use super::view::DagView;

/// Indentation stops here; what is deeper stands below.
const MAX_INDENT: usize = 16;

/// So many needs are named.
const MAX_NEEDS: usize = 6;

/// One line a node: indented by its layer, its name, its detail, and what it waits for.
pub fn list(view: &DagView) -> String {
    let dependents = view.dependents();
    let layer_of = layers::assign(&dependents);
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); view.nodes.len()];
    for (from, list) in dependents.iter().enumerate() {
        list.iter().for_each(|to| needs[*to].push(from));
    }
    let mut order: Vec<usize> = (0..view.nodes.len()).collect();
    order.sort_by_key(|i| layer_of[*i]);
    let mut out = String::new();
    for i in order {
        let node = &view.nodes[i];
        let _ = write!(out, "{}{}", "  ".repeat(layer_of[i].min(MAX_INDENT)), node.title());
        let subtitle = node.subtitle();
        if !subtitle.is_empty() {
            let _ = write!(out, "  ({subtitle})");
        }
        for (n, need) in needs[i].iter().take(MAX_NEEDS).enumerate() {
            let _ = write!(
                out,
                "{}{}",
                if n == 0 { "  ← " } else { ", " },
                super::view::one_line(&view.nodes[*need].label)
            );
        }
        if needs[i].len() > MAX_NEEDS {
            let _ = write!(out, " and {} more", needs[i].len() - MAX_NEEDS);
        }
        out.push('\n');
    }
    out
}
