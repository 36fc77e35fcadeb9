//! The plan: a pure function of (pipeline, event, contexts). Dry run, graph, lint, engine and server read this one plan.

pub mod compile;
pub mod condition;
pub mod contexts;
pub mod dry_run;
pub mod expand;
pub mod filter;
pub mod glob;
pub mod graph;
mod hash;
pub mod inputs;
pub mod ir;
pub mod known;
pub mod lint;
pub mod placement;
pub mod scope;
pub mod view;
pub mod walk;

#[cfg(test)]
pub(crate) mod testing;
