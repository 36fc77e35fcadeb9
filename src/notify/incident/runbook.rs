//! `incident.run`: a script on this machine, once for each incident, beside the run.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Variables that a script does not get: it is not a stage, and no secrets were lent to it.
const HELD_BACK: [&str; 3] = ["SLIPWAY_SECRET_", "SLIPWAY_FORGE_TOKEN", "SLIPWAY_SMTP"];

/// Scripts under way.
#[derive(Default)]
pub struct Runbooks {
    running: Mutex<Vec<(String, Child)>>,
}

impl Runbooks {
    /// Starts `script` for the report at `report` (Markdown; the JSON lies beside it under the same name), unless it was started for
    /// it before: a runbook may page people, so it is better not run than run twice. Its output goes into a file beside the report.
    pub(super) fn start(&self, script: &str, report: &Path, place: &Path) -> Result<(), String> {
        let failed = |what: &str, e: std::io::Error| format!("failed to {what} of incident.run: {e}");
        let mark = OpenOptions::new().write(true).create_new(true).mode(0o600).open(report.with_extension("ran"));
        match mark {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            other => other.and_then(|file| file.sync_all()).map_err(|e| failed("note the start", e))?,
        }
        let log = File::create(report.with_extension("log")).map_err(|e| failed("make the log", e))?;
        let errors = log.try_clone().map_err(|e| failed("make the log", e))?;
        let mut command = Command::new("sh");
        command.args(["-e", "-c", script]).current_dir(place).env("SLIPWAY_INCIDENT", report);
        for (name, _) in std::env::vars_os() {
            if HELD_BACK.iter().any(|held| name.to_string_lossy().starts_with(held)) {
                command.env_remove(name);
            }
        }
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let child = child.map_err(|e| failed("start the script", e))?;
        let name = report.display().to_string();
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push((name, child));
        Ok(())
    }

    /// Waits for the scripts, at most `patience`; gives what is to be said of them. Those that go on are left alone.
    pub async fn wait(&self, patience: Duration) -> Vec<String> {
        let began = crate::clock::instant();
        let mut said = Vec::new();
        loop {
            {
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                running.retain_mut(|(report, child)| match child.try_wait() {
                    Ok(None) => true,
                    Ok(Some(status)) if status.success() => false,
                    Ok(Some(status)) => {
                        said.push(format!("incident.run for \"{report}\" ended with {status}; its log lies beside it"));
                        false
                    }
                    Err(error) => {
                        said.push(format!("what became of incident.run for \"{report}\" cannot be known: {error}"));
                        false
                    }
                });
                if running.is_empty() {
                    return said;
                }
                if began.elapsed() > patience {
                    let going = running.drain(..).map(|(report, _)| format!("incident.run for \"{report}\" goes on"));
                    said.extend(going);
                    return said;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
