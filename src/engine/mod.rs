//! The engine: one loop over a pure scheduler; journal first, then act.
//!
//! ```text
//!   signals, requests ─▶ ┌──────────────┐ ─▶ journal (committed) ─▶ reply to whoever asked
//!   attempts ──Message──▶│ run (loop)   │ ─▶ sinks
//!                        │ owns RunState│ ─▶ scheduler (pure): what next? ─▶ starts attempts
//!                        └──────────────┘
//!   attempt: one task a job attempt: sandbox ─▶ steps one after another ─▶ kept files ─▶ clean-up
//! ```
//!
//! Promises: an effect's intent is committed before the effect; a step of an attempt starts at most once; clean-up always
//! runs. State has one writer, the loop; attempts send it [`message::Message`]s.

pub mod approval;
pub mod attempt;
pub mod cancel;
pub mod checkout;
mod command_line;
pub mod commands;
pub mod context;
pub mod decide;
pub mod desk;
pub mod effects;
pub mod file_commands;
pub mod finish;
pub mod halt;
pub mod job_log;
pub mod junit;
pub mod lend;
pub mod message;
pub mod output;
pub mod ports;
pub mod run;
pub mod scheduler;
pub mod scope;
pub mod shell;
pub mod spec;
pub mod step;
mod take_up;
mod task;
mod task_ctx;
mod task_exec;
