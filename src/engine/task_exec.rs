//! Programs of tasks, in the stage's sandbox.

use serde_json::json;
use tokio::time::Instant;

use crate::diagnostic::chain;
use crate::event::Exit;
use crate::id::StepKey;
use crate::runner::contract::{Signal, StepCommand, StepEvent};
use crate::task::contract::{Recorded, TaskCommand, TaskCtx, TaskError, TaskExit};

use super::cancel::Rung;
use super::shell;
use super::task_ctx::RunTask;

/// Numbers of programs begin here, behind those of any steps, so that the shim tells them apart.
const FIRST: u32 = 100_000;
/// How much of the output's end is given back.
const TAIL: usize = 4096;

/// Runs a program, or finds it again after a crash.
pub(super) async fn exec(task: &RunTask<'_>, key: &str, command: TaskCommand) -> Result<TaskExit, TaskError> {
    let name = format!("exec {key}");
    let known = task.recall(&name);
    let lost = |e: serde_json::Error| TaskError::Lost(format!("the record of program \"{key}\": {e}"));
    let number = match &known {
        Some(Recorded { observation: Some(observation), .. }) => {
            let (code, tail) = serde_json::from_value(observation.clone()).map_err(lost)?;
            return Ok(TaskExit { code, tail });
        }
        Some(Recorded { intent, .. }) => intent["number"].as_u64().unwrap_or_default() as u32,
        None => {
            let number = task.recorded().iter().filter(|name| name.starts_with("exec ")).count() as u32;
            task.intend(&name, json!({ "number": number })).await?;
            number
        }
    };
    let step = StepKey { step: FIRST + number, ..task.key.clone() };
    let sandbox = &task.attempt.sandbox;
    let failed = |error: &dyn std::error::Error| TaskError::failed(chain(error));
    let attached = match known {
        Some(_) => sandbox.attach(&step, 0, &[]).await.map_err(|e| TaskError::Lost(chain(&e)))?,
        None => None,
    };
    let mut events = match attached {
        Some(events) => events,
        None => sandbox.start(step_command(task, &step, command)?).await.map_err(|e| failed(&e))?,
    };
    let mut stream = task.attempt.run.masker.stream();
    let (mut tail, mut rung, mut next) = (Vec::new(), Rung::Ground, None);
    let exit = loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(StepEvent::Output { bytes, offset }) => {
                    let mut masked = Vec::with_capacity(bytes.len());
                    stream.write(&bytes, &mut masked);
                    show(task, &masked, &mut tail).await?;
                    // The log has it; a spool that keeps more than it must does no harm.
                    let _ = sandbox.acknowledge(&step, offset + bytes.len() as u64).await;
                }
                Some(StepEvent::Exited(exit)) => break exit.exit,
                Some(StepEvent::Lost { reason }) => return Err(TaskError::Lost(reason)),
                None => return Err(TaskError::Lost("the sandbox stopped reporting".to_owned())),
            },
            () = task.cancelled(), if rung == Rung::Ground => next = Some(Instant::now()),
            () = super::step::at(next) => {}
        }
        if next.is_some_and(|at| Instant::now() >= at) {
            let settings = &task.attempt.run.settings;
            let (interrupt, terminate) = (settings.interrupt_grace, settings.terminate_grace);
            if let Some((up, _)) = rung.next(interrupt, terminate) {
                rung = up;
                let signal = match up {
                    Rung::Ground | Rung::Interrupted => Signal::Interrupt,
                    Rung::Terminated => Signal::Terminate,
                    Rung::Killed => Signal::Kill,
                };
                // A program that is over needs no signal.
                let _ = sandbox.signal(&step, signal).await;
            }
            next = rung.next(interrupt, terminate).map(|(_, after)| Instant::now() + after);
        }
    };
    let mut masked = Vec::new();
    stream.finish(&mut masked);
    show(task, &masked, &mut tail).await?;
    if task.is_cancelled() {
        return Err(TaskError::Cancelled);
    }
    let code = match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
        Exit::OutOfMemory => 137,
    };
    let tail = String::from_utf8_lossy(&tail).into_owned();
    task.observe(&name, json!([code, tail])).await?;
    Ok(TaskExit { code, tail })
}

async fn show(task: &RunTask<'_>, masked: &[u8], tail: &mut Vec<u8>) -> Result<(), TaskError> {
    if masked.is_empty() {
        return Ok(());
    }
    tail.extend_from_slice(masked);
    if tail.len() > TAIL {
        tail.drain(..tail.len() - TAIL);
    }
    task.output(masked).await
}

fn step_command(task: &RunTask<'_>, step: &StepKey, command: TaskCommand) -> Result<StepCommand, TaskError> {
    let attempt = task.attempt;
    let folder = attempt.sandbox.step_folder(step);
    let mut files = Vec::new();
    let argv = match &command.script {
        Some(script) => {
            let plan =
                shell::plan(None, script, &folder, attempt.kind, attempt.bash_here).map_err(TaskError::failed)?;
            files.push((plan.script, plan.text.into_bytes()));
            plan.argv
        }
        None => command.argv,
    };
    let mut env = crate::task::contract::Surroundings::env(task).to_vec();
    env.extend(attempt.base_env.iter().cloned());
    env.extend(command.env);
    let workspace = attempt.sandbox.paths().workspace.clone();
    let cwd = match command.cwd.filter(|cwd| !cwd.is_empty()) {
        None => workspace,
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(relative) => format!("{}/{relative}", workspace.trim_end_matches('/')),
    };
    Ok(StepCommand {
        key: step.clone(),
        argv,
        env,
        path: attempt.progress.path.clone(),
        cwd,
        files,
        collect: Vec::new(),
    })
}
