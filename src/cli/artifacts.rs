//! `slipway artifacts`: lists the files that jobs of a run kept, or brings them out.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::cli::run::store_failed;
use crate::cli::session::open_state;
use crate::cli::state::find;
use crate::event::KeptFile;
use crate::exit::Exit;
use crate::id::{JobId, RunId};
use crate::report::sanitize::visible;
use crate::report::summary::size;
use crate::report::width;
use crate::store::artifacts::FileArtifacts;
use crate::store::contract::StoreError;

/// The version of what `--json` prints.
const VERSION: u32 = 1;
/// Characters of a SHA-256 that people see.
const SHORT_HASH: usize = 12;

/// Lists the files kept with a run, or brings them out.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its id, the beginning of that, or #NUMBER; without it the newest of this checkout
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Only what this stage, or one of its jobs, kept
    #[arg(value_name = "STAGE")]
    pub stage: Option<String>,
    /// Brings the files out into this folder, at the paths they had in the workspace
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replaces files that are there already
    #[arg(long, requires = "output")]
    pub force: bool,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    match artifacts(args) {
        Ok(text) => {
            // Whoever reads may stop to.
            let _ = io::stdout().write_all(text.as_bytes());
            Exit::Success
        }
        Err(exit) => exit,
    }
}

fn artifacts(args: &Args) -> Result<String, Exit> {
    let failed = |error: StoreError| store_failed(&error);
    let store = open_state().map_err(failed)?;
    let run = find(&store, args.run.as_deref()).map_err(failed)?;
    let kept = FileArtifacts::new(store.state().runs());
    let all = kept.list(&run, None).map_err(|e| failed(StoreError::failed("read what the run kept", e)))?;
    let jobs = choose(all, &run, args.stage.as_deref()).map_err(failed)?;
    if let Some(folder) = &args.output {
        kept.bring_out(&run, &jobs, folder, args.force).map_err(|error| {
            // What stands in the way is the user's to decide about; anything else is ours.
            let exists = error.kind() == io::ErrorKind::AlreadyExists;
            let exit = failed(StoreError::failed(format!("bring files out to \"{}\"", folder.display()), error));
            if exists { Exit::Usage } else { exit }
        })?;
    }
    if args.json {
        return Ok(document(&run, &jobs, args.output.as_ref()));
    }
    if jobs.is_empty() {
        eprintln!("run {run} kept no files; `artifacts: [globs]` of a stage keeps some");
        return Ok(String::new());
    }
    Ok(match &args.output {
        Some(folder) => format!("{} brought out to \"{}\"\n", sum(&jobs), folder.display()),
        None => table(&jobs),
    })
}

/// The jobs that are asked for; a name that kept nothing is an error that says who did.
fn choose(
    all: Vec<(JobId, Vec<KeptFile>)>,
    run: &RunId,
    name: Option<&str>,
) -> Result<Vec<(JobId, Vec<KeptFile>)>, StoreError> {
    let Some(name) = name else { return Ok(all) };
    let is_meant =
        |job: &JobId| job.as_str().eq_ignore_ascii_case(name) || job.stage().as_str().eq_ignore_ascii_case(name);
    let mut stages: Vec<String> = all.iter().map(|(job, _)| format!("\"{}\"", job.stage())).collect();
    stages.dedup();
    let chosen: Vec<_> = all.into_iter().filter(|(job, _)| is_meant(job)).collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let others = if stages.is_empty() { "no stage did".to_owned() } else { format!("{} did", stages.join(", ")) };
    Err(StoreError::NotFound(format!("no stage \"{name}\" of run {run} kept files; {others}")))
}

fn sum(jobs: &[(JobId, Vec<KeptFile>)]) -> String {
    let files = jobs.iter().flat_map(|(_, files)| files);
    let (count, bytes) = files.fold((0_u64, 0), |(count, bytes), file| (count + 1, bytes + file.size));
    format!("{count} {} ({})", if count == 1 { "file" } else { "files" }, size(bytes))
}

/// One line a file; paths come last, as they may be long and hold anything.
fn table(jobs: &[(JobId, Vec<KeptFile>)]) -> String {
    let column = jobs.iter().map(|(job, _)| width::of(job.as_str())).max().unwrap_or(0).max(3);
    let mut out = format!("{}  {:>10}  {:SHORT_HASH$}  PATH\n", width::fit("JOB", column), "SIZE", "SHA-256");
    for (job, files) in jobs {
        let job = width::fit(job.as_str(), column);
        for file in files {
            let hash = file.sha256.get(..SHORT_HASH).unwrap_or(&file.sha256);
            out.push_str(&format!("{job}  {:>10}  {hash}  {}\n", size(file.size), visible(&file.path)));
        }
    }
    out.push_str(&format!("{}; --output DIR brings them out\n", sum(jobs)));
    out
}

fn document(run: &RunId, jobs: &[(JobId, Vec<KeptFile>)], output: Option<&PathBuf>) -> String {
    let jobs: Vec<_> =
        jobs.iter().map(|(job, files)| json!({ "job": job, "stage": job.stage(), "files": files })).collect();
    let output = output.map(|folder| folder.to_string_lossy());
    format!("{:#}\n", json!({ "version": VERSION, "run": run, "output": output, "jobs": jobs }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(job: &str, path: &str, size: u64) -> (JobId, Vec<KeptFile>) {
        let file = KeptFile { path: path.to_owned(), size, sha256: "0123456789abcdef".repeat(4) };
        (JobId::from(job), vec![file])
    }

    #[test]
    fn files_stand_in_a_table_and_paths_are_harmless() {
        let drawn = table(&[kept("build", "dist/app", 2_000_000), kept("test.2", "out/\x1b[2Jx", 12)]);
        insta::assert_snapshot!(drawn, @"
        JOB           SIZE  SHA-256       PATH
        build      1.9 MiB  0123456789ab  dist/app
        test.2        12 B  0123456789ab  out/␛[2Jx
        2 files (1.9 MiB); --output DIR brings them out
        ");
    }

    #[test]
    fn a_name_is_a_stage_or_a_job() {
        let all = || vec![kept("build", "a", 1), kept("test.1", "b", 1), kept("test.2", "c", 1)];
        let run = RunId::from("r");
        let names = |name: Option<&str>| choose(all(), &run, name).map(|jobs| jobs.len());
        assert_eq!(names(None).ok(), Some(3));
        assert_eq!(names(Some("TEST")).ok(), Some(2));
        assert_eq!(names(Some("test.2")).ok(), Some(1));
        let error = choose(all(), &run, Some("deploy")).expect_err("kept nothing").to_string();
        assert!(error.contains("\"build\", \"test\" did"), "{error}");
    }
}
