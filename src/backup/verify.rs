//! Verifies a backup: by reading it back, or by restoring it into a database that is thrown away.

use std::path::{Path, PathBuf};

use crate::task::contract::{TaskCommand, TaskCtx, TaskError, TaskExit};

use super::manifest::Manifest;
use super::postgres::{Connection, counted};

/// Runs one of PostgreSQL's programs where the stage runs; its failure is an error that says what was tried.
pub(super) async fn run(
    ctx: &dyn TaskCtx,
    key: &str,
    what: &str,
    argv: Vec<String>,
    connection: &Connection,
) -> Result<TaskExit, TaskError> {
    let program = argv.first().cloned().unwrap_or_default();
    let exit = ctx.exec(key, TaskCommand { argv, env: connection.env(), ..TaskCommand::default() }).await?;
    match exit.code {
        0 => Ok(exit),
        126 | 127 => Err(TaskError::failed(format!(
            "failed to {what}: there is no \"{program}\" where the stage runs: give it an image that has PostgreSQL's client"
        ))),
        code => Err(TaskError::failed(format!(
            "failed to {what}: \"{program}\" ended with {code}: {}",
            last_line(&exit.tail)
        ))),
    }
}

/// Tables and rows, where they can be counted.
pub(super) async fn count(
    ctx: &dyn TaskCtx,
    key: &str,
    connection: &Connection,
) -> Result<Option<(u64, u64)>, TaskError> {
    let command = TaskCommand {
        argv: connection.count(),
        env: connection.env(),
        // Without psql, or on a server without XML, there are no counts, and that is all.
        expected: vec![1, 2, 3, 126, 127],
        ..TaskCommand::default()
    };
    let exit = ctx.exec(key, command).await?;
    Ok(if exit.code == 0 { counted(&exit.tail) } else { None })
}

/// Restores `dump` (a path where the stage runs) into a database of its own on `server`, and compares. The database is
/// dropped whatever came of it.
pub(super) async fn restore(
    ctx: &dyn TaskCtx,
    server: &Connection,
    scratch: &str,
    dump: &str,
    manifest: &Manifest,
) -> Result<String, TaskError> {
    let attempt = attempt(ctx);
    let key = |what: &str| format!("{what}-{attempt}");
    // What a killed attempt left.
    run(ctx, &key("drop-before"), "clear the scratch database", server.drop_database(scratch), server).await?;
    run(ctx, &key("create"), "create the scratch database", server.create(scratch), server).await?;
    let into = server.with_database(scratch);
    let restored = async {
        run(ctx, &key("restore"), "restore the backup into the scratch database", into.restore(dump), &into).await?;
        compared(count(ctx, &key("count-restored"), &into).await?, manifest)
    };
    let restored = restored.await;
    let dropped = run(ctx, &key("drop"), "drop the scratch database", server.drop_database(scratch), server).await;
    let text = restored?;
    dropped?;
    Ok(text)
}

/// A number for this try at a restore: programs that ran before a crash are not found again, but run again.
fn attempt(ctx: &dyn TaskCtx) -> u32 {
    let path = ctx.scratch().join("restores");
    let before: u32 = std::fs::read_to_string(&path).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    // Where it cannot be kept, the clock tells tries apart.
    match std::fs::write(&path, (before + 1).to_string()) {
        Ok(()) => before + 1,
        Err(_) => u32::try_from(ctx.now().0 % 1_000_000).unwrap_or(1),
    }
}

fn compared(restored: Option<(u64, u64)>, manifest: &Manifest) -> Result<String, TaskError> {
    let Some((tables, rows)) = restored else { return Ok("restored (tables could not be counted)".to_owned()) };
    if let Some(wanted) = manifest.tables.filter(|wanted| *wanted != tables) {
        return Err(TaskError::failed(format!("the restored database has {tables} tables in place of {wanted}")));
    }
    if let Some(wanted) = manifest.rows.filter(|wanted| *wanted != rows) {
        return Err(TaskError::failed(format!("the restored database has {rows} rows in place of {wanted}")));
    }
    Ok(format!("restored: {tables} tables, {rows} rows"))
}

/// The folder in the workspace in which dumps lie while they are worked on, which programs in a container see too. Its names are
/// chosen by chance: no link of the commit can lie in its place, the outer folder cannot be listed, and the inner one, which
/// a container's user may write in, is found only by whom it is told. It goes with this value: dumps are clear text.
pub(super) struct Room {
    outer: PathBuf,
    /// Its path in the workspace.
    pub(super) inside: String,
    /// Its path on this machine.
    pub(super) path: PathBuf,
}

impl Room {
    pub(super) fn make(workspace: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let chance = || uuid::Uuid::new_v4().simple().to_string();
        let name = format!("{FOLDER}-{}", chance());
        let inside = format!("{name}/{}", chance());
        let room = Self { outer: workspace.join(name), path: workspace.join(&inside), inside };
        std::fs::create_dir(&room.outer)?;
        std::fs::create_dir(&room.path)?;
        std::fs::set_permissions(&room.path, std::fs::Permissions::from_mode(0o777))?;
        std::fs::set_permissions(&room.outer, std::fs::Permissions::from_mode(0o711))?;
        Ok(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What cannot be removed goes with the workspace.
        let _ = std::fs::remove_dir_all(&self.outer);
    }
}

/// What its name begins with.
pub(super) const FOLDER: &str = ".slipway-backup";

fn last_line(tail: &str) -> &str {
    tail.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
}
