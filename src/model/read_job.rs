//! A job or stage.

use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

use super::codes;
use super::read::{Field, Fields, Reader, start_of};
use super::tables::{ENVIRONMENT, JOB, RUNS_ON, STAGE, TYPED_KEYS};
use super::{Dialect, Entry, EnvironmentRef, Job, NodeKind, ReusableCall, RunsOn, Step, StepAction, TypedStage};

/// Keys that make no sense beside a job's `uses`.
const NOT_WITH_USES: [&str; 8] =
    ["runs-on", "steps", "container", "services", "env", "defaults", "environment", "outputs"];

impl Reader {
    /// One entry of `jobs` or `stages`. A job with mistakes is there too, so that `needs` can be checked.
    pub(super) fn job(&mut self, entry: &Entry) -> Job {
        let id = Spanned::new(entry.key.to_string(), entry.key_span);
        let stages = self.dialect == Dialect::Stages;
        self.check_id(if stages { "a stage" } else { "a job" }, &id);
        let mut job = empty_job(id, entry);
        if stages && entry.value.scalar().is_some() {
            let message =
                format!("the stage \"{}\" is a map of keys, but this is {}", entry.key, entry.value.describe());
            self.push(
                Diagnostic::error(codes::KIND, entry.value.span, message)
                    .help(format!("write \"{}: {{run: ...}}\"", entry.key)),
            );
            return job;
        }
        let Some(fields) = self.fields(&entry.value, if stages { &STAGE } else { &JOB }) else { return job };
        self.fill_job(&mut job, &fields);
        if stages {
            self.fill_stage(&mut job, &fields);
        } else {
            self.check_workflow_job(&job, &fields);
        }
        job
    }

    fn fill_job(&mut self, job: &mut Job, fields: &Fields<'_>) {
        job.name = self.optional_text(fields.get("name"));
        if let Some(needs) = fields.get("needs") {
            job.needs = self.literals("needs", needs.node);
        }
        job.condition = self.condition(fields.get("if"));
        job.runs_on = fields.get("runs-on").and_then(|field| self.runs_on(field));
        job.container = fields.get("container").and_then(|field| self.container(field, "a container"));
        if let Some(services) = fields.get("services") {
            job.services = self.services(services);
        }
        job.env = self.env(fields.get("env"));
        job.defaults = self.defaults(fields.get("defaults"), true);
        job.strategy = fields.get("strategy").and_then(|field| self.strategy(field));
        if let Some(steps) = fields.get("steps") {
            job.steps = self.steps(steps);
        }
        job.outputs = self.env(fields.get("outputs")).into_iter().map(|entry| (entry.name, entry.value)).collect();
        job.timeout_minutes = self.minutes(fields.get("timeout-minutes"));
        self.minutes(fields.get("cancel-timeout-minutes"));
        job.continue_on_error = fields.get("continue-on-error").and_then(|field| self.late_bool(field));
        job.concurrency = fields.get("concurrency").and_then(|field| self.concurrency(field));
        job.environment = fields.get("environment").and_then(|field| self.environment(field));
        job.permissions = self.permissions(fields.get("permissions"));
        job.reusable = self.reusable(fields);
    }

    fn check_workflow_job(&mut self, job: &Job, fields: &Fields<'_>) {
        let Some(uses) = fields.get("uses") else {
            if fields.get("runs-on").is_none() {
                self.push(
                    Diagnostic::error(codes::MISSING, span_of(fields), "a job needs the key \"runs-on\"")
                        .help("for example: runs-on: ubuntu-latest"),
                );
            }
            for name in ["with", "secrets"] {
                if let Some(field) = fields.get(name) {
                    let message =
                        format!("\"{name}\" belongs to a job with \"uses\", which job \"{}\" has not", job.id.value);
                    self.push(Diagnostic::error(codes::CONFLICT, field.span, message));
                }
            }
            return;
        };
        for name in NOT_WITH_USES {
            if let Some(field) = fields.get(name) {
                self.conflict(uses, field, "a job calls a reusable workflow or has steps of its own");
            }
        }
    }

    fn reusable(&mut self, fields: &Fields<'_>) -> Option<ReusableCall> {
        let uses = fields.get("uses")?;
        let text = self.literal("uses", uses.node)?;
        let path = text.value.split('@').next().unwrap_or_default();
        let file = path.ends_with(".yml") || path.ends_with(".yaml");
        if !file || (!text.starts_with("./") && !remote(&text.value)) {
            let message = format!("\"{}\" names no reusable workflow", text.value);
            let help = "write \"./.github/workflows/FILE.yml\" or \"OWNER/REPOSITORY/.github/workflows/FILE.yml@REF\"";
            self.push(Diagnostic::error(codes::USES, text.span, message).help(help));
        }
        let secrets = fields.get("secrets");
        if let Some(secrets) = secrets {
            match &*secrets.node.kind {
                NodeKind::Mapping(_) => {
                    self.env(Some(secrets));
                }
                _ => {
                    self.choice("secrets", secrets.node, &["inherit"]);
                }
            }
        }
        Some(ReusableCall {
            uses: text,
            with: self.named_data(fields.get("with")),
            secrets: secrets.map(|field| field.node.clone()),
        })
    }

    fn runs_on(&mut self, field: Field<'_>) -> Option<RunsOn> {
        let span = field.node.span;
        if field.node.entries().is_some() {
            let fields = self.fields(field.node, &RUNS_ON)?;
            let group = self.optional_text(fields.get("group"));
            let labels = fields.get("labels").map(|labels| self.texts(labels)).unwrap_or_default();
            return Some(RunsOn { labels, group, span });
        }
        let labels = self.texts(field);
        if labels.is_empty() && (field.node.is_null() || field.node.items().is_some_and(<[_]>::is_empty)) {
            self.push(Diagnostic::error(codes::VALUE, span, "\"runs-on\" is empty").help("for example: ubuntu-latest"));
        }
        Some(RunsOn { labels, group: None, span })
    }

    fn environment(&mut self, field: Field<'_>) -> Option<EnvironmentRef> {
        if field.node.entries().is_none() {
            return self.optional_text(Some(field)).map(|name| EnvironmentRef { name, url: None });
        }
        let fields = self.fields(field.node, &ENVIRONMENT)?;
        let url = self.optional_text(fields.get("url"));
        if let Some(deployment) = fields.get("deployment") {
            self.late_bool(deployment);
        }
        let name = fields.get("name").and_then(|name| self.text(name))?;
        Some(EnvironmentRef { name, url })
    }

    /// What a stage has beyond a job: its short forms and its typed key.
    fn fill_stage(&mut self, job: &mut Job, fields: &Fields<'_>) {
        if let Some(image) = fields.get("image") {
            if let Some(container) = fields.get("container") {
                self.conflict(image, container, "both name the container");
            }
            job.container = self.container(image, "an image");
        }
        let run = fields.get("run");
        let steps = fields.get("steps");
        if let (Some(run), Some(steps)) = (run, steps) {
            self.conflict(run, steps, "\"run\" is the short form of one step");
        }
        let shell = self.optional_text(fields.get("shell"));
        self.check_shell(shell.as_ref());
        let working_directory = self.optional_text(fields.get("working-directory"));
        if steps.is_some() {
            // Beside `steps` they are what `defaults.run` says.
            job.defaults.shell = shell.clone().or(job.defaults.shell.take());
            job.defaults.working_directory = working_directory.clone().or(job.defaults.working_directory.take());
        }
        if let (Some(field), None) = (run, steps)
            && let Some(script) = self.text(field)
        {
            job.steps = vec![only_step(StepAction::Run { script, shell, working_directory }, field.node.span)];
        }
        self.retention(job, fields);
        self.typed(job, fields);
        if job.typed.is_none() && run.is_none() && steps.is_none() && job.reusable.is_none() {
            let message = format!("the stage \"{}\" does nothing", job.id.value);
            let help = format!("give it \"run\", \"steps\", or one of {}", TYPED_KEYS.join(", "));
            self.push(Diagnostic::error(codes::MISSING, job.id.span, message).help(help));
        }
    }

    fn typed(&mut self, job: &mut Job, fields: &Fields<'_>) {
        let mut typed = fields.iter().filter(|field| TYPED_KEYS.contains(&field.name));
        let Some(first) = typed.next() else { return };
        job.typed = Some(TypedStage { key: Spanned::new(first.name.to_owned(), first.span), node: first.node.clone() });
        if job.steps.is_empty() {
            job.steps = vec![only_step(StepAction::Task { key: first.name.to_owned() }, first.span)];
        }
        let others = typed.chain(["run", "steps", "uses"].into_iter().filter_map(|name| fields.get(name)));
        for other in others {
            let message = format!(
                "the stage \"{}\" has \"{}\" beside \"{}\": a stage does one thing",
                job.id.value, other.name, first.name
            );
            self.push(
                Diagnostic::error(codes::TWO_TYPED, other.span, message)
                    .related(first.span, format!("\"{}\" stands here", first.name))
                    .help("make it a stage of its own, with \"needs\""),
            );
        }
    }
}

/// The step of a stage that has one.
fn only_step(action: StepAction, span: crate::span::Span) -> Step {
    Step {
        id: None,
        name: None,
        condition: None,
        env: Vec::new(),
        action,
        continue_on_error: None,
        timeout_minutes: None,
        span,
    }
}

fn remote(uses: &str) -> bool {
    uses.split_once('@').is_some_and(|(path, reference)| {
        !reference.is_empty() && path.split('/').count() >= 3 && path.split('/').all(|part| !part.is_empty())
    })
}

/// Where a map begins, as one character: its keys are on many lines.
fn span_of(fields: &Fields<'_>) -> crate::span::Span {
    fields.iter().next().map_or(fields.span, |first| first.span)
}

fn empty_job(id: Spanned<String>, entry: &Entry) -> Job {
    Job {
        span: id.span.to(if entry.value.span.end > id.span.end { entry.value.span } else { start_of(&entry.value) }),
        id,
        name: None,
        needs: Vec::new(),
        condition: None,
        runs_on: None,
        container: None,
        services: Vec::new(),
        env: Vec::new(),
        defaults: Default::default(),
        strategy: None,
        steps: Vec::new(),
        outputs: Vec::new(),
        timeout_minutes: None,
        continue_on_error: None,
        retry: None,
        artifacts: Vec::new(),
        cache: Vec::new(),
        reports: Default::default(),
        concurrency: None,
        environment: None,
        own_network: false,
        permissions: None,
        typed: None,
        reusable: None,
    }
}
