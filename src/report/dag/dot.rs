//! A DAG for Graphviz.

use std::fmt::Write;

use super::view::{DagView, NodeStatus};

/// A digraph for `dot`.
pub fn dot(view: &DagView) -> String {
    let mut out = String::from("digraph pipeline {\n  rankdir=LR;\n");
    out.push_str("  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=12];\n");
    out.push_str("  edge [color=\"#6e7781\"];\n");
    for (i, node) in view.nodes.iter().enumerate() {
        let _ = write!(out, "  n{i} [label=\"{}", escape(&node.title()));
        let subtitle = node.subtitle();
        if !subtitle.is_empty() {
            let _ = write!(out, "\\n{}", escape(&subtitle));
        }
        out.push('"');
        if let Some(status) = node.status {
            let _ = write!(out, ", color=\"{}\"", color(status));
        }
        out.push_str("];\n");
    }
    for (from, list) in view.dependents().iter().enumerate() {
        for to in list {
            let _ = writeln!(out, "  n{from} -> n{to};");
        }
    }
    out.push_str("}\n");
    out
}

fn color(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Succeeded => "#1a7f37",
        NodeStatus::Failed => "#cf222e",
        NodeStatus::Running => "#bf8700",
        NodeStatus::Lost => "#8250df",
        NodeStatus::Waiting | NodeStatus::Skipped | NodeStatus::Cancelled => "#8b949e",
    }
}

/// Within double quotes a quote and a backslash have meanings (`\n`, `\N`).
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
