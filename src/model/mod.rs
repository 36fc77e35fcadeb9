//! A pipeline file as typed structs, every part with its span. Reading reports all of a file's mistakes at once.

mod check;
pub mod codes;
mod data;
mod documents;
mod job;
pub mod keys;
mod limits;
mod node;
mod pipeline;
mod read;
mod read_container;
mod read_expr;
mod read_job;
mod read_matrix;
mod read_pipeline;
mod read_stage;
mod read_step;
mod read_trigger;
mod read_value;
mod schema;
mod step;
pub mod tables;
pub mod tables_trigger;
mod text;
mod trigger;
mod yaml;

pub use data::{Data, DataKind};
pub use documents::documents;
pub use job::{
    ArtifactSpec, CacheSpec, Concurrency, Container, Credentials, Defaults, EnvironmentRef, Job, Matrix, MatrixSource,
    Reports, Retry, RetryOn, ReusableCall, RunsOn, Service, Strategy, TypedStage, minutes,
};
pub use limits::{Limits, decode};
pub use node::{CoreType, Entry, Node, NodeKind, ScalarStyle, core_number, core_type, core_value};
pub use pipeline::{Dialect, Pipeline};
pub use read::{ReadOptions, read, read_node};
pub use schema::schema;
pub use step::{Step, StepAction};
pub use text::{Condition, EnvEntry, EnvMap, Late, Text};
pub use trigger::{EventFilter, InputKind, InputSpec, Patterns, Triggers};
