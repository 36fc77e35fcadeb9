//! Drawings of a DAG from plain data: [`DagView`] in, text out, as boxes in a terminal, Mermaid, Graphviz or SVG. Labels may
//! hold anything; each format escapes them its own way. Large graphs are drawn more simply, never refused.

mod ascii;
mod dot;
mod layers;
mod layout;
mod list;
mod mermaid;
mod svg;
#[cfg(test)]
mod tests;
mod view;

pub use ascii::ascii;
pub use dot::dot;
pub use list::list;
pub use mermaid::mermaid;
pub use svg::svg;
pub use view::{DagNode, DagView, NodeStatus};
