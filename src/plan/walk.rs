//! Goes through everything that a read file says, in a fixed order: for lint rules that look at expressions, and for the
//! plan's hash, which must see each word. Nothing is copied.

use crate::expr::{Expr, Value};
use crate::model::{
    Concurrency, Condition, Container, Data, DataKind, Defaults, EnvMap, Job, Late, MatrixSource, Node, Pipeline,
    RetryOn, Step, StepAction, Text,
};
use crate::span::{Source, Span};

/// Where in a file a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// At the file's top.
    File,
    /// In a job, outside its steps.
    Job,
    /// In a job's `outputs` or `environment.url`, which see every step.
    End,
    /// In step N, from 0.
    Step(usize),
}

/// A piece of the file.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// A text that may hold expressions.
    Text(&'a Text),
    /// A condition.
    Condition(&'a Condition),
    /// A plain word: an id, a number, a name.
    Word(&'a str),
    /// A number.
    Number(f64),
    /// A plain value within data.
    Scalar(&'a Value),
    /// A part that is kept as it was written.
    Node(&'a Node),
}

/// What is told of a piece: where, at which key, and what.
pub type See<'s, 'a> = &'s mut dyn FnMut(At, &'static str, Piece<'a>);

/// Every expression in `piece`, with its place as exactly as the text allows.
pub fn expressions<'a>(piece: Piece<'a>, source: &Source, mut see: impl FnMut(&'a Expr, Span)) {
    match piece {
        Piece::Text(text) if text.template.as_literal().is_none() => {
            let mut finder = Finder::new(text.span, source);
            text.template.expressions().into_iter().for_each(|expr| see(expr, finder.find(expr)));
        }
        Piece::Condition(condition) => {
            see(&condition.expr, Finder::new(condition.span, source).find(&condition.expr));
        }
        _ => {}
    }
}

/// Finds expressions in the order in which they stand, so that all of a text's are found in one pass.
struct Finder<'a> {
    text: &'a str,
    start: usize,
    /// Where to look on; `None` once one was not found: its words are folded or escaped in the file.
    at: Option<usize>,
}

impl<'a> Finder<'a> {
    fn new(span: Span, source: &'a Source) -> Self {
        let text = source.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        Self { text, start: span.start as usize, at: Some(0) }
    }

    /// The expression's place, else the text's first line.
    fn find(&mut self, expr: &Expr) -> Span {
        let words = expr.source.trim();
        let found = self.at.and_then(|at| self.text[at..].find(words).map(|found| at + found));
        self.at = found.map(|found| found + words.len());
        match found {
            Some(found) => Span::new(self.start + found, self.start + found + words.len()),
            None => Span::new(self.start, self.start + self.text.find('\n').unwrap_or(self.text.len())),
        }
    }
}

/// What stands at the file's top, without its jobs and `on`.
pub fn file<'a>(pipeline: &'a Pipeline, see: See<'_, 'a>) {
    let at = At::File;
    if let Some(name) = &pipeline.name {
        see(at, "name", Piece::Word(&name.value));
    }
    optional(at, "run-name", pipeline.run_name.as_ref(), see);
    env(at, &pipeline.env, see);
    defaults(at, &pipeline.defaults, see);
    concurrency(at, pipeline.concurrency.as_ref(), see);
    for (key, node) in [
        ("permissions", &pipeline.permissions),
        ("environments", &pipeline.environments),
        ("notify", &pipeline.notify),
        ("incident", &pipeline.incident),
    ] {
        if let Some(node) = node {
            see(at, key, Piece::Node(node));
        }
    }
}

/// All of `job`.
pub fn job<'a>(job: &'a Job, see: See<'_, 'a>) {
    let at = At::Job;
    see(at, "id", Piece::Word(&job.id.value));
    job.needs.iter().for_each(|need| see(at, "needs", Piece::Word(&need.value)));
    optional(at, "name", job.name.as_ref(), see);
    if let Some(condition) = &job.condition {
        see(at, "if", Piece::Condition(condition));
    }
    if let Some(runs_on) = &job.runs_on {
        texts(at, "runs-on", &runs_on.labels, see);
        optional(at, "group", runs_on.group.as_ref(), see);
    }
    if let Some(found) = &job.container {
        container(at, found, see);
    }
    for service in &job.services {
        see(at, "services", Piece::Word(&service.id.value));
        container(at, &service.container, see);
    }
    env(at, &job.env, see);
    defaults(at, &job.defaults, see);
    strategy(job, see);
    number(at, "timeout-minutes", job.timeout_minutes.as_ref(), see);
    flag(at, "continue-on-error", job.continue_on_error.as_ref(), see);
    if let Some(retry) = &job.retry {
        see(at, "retry", Piece::Number(f64::from(retry.max.value)));
        retry.on.iter().for_each(|on| {
            let word = match on {
                RetryOn::Lost => "lost",
                RetryOn::Timeout => "timeout",
                RetryOn::Failure => "failure",
            };
            see(at, "retry-on", Piece::Word(word));
        });
    }
    concurrency(at, job.concurrency.as_ref(), see);
    if job.own_network {
        see(at, "network", Piece::Word("own"));
    }
    for (number, step) in job.steps.iter().enumerate() {
        self::step(number, step, see);
    }
    job.artifacts.iter().for_each(|artifact| see(At::End, "artifacts", Piece::Text(&artifact.pattern)));
    for cache in &job.cache {
        see(at, "cache", Piece::Text(&cache.key));
        texts(at, "paths", &cache.paths, see);
        texts(at, "restore-keys", &cache.restore_keys, see);
    }
    texts(at, "junit", &job.reports.junit, see);
    for (name, value) in &job.outputs {
        see(At::End, "outputs", Piece::Word(&name.value));
        see(At::End, "output", Piece::Text(value));
    }
    if let Some(environment) = &job.environment {
        see(at, "environment", Piece::Text(&environment.name));
        optional(At::End, "url", environment.url.as_ref(), see);
    }
    if let Some(node) = &job.permissions {
        see(at, "permissions", Piece::Node(node));
    }
    if let Some(typed) = &job.typed {
        see(at, "typed", Piece::Word(&typed.key.value));
        see(at, "settings", Piece::Node(&typed.node));
    }
    if let Some(call) = &job.reusable {
        see(at, "uses", Piece::Word(&call.uses.value));
        for (name, value) in &call.with {
            see(at, "with", Piece::Word(&name.value));
            data(at, value, see);
        }
        if let Some(node) = &call.secrets {
            see(at, "secrets", Piece::Node(node));
        }
    }
}

fn step<'a>(place: usize, step: &'a Step, see: See<'_, 'a>) {
    let at = At::Step(place);
    if let Some(id) = &step.id {
        see(at, "step", Piece::Word(&id.value));
    }
    optional(at, "name", step.name.as_ref(), see);
    if let Some(condition) = &step.condition {
        see(at, "if", Piece::Condition(condition));
    }
    env(at, &step.env, see);
    match &step.action {
        StepAction::Run { script, shell, working_directory } => {
            see(at, "run", Piece::Text(script));
            optional(at, "shell", shell.as_ref(), see);
            optional(at, "working-directory", working_directory.as_ref(), see);
        }
        StepAction::Uses { uses, with } => {
            see(at, "uses", Piece::Word(&uses.value));
            for (name, value) in with {
                see(at, "with", Piece::Word(&name.value));
                data(at, value, see);
            }
        }
        // Its settings are the job's.
        StepAction::Task { .. } => {}
    }
    flag(at, "continue-on-error", step.continue_on_error.as_ref(), see);
    number(at, "timeout-minutes", step.timeout_minutes.as_ref(), see);
}

fn strategy<'a>(job: &'a Job, see: See<'_, 'a>) {
    let Some(strategy) = &job.strategy else { return };
    match strategy.matrix.as_ref().map(|matrix| &matrix.source) {
        Some(MatrixSource::Expr(text)) => see(At::Job, "matrix", Piece::Text(text)),
        Some(MatrixSource::Map { vectors, include, exclude }) => {
            for (name, value) in vectors {
                see(At::Job, "vector", Piece::Word(&name.value));
                data(At::Job, value, see);
            }
            for (key, value) in [("include", include), ("exclude", exclude)] {
                if let Some(value) = value {
                    see(At::Job, "matrix", Piece::Word(key));
                    data(At::Job, value, see);
                }
            }
        }
        None => {}
    }
    flag(At::Job, "fail-fast", strategy.fail_fast.as_ref(), see);
    number(At::Job, "max-parallel", strategy.max_parallel.as_ref(), see);
}

fn container<'a>(at: At, container: &'a Container, see: See<'_, 'a>) {
    see(at, "image", Piece::Text(&container.image));
    if let Some(credentials) = &container.credentials {
        see(at, "username", Piece::Text(&credentials.username));
        see(at, "password", Piece::Text(&credentials.password));
    }
    env(at, &container.env, see);
    texts(at, "ports", &container.ports, see);
    texts(at, "volumes", &container.volumes, see);
    optional(at, "options", container.options.as_ref(), see);
    texts(at, "command", &container.command, see);
}

fn env<'a>(at: At, map: &'a EnvMap, see: See<'_, 'a>) {
    for entry in map {
        see(at, "env", Piece::Word(&entry.name.value));
        see(at, "env-value", Piece::Text(&entry.value));
    }
}

fn defaults<'a>(at: At, defaults: &'a Defaults, see: See<'_, 'a>) {
    optional(at, "shell", defaults.shell.as_ref(), see);
    optional(at, "working-directory", defaults.working_directory.as_ref(), see);
}

fn concurrency<'a>(at: At, concurrency: Option<&'a Concurrency>, see: See<'_, 'a>) {
    let Some(concurrency) = concurrency else { return };
    see(at, "concurrency", Piece::Text(&concurrency.group));
    flag(at, "cancel-in-progress", concurrency.cancel_in_progress.as_ref(), see);
    if concurrency.queue_max {
        see(at, "queue", Piece::Word("max"));
    }
}

fn optional<'a>(at: At, key: &'static str, text: Option<&'a Text>, see: See<'_, 'a>) {
    if let Some(text) = text {
        see(at, key, Piece::Text(text));
    }
}

fn texts<'a>(at: At, key: &'static str, list: &'a [Text], see: See<'_, 'a>) {
    list.iter().for_each(|text| see(at, key, Piece::Text(text)));
}

fn number<'a>(at: At, key: &'static str, value: Option<&'a Late<f64>>, see: See<'_, 'a>) {
    match value {
        Some(Late::Known(known)) => see(at, key, Piece::Number(known.value)),
        Some(Late::Expr(text)) => see(at, key, Piece::Text(text)),
        None => {}
    }
}

fn flag<'a>(at: At, key: &'static str, value: Option<&'a Late<bool>>, see: See<'_, 'a>) {
    match value {
        Some(Late::Known(known)) => see(at, key, Piece::Word(if known.value { "true" } else { "false" })),
        Some(Late::Expr(text)) => see(at, key, Piece::Text(text)),
        None => {}
    }
}

fn data<'a>(at: At, value: &'a Data, see: See<'_, 'a>) {
    match &value.kind {
        DataKind::Scalar(scalar) => see(at, "value", Piece::Scalar(scalar)),
        DataKind::Text(text) => see(at, "value", Piece::Text(text)),
        DataKind::Sequence(items) => {
            see(at, "list", Piece::Number(items.len() as f64));
            items.iter().for_each(|item| data(at, item, see));
        }
        DataKind::Mapping(entries) => {
            see(at, "map", Piece::Number(entries.len() as f64));
            for (key, value) in entries {
                see(at, "key", Piece::Text(key));
                data(at, value, see);
            }
        }
    }
}
