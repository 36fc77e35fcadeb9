//! Slipway runs delivery pipelines: one file, one binary, one DAG, on the host or in containers.
//!
//! The rooms stand on floors (docs/ARCHITECTURE.md); a file imports its own floor's named friends and any floor below.

// Floor 0: ground.
pub mod clock;
pub mod diagnostic;
pub mod exit;
pub mod id;
pub mod secret;
pub mod span;
// Floor 1: language.
pub mod expr;
pub mod model;
// Floor 2: stages.
pub mod stage;
// Floor 3: plan.
pub mod plan;
// Floor 4: happenings.
pub mod event;
pub mod journal;
pub mod state;
// Floor 5: ports (`contract` files), sinks and clients; floor 6: engine and adapters.
pub mod client;
pub mod engine;
pub mod report;
pub mod runner;
pub mod sink;
pub mod store;
pub mod task;
pub mod workspace;
// Floor 6, the rooms of typed stages.
pub mod backup;
pub mod deliver;
pub mod forge;
pub mod image;
pub mod notify;
pub mod scan;
// Floor 7: programs.
pub mod server;
// Floor 8: edge.
pub mod cli;
