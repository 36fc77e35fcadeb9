//! A pipeline file as typed structs, every part with its span. Reading reports all of a file's mistakes at once.

mod data;
mod job;
mod node;
mod pipeline;
mod read;
mod step;
mod text;
mod trigger;
mod yaml;

pub use data::{Data, DataKind};
pub use job::{
    ArtifactSpec, CacheSpec, Concurrency, Container, Credentials, Defaults, EnvironmentRef, Job, Matrix, MatrixSource,
    Reports, Retry, RetryOn, ReusableCall, RunsOn, Service, Strategy, TypedStage, minutes,
};
pub use node::{Entry, Node, NodeKind, ScalarStyle};
pub use pipeline::{Dialect, Pipeline};
pub use read::{ReadOptions, read};
pub use step::{Step, StepAction};
pub use text::{Condition, EnvEntry, EnvMap, Late, Text};
pub use trigger::{EventFilter, InputKind, InputSpec, Patterns, Triggers};
