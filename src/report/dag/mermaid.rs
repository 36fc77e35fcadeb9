//! A DAG as a Mermaid flowchart.

use std::fmt::Write;

use super::view::{DagView, NodeStatus};

/// A flowchart that GitHub and others draw. Nodes are `n0`, `n1`, ... in the order of the view.
pub fn mermaid(view: &DagView) -> String {
    let mut out = String::from("flowchart LR\n");
    for (i, node) in view.nodes.iter().enumerate() {
        let _ = write!(out, "  n{i}[\"{}", escape(&node.title()));
        let subtitle = node.subtitle();
        if !subtitle.is_empty() {
            let _ = write!(out, "<br/>{}", escape(&subtitle));
        }
        out.push_str("\"]");
        if let Some(status) = node.status {
            let _ = write!(out, ":::{}", status.word());
        }
        out.push('\n');
    }
    for (from, list) in view.dependents().iter().enumerate() {
        for to in list {
            let _ = writeln!(out, "  n{from} --> n{to}");
        }
    }
    let statuses = [
        (NodeStatus::Waiting, "#8b949e"),
        (NodeStatus::Running, "#bf8700"),
        (NodeStatus::Succeeded, "#1a7f37"),
        (NodeStatus::Failed, "#cf222e"),
        (NodeStatus::Skipped, "#8b949e"),
        (NodeStatus::Cancelled, "#8b949e"),
        (NodeStatus::Lost, "#8250df"),
    ];
    for (status, color) in statuses {
        if view.nodes.iter().any(|node| node.status == Some(status)) {
            let _ = writeln!(out, "  classDef {} stroke:{color},stroke-width:2px", status.word());
        }
    }
    out
}

/// Characters that mean something to Mermaid, Markdown within it or HTML, as entities.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '\\' | '*' | '_' | '[' | ']' | '{' | '}' | '|' | ';' => {
                let _ = write!(out, "#{};", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}
