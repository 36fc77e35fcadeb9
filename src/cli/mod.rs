//! The command line: one file a subcommand. Adapters are put together here.

mod alone;
pub mod approve;
pub mod artifacts;
pub mod backup;
mod cancel;
pub mod config;
pub mod deploy;
pub mod eval;
pub mod github;
pub mod graph;
pub mod interrupt;
pub mod launch;
pub mod load;
pub mod logs;
pub mod notices;
mod place;
pub mod plan;
mod preview;
pub mod prune;
pub mod remote;
pub mod rerun;
pub mod resume;
pub mod rollback;
pub mod run;
pub mod runners;
pub mod runs;
pub mod schema;
pub mod secrets;
pub mod serve;
pub mod session;
pub mod show;
pub mod source;
pub mod state;
pub mod tasks;
pub mod validate;

use clap::Parser;

use crate::exit::Exit;

/// Runs delivery pipelines: GitHub Actions files and typed stages, as one DAG, in Docker or on the host.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Runs pipelines.
    Run(run::Args),
    /// Shows what a run would do (dry run).
    Plan(plan::Args),
    /// Draws the DAG.
    Graph(graph::Args),
    /// Checks pipeline files.
    Validate(validate::Args),
    /// Prints the JSON Schema of pipeline files.
    Schema(schema::Args),
    /// Evaluates an expression.
    Eval(eval::Args),
    /// Lists runs, or shows one.
    Runs(runs::Args),
    /// Prints logs of a run.
    Logs(logs::Args),
    /// Cancels a run.
    Cancel(cancel::Args),
    /// Lists, verifies and restores backups.
    Backup(backup::Args),
    /// Approves a stage that waits for people.
    Approve(approve::Args),
    /// Rejects a stage that waits for people.
    Reject(approve::Args),
    /// Takes up an interrupted run.
    Resume(resume::Args),
    /// Runs a finished run again.
    Rerun(rerun::Args),
    /// Shows what is deployed, and gives orders to a deploy under way.
    Deploy(deploy::Args),
    /// Takes an application's release back.
    Rollback(rollback::Args),
    /// Lists or brings out files kept with a run.
    Artifacts(artifacts::Args),
    /// Takes webhooks of forges and runs pipelines for them.
    Serve(serve::Args),
    /// Removes old runs and caches.
    Prune(prune::Args),
}

/// Runs what the command line says.
pub fn run(cli: &Cli) -> Exit {
    let exit = dispatch(cli);
    if matches!(cli.command, Command::Runs(_) | Command::Cancel(_) | Command::Approve(_) | Command::Reject(_)) {
        notices::leftovers();
    }
    exit
}

fn dispatch(cli: &Cli) -> Exit {
    match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Runs(args) => runs::run(args),
        Command::Logs(args) => logs::run(args),
        Command::Cancel(args) => cancel::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Approve(args) => approve::run(args, true),
        Command::Reject(args) => approve::run(args, false),
        Command::Resume(args) => resume::run(args),
        Command::Rerun(args) => rerun::run(args),
        Command::Deploy(args) => deploy::run(args),
        Command::Rollback(args) => rollback::run(args),
        Command::Artifacts(args) => artifacts::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Prune(args) => prune::run(args),
    }
}
