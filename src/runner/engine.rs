//! The place of typed stages that run no program: a private folder, and nothing else. It is always found again.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::id::{RunId, StepKey};
use crate::plan::ir::RunnerKind;
use crate::runner::contract::{
    Progress, Runner, RunnerError, Sandbox, SandboxPaths, SandboxSpec, Signal, StepCommand, StepEvent,
};

/// The runner.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineRunner;

struct Place {
    paths: SandboxPaths,
}

impl EngineRunner {
    fn place(spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, RunnerError> {
        use std::os::unix::fs::DirBuilderExt;
        let temp = spec.folder.join("temp");
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&temp);
        made.map_err(|e| RunnerError::Other {
            what: format!("failed to make the folder \"{}\"", temp.display()),
            source: Box::new(e),
        })?;
        let paths = SandboxPaths {
            workspace: spec.workspace.display().to_string(),
            temp: temp.display().to_string(),
            home: None,
            tool_cache: spec.tool_cache.display().to_string(),
            home_on_engine: None,
        };
        Ok(Arc::new(Place { paths }))
    }
}

#[async_trait]
impl Runner for EngineRunner {
    fn kind(&self) -> RunnerKind {
        RunnerKind::Engine
    }

    async fn open(&self, spec: &SandboxSpec, _: Arc<dyn Progress>) -> Result<Arc<dyn Sandbox>, RunnerError> {
        Self::place(spec)
    }

    async fn adopt(&self, spec: &SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, RunnerError> {
        Self::place(spec).map(Some)
    }

    async fn close(&self, spec: &SandboxSpec) -> Result<(), RunnerError> {
        match std::fs::remove_dir_all(&spec.folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(RunnerError::Other {
                what: format!("failed to remove the folder \"{}\"", spec.folder.display()),
                source: Box::new(e),
            }),
            _ => Ok(()),
        }
    }

    async fn finish(&self, _: &RunId) -> Result<(), RunnerError> {
        Ok(())
    }
}

#[async_trait]
impl Sandbox for Place {
    fn paths(&self) -> &SandboxPaths {
        &self.paths
    }

    fn facts(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn step_folder(&self, key: &StepKey) -> String {
        format!("{}/{}", self.paths.temp, key.step)
    }

    async fn start(&self, command: StepCommand) -> Result<mpsc::Receiver<StepEvent>, RunnerError> {
        let program = command.argv.first().cloned().unwrap_or_default();
        Err(RunnerError::Refused(format!(
            "\"{program}\" cannot run here: this kind of stage has no place for programs"
        )))
    }

    async fn attach(
        &self,
        _: &StepKey,
        _: u64,
        _: &[String],
    ) -> Result<Option<mpsc::Receiver<StepEvent>>, RunnerError> {
        Ok(None)
    }

    async fn signal(&self, _: &StepKey, _: Signal) -> Result<(), RunnerError> {
        Ok(())
    }

    async fn acknowledge(&self, _: &StepKey, _: u64) -> Result<(), RunnerError> {
        Ok(())
    }
}
