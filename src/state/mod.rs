//! The state of a run: a fold of its events, live and after a crash alike. Only the transitions listed in [`RunState::apply`]
//! exist; everything else is an [`IllegalTransition`], so a damaged or misordered journal is noticed, not believed.
//!
//! ```text
//! stage:  Waiting ─▶ Active (its legs are known) ─▶ Done        Waiting ─▶ Done (skipped)
//! job:    Pending ─▶ Queued ─▶ Open(attempt) ─▶ Closing ─▶ Done        Closing ─▶ Pending (another attempt)
//! step:   (nothing) ─▶ Starting ─▶ Done                                (nothing) ─▶ Done (skipped)
//! ```

mod fold;
mod job;
mod stage;

pub use fold::{IllegalTransition, RunPhase, RunState};
pub use job::{AttemptState, EffectState, JobPhase, JobState, StepPhase, StepState};
pub use stage::{Asked, Given, StagePhase, StageState, Standing, standing};
