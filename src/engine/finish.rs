//! What a job brings in before its steps and keeps after them: artifacts, caches, test reports, outputs.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSetBuilder};

use crate::diagnostic::chain;
use crate::event::{Event, Outcome};
use crate::expr::Scope;
use crate::model::{CacheSpec, Dialect, Job};
use crate::runner::contract::Progress;

use super::attempt::{Attempt, AttemptInput};
use super::context::RunContext;
use super::effects::JobProgress;
use super::job_log::JobLog;
use super::junit;
use super::message::JournalGone;
use super::scope::JobScope;
use super::spec::{text, texts};

/// JUnit files of one job; more are left out, with a line.
const MAX_REPORTS: usize = 1000;

/// A cache, evaluated.
struct CacheAsked {
    key: String,
    restore_keys: Vec<String>,
    paths: Vec<PathBuf>,
}

impl Attempt<'_> {
    /// Artifacts of the stages it needs, and caches.
    pub(super) async fn bring_files(&self, input: &AttemptInput) -> Result<(), String> {
        let ports = &self.run.ports;
        let mut brought = false;
        for stage in &input.need_ids {
            let files = ports
                .artifacts
                .restore(&self.run.run, stage, &self.spec.workspace)
                .map_err(|e| format!("failed to bring artifacts of stage \"{stage}\" into the workspace: {e}"))?;
            brought |= !files.is_empty();
        }
        for cache in &self.job.cache {
            let asked = self.cache(cache)?;
            let scope = &self.run.places.cache_scope;
            // A cache that cannot be read is a cache miss, never a failure.
            let found = ports.caches.restore(scope, &asked.key, &asked.restore_keys, &asked.paths);
            brought |= matches!(found, Ok(Some(_)));
        }
        if brought { self.sandbox.sync_in().await.map_err(|e| chain(&e)) } else { Ok(()) }
    }

    /// Keeps artifacts, reads test reports, saves caches. What fails here is said, and only artifacts fail the job.
    pub(super) async fn keep(&mut self, log: &JobLog) -> Result<(), JournalGone> {
        let job = std::sync::Arc::clone(&self.job);
        if job.artifacts.is_empty() && job.reports.junit.is_empty() && job.cache.is_empty() || self.progress.lost {
            return Ok(());
        }
        if let Err(error) = self.sandbox.sync_out().await {
            log.line(&format!("the workspace's files cannot be read: {}", chain(&error)));
            return Ok(());
        }
        let scope = self.step_scope(&[]);
        let reports = texts(&job.reports.junit, &scope);
        let artifacts: Result<Vec<String>, _> = job.artifacts.iter().map(|a| text(&a.pattern, &scope)).collect();
        match reports {
            Ok(patterns) if !patterns.is_empty() => self.report_tests(&patterns, log).await?,
            Ok(_) => {}
            Err(error) => log.line(&format!("`reports` has no value: {error}")),
        }
        match artifacts {
            Ok(patterns) if !patterns.is_empty() => self.keep_artifacts(&patterns, log).await?,
            Ok(_) => {}
            Err(error) => log.line(&format!("`artifacts` has no value: {error}")),
        }
        if self.progress.outcome() == Outcome::Success {
            for cache in &job.cache {
                let saved = self.cache(cache).and_then(|asked| {
                    let scope = &self.run.places.cache_scope;
                    self.run.ports.caches.save(scope, &asked.key, &asked.paths).map_err(|e| e.to_string())
                });
                if let Err(error) = saved {
                    log.line(&format!("the cache was not saved: {error}"));
                }
            }
        }
        Ok(())
    }

    async fn keep_artifacts(&mut self, patterns: &[String], log: &JobLog) -> Result<(), JournalGone> {
        let (run, job) = (&self.run.run, &self.id.job);
        match self.run.ports.artifacts.keep(run, job, &self.spec.workspace, patterns) {
            Ok(files) if files.is_empty() => {
                log.line(&format!("no file matches `artifacts`: {}", patterns.join(", ")));
                Ok(())
            }
            Ok(files) => self.run.reporter.tell(Event::ArtifactsKept { attempt: self.id.clone(), files }).await,
            Err(error) => {
                log.line(&format!("failed to keep artifacts: {error}"));
                self.progress.failed = true;
                Ok(())
            }
        }
    }

    async fn report_tests(&mut self, patterns: &[String], log: &JobLog) -> Result<(), JournalGone> {
        let files = match matching(&self.spec.workspace, patterns) {
            Ok(files) if files.is_empty() => {
                log.line(&format!("no file matches `reports.junit`: {}", patterns.join(", ")));
                return Ok(());
            }
            Ok(files) => files,
            Err(error) => {
                log.line(&format!("`reports.junit`: {error}"));
                return Ok(());
            }
        };
        let mut totals = Vec::new();
        for file in files.iter().take(MAX_REPORTS) {
            let read = std::fs::read(file).map_err(|e| e.to_string()).and_then(|bytes| junit::read(&bytes));
            match read {
                Ok(one) => totals.push(one),
                Err(error) => log.line(&format!("test report \"{}\": {error}", file.display())),
            }
        }
        if files.len() > MAX_REPORTS {
            log.line(&format!("{} test reports, of which the first {MAX_REPORTS} were read", files.len()));
        }
        let mut totals = junit::merge(totals);
        for (name, message) in &mut totals.failures {
            *name = self.run.masker.mask(name);
            *message = self.run.masker.mask(message);
        }
        self.run.reporter.tell(Event::TestsReported { attempt: self.id.clone(), totals }).await
    }

    /// The job's outputs; those that hold a secret are dropped, with a line.
    pub(super) fn outputs(&self, log: &JobLog) -> Vec<(String, String)> {
        let hash = self.hash_files();
        let scope = JobScope { hash_files: Some(&hash), ..self.step_scope(&[]) };
        outputs(self.run, &self.job, &scope, &self.progress, &mut |line| log.line(line))
    }

    fn cache(&self, cache: &CacheSpec) -> Result<CacheAsked, String> {
        let hash = self.hash_files();
        let scope = JobScope { hash_files: Some(&hash), ..self.step_scope(&[]) };
        let wrong = |error| format!("`cache` has no value: {error}");
        let paths = texts(&cache.paths, &scope).map_err(wrong)?;
        let home = self.sandbox.paths().home_on_engine.clone();
        let absolute = |path: &String| match (path.strip_prefix("~/"), &home) {
            (Some(rest), Some(home)) => Ok(home.join(rest)),
            (Some(_), None) => Err(format!("cache path \"{path}\": the job's home is not at hand here")),
            (None, _) => Ok(self.spec.workspace.join(path)),
        };
        Ok(CacheAsked {
            key: text(&cache.key, &scope).map_err(wrong)?,
            restore_keys: texts(&cache.restore_keys, &scope).map_err(wrong)?,
            paths: paths.iter().map(absolute).collect::<Result<_, _>>()?,
        })
    }
}

/// A job's `outputs`, evaluated in `scope`. With `stages:` those of its steps need no declaration; what is declared wins.
pub(super) fn outputs(
    run: &RunContext,
    job: &Job,
    scope: &dyn Scope,
    progress: &JobProgress,
    say: &mut dyn FnMut(&str),
) -> Vec<(String, String)> {
    let mut list = Vec::with_capacity(job.outputs.len());
    if run.plan.pipeline.dialect == Dialect::Stages {
        let undeclared =
            progress.outputs.iter().filter(|(name, _)| !job.outputs.iter().any(|(own, _)| own.value == *name));
        for (name, value) in undeclared {
            match run.masker.contains_secret(value) {
                true => say(&format!("output \"{name}\" was dropped, since it may hold a secret")),
                false => list.push((name.clone(), value.clone())),
            }
        }
    }
    for (name, value) in &job.outputs {
        match text(value, scope) {
            Ok(text) if run.masker.contains_secret(&text) => {
                say(&format!("output \"{}\" was dropped, since it may hold a secret", name.value));
            }
            Ok(text) => list.push((name.value.clone(), text)),
            Err(error) => say(&format!("output \"{}\" has no value: {error}", name.value)),
        }
    }
    list
}

/// Files below `folder` that match any of `patterns`, sorted. Links are not followed.
fn matching(folder: &Path, patterns: &[String]) -> Result<Vec<PathBuf>, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = GlobBuilder::new(pattern.trim_start_matches("./")).literal_separator(true).build();
        set.add(glob.map_err(|e| format!("pattern \"{pattern}\" is not valid: {e}"))?);
    }
    let set = set.build().map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    let walk = ignore::WalkBuilder::new(folder).standard_filters(false).follow_links(false).build();
    for entry in walk.flatten() {
        let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        if entry.file_type().is_some_and(|kind| kind.is_file()) && set.is_match(relative) {
            found.push(entry.into_path());
        }
    }
    found.sort();
    Ok(found)
}
