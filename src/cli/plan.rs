//! `slipway plan`: the dry run.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::cli::load::{LoadArgs, Loaded, load_all};
use crate::cli::preview;
use crate::exit::Exit;
use crate::plan::dry_run::view;
use crate::plan::ir::Plan;
use crate::plan::view::{PlanView, VERSION};
use crate::report::diagnostic;
use crate::report::plan::text;
use crate::report::style::wants_color_here;
use crate::secret::Masker;

/// Shows what a run would do (dry run).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to plan.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Leaves clusters and registries alone: typed stages are shown as far as the files say
    #[arg(long)]
    pub offline: bool,
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
    match load_all(&args.load, color) {
        Ok(loaded) => {
            for one in &loaded {
                let _ = io::stderr().write_all(diagnostic::text(&one.diagnostics, color).as_bytes());
            }
            show(&loaded, args)
        }
        Err((text, exit)) => {
            let _ = io::stderr().write_all(text.as_bytes());
            exit
        }
    }
}

/// Prints the plans.
fn show(loaded: &[Loaded], args: &Args) -> Exit {
    let color = wants_color_here(io::stdout().is_terminal());
    // Values of secrets are stars already; one that was written into the file or an input in clear is not.
    let masker = Masker::new();
    loaded.iter().flat_map(|one| &one.secrets).for_each(|(_, secret)| masker.add(secret.expose()));
    let mut views: Vec<PlanView> = loaded.iter().map(|one| view(&one.plan)).collect();
    for (view, one) in views.iter_mut().zip(loaded) {
        preview::fill(view, one, &masker, args.offline);
    }
    let out = match args.format {
        Format::Json => format!("{:#}\n", masked(json!({ "version": VERSION, "plans": views }), &masker)),
        Format::Text => masker.mask(&views.iter().map(|view| text(view, color)).collect::<Vec<_>>().join("\n")),
    };
    let _ = io::stdout().write_all(out.as_bytes());
    Exit::Success
}

/// The plan as it is kept with a run.
pub fn json_text(plan: &Plan) -> String {
    serde_json::to_string(&view(plan)).expect("a view has text keys only")
}

/// `slipway run --dry-run`.
pub fn dry_run(load: &LoadArgs, json: bool) -> Exit {
    run(&Args { load: load.clone(), offline: false, format: if json { Format::Json } else { Format::Text } })
}

/// Masks texts only, so that the document stays one whatever a secret is.
fn masked(value: Value, masker: &Masker) -> Value {
    match value {
        Value::String(text) => Value::String(masker.mask(&text)),
        Value::Array(items) => items.into_iter().map(|item| masked(item, masker)).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, masked(value, masker))).collect(),
        other => other,
    }
}
