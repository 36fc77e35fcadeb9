//! The tasks of typed stages, from their rooms.

use std::sync::Arc;

use crate::stage::TaskKind;
use crate::task::contract::{Task, TaskError, Tasks};

/// The tasks of this machine.
#[derive(Debug, Default)]
pub struct LocalTasks {}

impl LocalTasks {
    /// All of them.
    pub fn new() -> Self {
        Self {}
    }
}

impl Tasks for LocalTasks {
    fn get(&self, kind: TaskKind) -> Result<Arc<dyn Task>, TaskError> {
        Err(TaskError::failed(format!("this version cannot run \"{}\" yet", kind.name())))
    }
}
