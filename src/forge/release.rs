//! The task of `release`: an annotated tag at the run's commit, pushed to `origin`.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::process::Command;

use crate::stage::{Release, Typed};
use crate::task::contract::{Preview, Surroundings, Task, TaskCtx, TaskEnd, TaskError, TaskSpec, effect};

/// How long git may take to speak with the remote.
const PATIENCE: Duration = Duration::from_secs(120);

/// Does `release`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReleaseTask;

impl ReleaseTask {
    /// It keeps nothing between stages.
    pub fn new() -> Self {
        Self
    }
}

fn settings(spec: &TaskSpec) -> Result<&Release, TaskError> {
    match &spec.typed {
        Typed::Release(release) => Ok(release),
        other => Err(TaskError::failed(format!("\"{}\" is no release", other.kind().name()))),
    }
}

#[async_trait]
impl Task for ReleaseTask {
    async fn preview(&self, spec: &TaskSpec, around: &dyn Surroundings) -> Result<Preview, TaskError> {
        let release = settings(spec)?;
        let commit = &around.identity().commit;
        let mut preview = Preview::default().effect(format!("tag {} at {commit}, pushed to origin", release.tag));
        if is_nothing(commit) {
            preview.refused.push("there is no commit to tag".to_owned());
        }
        Ok(preview)
    }

    async fn run(&self, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError> {
        let release = settings(spec)?;
        let commit = ctx.identity().commit.clone();
        if ctx.identity().untrusted {
            return Err(TaskError::failed("a run of an outsider's commit makes no releases"));
        }
        if is_nothing(&commit) {
            return Err(TaskError::failed(format!("tag \"{}\" cannot be made: there is no commit here", release.tag)));
        }
        let tag = &release.tag;
        let done = || async {
            let there = remote(ctx.workspace(), tag).await?;
            match there {
                Some(at) if at == commit => Ok(Some(commit.clone())),
                Some(at) => Err(TaskError::failed(format!(
                    "tag \"{tag}\" is at origin already, at {at} and not at {commit}: choose another name, a release is never moved"
                ))),
                None => Ok(None),
            }
        };
        let act = || async {
            if let Some(at) = done().await? {
                ctx.log(&format!("tag {tag} is at origin already, at this commit")).await;
                return Ok(at);
            }
            let message = release.message.clone().unwrap_or_else(|| format!("Release {tag}"));
            make(ctx.workspace(), tag, &commit, &message).await?;
            let reference = format!("refs/tags/{tag}");
            git(ctx.workspace(), &format!("push tag \"{tag}\" to origin"), &["push", "--quiet", "origin", &reference])
                .await?;
            ctx.log(&format!("tag {tag} is pushed to origin, at {commit}")).await;
            Ok(commit.clone())
        };
        let at: String = effect(ctx, "tag", json!({"tag": tag, "commit": commit}), act, done).await?;
        Ok(TaskEnd { outputs: vec![("tag".to_owned(), tag.clone())], facts: json!({"tag": tag, "commit": at}) })
    }
}

fn is_nothing(commit: &str) -> bool {
    commit.chars().all(|digit| digit == '0')
}

/// The commit of a tag at origin.
async fn remote(workspace: &Path, tag: &str) -> Result<Option<String>, TaskError> {
    let (plain, peeled) = (format!("refs/tags/{tag}"), format!("refs/tags/{tag}^{{}}"));
    let what = format!("look for tag \"{tag}\" at origin");
    let list = git(workspace, &what, &["ls-remote", "origin", &plain, &peeled]).await?;
    let of = |name: &str| {
        list.lines().find_map(|line| line.split_once('\t').filter(|(_, it)| *it == name)).map(|(at, _)| at)
    };
    // An annotated tag is an object of its own; the peeled line names the commit.
    Ok(of(&peeled).or_else(|| of(&plain)).map(str::to_owned))
}

/// Makes the tag in the workspace's repository, anew where an attempt before has left one.
async fn make(workspace: &Path, tag: &str, commit: &str, message: &str) -> Result<(), TaskError> {
    // Whoever is no one to git still makes releases.
    let known =
        git(workspace, "ask who makes the tag", &["config", "user.email"]).await.is_ok_and(|it| !it.trim().is_empty());
    let mut args = Vec::new();
    if !known {
        args.extend(["-c", "user.name=slipway", "-c", "user.email=slipway@localhost"]);
    }
    args.extend(["tag", "--annotate", "--force", "-m", message, "--", tag, commit]);
    git(workspace, &format!("make tag \"{tag}\""), &args).await.map(drop)
}

async fn git(workspace: &Path, what: &str, args: &[&str]) -> Result<String, TaskError> {
    let failed = |why: String| TaskError::failed(format!("failed to {what}: {why}"));
    let child = Command::new("git")
        .args(["--no-pager", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "tag.gpgSign=false"])
        .args(args)
        .current_dir(workspace)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(PATIENCE, child).await {
        Err(_) => Err(failed(format!("git did not end within {}", crate::clock::humanize(PATIENCE)))),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Incident;
    use crate::task::testing::TestCtx;

    fn run(folder: &Path, args: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"])
            .args(args)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn spec(tag: &str) -> TaskSpec {
        TaskSpec {
            typed: Typed::Release(Release { tag: tag.into(), message: None }),
            environment: None,
            incident: Incident::default(),
            before: Vec::new(),
        }
    }

    /// A repository with two commits and an origin.
    fn repository() -> (tempfile::TempDir, TestCtx, String) {
        let temp = tempfile::tempdir().unwrap();
        let work = temp.path().join("work");
        std::fs::create_dir(&work).unwrap();
        run(temp.path(), &["init", "-q", "--bare", "origin.git"]);
        run(&work, &["init", "-q"]);
        run(&work, &["remote", "add", "origin", "../origin.git"]);
        run(&work, &["commit", "-q", "--allow-empty", "-m", "one"]);
        let first = run(&work, &["rev-parse", "HEAD"]);
        run(&work, &["commit", "-q", "--allow-empty", "-m", "two"]);
        let mut ctx = TestCtx::new(&work, temp.path());
        ctx.identity.commit = run(&work, &["rev-parse", "HEAD"]);
        (temp, ctx, first)
    }

    #[tokio::test]
    async fn a_tag_is_pushed_once_and_never_moved() {
        let (temp, ctx, first) = repository();
        let end = ReleaseTask::new().run(&spec("v1"), &ctx).await.unwrap();
        assert_eq!(end.outputs, [("tag".to_owned(), "v1".to_owned())]);
        let origin = temp.path().join("origin.git");
        assert_eq!(run(&origin, &["rev-parse", "v1^{}"]), ctx.identity.commit);
        assert_eq!(run(&origin, &["cat-file", "-t", "v1"]), "tag");
        // Another run of the same commit finds it.
        let mut other = TestCtx::new(&ctx.workspace, temp.path());
        other.identity = ctx.identity.clone();
        ReleaseTask::new().run(&spec("v1"), &other).await.unwrap();
        let mut moved = TestCtx::new(&ctx.workspace, temp.path());
        moved.identity.commit = first;
        let error = ReleaseTask::new().run(&spec("v1"), &moved).await.unwrap_err().to_string();
        assert!(error.contains("never moved"), "{error}");
    }

    #[tokio::test]
    async fn a_crash_at_any_record_leaves_one_tag() {
        for record in 1..=2 {
            for after in [false, true] {
                let (temp, mut ctx, _) = repository();
                ctx.crash_at = Some((record, after));
                let ended = ReleaseTask::new().run(&spec("v2"), &ctx).await;
                assert!(matches!(ended, Err(TaskError::Gone(_))), "{record} {after}");
                ReleaseTask::new().run(&spec("v2"), &ctx.again()).await.unwrap();
                assert_eq!(run(&temp.path().join("origin.git"), &["rev-parse", "v2^{}"]), ctx.identity.commit);
            }
        }
    }
}
