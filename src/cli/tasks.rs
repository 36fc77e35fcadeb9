//! The tasks of typed stages, from their rooms.

use std::sync::Arc;

use crate::backup::BackupTask;
use crate::client::docker::Engine;
use crate::deliver::{DeployTask, VerifyTask};
use crate::forge::release::ReleaseTask;
use crate::image::BuildTask;
use crate::notify::{MailDefaults, NotifyTask, Post};
use crate::scan::ScanTask;
use crate::stage::TaskKind;
use crate::task::contract::{Task, TaskError, Tasks};

/// The tasks of this machine.
#[derive(Default)]
pub struct LocalTasks {
    /// The way of messages; a dry run has none.
    post: Option<Arc<Post>>,
    /// The mail server of messages that name none.
    mail: MailDefaults,
}

impl LocalTasks {
    /// For a dry run.
    pub fn new() -> Self {
        Self::default()
    }

    /// For a run, with the way of messages.
    pub fn with_post(post: Arc<Post>, mail: MailDefaults) -> Self {
        Self { post: Some(post), mail }
    }
}

impl Tasks for LocalTasks {
    fn get(&self, kind: TaskKind) -> Result<Arc<dyn Task>, TaskError> {
        Ok(match kind {
            TaskKind::Scan => Arc::new(ScanTask::new()),
            TaskKind::Build => Arc::new(BuildTask::new(Arc::new(Engine::from_environment()))),
            TaskKind::Deploy => Arc::new(DeployTask),
            TaskKind::Verify => Arc::new(VerifyTask),
            TaskKind::Notify => Arc::new(NotifyTask::new(self.post.clone(), self.mail.clone())),
            TaskKind::Backup => {
                let config = super::config::load().map_err(|e| TaskError::failed(e.to_string()))?;
                Arc::new(BackupTask::new(config.backup_key))
            }
            TaskKind::Release => Arc::new(ReleaseTask::new()),
            kind => return Err(TaskError::failed(format!("this version cannot run \"{}\" yet", kind.name()))),
        })
    }
}
