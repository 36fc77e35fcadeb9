//! Going on where an earlier process was.

use crate::event::{Event, Outcome};
use crate::id::JobId;
use crate::plan::ir::StageIndex;
use crate::state::{JobPhase, StagePhase};

use super::attempt::Known;
use super::cancel::CancelLevel;
use super::run::{Run, RunError};

impl Run {
    /// Goes on where an earlier process was: attempts under way are taken up, stages that were decided on are admitted.
    pub(super) fn take_up(&mut self) -> Result<(), RunError> {
        let indices: Vec<StageIndex> = (0..self.state.stages.len()).map(|i| StageIndex(i as u32)).collect();
        for index in indices {
            let stage = self.state.stage(index);
            if stage.phase != StagePhase::Active || stage.unfinished == 0 {
                continue;
            }
            self.admit(index)?;
            let jobs: Vec<(JobId, JobPhase)> =
                self.state.stage(index).jobs.iter().map(|job| (job.id.clone(), job.phase.clone())).collect();
            let waiting = self.scheduler.withdraw(index);
            let cancelled = self.state.stage(index).cancelled;
            let mut back = Vec::new();
            for (id, phase) in jobs {
                match phase {
                    JobPhase::Open(state) => self.resume_job(&id, Known { state, closing: false }, index)?,
                    JobPhase::Closing(state) => self.resume_job(&id, Known { state, closing: true }, index)?,
                    JobPhase::Pending | JobPhase::Queued if waiting.contains(&id) => back.push(id),
                    JobPhase::Pending | JobPhase::Queued | JobPhase::Done { .. } => {}
                }
            }
            if cancelled {
                for job in back.drain(..) {
                    let reason = "another job of its matrix failed".to_owned();
                    self.record(Event::JobDropped { job, outcome: Outcome::Cancelled, reason }, false)?;
                }
            }
            self.scheduler.put_back(index, back);
        }
        if self.level > CancelLevel::None {
            self.drop_pending("the run was cancelled")?;
        }
        Ok(())
    }

    pub(super) fn resume_job(&mut self, id: &JobId, known: Known, index: StageIndex) -> Result<(), RunError> {
        self.scheduler.taken_up(index);
        self.start(id, Some(known))
    }

    pub(super) fn unseal_masks(&self) {
        for stage in &self.state.stages {
            for job in &stage.jobs {
                let (JobPhase::Open(state) | JobPhase::Closing(state)) = &job.phase else { continue };
                for sealed in &state.masks {
                    let opened = self.context.ports.sealer.open(sealed).ok();
                    let values = opened.and_then(|json| serde_json::from_slice::<Vec<String>>(&json).ok());
                    values.iter().flatten().for_each(|value| self.context.masker.add(value));
                }
            }
        }
    }
}
