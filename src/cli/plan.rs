//! `slipway plan`: the DAG in order, with each stage's jobs and scripts as far as they are known.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::cli::load::{LoadArgs, load_all};
use crate::exit::Exit;
use crate::model::StepAction;
use crate::plan::ir::{Legs, Plan, StagePlan};
use crate::report::style::wants_color_here;

/// The version of the JSON form.
const VERSION: u32 = 1;

/// Shows what a run would do (dry run).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to plan.
    #[command(flatten)]
    pub load: LoadArgs,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// Runs the command. What cannot be written (a closed pipe) is let go.
pub fn run(args: &Args) -> Exit {
    let color = wants_color_here(io::stderr().is_terminal());
    let loaded = match load_all(&args.load, color) {
        Ok(loaded) => loaded,
        Err((text, exit)) => {
            let _ = io::stderr().write_all(text.as_bytes());
            return exit;
        }
    };
    let plans: Vec<Value> = loaded.iter().map(|one| view(&one.plan)).collect();
    let out = match args.format {
        Format::Json => format!("{:#}\n", json!({ "version": VERSION, "plans": plans })),
        Format::Text => loaded.iter().map(|one| text(&one.plan)).collect(),
    };
    let _ = io::stdout().write_all(out.as_bytes());
    Exit::Success
}

/// The plan as it is kept with a run.
pub fn json_text(plan: &Plan) -> String {
    view(plan).to_string()
}

/// `slipway run --dry-run`.
pub fn dry_run(load: &LoadArgs, json: bool) -> Exit {
    run(&Args { load: load.clone(), format: if json { Format::Json } else { Format::Text } })
}

fn text(plan: &Plan) -> String {
    let mut out = format!("{} ({}), event {}\n", plan.name, plan.inputs.file, plan.inputs.event_name);
    for stage in plan.order.iter().map(|at| plan.stage(*at)).filter(|stage| stage.selected) {
        let needs = needs(plan, stage).join(", ");
        let after = if needs.is_empty() { String::new() } else { format!(" (needs {needs})") };
        out.push_str(&format!("\n{}{after}\n", stage.id));
        match &stage.legs {
            Legs::Late => out.push_str("  jobs: not known yet, the matrix waits for what it needs\n"),
            Legs::Fixed(legs) if legs.len() > 1 => legs.iter().for_each(|leg| {
                out.push_str(&format!("  job: {}\n", leg.name));
            }),
            Legs::Fixed(_) => {}
        }
        if let Some(condition) = &stage.job.condition {
            out.push_str(&format!("  if: {}\n", condition.expr.source));
        }
        for step in steps(stage) {
            step.lines().for_each(|line| out.push_str(&format!("  $ {line}\n")));
        }
    }
    out
}

fn view(plan: &Plan) -> Value {
    let stages = plan.order.iter().map(|at| plan.stage(*at)).filter(|stage| stage.selected);
    let one = |stage: &StagePlan| {
        let jobs: Option<Vec<Value>> = match &stage.legs {
            Legs::Late => None,
            Legs::Fixed(legs) => Some(
                legs.iter()
                    .map(|leg| json!({"job": leg.job, "name": leg.name, "matrix": leg.matrix.to_json()}))
                    .collect(),
            ),
        };
        let condition = stage.job.condition.as_ref().map(|condition| condition.expr.source.to_string());
        json!({"stage": stage.id, "needs": needs(plan, stage), "if": condition, "jobs": jobs, "steps": steps(stage)})
    };
    json!({
        "name": plan.name, "file": plan.inputs.file, "event": plan.inputs.event_name, "hash": plan.hash,
        "stages": stages.map(one).collect::<Vec<_>>(),
    })
}

fn needs(plan: &Plan, stage: &StagePlan) -> Vec<String> {
    stage.needs.iter().map(|need| plan.stage(*need).id.to_string()).collect()
}

/// Each step as written: no value of a secret can be in it.
fn steps(stage: &StagePlan) -> Vec<String> {
    let one = |action: &StepAction| match action {
        StepAction::Run { script, .. } => script.template.source(),
        StepAction::Uses { uses, .. } => format!("uses {}", uses.value),
    };
    stage.job.steps.iter().map(|step| one(&step.action)).collect()
}
