//! Files and options of the command line to plans: what `run`, `plan`, `graph`, `resume` and `rerun` share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cli::source::{self, SourceError};
use crate::client::git::{self, Checkout};
use crate::diagnostic::Diagnostics;
use crate::exit::Exit;
use crate::model::{Pipeline, ReadOptions};
use crate::plan::compile::compile;
use crate::plan::ir::{Placement, Plan, PlanInputs, RunnerChoice, Selection};
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
    /// A secret; a bare name takes its value from the environment
    #[arg(long = "secret", value_name = "K=V|K", value_parser = secret)]
    pub secrets: Vec<(String, Option<Secret>)>,
    /// A file of secrets, `K=V` a line
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
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

fn pair(text: &str) -> Result<(String, String), String> {
    split(text, '=', "NAME=VALUE")
}

fn matrix(text: &str) -> Result<(String, String), String> {
    split(text, ':', "KEY:VALUE")
}

fn secret(text: &str) -> Result<(String, Option<Secret>), String> {
    match text.split_once('=') {
        // The text is not repeated: it holds the value.
        Some(("", _)) | None if text.is_empty() || text.starts_with('=') => {
            Err("write it as NAME=VALUE or NAME".into())
        }
        Some((key, value)) => Ok((key.to_owned(), Some(Secret::new(value)))),
        None => Ok((text.to_owned(), None)),
    }
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

/// Plans every file that the arguments name. All files' mistakes come together, drawn, with the exit code they mean.
pub fn load_all(args: &LoadArgs, color: bool) -> Result<Vec<Loaded>, (String, Exit)> {
    let given = args.file.clone().unwrap_or_else(|| PathBuf::from("."));
    let files = if given.is_dir() {
        source::find(&given)
            .map_err(|e| (format!("error: failed to read folder {given:?}: {}\n", source::plain(&e)), Exit::NotFound))?
    } else {
        vec![given.clone()]
    };
    if files.is_empty() {
        let looked = "looked for slipway.yml, .slipway/*.yml and .github/workflows/*.yml";
        return Err((format!("error: found no pipeline file in {given:?}: {looked}\n"), Exit::NotFound));
    }
    let folder = if given.is_dir() { given } else { std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")) };
    let checkout = git::inspect(&std::path::absolute(&folder).unwrap_or(folder));
    let secrets = secrets(args)?;
    let event = event(args)?;
    let (mut loaded, mut text, mut exit) = (Vec::new(), String::new(), Exit::Success);
    for file in files {
        let file = file.strip_prefix("./").map(Path::to_owned).unwrap_or(file);
        match load(args, &file, &checkout, &secrets, event.as_ref()) {
            Ok(one) => loaded.push(one),
            Err(Failure::Invalid(diagnostics)) => {
                text.push_str(&diagnostic::text(&diagnostics, color));
                exit = exit.worst(Exit::InvalidPipeline);
            }
            Err(Failure::Said(message, code)) => {
                text.push_str(&format!("error: {message}\n"));
                exit = exit.worst(code);
            }
        }
    }
    if exit == Exit::Success { Ok(loaded) } else { Err((text, exit)) }
}

/// The plan of a stored file with its stored inputs.
pub fn replan(text: &str, inputs: PlanInputs) -> Result<Plan, Box<Diagnostics>> {
    let (pipeline, diagnostics) = stage::load(Source::new(inputs.file.as_str(), text), &ReadOptions::default());
    let pipeline = pipeline.ok_or_else(|| Box::new(diagnostics))?;
    compile(Arc::new(pipeline), Arc::new(inputs)).map(|(plan, _)| plan).map_err(Box::new)
}

enum Failure {
    Invalid(Box<Diagnostics>),
    Said(String, Exit),
}

fn load(
    args: &LoadArgs,
    file: &Path,
    checkout: &Checkout,
    secrets: &[(String, Secret)],
    event: Option<&Value>,
) -> Result<Loaded, Failure> {
    let source = source::read(file, &mut std::io::stdin().lock()).map_err(|error| match error {
        SourceError::Invalid(diagnostics) => Failure::Invalid(diagnostics),
        SourceError::Unreadable { message, missing } => {
            Failure::Said(message, if missing { Exit::NotFound } else { Exit::Internal })
        }
    })?;
    let (pipeline, mut diagnostics) = stage::load(source.clone(), &ReadOptions::default());
    let Some(pipeline) = pipeline else { return Err(Failure::Invalid(Box::new(diagnostics))) };
    let pipeline = Arc::new(pipeline);
    let inputs = plan_inputs(args, file, &pipeline, checkout, secrets, event);
    let (plan, warnings) =
        compile(pipeline.clone(), Arc::new(inputs)).map_err(|all| Failure::Invalid(Box::new(all)))?;
    warnings.list.into_iter().for_each(|warning| diagnostics.push(warning));
    Ok(Loaded { source, pipeline, plan, diagnostics, secrets: secrets.to_vec(), checkout: checkout.clone() })
}

fn plan_inputs(
    args: &LoadArgs,
    file: &Path,
    pipeline: &Pipeline,
    checkout: &Checkout,
    secrets: &[(String, Secret)],
    event: Option<&Value>,
) -> PlanInputs {
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let path = path.strip_prefix(&checkout.root).unwrap_or(file).to_string_lossy().into_owned();
    let dispatched = if args.inputs.is_empty() { "push" } else { "workflow_dispatch" };
    let event_name = args.event.clone().unwrap_or_else(|| dispatched.to_owned());
    let name = pipeline.name.as_ref().map_or(path.as_str(), |name| name.value.as_str());
    let object = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect()
    };
    PlanInputs {
        file: file.to_string_lossy().into_owned(),
        github: github(&event_name, name, &path, checkout, event),
        path,
        event_name,
        inputs: object(&args.inputs),
        vars: object(&args.vars),
        env: args.env.clone(),
        secret_names: secrets.iter().map(|(name, _)| name.clone()).collect(),
        selection: Selection { stages: args.stages.clone(), from: args.from.clone(), matrix: args.matrix.clone() },
        placement: Placement {
            runner: args.runner,
            platforms: args.platforms.clone(),
            allow_privileged: args.allow_privileged,
            in_place: args.in_place,
        },
    }
}

fn github(event_name: &str, name: &str, path: &str, checkout: &Checkout, event: Option<&Value>) -> Value {
    let repository = git::repository(&checkout.remote);
    let owner = repository.split('/').next().unwrap_or_default();
    let reference = checkout.reference.as_str();
    let short = |prefix| reference.strip_prefix(prefix);
    let ref_name = short("refs/heads/").or_else(|| short("refs/tags/")).unwrap_or_default();
    let made = json!({
        "ref": reference, "after": checkout.sha, "before": git::ZEROS,
        "repository": {"full_name": repository, "owner": {"login": owner}},
        "head_commit": {
            "id": checkout.sha, "message": checkout.message, "timestamp": checkout.committed_at,
            "author": {"name": checkout.author_name, "email": checkout.author_email},
            "committer": {"name": checkout.committer_name},
        },
    });
    let event = event.cloned().unwrap_or(made);
    let head = |side: &str| event["pull_request"][side]["ref"].as_str().unwrap_or_default().to_owned();
    json!({
        "actor": checkout.author_name, "triggering_actor": checkout.author_name,
        "api_url": "", "graphql_url": "", "server_url": "",
        "event_name": event_name, "head_ref": head("head"), "base_ref": head("base"),
        "ref": reference, "ref_name": ref_name, "ref_protected": false,
        "ref_type": if reference.starts_with("refs/tags/") { "tag" } else { "branch" },
        "repository": repository, "repository_owner": owner, "sha": checkout.sha,
        "workflow": name, "workflow_ref": format!("{repository}/{path}@{reference}"), "workflow_sha": checkout.sha,
        "token": "", "event": event,
    })
}

fn event(args: &LoadArgs) -> Result<Option<Value>, (String, Exit)> {
    let Some(path) = &args.event_path else { return Ok(None) };
    let text = text_of(path)?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| (format!("error: failed to read the event from {path:?}: it is no JSON: {e}\n"), Exit::Usage))?;
    if !value.is_object() {
        return Err((format!("error: the event in {path:?} is no JSON object\n"), Exit::Usage));
    }
    Ok(Some(value))
}

fn text_of(path: &Path) -> Result<String, (String, Exit)> {
    match source::read(path, &mut std::io::empty()) {
        Ok(source) => Ok(source.text.to_string()),
        Err(SourceError::Unreadable { message, .. }) => Err((format!("error: {message}\n"), Exit::NotFound)),
        Err(SourceError::Invalid(_)) => {
            Err((format!("error: {path:?} is not UTF-8 text, or too large\n"), Exit::Usage))
        }
    }
}

/// Environment first, then the file, then the command line: the later wins.
fn secrets(args: &LoadArgs) -> Result<Vec<(String, Secret)>, (String, Exit)> {
    let mut all: Vec<(String, Secret)> = Vec::new();
    let mut put = |name: &str, value: Secret| {
        all.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        all.push((name.to_owned(), value));
    };
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) =
            (name.to_str().and_then(|n| n.strip_prefix("SLIPWAY_SECRET_")), value.to_str())
        {
            put(name, Secret::new(value));
        }
    }
    if let Some(path) = &args.secret_file {
        for (at, line) in text_of(path)?.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.trim_start_matches("export ").split_once('=') else {
                return Err((format!("error: line {} of {path:?} is not NAME=VALUE\n", at + 1), Exit::Usage));
            };
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
            put(name.trim(), Secret::new(quoted.unwrap_or(value)));
        }
    }
    for (name, value) in &args.secrets {
        let value = match value {
            Some(value) => value.clone(),
            None => std::env::var(name).map(Secret::new).map_err(|_| {
                (format!("error: --secret {name} has no value, and the environment has none\n"), Exit::Usage)
            })?,
        };
        put(name, value);
    }
    Ok(all)
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
    fn options_that_are_wrong_say_their_form_and_no_value() {
        assert_eq!(pair("a").unwrap_err(), "write it as NAME=VALUE");
        assert_eq!(secret("=hidden").unwrap_err(), "write it as NAME=VALUE or NAME");
        assert_eq!(format!("{:?}", secret("A=b=c").unwrap()), "(\"A\", Some(***))");
    }
}
