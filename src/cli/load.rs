//! Files and options of the command line to plans: what `run`, `plan`, `graph`, `resume` and `rerun` share.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::cli::github;
use crate::cli::secrets::SecretArgs;
use crate::cli::source::{self, SourceError};
use crate::client::git::{self, Checkout};
use crate::diagnostic::{Diagnostics, suggest};
use crate::exit::Exit;
use crate::model::tables_trigger::EVENT_NAMES;
use crate::model::{Pipeline, ReadOptions};
use crate::plan::compile::compile;
use crate::plan::contexts::Base;
use crate::plan::ir::{Placement, Plan, PlanInputs, RunnerChoice, Selection};
use crate::plan::{filter, inputs};
use crate::report::diagnostic;
use crate::secret::Secret;
use crate::span::Source;
use crate::stage;

/// What to plan and with which values.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LoadArgs {
    /// A pipeline file, or a folder that is searched for them
    #[arg(value_name = "FILE|DIR")]
    pub file: Option<PathBuf>,
    /// The event to run for
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// JSON file with the event's payload
    #[arg(long, value_name = "FILE")]
    pub event_path: Option<PathBuf>,
    /// A value of `inputs`
    #[arg(long = "input", value_name = "K=V", value_parser = pair)]
    pub inputs: Vec<(String, String)>,
    /// A value of `vars`
    #[arg(long = "var", value_name = "K=V", value_parser = pair)]
    pub vars: Vec<(String, String)>,
    /// An environment variable of every stage
    #[arg(long = "env", value_name = "K=V", value_parser = pair)]
    pub env: Vec<(String, String)>,
    /// Secrets.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// The image that a label of `runs-on` stands for
    #[arg(short = 'P', long = "platform", value_name = "LABEL=IMAGE", value_parser = pair)]
    pub platforms: Vec<(String, String)>,
    /// Where stages run: auto, host, docker
    #[arg(long, value_name = "RUNNER", default_value = "auto", value_parser = runner)]
    pub runner: RunnerChoice,
    /// Only legs of matrices with this value
    #[arg(long = "matrix", value_name = "K:V", value_parser = matrix)]
    pub matrix: Vec<(String, String)>,
    /// Only this stage and what it needs
    #[arg(long = "stage", value_name = "S")]
    pub stages: Vec<String>,
    /// Only this stage and what depends on it
    #[arg(long = "from", value_name = "S")]
    pub from: Vec<String>,
    /// Allows options that widen a container's rights
    #[arg(long)]
    pub allow_privileged: bool,
    /// Runs in the checkout itself, not in a copy
    #[arg(long)]
    pub in_place: bool,
}

/// One file, planned.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub source: Source,
    /// The file, read.
    pub pipeline: Arc<Pipeline>,
    /// Its plan.
    pub plan: Plan,
    /// Warnings.
    pub diagnostics: Diagnostics,
    /// Values of secrets.
    pub secrets: Vec<(String, Secret)>,
    /// The checkout that it runs on.
    pub checkout: Checkout,
}

fn split(text: &str, sign: char, form: &str) -> Result<(String, String), String> {
    match text.split_once(sign) {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("write it as {form}")),
    }
}

/// `NAME=VALUE` of an option.
pub fn pair(text: &str) -> Result<(String, String), String> {
    split(text, '=', "NAME=VALUE")
}

fn matrix(text: &str) -> Result<(String, String), String> {
    split(text, ':', "KEY:VALUE")
}

fn runner(text: &str) -> Result<RunnerChoice, String> {
    match text {
        "auto" => Ok(RunnerChoice::Auto),
        "host" => Ok(RunnerChoice::Host),
        "docker" => Ok(RunnerChoice::Docker),
        "scripted" => Ok(RunnerChoice::Scripted),
        _ => Err("it is auto, host or docker".to_owned()),
    }
}

/// Plans every file that the arguments name, in order. Warnings are the caller's to show; that the working tree differs from
/// its commit is said on standard error. All files' mistakes come together, drawn, with the exit code they mean.
pub fn load_all(args: &LoadArgs, color: bool) -> Result<Vec<Loaded>, (String, Exit)> {
    let (loaded, said) = load_quietly(args, color)?;
    // A reader that went away has no use for an error.
    let _ = std::io::stderr().write_all(said.as_bytes());
    Ok(loaded)
}

/// The checkout that `given` belongs to. A folder that is searched is a project of its own, also within a larger repository;
/// so is the present folder for a file that it holds (seen from the folder above `.github/workflows` or `.slipway`). Any other
/// file belongs to the repository around it, else to its own folder.
fn checkout_of(given: &Path, searched: bool) -> Checkout {
    let path = given.canonicalize().unwrap_or_else(|_| std::path::absolute(given).unwrap_or_else(|_| given.to_owned()));
    if searched {
        return Checkout { root: path.clone(), ..git::inspect(&path) };
    }
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_else(|_| PathBuf::from("."));
    if !path.starts_with(&here) {
        return git::inspect(path.parent().unwrap_or(&here));
    }
    let within = [".github/workflows", ".slipway"].iter().find(|folder| here.ends_with(folder));
    let root = within.and_then(|folder| here.ancestors().nth(Path::new(folder).components().count()));
    let root = root.unwrap_or(&here).to_owned();
    Checkout { root: root.clone(), ..git::inspect(&root) }
}

/// [`load_all`], with what it would say.
fn load_quietly(args: &LoadArgs, color: bool) -> Result<(Vec<Loaded>, String), (String, Exit)> {
    let given = args.file.clone().unwrap_or_else(|| PathBuf::from("."));
    let searched = given.is_dir();
    let files = if searched {
        source::find(&given)
            .map_err(|e| (format!("error: failed to read folder {given:?}: {}\n", source::plain(&e)), Exit::NotFound))?
    } else {
        vec![given.clone()]
    };
    if files.is_empty() {
        let looked = "looked for slipway.yml, .slipway/*.yml and .github/workflows/*.yml";
        return Err((format!("error: found no pipeline file in {given:?}: {looked}\n"), Exit::NotFound));
    }
    let world = World {
        checkout: checkout_of(&given, searched),
        secrets: args.secrets.read()?,
        vars: vars(args),
        event_name: event_name(args)?,
        payload: event(args)?,
        filtered: searched && (files.len() > 1 || args.event.is_some()),
        searched,
    };
    let (mut loaded, mut text, mut exit, mut turned_away) = (Vec::new(), String::new(), Exit::Success, Vec::new());
    for file in files {
        let file = file.strip_prefix("./").map(Path::to_owned).unwrap_or(file);
        match load(args, &file, &world) {
            Ok(one) => {
                text.push_str(&diagnostic::text(&one.diagnostics, color));
                loaded.push(one);
            }
            Err(Failure::Invalid(diagnostics, code)) => {
                text.push_str(&diagnostic::text(&diagnostics, color));
                exit = exit.worst(code);
            }
            Err(Failure::Said(message, code)) => {
                text.push_str(&format!("error: {message}\n"));
                exit = exit.worst(code);
            }
            Err(Failure::NotMeant(why)) => turned_away.push(format!("  {}: {why}\n", file.display())),
        }
    }
    if exit == Exit::Success && loaded.is_empty() {
        text.push_str(&format!(
            "error: no pipeline file in {given:?} runs for the event \"{}\"{}:\n{}name a file, and it runs all the same\n",
            world.event_name,
            match world.checkout.reference.as_str() {
                "" => String::new(),
                reference => format!(" of {reference}"),
            },
            turned_away.concat()
        ));
        exit = Exit::NotFound;
    }
    if exit != Exit::Success {
        return Err((text, exit));
    }
    text.clear();
    if world.checkout.dirty {
        let sha = world.checkout.sha.get(..12).unwrap_or(&world.checkout.sha);
        text.push_str(&format!("note: the working tree has changes that are not in commit {sha}; they take part\n"));
    }
    Ok((loaded, text))
}

/// The plan of a stored file with its stored inputs.
pub fn replan(text: &str, inputs: PlanInputs) -> Result<Plan, Box<Diagnostics>> {
    let (pipeline, diagnostics) = stage::load(Source::new(inputs.file.as_str(), text), &ReadOptions::default());
    let pipeline = pipeline.ok_or_else(|| Box::new(diagnostics))?;
    compile(Arc::new(pipeline), Arc::new(inputs)).map(|(plan, _)| plan).map_err(Box::new)
}

enum Failure {
    Invalid(Box<Diagnostics>, Exit),
    Said(String, Exit),
    /// Its `on` does not let the event through.
    NotMeant(String),
}

/// What all files share.
struct World {
    checkout: Checkout,
    secrets: Vec<(String, Secret)>,
    vars: Vec<(String, String)>,
    event_name: String,
    payload: Option<Value>,
    /// Whether a file without `on` is turned away.
    filtered: bool,
    /// Whether filters decide.
    searched: bool,
}

fn load(args: &LoadArgs, file: &Path, world: &World) -> Result<Loaded, Failure> {
    let source = source::read(file, &mut std::io::stdin().lock()).map_err(|error| match error {
        SourceError::Invalid(diagnostics) => Failure::Invalid(diagnostics, Exit::InvalidPipeline),
        SourceError::Unreadable { message, missing } => {
            Failure::Said(message, if missing { Exit::NotFound } else { Exit::Internal })
        }
    })?;
    let (pipeline, mut diagnostics) = stage::load(source.clone(), &ReadOptions::default());
    let Some(pipeline) = pipeline else {
        return Err(Failure::Invalid(Box::new(diagnostics), Exit::InvalidPipeline));
    };
    let mut inputs = plan_inputs(args, file, &pipeline, world);
    // A folder with one file, and that without `on`: it is as good as named.
    if world.searched && (pipeline.on.is_some() || world.filtered) {
        let happening = filter::Happening {
            event: &inputs.event_name,
            reference: inputs.github["ref"].as_str().unwrap_or_default(),
            payload: world.payload.as_ref().unwrap_or(&Value::Null),
            changed: world.changed(),
        };
        filter::check(pipeline.on.as_ref(), happening).map_err(Failure::NotMeant)?;
    }
    let mut wrong = Diagnostics::new(source.clone());
    let typed =
        inputs::read(&pipeline, &world.event_name, &world.inputs(args), &Base::new(&inputs).scope(), &mut wrong);
    if wrong.has_errors() {
        wrong.list.append(&mut diagnostics.list);
        return Err(Failure::Invalid(Box::new(wrong), Exit::Usage));
    }
    let name = pipeline.name.as_ref().map_or(inputs.path.as_str(), |name| name.value.as_str());
    inputs.github = github::context(world.facts(name, &inputs.path), &typed.texts);
    inputs.inputs = Value::Object(typed.typed);
    let pipeline = Arc::new(pipeline);
    let (plan, warnings) = match compile(pipeline.clone(), Arc::new(inputs)) {
        Ok(compiled) => compiled,
        Err(mut all) => {
            all.list.append(&mut diagnostics.list);
            all.sort();
            return Err(Failure::Invalid(Box::new(all), Exit::InvalidPipeline));
        }
    };
    warnings.list.into_iter().for_each(|warning| diagnostics.push(warning));
    diagnostics.sort();
    Ok(Loaded { source, pipeline, plan, diagnostics, secrets: world.secrets.clone(), checkout: world.checkout.clone() })
}

impl World {
    fn facts<'a>(&'a self, name: &'a str, path: &'a str) -> github::Facts<'a> {
        let payload = self.payload.as_ref();
        github::Facts { event_name: &self.event_name, name, path, checkout: &self.checkout, payload }
    }

    /// A payload speaks of other commits than the checkout: what they changed is not known.
    fn changed(&self) -> Option<&[String]> {
        if self.payload.is_some() { None } else { self.checkout.changed.as_deref() }
    }

    /// The payload's inputs, then those of the command line.
    fn inputs(&self, args: &LoadArgs) -> Vec<(String, String)> {
        let payload = self.payload.as_ref().filter(|_| self.event_name == "workflow_dispatch");
        let carried = payload.and_then(|payload| payload["inputs"].as_object());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let carried = carried.into_iter().flatten().filter(|(_, value)| !value.is_null());
        let mut inputs: Vec<_> = carried.map(|(name, value)| (name.clone(), text(value))).collect();
        inputs.extend(args.inputs.iter().cloned());
        inputs
    }
}

/// The event, `workflow_dispatch` where an input is given and else `push`. A slip in its name is an error.
fn event_name(args: &LoadArgs) -> Result<String, (String, Exit)> {
    let Some(name) = &args.event else {
        return Ok(if args.inputs.is_empty() { "push" } else { "workflow_dispatch" }.to_owned());
    };
    if !EVENT_NAMES.contains(&name.as_str())
        && let Some(near) = suggest(name, EVENT_NAMES.iter().copied())
    {
        let message = format!("error: --event names \"{name}\", which is no event: did you mean \"{near}\"?\n");
        return Err((message, Exit::Usage));
    }
    Ok(name.clone())
}

/// `SLIPWAY_VAR_<NAME>`, then the command line: the later wins.
fn vars(args: &LoadArgs) -> Vec<(String, String)> {
    let mut vars: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix("SLIPWAY_VAR_").filter(|name| !name.is_empty())?;
            Some((name.to_owned(), value.to_str()?.to_owned()))
        })
        .collect();
    vars.sort();
    for (name, value) in &args.vars {
        vars.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        vars.push((name.clone(), value.clone()));
    }
    vars
}

/// All but `inputs`, which the file types.
fn plan_inputs(args: &LoadArgs, file: &Path, pipeline: &Pipeline, world: &World) -> PlanInputs {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let path = path.strip_prefix(&world.checkout.root).unwrap_or(file).to_string_lossy().into_owned();
    let name = pipeline.name.as_ref().map_or(path.as_str(), |name| name.value.as_str());
    PlanInputs {
        untrusted: false,
        file: file.to_string_lossy().into_owned(),
        github: github::context(world.facts(name, &path), &Map::new()),
        event_name: world.event_name.clone(),
        inputs: Value::Object(Map::new()),
        vars: world.vars.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect(),
        env: args.env.clone(),
        secret_names: world.secrets.iter().map(|(name, _)| name.clone()).collect(),
        selection: Selection { stages: args.stages.clone(), from: args.from.clone(), matrix: args.matrix.clone() },
        placement: Placement {
            runner: args.runner,
            platforms: args.platforms.clone(),
            allow_privileged: args.allow_privileged,
            in_place: args.in_place,
        },
        path,
    }
}

fn event(args: &LoadArgs) -> Result<Option<Value>, (String, Exit)> {
    let Some(path) = &args.event_path else { return Ok(None) };
    let text = source::text_of(path)?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| (format!("error: failed to read the event from {path:?}: it is no JSON: {e}\n"), Exit::Usage))?;
    if !value.is_object() {
        return Err((format!("error: the event in {path:?} is no JSON object\n"), Exit::Usage));
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_planned_as_a_push() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("slipway.yml"), "stages: {a: {run: 'true'}}\n").unwrap();
        let args = LoadArgs { file: Some(folder.path().to_owned()), ..LoadArgs::default() };
        let loaded = load_all(&args, false).unwrap();
        let plan = &loaded[0].plan;
        assert_eq!((plan.inputs.event_name.as_str(), plan.inputs.path.as_str()), ("push", "slipway.yml"));
        assert_eq!(plan.inputs.github["sha"], git::ZEROS);
        let again = replan(&loaded[0].source.text, (*plan.inputs).clone()).unwrap();
        assert_eq!(again.hash, plan.hash);
    }

    #[test]
    fn filters_decide_in_a_folder_and_not_for_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, on: &str| {
            let text = format!("{on}\nstages: {{a: {{run: 'true'}}}}\n");
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("slipway.yml", "on: push");
        write("slipway.yaml", "on: release");
        let with = |file: PathBuf, event: Option<&str>| {
            let args = LoadArgs { file: Some(file), event: event.map(str::to_owned), ..LoadArgs::default() };
            load_quietly(&args, false).map(|(loaded, _)| loaded.iter().map(|one| one.plan.name.clone()).collect())
        };
        let names = |list: &[&str]| Ok(list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(with(folder.path().to_owned(), None), names(&["slipway.yml"]));
        assert_eq!(with(folder.path().to_owned(), Some("release")), names(&["slipway.yaml"]));
        assert_eq!(with(folder.path().join("slipway.yaml"), None).map(|list| list.len()), Ok(1));
        let (message, exit) = with(folder.path().to_owned(), Some("issues")).unwrap_err();
        assert_eq!(exit, Exit::NotFound);
        assert!(message.contains("slipway.yml: it runs for push\n") && message.contains("\"issues\""), "{message}");
        let (message, _) = with(folder.path().to_owned(), Some("pusch")).unwrap_err();
        assert!(message.contains("did you mean \"push\"?"), "{message}");
    }

    #[test]
    fn options_that_are_wrong_say_their_form() {
        assert_eq!(pair("a").unwrap_err(), "write it as NAME=VALUE");
    }
}
