//! What is drawn.

use std::time::Duration;

use crate::plan::ir::{Legs, Plan, StagePlan};

/// A DAG as plain data.
#[derive(Debug, Clone, Default)]
pub struct DagView {
    /// The nodes, in the order that a reader expects (the file's).
    pub nodes: Vec<DagNode>,
    /// `(a, b)`: node `b` waits for node `a`. What names no node, or a node itself, is not drawn.
    pub edges: Vec<(usize, usize)>,
}

/// A node.
#[derive(Debug, Clone, Default)]
pub struct DagNode {
    /// Unique within the view.
    pub id: String,
    /// What people see first.
    pub label: String,
    /// A few words more; may be empty.
    pub detail: String,
    /// How it stands, when it runs or ran.
    pub status: Option<NodeStatus>,
    /// How long it took so far.
    pub duration: Option<Duration>,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeStatus {
    /// Not begun.
    Waiting,
    /// Begun and not over.
    Running,
    /// Over, well.
    Succeeded,
    /// Over, badly.
    Failed,
    /// Not run, and will not be.
    Skipped,
    /// Stopped from outside.
    Cancelled,
    /// Its end cannot be known.
    Lost,
}

impl NodeStatus {
    pub(super) fn mark(self) -> char {
        match self {
            NodeStatus::Waiting => '○',
            NodeStatus::Running => '●',
            NodeStatus::Succeeded => '✓',
            NodeStatus::Failed => '✗',
            NodeStatus::Skipped => '–',
            NodeStatus::Cancelled => '■',
            NodeStatus::Lost => '?',
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            NodeStatus::Waiting => "waiting",
            NodeStatus::Running => "running",
            NodeStatus::Succeeded => "succeeded",
            NodeStatus::Failed => "failed",
            NodeStatus::Skipped => "skipped",
            NodeStatus::Cancelled => "cancelled",
            NodeStatus::Lost => "lost",
        }
    }
}

impl DagNode {
    /// A node that only has a name.
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self { label: id.clone(), id, ..Self::default() }
    }

    /// The label on one line, behind the mark of its status.
    pub(super) fn title(&self) -> String {
        let label = one_line(&self.label);
        match self.status {
            Some(status) => format!("{} {label}", status.mark()),
            None => label,
        }
    }

    /// Detail and duration on one line.
    pub(super) fn subtitle(&self) -> String {
        let detail = one_line(&self.detail);
        match self.duration.map(short) {
            Some(duration) if detail.is_empty() => duration,
            Some(duration) => format!("{detail}, {duration}"),
            None => detail,
        }
    }
}

impl DagView {
    /// The stages of `plan`.
    pub fn of_plan(plan: &Plan) -> DagView {
        let nodes = plan.stages.iter().map(stage_node).collect();
        let edges = plan.stages.iter().enumerate();
        let edges = edges.flat_map(|(i, stage)| stage.needs.iter().map(move |need| (need.0 as usize, i))).collect();
        DagView { nodes, edges }
    }

    /// The edges that can be drawn, each once, as lists: `lists[a]` holds all that wait for `a`, in ascending order.
    pub(super) fn dependents(&self) -> Vec<Vec<usize>> {
        let count = self.nodes.len();
        let mut lists = vec![Vec::new(); count];
        for &(from, to) in &self.edges {
            if from < count && to < count && from != to {
                lists[from].push(to);
            }
        }
        for list in &mut lists {
            list.sort_unstable();
            list.dedup();
        }
        lists
    }
}

fn stage_node(stage: &StagePlan) -> DagNode {
    let id = stage.id.as_str().to_owned();
    let mut detail = match &stage.legs {
        Legs::Late => "matrix known later".to_owned(),
        Legs::Fixed(legs) if legs.len() == 1 && legs[0].name != id => legs[0].name.clone(),
        Legs::Fixed(legs) if legs.len() == 1 => String::new(),
        Legs::Fixed(legs) => format!("{} jobs", legs.len()),
    };
    if !stage.selected {
        detail.push_str(if detail.is_empty() { "not selected" } else { ", not selected" });
    }
    DagNode { label: id.clone(), id, detail, status: None, duration: None }
}

/// `text` with line ends as spaces, and without control characters and those that turn text around.
pub(super) fn one_line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}');
    let clean = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    clean.filter(|c| !c.is_control() && !turns(*c)).collect::<String>().trim().to_owned()
}

fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
