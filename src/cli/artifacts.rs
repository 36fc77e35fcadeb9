//! `slipway artifacts`: what a run kept, listed or brought out.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::exit::Exit;
use crate::id::StageId;
use crate::store::artifacts::FileArtifacts;
use crate::store::contract::{Store, StoreError};

use super::run::store_failed;
use super::session::open_state;

/// Lists or brings out files kept with a run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run
    pub run: String,
    /// Only what this stage kept
    pub stage: Option<String>,
    /// Copies the files into this folder, at the paths that they had
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replaces files that are there
    #[arg(long, requires = "output")]
    pub force: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    match artifacts(args) {
        Ok(exit) => exit,
        Err(error) => store_failed(&error),
    }
}

fn artifacts(args: &Args) -> Result<Exit, StoreError> {
    let store = open_state()?;
    let run = store.resolve(&args.run)?;
    let stage = args.stage.as_deref().map(StageId::from);
    let artifacts = FileArtifacts::new(store.state().runs());
    let failed = |e: io::Error| StoreError::failed(format!("read what run \"{run}\" kept"), e);
    let jobs = artifacts.list(&run, stage.as_ref()).map_err(failed)?;
    if jobs.is_empty() {
        let of = args.stage.as_ref().map(|stage| format!("stage \"{stage}\" of ")).unwrap_or_default();
        eprintln!("{of}run \"{run}\" kept no files; a stage keeps those that its `artifacts:` names");
        return Ok(if stage.is_some() { Exit::NotFound } else { Exit::Success });
    }
    if let Some(folder) = &args.output {
        let failed = |e: io::Error| StoreError::failed(format!("write to \"{}\"", folder.display()), e);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let files = artifacts.bring_out(&run, stage.as_ref(), folder, args.force).map_err(failed)?;
        println!("{} to \"{}\"", crate::report::diagnostic::counted(files.len(), "file"), folder.display());
        return Ok(Exit::Success);
    }
    let mut out = String::new();
    if args.json {
        let list: Vec<_> = jobs.iter().map(|(job, files)| json!({"job": job, "files": files})).collect();
        out.push_str(&format!("{}\n", json!({"v": 1, "run": run, "artifacts": list})));
    } else {
        for (job, files) in &jobs {
            out.push_str(&format!("{job}\n"));
            for file in files {
                let size = crate::report::summary::size(file.size);
                out.push_str(&format!(
                    "  {:>10}  {}  {}\n",
                    size,
                    &file.sha256[..12.min(file.sha256.len())],
                    file.path
                ));
            }
        }
    }
    // A reader that went away has no use for an error.
    let _ = io::stdout().write_all(out.as_bytes());
    Ok(Exit::Success)
}
